"""`irf_adaptive`: equation 4 on strengths that are standardised per utterance."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sere_plugins.resonance.adaptive import AdaptiveIrf
from sere_plugins.resonance.irf import Irf
from sere_plugins.specs.resonance import IrfAdaptiveParams
from sere_registry import BuildContext
from tests.sere import reference
from tests.sere.batches import BURSTS, WIDTH, Utterance, batch, gradients, leaves, utterances

CONTEXT = BuildContext(id="field", dim=WIDTH - BURSTS, dynamics_dim=BURSTS)


def field(make: Any = AdaptiveIrf, **params: Any) -> Any:
    found = make(IrfAdaptiveParams(**params), CONTEXT).double()
    with torch.no_grad():
        found.weights.add_(torch.tensor([0.3, -0.1, 0.2, 0.05], dtype=torch.float64))
    return found


def standardised(u: Utterance, alpha: Tensor) -> Utterance:
    """(A1) in a loop; e' stands as the only contour."""
    e = torch.stack(reference.strengths(u[1], alpha, "abs"))
    mean = sum(e) / len(e)
    std = (sum((value - mean) ** 2 for value in e) / len(e)) ** 0.5
    return u[0], torch.stack([(value - mean) / std if float(std.detach()) else value * 0 for value in e]).unsqueeze(1)


@pytest.mark.parametrize("reading", [{}, {"sync": "exp_square"}, {"combine": "sum", "highlight": "all"}], ids=str)
def test_it_is_the_equation(reading: dict[str, Any]) -> None:
    mine, a, b = field(**reading), utterances([4, 7, 2], 1), utterances([5, 3], 2)
    found = mine(batch(a), batch(b, extra=2))
    weights = mine.weights.detach().requires_grad_()
    p = SimpleNamespace(**{**mine.params.model_dump(), "burst": "signed"})
    one = torch.ones(1, dtype=torch.float64)
    grid = [[reference.resonate(standardised(u, weights), standardised(v, weights), one, p) for v in b] for u in a]
    similarity = torch.stack([torch.stack([cell[0] for cell in row]) for row in grid])
    torch.testing.assert_close(found.similarity, similarity, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.told, torch.stack([torch.stack([cell[1] for cell in row]) for row in grid]), rtol=1e-9, atol=1e-9)
    for left, right in zip(
        gradients(found.similarity.sum(), [*leaves(a, b), mine.weights]),
        gradients(similarity.sum(), [*leaves(a, b), weights]),
        strict=True,
    ):
        torch.testing.assert_close(left, right, rtol=1e-8, atol=1e-9)


def test_louder_bursts_on_one_side_change_nothing_here_and_silence_irf() -> None:
    a, b = utterances([6, 5], 3), utterances([7, 4], 4)
    louder = [(z, 20 * d) for z, d in b]
    torch.testing.assert_close(field().similarity(batch(a), batch(louder)), field().similarity(batch(a), batch(b)))
    plain = field(Irf)
    with torch.no_grad():
        heard, before = (plain.similarity(batch(a), batch(side)).abs().max() for side in (louder, b))
    assert heard < 0.2 * before


@pytest.mark.parametrize("level", [0.0, 0.1, 1e6])
def test_a_constant_strength_is_no_burst_and_breaks_no_gradient(level: float) -> None:
    z, d = utterances([6], 3)[0]
    still = (z, torch.full_like(d, level).requires_grad_())
    found = field().similarity(batch([still]), batch([still]))
    torch.testing.assert_close(found, torch.ones_like(found))
    assert all(torch.isfinite(value).all() for value in gradients(found.sum(), leaves([still])))
