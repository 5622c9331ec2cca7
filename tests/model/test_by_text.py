"""Lexical normalisation from a run to its model: whose texts are found, what the record says, and that the model takes off the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sere_core.cli import main
from sere_core.config import load
from sere_core.data.texts import Texts
from sere_core.model import Model, folder
from sere_core.plan import list_corpus
from sere_core.score.records import Record
from sere_registry.errors import SereError
from tests.encoders.checkpoints import tiny_whisper
from tests.model.test_model import exported, predicted, trained

SERE_PLUS = ("method={use: sere_plus}", "losses=null")
BY_GRADIENT = ("task.by_text=true",)
#: of a network of random weights nobody can say what it hears: whatever clusters there are count as texts
ANY = {"STABLE": -1.0, "STABLE_MANY": -1.0, "REPEATED": 0.0}


POOLED, FRAMES, TRAINED = "layer: mix, pool: true", "layer: mix", "layer: [1, 2], train: top, top_layers: 1"


def run(home: Path, params: str, *sets: str) -> Record:
    encoder = f"{{use: whisper, params: {{model: '{tiny_whisper(home / 'checkpoint')}', {params}}}}}"
    return trained(home, "run", f"encoders={{e: {encoder}}}", "paths={labelled: e, unlabelled: e}", "dynamics={use: none}", *sets)


@pytest.fixture
def any_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ANY.items():
        monkeypatch.setattr(f"sere_core.data.texts.{name}", value)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Whose utterances texts were looked for in, by call: the speakers in order."""
    calls: list[list[str]] = []
    find = Texts.find

    def spied(vectors: np.ndarray, speakers: list[str], networks: object) -> Texts:
        assert len(vectors) == len(speakers)
        calls.append(speakers)
        return find(vectors, speakers, networks)  # type: ignore[arg-type]

    monkeypatch.setattr(Texts, "find", spied)
    return calls


def speakers_in(record: Record, fold: int, *streams: str) -> list[str]:
    """The speakers of a fold's streams, an utterance each, sorted."""
    said = {each.id: each.recording.speaker for name in ("xa", "xb") for each in list_corpus(load(record.path / "config.yaml"), name)}
    return sorted(said[name] for name in {name for stream in streams for name in record.folds["folds"][fold][stream]})


@pytest.mark.parametrize(
    ("sets", "of_source"),
    [
        pytest.param((), ("labelled", "source"), id="S_l and S_u"),
        pytest.param(("task.shots=all",), ("labelled",), id="S_l"),
        pytest.param(("task.setting=transductive",), ("labelled", "source"), id="transductive"),
    ],
)
def test_texts_are_those_of_the_source_and_of_each_folds_t_u_and_never_of_t_e(
    sets: tuple[str, ...], of_source: tuple[str, ...], tmp_path: Path, asked: list[list[str]]
) -> None:
    record = run(tmp_path, POOLED, *SERE_PLUS, *sets)
    expected = [speakers_in(record, 0, *of_source)]
    for fold in range(len(record.folds["folds"])):
        expected.append(speakers_in(record, fold, "target"))
        if "task.setting=transductive" not in sets:
            assert set(expected[-1]).isdisjoint(speakers_in(record, fold, "test"))
    assert [sorted(speakers) for speakers in asked] == expected  # folds share the source's


def test_a_corpus_that_is_its_own_source_has_its_texts_once(tmp_path: Path, asked: list[list[str]]) -> None:
    record = run(tmp_path, POOLED, *SERE_PLUS, "task.source=xb")
    folds = range(len(record.folds["folds"]))
    assert [sorted(each) for each in asked] == [sorted(speakers_in(record, fold, "labelled", "source", "target")) for fold in folds]


@pytest.mark.usefixtures("any_clusters")
@pytest.mark.parametrize(
    ("params", "sets"),
    [
        pytest.param(POOLED, SERE_PLUS, id="sere_plus"),
        pytest.param(FRAMES, BY_GRADIENT, id="frames, by gradient"),
        pytest.param(TRAINED, BY_GRADIENT, id="trained layers"),
        pytest.param(TRAINED, ("method={use: student, params: {ema: 0.5}}", "task.normalise=speaker"), id="trained layers, averaged"),
    ],
)
def test_a_model_takes_off_what_its_run_took_off(params: str, sets: tuple[str, ...], tmp_path: Path) -> None:
    record = run(tmp_path, params, *sets)
    assert all("texts of xa, xb are taken off" in said for said in record.manifest["notes"]["normalisation"])
    counts = {int(fold): line for line in record.manifest["notes"]["texts"] for fold in line.rpartition("(fold ")[2][:-1].split(", ")}
    for fold in (0, 1):
        model = exported(record, tmp_path / f"model{fold}", "--fold", str(fold + 1))
        texts = model.texts("e")
        assert texts is not None and texts.count > 1
        assert f" {texts.count} of xb" in counts[fold + 1]
        assert predicted(model, record, fold) < 1e-6


@pytest.mark.usefixtures("any_clusters")
@pytest.mark.parametrize(("params", "sets"), [(POOLED, SERE_PLUS), (TRAINED, BY_GRADIENT)], ids=["sere_plus", "trained layers"])
def test_a_graph_takes_it_off_too(params: str, sets: tuple[str, ...], tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    record = run(tmp_path, params, *sets)
    assert main(["export", str(record.path), "--fold", "1", "--onnx", "-o", str(tmp_path / "model"), "--quiet"]) == 0
    model = Model.load(tmp_path / "model", device="cpu")
    session = onnxruntime.InferenceSession(str(tmp_path / "model" / "model.onnx"))
    texts, taken = model.texts("e"), set()
    assert texts is not None
    noise = [np.random.default_rng(seed).normal(0, 0.1, 16000 + 3000 * seed).astype(np.float32) for seed in range(2)]
    spoken = [soundfile.read(each.recording.path, dtype="float32")[0] for each in list_corpus(load(record.path / "config.yaml"), "xb")[:4]]
    for samples in (*noise, *spoken):
        clip = model.extract(samples, 16000)
        standard = model.corpus("e")
        assert standard is not None
        mean, divisor = standard
        taken.add(bool(texts.said((clip.mean - mean) / divisor).any()))
        (found,) = session.run(None, {"waveform": samples})
        assert np.abs(found - model.posteriors([clip])[0]).max() < 1e-4
    assert taken == {True, False}  # what is one of the texts, and what is none


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
    record = run(tmp_path, POOLED, *sets)
    notes = record.manifest["notes"]
    assert not any("are taken off" in each for each in notes["normalisation"])  # there are none
    said = [line for line in notes["warnings"] if line.startswith("by_text: ")]
    assert all("(e, fold 1, 2)" in line for line in said)
    assert [name for name in ("xa", "xb") if sum(f"off {name} " in line for line in said) == 1] == expected[1]
    assert ("by_text" in record.manifest["digests"]["features"], bool(notes.get("texts"))) == (expected[0], expected[0])  # tables mark it


def test_that_there_are_no_texts_is_said_once_and_not_where_only_errors_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sere_core.data.texts.REPEATED", 1e9)
    record = run(tmp_path, POOLED, *SERE_PLUS)
    exported(record, tmp_path / "model")  # trained on all of the target
    assert "by_text" not in capfd.readouterr().err
    assert main(["run", str(record.path / "config.yaml"), f"--set=output.dir={tmp_path / 'again'}"]) == 0
    assert capfd.readouterr().err.count("by_text: no text is taken off xb") == 1


def test_texts_are_taken_off_standardised_features_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["task.by_text=true", "task.normalise=none", f"output.dir={json.dumps(str(tmp_path))}", "train.epochs=1", "task.folds=2"]
    assert main(["run", "sere_default", *(part for word in words for part in ("--set", word))]) == 2
    assert "C311" in capsys.readouterr().err


def test_where_the_method_alone_asks_for_it_a_warning_says_why_not(tmp_path: Path) -> None:
    record = run(tmp_path, POOLED, *SERE_PLUS, "task.normalise=none")
    assert any(line.startswith("by_text, which the method asks for") for line in record.manifest["notes"]["warnings"])
    assert "texts" not in record.manifest["notes"]


Damage = Callable[[dict[str, Tensor]], Mapping[str, Tensor]]


def without(name: str) -> Damage:
    return lambda tensors: {key: value for key, value in tensors.items() if not key.startswith(name)}


def changed(name: str, change: Callable[[Tensor], Tensor]) -> Damage:
    return lambda tensors: {**tensors, f"texts/e/{name}": change(tensors[f"texts/e/{name}"]).contiguous()}


def narrow(prefix: str) -> Damage:
    return lambda tensors: {name: value[:5].clone() if name.startswith(prefix) else value for name, value in tensors.items()}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with texts."""
    home = tmp_path_factory.mktemp("told")
    with pytest.MonkeyPatch.context() as patched:
        for name, value in ANY.items():
            patched.setattr(f"sere_core.data.texts.{name}", value)
        exported(run(home, POOLED, *SERE_PLUS, "task.normalise=speaker"), home / "model", "--fold", "1")
    return home / "model"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(without("texts/"), id="none"),
        pytest.param(without("texts/e/reach"), id="one missing"),
        pytest.param(changed("axes", lambda axes: axes[:-1]), id="axes of another network"),
        pytest.param(changed("axes", lambda axes: axes * torch.nan), id="not finite"),
        pytest.param(changed("means", lambda means: means[:, :5]), id="narrow means"),
        pytest.param(changed("reach", lambda reach: reach[:, None]), id="a reach of two dimensions"),
        pytest.param(changed("reach", lambda reach: reach[:0]), id="no reach"),
        pytest.param(changed("centres", lambda centres: centres.float()), id="another precision"),
        pytest.param(lambda tensors: {**tensors, "texts/e/why": torch.zeros(1).double()}, id="one too many"),
        pytest.param(narrow("statistics/corpus"), id="narrow statistics"),
        pytest.param(narrow("statistics/speaker"), id="narrow statistics of speakers"),
    ],
)
def test_texts_and_statistics_that_are_not_a_models_are_refused(
    damage: Callable[[dict[str, Tensor]], Mapping[str, Tensor]], told: Path, tmp_path: Path
) -> None:
    shutil.copytree(told, tmp_path / "model")
    weights = tmp_path / "model" / "weights.safetensors"
    about = folder_metadata(weights)
    save_file(dict(damage(load_file(weights))), weights, metadata=about)
    folder.seal(tmp_path / "model")
    with pytest.raises(SereError) as caught:
        Model.load(tmp_path / "model", device="cpu")
    assert [problem.code for problem in caught.value.problems] == ["T505"]


def folder_metadata(weights: Path) -> dict[str, str] | None:
    from safetensors import safe_open

    with safe_open(weights, framework="pt") as file:
        found: dict[str, str] | None = file.metadata()
    return found
