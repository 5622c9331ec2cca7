"""Whose code a watched call is laid to."""

from __future__ import annotations

import gc
import platform
from pathlib import Path

import pytest

from sere_core.train.guard import Guard
from sere_core.train.zones import Zones
from sere_registry.errors import SereError
from sere_registry.files import write_atomically


def boundary() -> None:
    """Never called: every caller is looked at."""


def guard(record: Path, factory: str) -> Guard:
    return Guard({"encoders.plain": factory}, Zones(record, [], [], record / "audio.index"), boundary.__code__)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This file is a library, not code beside the components."""
    found = Guard._found_owner
    monkeypatch.setattr(Guard, "_found_owner", lambda self, file: "other" if Path(file) == Path(__file__) else found(self, file))


@pytest.mark.usefixtures("here")
def test_the_engine_may_work_beside_a_component_of_its_own(tmp_path: Path) -> None:
    """The kit's encoder comes with the engine: that makes its one file a component, and nothing else of the engine."""
    with guard(tmp_path, "sere_core.testing.raw:Raw").watching():
        write_atomically(tmp_path / "predictions.csv", b"id\n")
        platform.uname()
    assert (tmp_path / "predictions.csv").read_bytes() == b"id\n"


def test_code_beside_the_components_may_not_do_the_same(tmp_path: Path) -> None:
    watched = guard(tmp_path, "sere_core.testing.raw:Raw")
    with pytest.raises(SereError) as caught, watched.watching():
        (tmp_path / "predictions.csv").write_bytes(b"id\n")
    assert caught.value.problems[0].code == "D613" and "this run's record" in str(watched.probes[0])
    with pytest.raises(SereError) as caught, guard(tmp_path, "sere_core.testing.raw:Raw").watching():
        gc.get_objects()
    assert caught.value.problems[0].code == "D613"
