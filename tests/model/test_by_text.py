"""Lexical normalisation from a run to its model: the record says what was taken off, and the model takes off the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sere_core.cli import main
from sere_core.model import Model
from sere_core.score.records import Record
from tests.encoders.checkpoints import tiny_whisper
from tests.model.test_model import exported, predicted, trained

SERE_PLUS = ("method={use: sere_plus}", "losses=null")
BY_GRADIENT = ("task.by_text=true",)
#: of a network of random weights nobody can say what it hears: whatever clusters there are count as texts
ANY = {"STABLE": -1.0, "STABLE_MANY": -1.0, "REPEATED": 0.0}


def run(home: Path, pool: bool, *sets: str) -> Record:
    encoder = f"{{use: whisper, params: {{model: '{tiny_whisper(home / 'checkpoint')}', layer: mix, pool: {str(pool).lower()}}}}}"
    return trained(home, "run", f"encoders={{e: {encoder}}}", "paths={labelled: e, unlabelled: e}", "dynamics={use: none}", *sets)


@pytest.fixture
def any_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ANY.items():
        monkeypatch.setattr(f"sere_core.data.texts.{name}", value)


@pytest.mark.usefixtures("any_clusters")
@pytest.mark.parametrize(
    ("pool", "sets"), [pytest.param(True, SERE_PLUS, id="sere_plus"), pytest.param(False, BY_GRADIENT, id="frames, by gradient")]
)
def test_a_model_takes_off_what_its_run_took_off(pool: bool, sets: tuple[str, ...], tmp_path: Path) -> None:
    record = run(tmp_path, pool, *sets)
    (statement,) = {said.partition("; without texts: ")[2].replace("none", "0") for said in record.manifest["notes"]["normalisation"]}
    source, target = (int(part.split(" of ")[0]) for part in statement.split(", "))
    assert source > 1 and target > 1
    model = exported(record, tmp_path / "model", "--fold", "1")
    texts = model.texts("e")
    assert texts is not None and texts.count > 1 and texts.columns.tolist()[0] > 0
    assert predicted(model, record, 0) < 1e-6


@pytest.mark.usefixtures("any_clusters")
def test_a_graph_takes_it_off_too(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    record = run(tmp_path, True, *SERE_PLUS)
    assert main(["export", str(record.path), "--fold", "1", "--onnx", "-o", str(tmp_path / "model"), "--quiet"]) == 0
    model = Model.load(tmp_path / "model", device="cpu")
    session = onnxruntime.InferenceSession(str(tmp_path / "model" / "model.onnx"))
    texts = model.texts("e")
    assert texts is not None
    known = 0
    for seed in range(4):
        samples = np.random.default_rng(seed).normal(0, 0.1, 16000 + 3000 * seed).astype(np.float32)
        clip = model.extract(samples, 16000)
        item = model.standardised(clip)
        known += bool(np.any(item.vector.numpy()[texts.columns] != 0))
        (found,) = session.run(None, {"waveform": samples})
        assert np.abs(found - model.posteriors([clip])[0]).max() < 1e-4
    assert not known


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        pytest.param((*SERE_PLUS, "task.by_text=false"), (False, []), id="not wanted"),
        pytest.param((*SERE_PLUS,), (True, ["xa", "xb"]), id="asked for by the method, and not found"),
        pytest.param(("method={use: logistic}", "losses=null"), (False, []), id="not asked for"),
    ],
)
def test_the_config_or_else_the_method_says_whether(
    sets: tuple[str, ...], expected: tuple[bool, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sere_core.data.texts.REPEATED", 1e9)
    record = run(tmp_path, True, *sets)
    notes = record.manifest["notes"]
    told = ["without texts" in said for said in notes["normalisation"]]
    named = [name for name in ("xa", "xb") if any(f"nothing is taken off {name}" in line for line in notes["warnings"])]
    assert (all(told), named) == expected and len(set(told)) == 1


def test_texts_are_taken_off_standardised_features_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["task.by_text=true", "task.normalise=none", f"output.dir={json.dumps(str(tmp_path))}"]
    assert main(["run", "sere_default", "--dry-run", *(part for word in words for part in ("--set", word))]) == 2
    assert "C311" in capsys.readouterr().err
