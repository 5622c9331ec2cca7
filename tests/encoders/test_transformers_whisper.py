"""whisper against transformers' own encoder, on a tiny checkpoint with windows of 60 frames (1.2 s)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sere_plugins.encoders.whisper import Whisper
from sere_plugins.specs.encoders import WHISPER
from sere_registry import BuildContext, Frames, SereError
from tests.encoders.checkpoints import HIDDEN, LAYERS, encode, tiny_whisper

POSITIONS = 60
WINDOW = POSITIONS * 320
RNG = np.random.default_rng(0)
SHORT = RNG.normal(0, 0.1, 7001).astype(np.float32)
LONG = RNG.normal(0, 0.1, 2 * WINDOW + 5000).astype(np.float32)
FULL = RNG.normal(0, 0.1, WINDOW).astype(np.float32)
TRAINED = [{"train": "top", "top_layers": k} for k in (1, LAYERS)] + [{"train": "all"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper(tmp_path_factory.mktemp("whisper"), POSITIONS)


def build(folder: Path, **params: Any) -> Whisper:
    made = WHISPER.load()(WHISPER.params(**{"model": str(folder), **params}), BuildContext(id="german"))
    assert isinstance(made, Whisper)
    return made.eval()


def theirs(folder: Path, waveform: np.ndarray) -> tuple[Tensor, list[Tensor]]:
    """transformers' feature extractor and encoder, window by window, cut to the real frames."""
    from transformers import WhisperFeatureExtractor, WhisperModel

    model: Any = WhisperModel.from_pretrained(folder).encoder.eval()
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    windows = [
        extractor(part, sampling_rate=16000, return_tensors="pt", padding="max_length", max_length=WINDOW).input_features
        for part in np.split(waveform, range(WINDOW, len(waveform), WINDOW))
    ]
    with torch.no_grad():
        out = model(torch.cat(windows), output_hidden_states=True)
    real = -(-len(waveform) // 320)
    return out.last_hidden_state.flatten(0, 1)[:real], [state.flatten(0, 1)[:real] for state in out.hidden_states]


@pytest.mark.parametrize("waveform", [SHORT, FULL, LONG], ids=["short", "one window", "three windows"])
def test_frozen_layers_are_those_of_transformers(folder: Path, waveform: np.ndarray) -> None:
    last, states = theirs(folder, waveform)
    frames = build(folder).extract(waveform, {}, 0.02)
    assert frames.shape == (-(-len(waveform) // 320), HIDDEN) and frames.dtype == np.float32
    assert np.abs(frames - last.numpy()).max() < 1e-5
    for layer in range(LAYERS):
        assert np.abs(build(folder, layer=layer).extract(waveform, {}, 0.02) - states[layer].numpy()).max() < 1e-5


@pytest.mark.parametrize("params", TRAINED)
def test_trained_in_part_equals_the_whole_network(folder: Path, params: dict[str, Any]) -> None:
    encoder = build(folder, **params)
    assert not encoder.normalise
    waveforms = (SHORT, LONG, FULL, SHORT[:5])
    values, mask = encode(encoder, *waveforms)
    assert mask.sum(dim=1).tolist() == [-(-len(waveform) // 320) for waveform in waveforms]
    for row, waveform in enumerate(waveforms):
        assert (values[row][mask[row]] - theirs(folder, waveform)[0]).abs().max() < 1e-5


@pytest.mark.parametrize("params", TRAINED)
def test_gradients_reach_exactly_the_trained_parameters(folder: Path, params: dict[str, Any]) -> None:
    encoder = build(folder, **params).train()
    values, mask = encode(encoder, SHORT, LONG)
    (values[mask] ** 3).sum().backward()  # type: ignore[no-untyped-call]
    per_layer = 15  # q, v, out and two feed-forward maps with bias, k without, two norms
    trained = per_layer * params.get("top_layers", LAYERS) + 2
    assert len(list(encoder.parameters())) == len(encoder.state_dict()) == trained
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())
    assert len(build(folder, train="all", train_cnn=True).state_dict()) == per_layer * LAYERS + 2 + 4
    assert not build(folder).state_dict()


def test_context_real_attends_to_real_frames_alone(folder: Path) -> None:
    """A batch changes nothing; a full window is exactly Whisper; a short utterance is not, since Whisper attends to padding."""
    encoder = build(folder, train="top", top_layers=2, context="real")
    assert encoder.extract(SHORT, {}, 0.02).shape == (22, HIDDEN)
    values, mask = encode(encoder, SHORT, FULL)
    assert (values[0][mask[0]] - encode(encoder, SHORT)[0][0]).abs().max() < 1e-5
    assert (values[1] - theirs(folder, FULL)[0]).abs().max() < 1e-5
    assert (values[0][mask[0]] - theirs(folder, SHORT)[0]).abs().max() > 1e-3


def test_mix_is_a_learned_sum_of_all_layers(folder: Path) -> None:
    encoder = build(folder, layer="mix")
    values, _ = encode(encoder, LONG)
    last, states = theirs(folder, LONG)
    assert (values[0] - torch.stack([*states[:LAYERS], last]).mean(dim=0)).abs().max() < 1e-5


def test_times_of_frames(folder: Path) -> None:
    """Frame i stands at `i / 50` seconds: a burst there moves it most."""
    encoder = build(folder, layer=0)
    assert (encoder.rate, encoder.offset) == (50.0, 0.0)
    front: Any = encoder._trunk.on(torch.device("cpu"))[0]
    t = np.arange(WINDOW)
    hum = 0.01 * np.sin(0.3 * t)
    for i in (3, 20, 55):
        burst = np.exp(-(((t - i * 320) / 60) ** 2)) * np.sin(0.5 * (t - i * 320) + 0.5)
        pair = front.mel(torch.from_numpy(np.stack([hum + burst, hum])).float())
        moved = (pair[0] - pair[1]).abs().sum(dim=0)
        assert int(moved.argmax()) == 2 * i
        with torch.no_grad():
            embedded = front.cnn(pair)
        assert abs(int((embedded[0] - embedded[1]).norm(dim=-1).argmax()) - i) <= 1


def test_the_decoder_is_not_needed(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text((folder / name).read_text())
    tensors = {name: tensor for name, tensor in load_file(folder / "model.safetensors").items() if ".encoder." in name}
    save_file(tensors, tmp_path / "model.safetensors")
    assert np.array_equal(build(tmp_path).extract(SHORT, {}, 0.02), build(folder).extract(SHORT, {}, 0.02))


def test_fingerprint_tells_the_modes_apart(folder: Path) -> None:
    top: dict[str, Any] = {"train": "top", "top_layers": 1}
    prints = [
        build(folder, **p).fingerprint() for p in ({}, {"layer": 1}, {"layer": "mix"}, top, {**top, "context": "real"}, {"train": "all"})
    ]
    assert all(a != b for i, a in enumerate(prints) for b in prints[:i])
    assert build(folder, **top).fingerprint() == prints[3]


def test_windows_that_a_view_has_cut_are_refused(folder: Path) -> None:
    encoder = build(folder, train="top", top_layers=1)
    rows = torch.from_numpy(encoder.extract(SHORT, {}, 0.02))[None, :40]
    with pytest.raises(SereError, match=r"encoders.german: \[B402\]"):
        encoder(Frames(rows, torch.ones(1, 40, dtype=torch.bool), 50.0))
