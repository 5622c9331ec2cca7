"""The contract of encoders, run on every one in each of its variants; pretrained ones on tiny checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from sere_registry import BuildContext, Encoder, Frames
from tests.contracts.components import Case, cases
from tests.encoders.checkpoints import tiny_hubert, tiny_wav2vec2, tiny_wavlm, tiny_whisper

CASES = cases("encoder")
CONTOURS = {"f0", "periodicity", "rms", "mfcc2", "centroid"}
HOP = 0.02
#: encoder -> makes the checkpoint that its parameter `model` names
CHECKPOINTS: dict[str, Callable[[Path], Path]] = {
    "sere.wav2vec2": tiny_wav2vec2,
    "sere.hubert": tiny_hubert,
    "sere.wavlm": tiny_wavlm,
    "sere.whisper": tiny_whisper,
}
RNG = np.random.default_rng(0)
WAVES = [RNG.normal(0.01, 0.1, count).astype(np.float32) for count in (8000, 5003, 1)]

Build = Callable[..., Any]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """`build(case)` -> the encoder, in evaluation mode."""
    folders: dict[str, Path] = {}

    def make(case: Case, seed: int = 0) -> Any:
        more: dict[str, Any] = {}
        if case.name in CHECKPOINTS:
            if case.name not in folders:
                folders[case.name] = CHECKPOINTS[case.name](tmp_path_factory.mktemp("models") / case.spec.name)
            more["model"] = str(folders[case.name])
        return case.build(BuildContext("mine"), seed=seed, **more).eval()

    return make


def extract(encoder: Any, wave: NDArray[np.float32]) -> Tensor:
    """With made-up contours: half of the utterance voiced."""
    count = 1 + int(len(wave) / 16000 / HOP)
    steps = np.arange(count, dtype=np.float32)
    every = {"f0": 150 + 5 * steps, "periodicity": steps % 2, "rms": 0.1 + 0 * steps, "mfcc2": steps, "centroid": 900 + steps}
    found = encoder.extract(wave.copy(), {name: every[name].astype(np.float32) for name in encoder.contours}, HOP)
    assert found.dtype == np.float32 and found.ndim == 2 and found.shape[1] == encoder.input_dim and len(found) > 0
    assert np.isfinite(found).all()
    return torch.from_numpy(found.copy())


def padded(rows: list[Tensor], padding: float = 0.0) -> Frames:
    length = max(map(len, rows)) + (padding != 0)
    values = torch.stack([torch.cat([row, row.new_full((length - len(row), row.shape[1]), padding)]) for row in rows])
    return Frames(values, torch.arange(length) < torch.tensor([len(row) for row in rows])[:, None], 50.0)


def encode(encoder: Any, rows: list[Tensor], padding: float = 0.0) -> list[Tensor]:
    """The real frames of each, after checks of shape and lengths."""
    given = padded(rows, padding)
    found = encoder(given)
    counts = encoder.lengths(torch.tensor([len(row) for row in rows]))
    assert found.values.shape == (*found.mask.shape, encoder.dim) and found.mask.dtype == torch.bool
    assert found.mask.sum(dim=1).tolist() == counts.tolist() and min(counts.tolist()) >= 1
    assert (torch.arange(found.mask.shape[1]) < counts[:, None]).equal(found.mask), "real frames come first"
    return [values[mask] for values, mask in zip(found.values, found.mask, strict=True)]


@pytest.mark.parametrize("case", CASES)
def test_frames_stand_where_the_encoder_says(case: Case, build: Build) -> None:
    encoder = build(case)
    assert isinstance(encoder, Encoder) and isinstance(encoder.normalise, bool)
    assert set(encoder.contours) <= CONTOURS
    rows = [extract(encoder, wave) for wave in WAVES]
    found = encode(encoder, rows)
    assert 0 <= encoder.offset <= 1 / encoder.rate
    for wave, frames in zip(WAVES, found, strict=True):
        seconds = len(wave) / 16000
        assert torch.isfinite(frames).all()
        assert abs(len(frames) - seconds * encoder.rate) <= 1.5, f"{len(frames)} frames in {seconds} s at {encoder.rate} Hz"


@pytest.mark.parametrize("case", CASES)
def test_extraction_repeats(case: Case, build: Build) -> None:
    """The cache holds what one instance made and another would have made: bit for bit, whatever stands before it."""
    first, second = build(case, seed=1), build(case, seed=2)
    for wave in reversed(WAVES):
        extract(second, wave)
    for wave in WAVES:
        assert torch.equal(extract(first, wave), extract(second, wave))
    assert first.fingerprint() == second.fingerprint()


@pytest.mark.parametrize("case", CASES)
def test_company_and_padding_change_nothing(case: Case, build: Build) -> None:
    encoder = build(case)
    rows = [extract(encoder, wave) for wave in WAVES]
    together = encode(encoder, rows, padding=float("nan"))
    for row, found in zip(rows, together, strict=True):
        torch.testing.assert_close(encode(encoder, [row])[0], found, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_gradients_reach_exactly_what_is_trained(case: Case, build: Build) -> None:
    encoder = build(case).train()
    frames = torch.cat(encode(encoder, [extract(encoder, wave) for wave in WAVES[:2]], padding=1e3))
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    assert frames.requires_grad == bool(trained), "a frozen encoder has no graph, a trained one has"
    if trained:
        (frames**3).sum().backward()  # type: ignore[no-untyped-call]
    for name, parameter in encoder.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("case", CASES)
def test_the_state_is_what_is_trained(case: Case, build: Build) -> None:
    """And it is all that another instance needs."""
    first, second = build(case, seed=1), build(case, seed=2)
    with torch.no_grad():
        for parameter in first.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01 * torch.rand(parameter.shape))
    second.load_state_dict(first.state_dict())
    rows = [extract(first, WAVES[1])]
    assert torch.equal(encode(first, rows)[0], encode(second, rows)[0])


def test_what_extracts_otherwise_is_named_otherwise(build: Build) -> None:
    """The fingerprint is part of the cache key: two variants that extract different numbers must not share it."""
    found: dict[str, list[tuple[str, str, Tensor]]] = {}
    for parameter in CASES:
        case: Case = parameter.values[0]  # type: ignore[assignment]
        encoder = build(case)
        fingerprint = json.dumps(encoder.fingerprint(), sort_keys=True, allow_nan=False)
        found.setdefault(case.name, []).append((case.variant, fingerprint, extract(encoder, WAVES[1])))
    for name, made in found.items():
        for (one, its, first), (other, others, second) in combinations(made, 2):
            assert torch.equal(first, second) or its != others, f"{name}: {one or 'default'} and {other} share a fingerprint"
    several = {name: {fingerprint for _, fingerprint, _ in made} for name, made in found.items() if len(made) > 1}
    assert all(len(fingerprints) > 1 for fingerprints in several.values()), "no parameter that the frozen part reads is varied"


def test_every_pretrained_encoder_has_a_checkpoint_here() -> None:
    wanting = {case.values[0].name for case in CASES if "model" in case.values[0].spec.params.model_fields}
    assert wanting == set(CHECKPOINTS)
