"""Section 4, IRF: equations 3 to 6 in values and gradients, for every reading, in every situation, however the field is asked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sere_plugins.resonance import base, short
from sere_plugins.resonance.irf import Irf
from sere_plugins.resonance.short import SHORT
from sere_plugins.specs.resonance import IrfParams
from sere_registry import BuildContext, Resonance
from tests.sere import reference
from tests.sere.batches import BURSTS, WIDTH, Utterance, batch, gradients, leaves, utterances
from tests.sere.situations import PRECISIONS, SITUATIONS, assert_equal, cast, padded, streams

CONTEXT = BuildContext(id="field", dim=WIDTH - BURSTS, dynamics_dim=BURSTS)
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


def in_loops(field: Irf, a: Sequence[Utterance], b: Sequence[Utterance]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """S `[A, B]` and told `[A, B, D]` of every pair, and the leaves."""
    weights = field.weights.detach().double().requires_grad_()
    alpha = torch.log1p(weights.exp()) if field.params.alpha == "softplus" else weights
    grid = [[reference.resonate(u, v, alpha, field.params) for v in b] for u in a]
    similarity, told = (torch.stack([torch.stack([cell[part] for cell in row]) for row in grid]) for part in (0, 1))
    return similarity, told, [weights, *leaves(a, b)]


def scalar(found: Tensor) -> Tensor:
    """Every entry counts differently."""
    return (found.double() * torch.randn(found.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)).sum()


def ways(field: Irf, a: Any, b: Any) -> Iterator[tuple[str, Tensor, bool]]:
    """(what is found, how it was asked for, is it of row i with row i)."""
    found: Resonance = field(a, b)
    yield "S of every pair", found.similarity, False
    yield "told of every pair", found.told, False
    yield "S alone", field.similarity(a, b), False
    with torch.no_grad():
        yield "S without gradient", field.similarity(a, b), False
    for size in ("short", "long"):
        rows = field.aligned(a, b)
        yield f"S of {size} rows", rows.similarity, True
        yield f"told of {size} rows", rows.told, True
        forth, back = field.exchange(a, b, torch.arange(len(a)), back=True)
        yield f"told in a {size} exchange", forth, True
        assert back is not None
        yield f"told back in a {size} exchange", back, True
        base.__dict__["SHORT"] = 0  # the caller puts it back


def check(field: Irf, a: Sequence[Utterance], b: Sequence[Utterance], situation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    similarity, told, theirs = in_loops(field, a, b)
    rows = range(len(a))
    answers: dict[tuple[str, bool], tuple[Tensor, list[Tensor]]] = {}
    for name, every in (("S", similarity), ("told", told)):
        for aligned in (False, True):
            value = torch.stack([every[i, i] for i in rows]) if aligned else every
            answers[name, aligned] = value, gradients(scalar(value), theirs)
    _, told_back, leaves_back = in_loops(field, b, a)
    value = torch.stack([told_back[i, i] for i in rows])
    found = gradients(scalar(value), leaves_back)
    answers["back", True] = value, [found[0], *found[1 + 2 * len(b) :], *found[1 : 1 + 2 * len(b)]]
    for dtype, tolerance in PRECISIONS:
        mine, ours = field.to(dtype), (cast(a, dtype), cast(b, dtype))
        monkeypatch.setitem(base.__dict__, "SHORT", SHORT)
        for way, got, aligned in ways(mine, padded(ours[0], situation), padded(ours[1], situation, extra=3)):
            want, grads = answers["back" if "back" in way else way.split()[0], aligned]
            assert got.dtype == dtype
            assert_equal([got], [want], tolerance, way)
            if "without" not in way:
                assert_equal(gradients(scalar(got), [mine.weights, *leaves(*ours)]), grads, tolerance, f"gradient of {way}")
        monkeypatch.undo()


@pytest.mark.parametrize(("situation", "reading"), CELLS, ids=lambda value: value if isinstance(value, str) else "-".join(value.values()))
def test_equations_3_to_6(situation: str, reading: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = streams(situation, 2, 2)
    check(irf(**reading), a, b, situation, monkeypatch)


@pytest.mark.parametrize("reading", READINGS[::19], ids=lambda reading: "-".join(reading.values()))
def test_so_many_pairs_that_they_are_looked_at_one_by_one(reading: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short, "_TOGETHER", 1)
    a, b = streams("lengths", 3, 3)
    field = irf(**reading)
    similarity, told, _ = in_loops(field, a, b)
    rows, (forth, back) = field.aligned(batch(a), batch(b)), field.exchange(batch(a), batch(b), torch.arange(3), back=True)
    assert back is not None
    assert_equal([rows.similarity], [similarity.diagonal()], 1e-9)
    for found in (rows.told, forth):
        assert_equal([found], [torch.stack([told[i, i] for i in range(3)])], 1e-9)
    told_back = in_loops(field, b, a)[1]
    assert_equal([back], [torch.stack([told_back[i, i] for i in range(3)])], 1e-9)


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
    found, (similarity, told, theirs) = field(batch(a), batch(b)), in_loops(field, a, b)
    assert_equal([found.similarity], [similarity], 1e-9, "S")
    assert_equal([found.told], [told], 1e-9, "told")
    mine = [field.weights, *leaves(a, b)]
    assert_equal(gradients(scalar(found.similarity), mine), gradients(scalar(similarity), theirs), 1e-9, "gradient of S")
    assert_equal(gradients(scalar(found.told), mine), gradients(scalar(told), theirs), 1e-9, "gradient of told")


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
    found, (similarity, _, theirs) = field(batch(a), batch(b)), in_loops(field, a, b)
    assert_equal([found.similarity], [similarity], 1e-9)
    mine, want = gradients(found.similarity.sum(), leaves(a, b)), gradients(similarity.sum(), theirs[1:])
    for got, expected in zip(mine, want, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("reading", [{"alpha": "free"}, {"alpha": "softplus"}])
@pytest.mark.parametrize("start", [0.1, 0.4])
def test_every_alpha_starts_where_it_is_told_to(reading: dict[str, Any], start: float) -> None:
    field = Irf(IrfParams(alpha_init=start, **reading), CONTEXT)
    torch.testing.assert_close(field.alpha.detach(), torch.full((BURSTS,), start))


@pytest.mark.parametrize("reading", READINGS[::19], ids=lambda reading: "-".join(reading.values()))
def test_gradients_of_rows_are_those_of_finite_differences(reading: dict[str, Any]) -> None:
    field = irf(**reading)
    sides = [utterances(lengths, 11 + place) for place, lengths in enumerate(([3, 2], [4, 1]))]

    def answer(weights: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
        rows = list(zip(parts[::2], parts[1::2], strict=True))
        found = torch.func.functional_call(_Rows(field), {"field.weights": weights}, (batch(rows[:2]), batch(rows[2:])))
        return tuple(found)

    assert torch.autograd.gradcheck(answer, (field.weights, *leaves(*sides)), fast_mode=True)


class _Rows(torch.nn.Module):
    def __init__(self, field: Irf) -> None:
        super().__init__()
        self.field = field

    def forward(self, a: Any, b: Any) -> list[Tensor]:
        rows = self.field.aligned(a, b)
        forth, back = self.field.exchange(a, b, torch.tensor([1, 1]), back=True)
        assert back is not None
        return [rows.similarity, rows.told, forth, back]
