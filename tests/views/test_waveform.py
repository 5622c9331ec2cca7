"""Views of waveforms: levels, lengths and pitch, measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sere_plugins.specs import views
from sere_plugins.views import spans, uniform
from sere_registry import BuildContext, ComponentSpec

RATE = 16000
CASES: list[tuple[ComponentSpec, dict[str, Any]]] = [
    (views.CROP, {"level": "waveform"}),
    (views.GAIN, {}),
    (views.NOISE, {}),
    (views.SPEED, {}),
]
every_view = pytest.mark.parametrize("spec, params", CASES, ids=lambda value: getattr(value, "name", ""))


def make(spec: ComponentSpec, params: dict[str, Any]) -> Any:
    return spec.load()(spec.params(**params), BuildContext(id="view"))


def tone(seconds: float = 0.5, hertz: float = 200.0) -> NDArray[np.float32]:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rms(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


@every_view
def test_silence_stays_silence(spec: ComponentSpec, params: dict[str, Any]) -> None:
    assert not make(spec, params)(np.zeros(800, dtype=np.float32), seeded()).any()


def test_gain_stays_within_its_decibels_and_uses_them() -> None:
    gains = [20 * np.log10(rms(make(views.GAIN, {})(tone(), seeded(seed))) / rms(tone())) for seed in range(60)]
    assert -3.001 <= min(gains) < -2 and 2 < max(gains) <= 3.001


def test_noise_has_the_ratio_it_drew() -> None:
    ratios = [20 * np.log10(rms(tone()) / rms(make(views.NOISE, {})(tone(), seeded(seed)) - tone())) for seed in range(40)]
    assert 9.7 < min(ratios) < 12 and 18 < max(ratios) < 20.3


@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_speed_changes_length_and_pitch_together(speed: float) -> None:
    after = make(views.SPEED, {"low": speed, "high": speed})(tone(), seeded())
    assert len(after) == pytest.approx(len(tone()) / speed, abs=2)
    spectrum = np.abs(np.fft.rfft(after * np.hanning(len(after)), n=4 * RATE))
    assert spectrum.argmax() / 4 == pytest.approx(200 * speed, abs=1)


def test_crop_is_a_part() -> None:
    before = np.arange(1000, dtype=np.float32)
    for seed in range(20):
        after = make(views.CROP, {"level": "waveform", "low": 0.3, "high": 0.6})(before, seeded(seed))
        assert 300 <= len(after) <= 600
        np.testing.assert_array_equal(after, before[int(after[0]) : int(after[0]) + len(after)])


@pytest.mark.parametrize("spec", [views.CROP, views.NOISE, views.SPEED], ids=lambda spec: spec.name)
def test_a_range_upside_down_is_refused(spec: ComponentSpec) -> None:
    with pytest.raises(ValueError, match="above high"):
        spec.params(low=1.0, high=0.9)


def test_uniform_covers_its_range() -> None:
    generator = seeded()
    draws = [uniform(-2.0, 3.0, generator) for _ in range(500)]
    assert -2 <= min(draws) < -1.9 and 2.9 < max(draws) < 3 and abs(np.mean(draws) - 0.5) < 0.25


@pytest.mark.parametrize("length, share, span, most", [(10, 0.0, 3, 0), (1, 0.9, 5, 0), (10, 0.25, 5, 2), (100, 0.3, 10, 30)])
def test_spans_cover_at_most_the_share(length: int, share: float, span: int, most: int) -> None:
    counts = [int(spans(length, share, span, seeded(seed)).sum()) for seed in range(30)]
    assert max(counts) == most and (most == 0 or min(counts) >= min(span, most))
