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
from tests.sere.batches import gradients
from tests.sere.situations import PRECISIONS, SITUATIONS, assert_equal
from tests.sere.test_section_3 import DIM, grid, inputs

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
    probe = torch.randn(32, kind.dim, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for dtype, tolerance in PRECISIONS:
        contours = [f.detach().to(dtype).requires_grad_() for f, _, _ in given]
        masks = [real for _, _, real in given]
        context = grid([h.detach().to(dtype) for _, h, _ in given], 2, masks)
        out = kind(ContourParams(eps=eps), CONTEXT)(grid(contours, 2, masks), context)
        got = [out.values[row, : len(part)] for row, part in enumerate(want)]
        assert out.values.dtype == dtype and not out.values[~out.mask].any()
        assert torch.equal(out.mask, context.mask) and out.rate == context.rate
        assert_equal(got, want, tolerance, "values")
        if kind is not Static:
            mine, theirs = (
                gradients(torch.stack([(part.double() * probe[: len(part)]).sum() for part in parts]).sum(), leaves)
                for parts, leaves in ((got, contours), (want, [f for f, _, _ in given]))
            )
            assert_equal(mine, theirs, tolerance, "gradient")


@pytest.mark.parametrize("kind", [Static, Delta, DeltaDelta])
def test_features_come_in_the_precision_of_the_context(kind: Any) -> None:
    """Contours are float32 in every run; what they become stands beside a context that may be narrower or wider."""
    ((f, h, real),) = inputs("one utterance")
    for dtype in (torch.bfloat16, torch.float64):
        out = kind(ContourParams(), CONTEXT)(grid([f.detach().float()], 1, [real]), grid([h.detach().to(dtype)], 1, [real]))
        assert out.values.dtype == dtype
