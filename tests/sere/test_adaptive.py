"""`irf_adaptive`: equation 4 on strengths that are standardised per utterance."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sere_plugins.resonance.irf import Irf
from sere_plugins.resonance.variants import AdaptiveIrf
from sere_plugins.specs.resonance import IrfAdaptiveParams
from tests.sere import reference
from tests.sere.batches import CONTEXT, Utterance, batch, gradients, leaves, utterances
from tests.sere.situations import SITUATIONS, check_field, irf_in_loops, streams


def field(make: Any = AdaptiveIrf, **params: Any) -> Any:
    found = make(IrfAdaptiveParams(**params), CONTEXT)
    with torch.no_grad():
        found.weights.add_(torch.tensor([0.3, -0.1, 0.2, 0.05]))
    return found.double()


def standardised(u: Utterance, alpha: Tensor, burst: str) -> Utterance:
    """(A1) in a loop; e' stands as the only contour."""
    e = torch.stack(reference.strengths(u[1], alpha, burst))
    mean = sum(e) / len(e)
    variance = sum((value - mean) ** 2 for value in e) / len(e)
    still = float(variance.detach()) <= (1e-12 * float(e.detach().abs().max())) ** 2  # what these loops themselves round off
    return u[0], torch.stack([value * 0 if still else (value - mean) / variance**0.5 for value in e]).unsqueeze(1)


def in_loops(field: AdaptiveIrf, a: Sequence[Utterance], b: Sequence[Utterance]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """S `[A, B]` and zt `[A, B, D]` of every pair, and the leaves."""
    weights = field.weights.detach().double().requires_grad_()
    alpha = torch.log1p(weights.exp()) if field.params.alpha == "softplus" else weights
    p = SimpleNamespace(**{**field.params.model_dump(), "burst": "signed"})  # e' has its sign already
    one = SimpleNamespace(weights=torch.ones(1), params=SimpleNamespace(alpha="free"))
    left, right = ([standardised(u, alpha, field.params.burst) for u in side] for side in (a, b))
    similarity, aligned, _ = irf_in_loops(one, left, right, p)
    return similarity, aligned, [weights, *leaves(a, b)]


READINGS: list[dict[str, Any]] = [
    {},
    {"burst": "signed"},
    {"alpha": "softplus", "highlight": "top_quantile", "quantile": 0.5},
    {"sync": "exp_square", "temperature": 0.3},
    {"combine": "sum", "highlight": "all"},
    {"combine": "sum", "sync": "exp_square", "burst": "signed", "alpha": "softplus"},
]


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: "-".join(map(str, reading.values())) or "default")
@pytest.mark.parametrize("situation", SITUATIONS)
def test_it_is_the_equation(situation: str, reading: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    check_field(field(**reading), in_loops, *streams(situation, 2, 2), situation, monkeypatch)


def test_louder_bursts_on_one_side_change_nothing_here_and_silence_irf() -> None:
    a, b = utterances([6, 5], 3), utterances([7, 4], 4)
    for factor in (1e-8, 1e8, 20):
        louder = [(z, factor * d) for z, d in b]
        torch.testing.assert_close(field().similarity(batch(a), batch(louder)), field().similarity(batch(a), batch(b)))
    plain = field(Irf)
    found, before = (plain.similarity(batch(a), batch(side)).abs().max() for side in (louder, b))
    assert found < 0.2 * before


@pytest.mark.parametrize("level", [0.0, 0.1, 1e6])
def test_a_constant_strength_is_no_burst_and_breaks_no_gradient(level: float) -> None:
    z, d = utterances([6], 3)[0]
    still = (z, torch.full_like(d, level).requires_grad_())
    found = field().aligned(batch([still]), batch([still])).similarity
    torch.testing.assert_close(found, torch.ones_like(found))
    assert all(torch.isfinite(value).all() for value in gradients(found.sum(), leaves([still])))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("level", [1e-6, 0.1, 0.7, 1e6])
def test_what_rounding_leaves_of_a_constant_strength_is_no_spread(level: float, dtype: torch.dtype) -> None:
    """A mean of equal numbers may come out beside them; at every level e' is 0 all the same, and not that difference over itself."""
    (z, d), (other_z, other_d) = (tuple(part.detach() for part in utterances([7], seed)[0]) for seed in (3, 4))
    side = [(z.to(dtype), torch.full_like(d, level).to(dtype)), (z.to(dtype), torch.zeros_like(d).to(dtype))]
    mine = field().to(torch.promote_types(dtype, torch.float32))
    found = mine.similarity(batch(side), batch([(other_z.to(dtype), other_d.to(dtype))]))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
    long = batch(side, extra=2)
    assert not mine.strength(long.bursts, long.frames.mask).any()
