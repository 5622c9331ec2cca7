"""The configs that come with sere name every component in full: no package installed beside it can break or change them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import sere_core
from sere_core.config import load
from sere_registry import ComponentSpec, SereError
from sere_registry.catalog import Catalog, Entry

SHIPPED = Path(sere_core.__file__).parents[1] / "configs"
FILES = sorted(SHIPPED.rglob("*.yaml"))


def crowded() -> Catalog:
    """Everything that is installed, and a package that gives each of sere's short names to a component of its own."""
    ours = list(Catalog(environ={"SERE_NO_PLUGINS": "1"}).entries)
    real = [Entry.of(entry.loader, version=entry.version, kind=entry.kind, name=entry.full_name) for entry in ours]
    theirs = [
        Entry.of(
            ComponentSpec(kind=entry.kind, name=entry.short_name, factory="builtins:dict", summary="another"),
            distribution="sere-plugin-xyz",
            namespace="xyz",
        )
        for entry in ours
    ]
    return Catalog([*real, *theirs], environ={})


def uses(node: Any, under: str = "") -> Iterator[tuple[str, str]]:
    """Every `use` of a config, with the key of the block that it stands in."""
    if isinstance(node, dict):
        if isinstance(node.get("use"), str):
            yield under, node["use"]
        for key, child in node.items():
            yield from uses(child, str(key))
    elif isinstance(node, list):
        for child in node:
            yield from uses(child, under)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SHIPPED).as_posix())
def test_names_stand_in_full(file: Path) -> None:
    short = [name for under, name in uses(yaml.safe_load(file.read_text(encoding="utf-8"))) if "." not in name and under != "optimizer"]
    assert not short


def test_the_default_run_is_the_same_beside_a_package_that_takes_every_short_name() -> None:
    alone = load(SHIPPED / "sere_default.yaml", catalog=Catalog(environ={"SERE_NO_PLUGINS": "1"}))
    beside = load(SHIPPED / "sere_default.yaml", catalog=crowded())
    assert beside.digest() == alone.digest()
    assert {bound.distribution for bound in beside.components.values()} == {"sere"}


def test_a_short_name_is_refused_there(tmp_path: Path) -> None:
    """The package is really in the way: a config that says `tric` is asked which one it means, and nothing is chosen for it."""
    file = tmp_path / "short.yaml"
    file.write_text(f"sere: 1\nextends: {SHIPPED / 'sere_default.yaml'}\nlosses: {{adapt: {{use: tric}}}}\n")
    with pytest.raises(SereError, match=r"\[R202\].*'tric'"):
        load(file, catalog=crowded())
