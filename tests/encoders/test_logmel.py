"""The logmel encoder: its bands, and that it trains; the rest is in the contract of encoders."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sere_plugins.encoders.logmel import LogMel
from sere_plugins.specs.encoders import LogMelParams
from sere_registry import BuildContext, Frames


def build(**params: object) -> LogMel:
    torch.manual_seed(0)
    return LogMel(LogMelParams.model_validate(params), BuildContext("mel")).eval()


def test_the_band_of_a_tone_is_the_loudest_at_fifty_frames_per_second() -> None:
    encoder = build()
    time = np.arange(16_000) / 16_000
    low, high = (encoder.extract(np.sin(2 * np.pi * hz * time).astype(np.float32), {}, 0.02) for hz in (300, 3000))
    assert low.shape == high.shape == (50, 64) and low.dtype == np.float32
    assert low[25].argmax() < high[25].argmax()
    assert high[25].max() == pytest.approx(0, abs=10)  # a full-scale sine


def test_gradients_reach_every_parameter() -> None:
    encoder = build(dim=16, dropout=0.5).train()
    assert (encoder.input_dim, encoder.dim, encoder.rate, encoder.contours) == (64, 16, 25.0, ())
    mask = torch.arange(12)[None] < torch.tensor([[9], [12]])
    encoder(Frames(torch.randn(2, 12, 64), mask, 50.0)).values.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_the_cache_key_follows_the_bands_not_the_network() -> None:
    assert build(dim=8).fingerprint() == build(dim=16).fingerprint() != build(bands=40).fingerprint()
