"""The logmel encoder: padding and company change nothing, and it trains."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sere_plugins.encoders.logmel import LogMel
from sere_plugins.specs.encoders import LOGMEL, LogMelParams
from sere_registry import BuildContext, Encoder, Frames


def build(**params: object) -> LogMel:
    torch.manual_seed(0)
    return LogMel(LogMelParams.model_validate(params), BuildContext("mel")).eval()


def batch(lengths: list[int], bands: int = 64, padding: float = 0.0) -> tuple[list[torch.Tensor], Frames]:
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randn(length, bands, generator=generator) for length in lengths]
    values = torch.full((len(rows), max(lengths), bands), padding)
    mask = torch.zeros(len(rows), max(lengths), dtype=torch.bool)
    for number, row in enumerate(rows):
        values[number, : len(row)], mask[number, : len(row)] = row, True
    return rows, Frames(values, mask, 50.0)


def test_the_announced_factory_builds_an_encoder() -> None:
    encoder = LOGMEL.load()(LOGMEL.params(), BuildContext("mel"))
    assert isinstance(encoder, Encoder)
    assert (encoder.input_dim, encoder.dim, encoder.rate, encoder.contours) == (64, 128, 25.0, ())


def test_the_band_of_a_tone_is_the_loudest_at_fifty_frames_per_second() -> None:
    encoder = build()
    time = np.arange(16_000) / 16_000
    low, high = (encoder.extract(np.sin(2 * np.pi * hz * time).astype(np.float32), {}, 0.02) for hz in (300, 3000))
    assert low.shape == high.shape == (50, 64) and low.dtype == np.float32
    assert low[25].argmax() < high[25].argmax()
    assert high[25].max() == pytest.approx(0, abs=10)  # a full-scale sine


@pytest.mark.parametrize("lengths", [[1, 7, 20], [20, 19], [2, 2]])
@pytest.mark.parametrize("kernel", [3, 9])
def test_batched_is_single(lengths: list[int], kernel: int) -> None:
    encoder = build(dim=16, kernel=kernel)
    rows, frames = batch(lengths)
    together = encoder(frames)
    assert together.mask.sum(dim=1).tolist() == encoder.lengths(torch.tensor(lengths)).tolist()
    for number, row in enumerate(rows):
        alone = encoder(Frames(row[None], torch.ones(1, len(row), dtype=torch.bool), 50.0))
        torch.testing.assert_close(together.values[number][together.mask[number]], alone.values[0], atol=1e-5, rtol=1e-4)


def test_what_stands_in_the_padding_does_not_matter() -> None:
    encoder = build(dim=16)
    clean, dirty = (encoder(batch([5, 12], padding=padding)[1]).values for padding in (0.0, float("nan")))
    assert torch.equal(clean, dirty)


def test_gradients_reach_every_parameter() -> None:
    encoder = build(dim=16, dropout=0.5).train()
    encoder(batch([9, 12])[1]).values.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_the_cache_key_follows_the_bands_not_the_network() -> None:
    assert build(dim=8).fingerprint() == build(dim=16).fingerprint() != build(bands=40).fingerprint()
