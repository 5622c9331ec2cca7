"""The target's labels, permuted before they are sealed, change nothing but the scores: nothing that is trained has seen them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from sere_core.data import task
from sere_core.data.labels import Seal, SealedLabels
from tests.end_to_end.conftest import Sere, record

ACOUSTIC = "encoders.small={use: acoustic}"
METHODS: dict[str, tuple[str, ...]] = {
    "sere": (),
    "mcd": ("method={use: mcd}", "losses=null"),
    "nrc": ("method={use: nrc}", "losses=null"),
    "jdar": ("method={use: jdar}", "losses=null", ACOUSTIC),
    "fixmatch": (
        "losses.adapt={use: fixmatch, params: {threshold: 0.5}}",
        "views={weak: [{use: jitter}], strong: [{use: frame_mask}, {use: feature_dropout}]}",
        ACOUSTIC,
    ),
}


class Permuted(SealedLabels):
    """Each target utterance gets the label of another: here, of two classes, always the wrong one."""

    __slots__ = ()

    def __init__(self, labels: Mapping[str, int], seal: Seal) -> None:
        super().__init__({key: 1 - label for key, label in labels.items()}, seal)


@pytest.mark.parametrize("method", METHODS)
def test_permuted_target_labels_change_nothing_but_the_scores(method: str, sere: Sere, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("train.epochs=2", "select.use=entropy", *METHODS[method])
    if method == "jdar":
        words = ("train.epochs=2", *METHODS[method])
    for name, sealed in {"sealed": SealedLabels, "permuted": Permuted}.items():
        monkeypatch.setattr(task, "SealedLabels", sealed)
        assert sere("tiny.yaml", f"output.dir={name}", *words).code == 0
    true, permuted = record(home / "sealed"), record(home / "permuted")
    for file in ("predictions.csv", "history.jsonl", "folds.json", "manifest.json"):
        assert (true / file).read_bytes() == (permuted / file).read_bytes(), file
    checkpoints = sorted(path.name for path in (true / "checkpoints").glob("*.safetensors"))
    assert len(checkpoints) == 2
    for name in checkpoints:  # parameters, buffers, banks, posteriors and embeddings
        assert (true / "checkpoints" / name).read_bytes() == (permuted / "checkpoints" / name).read_bytes(), name
    uar, other = (json.loads((each / "scores.json").read_text())["mean"]["uar"] for each in (true, permuted))
    assert uar + other == pytest.approx(1.0), "of two classes, all answers are right where they were wrong"
