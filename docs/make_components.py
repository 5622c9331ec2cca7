"""Writes `docs/components.md`, the page of all components, from their declarations: `python docs/make_components.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sere_core.cli.parameters import markdown, parameters
from sere_registry.catalog import Catalog
from sere_registry.entries import Entry
from sere_registry.kinds import FIRST_PARTY, GROUPS

PAGE = Path(__file__).with_name("components.md")

_INTRODUCTION = """\
# Components

Written by `docs/make_components.py` from the declarations: change those, then run it again.

`use` takes the short name while it is unique, or the full one. Parameters stand under `params`. *Evidence* says how near a
component is to its source: *confirmed* against the authors' code or equations, *reconstructed* from a description, or a *stand-in*.
"""


def page() -> str:
    catalog = Catalog(environ={})
    known = [catalog.find(entry.kind, entry.full_name) for entry in catalog.entries if entry.distribution == FIRST_PARTY]
    parts = [_INTRODUCTION]
    for kind, group in GROUPS.items():
        parts.append(f"## {group.partition('.')[2].capitalize()}\n\nKind `{kind}`, entry-point group `{group}`.\n")
        parts += ["\n".join(_component(entry)) + "\n" for entry in known if entry.kind == kind]
    return "\n".join(parts)


def _component(entry: Entry) -> Iterator[str]:
    spec = entry.spec
    yield f"### `{entry.full_name}`\n"
    yield f"{spec.summary}\n"
    yield f"- evidence: {spec.evidence}"
    if spec.cite:
        yield f"- source: {spec.cite}"
    if spec.tags:
        yield f"- tags: {', '.join(spec.tags)}"
    if spec.needs:
        yield f"- needs: {', '.join(need.partition(':')[0] for need in spec.needs)}"
    yield ""
    rows = list(parameters(spec.params))
    if not rows:
        yield "No parameters."
        return
    yield from markdown(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
