"""A model predicts as the fold that it is of, wherever its folder lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sere_core.cli import main
from sere_core.config import load
from sere_core.console import Speaker
from sere_core.model import Model
from sere_core.model.export import of_fold
from sere_core.plan import list_corpus
from sere_core.score.records import Record
from sere_registry.errors import SereError

SMALL = ["corpora.xa.params.speakers=4", "corpora.xb.params.speakers=4", "corpora.xa.params.per_class=3", "corpora.xb.params.per_class=2"]
SMALL += ["task.folds=2", "task.shots=2", "train.epochs=1", "hooks=null", "resonance=null", "losses.adapt=null", "features.cache=CACHE"]


def trained(folder: Path, *sets: str) -> Record:
    """A record of a small run."""
    words = [word.replace("CACHE", str(folder / "cache")) for word in (*SMALL, *sets)]
    flags = [part for word in words for part in ("--set", word)]
    assert main(["run", "sere_default", "--quiet", *flags, "--set", f"output.dir={folder / 'runs'}"]) == 0
    return Record.read(next((folder / "runs").glob("*/done")).parent)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return trained(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("fold", [0, 1])
def test_posteriors_are_those_of_the_record(record: Record, tmp_path: Path, fold: int) -> None:
    model = Model.load(of_fold(record, fold, tmp_path / "model", Speaker(True)))
    resolved = load(record.path / "config.yaml")
    recordings = {each.id: each.recording for each in list_corpus(resolved, "xb")}
    rows = [each for each in record.predictions if each.fold == fold]
    clips, own = [], []
    for row in rows:
        samples, rate = soundfile.read(recordings[row.id].path)
        clips.append(model.extract(samples, rate))
        own.append(model.known(recordings[row.id].speaker))
    assert all(own) and model.languages == ("xb",)
    assert np.abs(model.posteriors(clips, own) - np.array([row.posteriors for row in rows])).max() < 1e-6
    again = [
        model.statistics([c for c, r in zip(clips, rows, strict=True) if recordings[r.id].speaker == recordings[row.id].speaker])
        for row in rows
    ]
    assert np.abs(model.posteriors(clips, again) - np.array([row.posteriors for row in rows])).max() < 1e-6
    one = model.predict(samples, rate, speaker=recordings[rows[-1].id].speaker)
    assert one.label == rows[-1].prediction and list(one.posteriors) == list(model.classes)


def test_a_changed_file_is_found(record: Record, tmp_path: Path) -> None:
    folder = of_fold(record, 0, tmp_path / "model", Speaker(True))
    weights = bytearray((folder / "weights.safetensors").read_bytes())
    weights[len(weights) // 2] ^= 1
    (folder / "weights.safetensors").write_bytes(weights)
    with pytest.raises(SereError, match="T505"):
        Model.load(folder)
    with pytest.raises(SereError, match="T505"):
        Model.load(record.path)
