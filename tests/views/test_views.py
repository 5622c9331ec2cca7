"""Views: of frames, what they may change and what they must leave; of waveforms, levels, lengths and pitch, measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sere_plugins.specs import views
from sere_plugins.views import spans, uniform
from sere_registry import BuildContext, ComponentSpec, Frames

CONTEXT = BuildContext(id="view")
CASES: list[tuple[ComponentSpec, dict[str, Any]]] = [
    (views.CROP, {}),
    (views.CROP, {"low": 0.05, "high": 0.1}),
    (views.FRAME_MASK, {}),
    (views.FRAME_MASK, {"time_share": 0.9, "time_span": 50, "feature_share": 0.9, "feature_span": 50, "fill": "mean"}),
    (views.FEATURE_DROPOUT, {}),
    (views.FEATURE_DROPOUT, {"share": 0.4, "rescale": False}),
    (views.JITTER, {}),
    (views.JITTER, {"draw": "utterance", "sigma": 1.0}),
]
every_view = pytest.mark.parametrize("spec, params", CASES, ids=lambda value: getattr(value, "name", None) or str(value))


def make(spec: ComponentSpec, params: dict[str, Any]) -> Any:
    return spec.load()(spec.params(**params), CONTEXT)


def frames(lengths: tuple[int, ...] = (30, 7, 1), width: int = 5, padded: int | None = None) -> Frames:
    """Real frames are at least 1 in size; padding holds NaN, which must stay where it is and get nowhere else."""
    steps = padded or max(lengths)
    mask = torch.arange(steps)[None, :] < torch.tensor(lengths)[:, None]
    noise = torch.randn(len(lengths), 64, width, generator=torch.Generator().manual_seed(1))[:, :steps]
    return Frames(torch.where(mask[:, :, None], noise.sign() + noise, torch.nan), mask, 50.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@every_view
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4), width=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_padding_stays_padding_and_a_real_frame_stays(
    spec: ComponentSpec, params: dict[str, Any], lengths: list[int], width: int, seed: int
) -> None:
    before = frames(tuple(lengths), width)
    after = make(spec, params)(before, seeded(seed))
    assert after.values.shape == before.values.shape and after.rate == before.rate and after.mask.dtype == torch.bool
    assert after.mask.any(dim=1).all() and not (after.mask & ~before.mask).any()
    assert after.values[after.mask].isfinite().all()
    assert after.values[~before.mask].isnan().all()


@every_view
def test_each_utterance_has_draws_of_its_own(spec: ComponentSpec, params: dict[str, Any]) -> None:
    one = frames((40,), width=16)
    twins = Frames(one.values.repeat(6, 1, 1), one.mask.repeat(6, 1), 50.0)
    after = make(spec, params)(twins, seeded(2))
    seen = {(row.numpy().tobytes(), mask.numpy().tobytes()) for row, mask in zip(after.values, after.mask, strict=True)}
    assert len(seen) > 1


def test_crop_keeps_a_contiguous_window_in_its_place() -> None:
    before = frames((40, 20))
    shares = set()
    for seed in range(40):
        after = make(views.CROP, {"low": 0.5, "high": 0.8})(before, seeded(seed))
        for row, length in enumerate((40, 20)):
            kept = after.mask[row].nonzero().squeeze(1)
            assert torch.equal(kept, torch.arange(int(kept[0]), int(kept[-1]) + 1))
            assert round(0.5 * length) <= len(kept) <= round(0.8 * length)
            assert torch.equal(after.values[row, kept], before.values[row, kept])
            shares.add(len(kept) / length)
    assert min(shares) < 0.55 and max(shares) > 0.75


@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_masks_cover_at_most_their_share_in_spans(fill: str) -> None:
    before = frames((50,), width=20)
    params = {"time_share": 0.3, "time_span": 5, "feature_share": 0.2, "feature_span": 2, "fill": fill}
    blank = torch.zeros(20) if fill == "zero" else before.values[0, :50].mean(dim=0)
    covered = []
    for seed in range(30):
        changed = make(views.FRAME_MASK, params)(before, seeded(seed)).values[0, :50] != before.values[0, :50]
        times, features = changed.all(dim=1), changed.all(dim=0)
        assert torch.equal(changed, times[:, None] | features[None, :])
        assert 5 <= times.sum() <= 15 and 2 <= features.sum() <= 4
        after = make(views.FRAME_MASK, params)(before, seeded(seed)).values[0, :50]
        torch.testing.assert_close(after[changed], blank.expand(50, 20)[changed])
        runs = "".join("x" if masked else "." for masked in times.tolist()).split(".")
        assert all(len(run) >= 5 for run in runs if run)
        covered.append(times.sum().item())
    assert max(covered) == 15 and sum(covered) / len(covered) > 10


@pytest.mark.parametrize("rescale", [True, False])
def test_dropped_features_are_dropped_in_all_frames(rescale: bool) -> None:
    before = frames((30, 30), width=64)
    after = make(views.FEATURE_DROPOUT, {"share": 0.4, "rescale": rescale})(before, seeded())
    dropped = after.values == 0
    assert torch.equal(dropped.any(dim=1), dropped.all(dim=1)) and 0.25 < dropped.float().mean() < 0.55
    torch.testing.assert_close(after.values[~dropped], before.values[~dropped] * (1 / 0.6 if rescale else 1.0))


@pytest.mark.parametrize("draw", ["frame", "utterance"])
def test_jitter_has_its_sigma_and_its_unit(draw: str) -> None:
    before = frames((60, 60), width=200)
    noise = make(views.JITTER, {"sigma": 0.3, "draw": draw})(before, seeded()).values - before.values
    assert noise.mean().abs() < 0.05 and noise.std().item() == pytest.approx(0.3, rel=0.1)
    spread = noise.std(dim=1).mean()  # over frames
    assert spread < 1e-6 if draw == "utterance" else spread > 0.25


NOTHING: list[tuple[ComponentSpec, dict[str, Any]]] = [
    (views.CROP, {"low": 1.0}),
    (views.FRAME_MASK, {"time_share": 0.0, "feature_share": 0.0}),
    (views.FEATURE_DROPOUT, {"share": 0.0}),
    (views.JITTER, {"sigma": 0.0}),
]


@pytest.mark.parametrize("spec, params", NOTHING, ids=lambda value: getattr(value, "name", None) or str(value))
def test_zero_strength_is_the_identity(spec: ComponentSpec, params: dict[str, Any]) -> None:
    after = make(spec, params)(frames(), seeded())
    torch.testing.assert_close(after.values, frames().values, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(after.mask, frames().mask)


def test_gradients_pass_through() -> None:
    """A view may stand before a trained layer only, but nothing in it may cut a graph by surprise."""
    chain: list[Callable[..., Frames]] = [make(spec, params) for spec, params in CASES]
    values = torch.randn(2, 20, 4, requires_grad=True)
    for view in chain:
        out = view(Frames(values, torch.ones(2, 20, dtype=torch.bool), 50.0), seeded())
        (gradient,) = torch.autograd.grad(out.values[out.mask].sum(), values)
        assert gradient.any()


# -- waveforms ---------------------------------------------------------------------------------------------------------

RATE = 16000
WAVES: list[tuple[ComponentSpec, dict[str, Any]]] = [
    (views.CROP, {"level": "waveform"}),
    (views.GAIN, {}),
    (views.NOISE, {}),
    (views.SPEED, {}),
    (views.STRETCH, {}),
]


def tone(seconds: float = 0.5, hertz: float = 200.0) -> NDArray[np.float32]:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def rms(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


@pytest.mark.parametrize("spec, params", WAVES, ids=lambda value: getattr(value, "name", ""))
def test_silence_stays_silence(spec: ComponentSpec, params: dict[str, Any]) -> None:
    assert not make(spec, params)(np.zeros(800, dtype=np.float32), seeded()).any()


def test_gain_stays_within_its_decibels_and_uses_them() -> None:
    gains = [20 * np.log10(rms(make(views.GAIN, {})(tone(), seeded(seed))) / rms(tone())) for seed in range(60)]
    assert -3.001 <= min(gains) < -2 and 2 < max(gains) <= 3.001


def test_noise_has_the_ratio_it_drew() -> None:
    ratios = [20 * np.log10(rms(tone()) / rms(make(views.NOISE, {})(tone(), seeded(seed)) - tone())) for seed in range(40)]
    assert 9.7 < min(ratios) < 12 and 18 < max(ratios) < 20.3


@pytest.mark.parametrize("spec, moves", [(views.SPEED, True), (views.STRETCH, False)], ids=["speed", "stretch"])
@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_speed_changes_length_and_pitch_together_and_stretching_length_alone(spec: ComponentSpec, moves: bool, speed: float) -> None:
    after = make(spec, {"low": speed, "high": speed})(tone(), seeded())
    assert len(after) == pytest.approx(len(tone()) / speed, abs=2)
    spectrum = np.abs(np.fft.rfft(after * np.hanning(len(after)), n=4 * RATE))
    assert spectrum.argmax() / 4 == pytest.approx(200 * speed if moves else 200, abs=1)


def test_no_speed_moves_the_pitch_by_more_than_three_semitones_and_what_is_too_short_is_not_stretched() -> None:
    ends = [
        getattr(bound, side) for bound in views.SPEED.params.model_fields["low"].metadata for side in ("ge", "le") if hasattr(bound, side)
    ]
    assert len(ends) == 2 and all(abs(12 * np.log2(end)) < 3 for end in ends)
    click = tone(0.01)
    np.testing.assert_array_equal(make(views.STRETCH, {})(click, seeded()), click)


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
