"""Factories that do not exist, told from the files in which they should stand: nothing is imported."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from sere_core.config.resolved import Resolved
from sere_core.config.source_code import has_attribute
from sere_registry.entries import noun
from sere_registry.errors import Problem, SereError
from sere_registry.spec import ComponentSpec


def missing_factory(spec: ComponentSpec, full_name: str, distribution: str, version: str) -> Problem | None:
    """What is wrong with a spec whose factory nothing defines; None where it is there, or where that cannot be told."""
    if has_attribute(spec.factory) is not False:
        return None
    message = f"{noun(spec.kind)} '{full_name}' of {distribution} {version}: its factory {spec.factory} does not exist"
    return Problem("P104", message, f"this is for the author of {distribution}, or leave it out: SERE_DISABLE={distribution}")


def check_factories(resolved: Resolved, known: Container[str] = ()) -> None:
    """Check the factories of all components of a resolved config.

    Args:
        known: factories that were looked for before.

    Raises:
        SereError: P104 for each that does not exist, with the place that names its component.
    """
    problems = []
    for path, bound in resolved.components.items():
        if bound.spec.factory in known:
            continue
        problem = missing_factory(bound.spec, bound.full_name, bound.distribution, bound.version)
        if problem is not None:
            hint = f"correct `factory` in {bound.distribution}" if bound.use.startswith("file:") else problem.hint
            problems.append(replace(problem, hint=hint, place=resolved.place(f"{path}.use")))
    if problems:
        raise SereError(*problems)
