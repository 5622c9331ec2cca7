"""What each first-party component is called and how it is configured.  pydantic only: importing these is cheap."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeVar

from sere_registry import ComponentSpec, Kind, Params
from sere_registry.spec import Evidence

P = TypeVar("P", bound="Declared")


class Declared(Params):
    """Parameters that bring the announcement of their component."""

    spec: ClassVar[ComponentSpec]


def announced(
    kind: Kind, name: str, factory: str, *, cite: str = "", evidence: Evidence = "confirmed", tags: tuple[str, ...] = ()
) -> Callable[[type[P]], type[P]]:
    """A decorator of a component's parameters; the first paragraph of their docstring is the summary.

    Args:
        factory: below `sere_plugins`.
    """

    def declare(params: type[P]) -> type[P]:
        summary = " ".join((params.__doc__ or name).split("\n\n")[0].split()).removesuffix(".")
        params.spec = ComponentSpec(kind, name, f"sere_plugins.{factory}", summary, params, cite=cite, evidence=evidence, tags=tags)
        return params

    return declare
