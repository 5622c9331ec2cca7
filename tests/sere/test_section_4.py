"""Section 4, IRF: equations 3 to 6 in values and gradients, for every reading, in every situation."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sere_plugins.resonance.irf import Irf
from sere_plugins.specs.resonance import IrfParams
from tests.sere import reference
from tests.sere.batches import BURSTS, CONTEXT, batch, every_pair, gradients, leaves, utterances
from tests.sere.situations import SITUATIONS, assert_equal, check_field, irf_in_loops, probe, streams

CHOICES = {
    "alpha": ["free", "softplus"],
    "burst": ["abs", "signed"],
    "sync": ["exp_abs", "exp_square"],
    "combine": ["product", "sum"],
    "highlight": ["above_mean", "top_quantile", "all"],
}
READINGS = [dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())]
#: all readings where nothing is special, and elsewhere some in which every two choices meet
CELLS = [(situation, reading) for situation in SITUATIONS for reading in READINGS[:: 1 if situation == "hidden frames" else 5]]


def irf(dtype: torch.dtype = torch.float64, **params: Any) -> Irf:
    """With weights that differ, so that the contours do; one is negative where nothing forbids it."""
    field = Irf(IrfParams(**{"temperature": 0.7, "alpha_init": 0.4, "quantile": 0.5, **params}), CONTEXT)
    with torch.no_grad():
        field.weights.add_(torch.tensor([0.3, -0.6, 0.2, 0.05]))
    return field.to(dtype)


@pytest.mark.parametrize(("situation", "reading"), CELLS, ids=lambda value: value if isinstance(value, str) else "-".join(value.values()))
def test_equations_3_to_6(situation: str, reading: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    check_field(irf(**reading), irf_in_loops, *streams(situation, 2, 2), situation, monkeypatch)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    rows=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=3),
    reading=st.fixed_dictionaries({name: st.sampled_from(values) for name, values in CHOICES.items()}),
    numbers=st.fixed_dictionaries(
        {"temperature": st.sampled_from([0.1, 0.5, 3.0]), "quantile": st.sampled_from([0.0, 0.3, 0.7, 0.75, 0.9])}
    ),
    seed=st.integers(0, 1000),
)
def test_any_lengths(rows: list[tuple[int, int]], reading: dict[str, Any], numbers: dict[str, Any], seed: int) -> None:
    a, b = (utterances(lengths, seed + place) for place, lengths in enumerate(zip(*rows, strict=True)))
    field = irf(**reading, **numbers)
    found, (similarity, aligned, theirs) = every_pair(field, batch(a), batch(b)), irf_in_loops(field, a, b)
    assert_equal([field.similarity(batch(a), batch(b))], [similarity], 1e-9, "the search")
    for name, value in (("similarity", similarity), ("aligned", aligned)):
        got = getattr(found, name)
        assert_equal([got], [value], 1e-9, name)
        assert_equal(gradients(probe(got), [field.weights, *leaves(a, b)]), gradients(probe(value), theirs), 1e-9, f"gradient of {name}")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("quantile", "frames"), [(0.7, 10), (0.3, 10), (0.75, 4), (0.1, 10), (0.0, 3), (0.9, 10), (0.9, 3)])
def test_the_share_of_frames_that_are_no_highlights(quantile: float, frames: int, dtype: torch.dtype) -> None:
    """0.7 of 10 frames are 7, however a computer writes 0.7."""
    strength = torch.randn(frames, generator=torch.Generator().manual_seed(1), dtype=dtype)
    field = irf(dtype, highlight="top_quantile", quantile=quantile)
    padding = torch.tensor([False, True]).repeat(frames)
    given_ = torch.full((2 * frames,), torch.inf, dtype=dtype).masked_scatter(padding, strength)
    chosen = field.highlights(given_.unsqueeze(0), padding.unsqueeze(0))[0, padding]
    assert chosen.nonzero().flatten().tolist() == reference.highlights(list(strength), "top_quantile", quantile)


def test_a_frame_of_exactly_the_mean_strength_is_a_highlight() -> None:
    e = torch.tensor([[1.0, 2.0, 3.0, 9.0]])
    mask = torch.tensor([[True, True, True, False]])
    assert irf().highlights(e, mask).tolist() == [[False, True, True, False]]


def test_a_quiet_frame_has_a_direction_like_any_other() -> None:
    """The cosine of equation 4 has no eps: however short z, only a frame of length 0 resonates with nothing."""
    a, b = utterances([3], 1), utterances([4], 2)
    with torch.no_grad():
        a[0][0].mul_(1e-9)
        b[0][0][1:].mul_(1e-7)
    field = irf()
    found, (similarity, _, theirs) = field.aligned(batch(a), batch(b)), irf_in_loops(field, a, b)
    assert_equal([found.similarity, field.similarity(batch(a), batch(b))[0]], [similarity, similarity[0]], 1e-9)
    mine, want = gradients(found.similarity.sum(), leaves(a, b)), gradients(similarity.sum(), theirs[1:])
    for got, expected in zip(mine, want, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("reading", [{"alpha": "free"}, {"alpha": "softplus"}])
@pytest.mark.parametrize("start", [0.1, 0.4])
def test_every_alpha_starts_where_it_is_told_to(reading: dict[str, Any], start: float) -> None:
    field = Irf(IrfParams(alpha_init=start, **reading), CONTEXT)
    torch.testing.assert_close(field.alpha.detach(), torch.full((BURSTS,), start))


def test_alpha_is_reached_through_similarity_alone() -> None:
    field = irf()
    found = field.aligned(batch(utterances([3, 5], 1)), batch(utterances([4, 2], 2)), both=True)
    assert gradients(found.similarity.sum(), [field.weights])[0].all()
    (found.aligned.sum() + found.reverse.sum()).backward()
    assert field.weights.grad is None
