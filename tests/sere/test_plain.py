"""IDFE's plain neighbours in loops: the contours standardised, their differences, and the differences of these."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sere_plugins.dynamics.plain import Delta, DeltaDelta, Static
from sere_plugins.specs.dynamics import ContourParams
from sere_registry import BuildContext
from tests.sere import reference
from tests.sere.situations import SITUATIONS
from tests.sere.test_section_3 import DIM, check_dynamics, grid, inputs

CONTEXT = BuildContext(id="plain", dim=DIM)


def in_loops(kind: type, f: Tensor, eps: float, real: list[bool]) -> Tensor:
    if kind is Static:
        return reference.standardised(f, eps, real)
    first = reference.delta(f, eps, real)
    return first if kind is Delta else torch.cat([first, reference.delta(f, eps, real, order=2)], dim=1)


@pytest.mark.parametrize("eps", [1e-8, 0.3])
@pytest.mark.parametrize("kind", [Static, Delta, DeltaDelta])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_values_and_gradients(situation: str, kind: Any, eps: float) -> None:
    """Contours are data, so that the gradient says no more than the values: it is held where nothing divides by a root of 0."""
    given = inputs(situation)
    want = [in_loops(kind, f, eps, real) for f, _, real in given]
    check_dynamics(lambda dtype: kind(ContourParams(eps=eps), CONTEXT), want, given, gradient=kind is not Static)


@pytest.mark.parametrize("kind", [Static, Delta, DeltaDelta])
def test_features_come_in_the_precision_of_the_context(kind: Any) -> None:
    """Contours are float32 in every run; what they become stands beside a context that may be narrower or wider."""
    ((f, h, real),) = inputs("one utterance")
    for dtype in (torch.bfloat16, torch.float64):
        out = kind(ContourParams(), CONTEXT)(grid([f.detach().float()], 1, [real]), grid([h.detach().to(dtype)], 1, [real]))
        assert out.values.dtype == dtype
