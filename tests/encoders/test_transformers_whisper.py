"""whisper against transformers' own encoder, on a tiny checkpoint with windows of 60 frames (1.2 s)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sere_plugins.encoders import pretrained
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
TRAINED: list[dict[str, Any]] = [{"train": "top", "top_layers": k} for k in (1, LAYERS)] + [{"train": "all"}]
WAVEFORMS = (SHORT, LONG, FULL, SHORT[:5])


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


def short(folder: Path, waveform: np.ndarray) -> list[Tensor]:
    """What transformers' layers make of the real frames alone, of up to one window: all hidden states."""
    from transformers import WhisperModel

    model: Any = WhisperModel.from_pretrained(folder).encoder.eval()
    states = [theirs(folder, waveform)[1][0]]
    with torch.no_grad():
        for layer in model.layers:
            out = layer(states[-1][None], attention_mask=None)
            states.append((out[0] if isinstance(out, tuple) else out).reshape(-1, HIDDEN))
        return [*states[:-1], model.layer_norm(states[-1])]


@pytest.mark.parametrize("waveform", [SHORT, FULL, LONG], ids=["short", "one window", "three windows"])
def test_full_windows_are_those_of_transformers(folder: Path, waveform: np.ndarray) -> None:
    last, states = theirs(folder, waveform)
    frames = build(folder, window="full").extract(waveform, {}, 0.02)
    assert frames.shape == (-(-len(waveform) // 320), HIDDEN) and frames.dtype == np.float32
    assert np.abs(frames - last.numpy()).max() < 1e-5
    for layer in range(LAYERS):
        assert np.abs(build(folder, layer=layer, window="full").extract(waveform, {}, 0.02) - states[layer].numpy()).max() < 1e-5


@pytest.mark.parametrize("waveform", [SHORT, SHORT[:6720], FULL, SHORT[:5]], ids=["short", "whole frames", "one window", "one frame"])
def test_a_window_as_long_as_the_utterance_is_their_layers_on_real_frames(folder: Path, waveform: np.ndarray) -> None:
    """What enters the first layer is as in the window that silence fills; a full window is exactly Whisper."""
    wanted = short(folder, waveform)
    assert np.abs(build(folder).extract(waveform, {}, 0.02) - wanted[-1].numpy()).max() < 1e-5
    for layer in range(LAYERS):
        assert np.abs(build(folder, layer=layer).extract(waveform, {}, 0.02) - wanted[layer].numpy()).max() < 1e-5
    assert (wanted[-1] - theirs(folder, waveform)[0]).abs().max() < 1e-5 or len(waveform) < WINDOW


@pytest.mark.parametrize("window", ["full", "utterance"])
def test_in_bfloat16_frames_are_nearly_the_same(folder: Path, window: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "multiplies_bfloat16", lambda: True)
    exact, near = (build(folder, window=window, precision=precision) for precision in ("float32", "bfloat16"))
    for waveform in (SHORT, LONG):
        wanted, found = (each.extract(waveform, {}, 0.02) for each in (exact, near))
        assert found.dtype == np.float32 and found.shape == wanted.shape and not np.array_equal(found, wanted)
        one, other = wanted.mean(axis=0), found.mean(axis=0)
        assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.999
    assert exact.fingerprint() != near.fingerprint()


def test_a_long_utterance_becomes_windows_of_equal_length(folder: Path) -> None:
    """136 frames: 46, 46 and 44."""
    parts = np.split(LONG, [46 * 320, 92 * 320])
    wanted = np.concatenate([build(folder).extract(part, {}, 0.02) for part in parts])
    assert wanted.shape == (136, HIDDEN) and np.abs(build(folder).extract(LONG, {}, 0.02) - wanted).max() < 1e-5


@pytest.mark.parametrize("params", TRAINED)
@pytest.mark.parametrize("window", ["full", "utterance"])
def test_trained_in_part_equals_the_whole_network(folder: Path, params: dict[str, Any], window: str) -> None:
    """In a batch of other lengths, too."""
    encoder = build(folder, window=window, **params)
    assert not encoder.normalise
    values, mask = encode(encoder, *WAVEFORMS)
    assert mask.sum(dim=1).tolist() == [-(-len(waveform) // 320) for waveform in WAVEFORMS]
    frozen = build(folder, window=window)
    for row, waveform in enumerate(WAVEFORMS):
        assert np.abs(values[row][mask[row]].detach().numpy() - frozen.extract(waveform, {}, 0.02)).max() < 1e-5


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


def test_mix_is_a_learned_sum_of_all_layers(folder: Path) -> None:
    encoder = build(folder, layer="mix", window="full")
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
    full: dict[str, Any] = {"window": "full"}
    made: list[dict[str, Any]] = [{}, {"layer": 1}, {"layer": "mix"}, top, full, {**full, **top}, {"train": "all"}]
    prints = [build(folder, **params).fingerprint() for params in made]
    assert all(a != b for i, a in enumerate(prints) for b in prints[:i])
    assert build(folder, layer=LAYERS - 1).fingerprint() == prints[3]
    assert build(folder, train="all", window="full").fingerprint() == prints[6]


def test_windows_that_a_view_has_cut_are_refused(folder: Path) -> None:
    encoder = build(folder, train="top", top_layers=1, window="full")
    rows = torch.from_numpy(encoder.extract(SHORT, {}, 0.02))[None, :40]
    with pytest.raises(SereError, match=r"encoders.german: \[B402\]"):
        encoder(Frames(rows, torch.ones(1, 40, dtype=torch.bool), 50.0))
