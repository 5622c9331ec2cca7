"""One graph from samples to posteriors: as torch predicts, or refused with the part that is in the way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sere_core.cli import main
from sere_core.features import audio
from sere_core.model import Model, onnx
from sere_core.score.records import Record
from sere_plugins.encoders.whisper import log_mel
from tests.encoders.checkpoints import tiny_hubert, tiny_wav2vec2, tiny_wavlm, tiny_whisper
from tests.model.test_model import trained

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
KINDS = {"wav2vec2": tiny_wav2vec2, "hubert": tiny_hubert, "wavlm": tiny_wavlm, "whisper": tiny_whisper}


def with_encoder(home: Path, use: str, params: str = "", *sets: str) -> Record:
    encoder = f"encoders={{e: {{use: {use}, params: {{{params}}}}}}}"
    name = f"{use}-{abs(hash((params, sets)))}"
    return trained(home, name, encoder, "paths={labelled: e, unlabelled: e}", "dynamics={use: none}", *sets)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.mark.parametrize(
    ("use", "params", "sets"),
    [
        ("logmel", "dim: 8", ()),
        ("logmel", "dim: 8", ("method={use: logistic}", "losses=null", "task.normalise=corpus")),
        ("logmel", "dim: 8", ("method={use: svm}", "losses=null", "task.normalise=none")),
        ("whisper", "layer: mix, train: frozen", ()),
        pytest.param("whisper", "train: top, top_layers: 1", (), marks=pytest.mark.slow),
        pytest.param("wav2vec2", "train: frozen", (), marks=pytest.mark.slow),
        pytest.param("hubert", "train: top, top_layers: 1", (), marks=pytest.mark.slow),
        pytest.param("wavlm", "train: frozen", (), marks=pytest.mark.slow),
    ],
)
def test_a_graph_predicts_as_torch(home: Path, tmp_path: Path, use: str, params: str, sets: tuple[str, ...]) -> None:
    if use in KINDS:
        params = f"model: '{KINDS[use](tmp_path / 'checkpoint')}', {params}"
    record = with_encoder(home, use, params, *sets)
    assert main(["export", str(record.path), "--fold", "1", "--onnx", "-o", str(tmp_path / "model"), "--quiet"]) == 0
    model = Model.load(tmp_path / "model", device="cpu")  # the graph is among the files that are checked
    session = onnxruntime.InferenceSession(str(tmp_path / "model" / "model.onnx"))
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["classes"]) == list(model.classes) and json.loads(told["temperature"]) == model.temperature
    for seconds in (0.4, 1.13, 2.7):  # other lengths than the one that was traced
        samples = np.random.default_rng(1).normal(0, 0.1, int(16000 * seconds)).astype(np.float32)
        (found,) = session.run(None, {"waveform": samples})
        assert np.abs(found - model.posteriors([model.extract(samples, 16000)])[0]).max() < 1e-4


def test_a_graph_is_held_against_the_same_samples(home: Path, tmp_path: Path) -> None:
    """Audio that was read and resampled may end in what would be trimmed, were it read again."""
    record = with_encoder(home, "logmel", "dim: 8")
    assert main(["export", str(record.path), "--fold", "1", "--onnx", "-o", str(tmp_path / "model"), "--quiet"]) == 0
    model, sound = Model.load(tmp_path / "model", device="cpu"), np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32)
    samples = np.concatenate([np.full(4000, 1e-6, dtype=np.float32), sound, np.zeros(4000, dtype=np.float32)])
    waveform = replace(audio.waveform(sound[:, None], 16000, model.resolved.config.features, ""), samples=samples)
    assert onnx.compare(model, tmp_path / "model" / onnx.NAME, [waveform], lambda *_: None).difference < 1e-4


@pytest.mark.parametrize(
    ("sets", "part"),
    [
        ((), "encoder 'acoustic' (sere.acoustic)"),
        (("encoders={e: {use: logmel}}", "paths={labelled: e, unlabelled: e}"), "sere.idfe"),
        (
            (
                "encoders={e: {use: logmel}}",
                "paths={labelled: e, unlabelled: e}",
                "dynamics={use: none}",
                "method={use: skada}",
                "losses=null",
                "task.normalise=none",
            ),
            "skada's OTMapping",
        ),
    ],
)
def test_what_cannot_be_in_a_graph_is_named(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], sets: tuple[str, ...], part: str
) -> None:
    record = trained(home, f"refused-{len(sets)}", *sets)
    assert main(["export", str(record.path), "--fold", "1", "--onnx", "-o", str(tmp_path / "model"), "--quiet"]) == 1
    said = capsys.readouterr().err
    assert "T509" in said and part in said and "Traceback" not in said
    if "skada" in part:  # which torch finds out
        assert Model.load(tmp_path / "model") and not (tmp_path / "model" / "model.onnx").exists()
    else:
        assert not (tmp_path / "model").exists()


def test_a_graph_that_predicts_otherwise_is_taken_away(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sere_plugins.encoders.logmel import LogMel

    traced = LogMel.traced
    monkeypatch.setattr(LogMel, "traced", lambda self, samples: traced(self, samples).roll(1, dims=1))
    record = with_encoder(home, "logmel", "dim: 8")
    assert main(["export", str(record.path), "--fold", "1", "--onnx", "-o", str(tmp_path / "model"), "--quiet"]) == 1
    said = capsys.readouterr().err
    assert "T509" in said and "encoder 'e'" in said and not (tmp_path / "model" / "model.onnx").exists()


def test_features_in_torch_are_those_of_numpy() -> None:
    from transformers import WhisperFeatureExtractor

    from sere_plugins.encoders.logmel import LogMel
    from sere_plugins.specs.encoders import LogMelParams
    from sere_registry import BuildContext

    samples = np.random.default_rng(0).normal(0, 0.1, 16001).astype(np.float32)
    mel = LogMel(LogMelParams(), BuildContext("mel"))
    wanted, found = mel.extract(samples, {}, 0.0), mel.traced(torch.from_numpy(samples)).numpy()
    assert wanted.shape == found.shape and np.abs(wanted - found).max() < 1e-3  # dB
    assert np.abs(10 ** (wanted / 10) - 10 ** (found / 10)).max() < 1e-5
    extractor = WhisperFeatureExtractor()
    given = extractor([samples], sampling_rate=16000, padding="longest", return_tensors="pt").input_features
    assert (log_mel(torch.from_numpy(samples)[None], extractor) - given).abs().max() < 1e-5
