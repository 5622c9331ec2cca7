"""Frames are read when a batch wants them: what is not kept is read again, and what reads vectors alone reads no frame."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sere_core.config import load
from sere_core.features.store import FeatureSet
from sere_core.run import run
from sere_core.train import material
from sere_core.train.streams import Room, Unread, read
from tests.end_to_end.conftest import TINY

LOGISTIC = ["method.use=logistic", "losses=null", "resonance=null"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path


def predictions(*sets: str) -> bytes:
    record = run(load("tiny.yaml", sets=list(sets)), quiet=True)
    return (record.path / "predictions.csv").read_bytes()


def test_a_tensor_is_kept_while_there_is_room() -> None:
    room, calls = Room(100), []

    def made() -> torch.Tensor:
        calls.append(1)
        return torch.ones(10)

    kept, again = Unread(10, made, room), Unread(10, made, room)
    for _ in range(3):
        assert torch.equal(read(kept), read(again)) and len(kept) == 10
    assert len(calls) == 2 and room.left == 20
    assert torch.equal(read(Unread(10, made, room)), torch.ones(10)) and room.left == 20, "80 bytes are taken, 40 do not fit"


def test_what_is_not_kept_gives_the_same_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = predictions("output.dir=kept")
    monkeypatch.setattr(material, "_KEPT", 0)
    assert predictions("output.dir=read") == kept


def test_methods_on_vectors_read_neither_frames_nor_contours(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("frames", "contours"):
            patch.setattr(FeatureSet, name, lambda *_: pytest.fail("read"))
        predictions(*LOGISTIC)
        with pytest.raises(BaseException, match="read"):
            predictions("output.dir=others")
