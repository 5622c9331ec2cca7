"""Every component that comes with sere passes the kit: it has no privilege over a plugin's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sere_core.testing import check_component, checks
from sere_registry import GROUPS
from sere_registry.catalog import Catalog
from sere_registry.kinds import FIRST_PARTY
from tests.contracts.test_corpus import MAKERS, SMALL, WHERE
from tests.contracts.test_encoder import CHECKPOINTS

CATALOG = Catalog(environ={})
ENTRIES = [entry for entry in CATALOG.entries if entry.distribution == FIRST_PARTY]


def params(name: str, folder: Path) -> dict[str, Any]:
    """Values for parameters that have no default that works without a download or a corpus."""
    if name in CHECKPOINTS:
        return {"model": str(CHECKPOINTS[name](folder / "model"))}
    if name in MAKERS:
        root, where = MAKERS[name](folder), WHERE.get(name, "root")
        return {**SMALL.get(name, {}), **({where: root / "list.csv" if where == "file" else root} if where else {})}
    return {}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.kind}-{entry.short_name}")
def test_it_passes_the_kit(entry: Any, tmp_path: Path) -> None:
    check_component(entry.kind, entry.full_name, catalog=CATALOG, params=params(entry.full_name, tmp_path))


def test_no_kind_is_without_components_or_checks() -> None:
    assert {entry.kind for entry in ENTRIES} == set(GROUPS)
    for kind in GROUPS:
        assert any(check.id.startswith(f"{kind}.") for check in checks(kind))
