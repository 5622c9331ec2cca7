"""Deep CORAL: the golden numbers, its invariances, and what it reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sere_plugins.losses.coral import Coral, coral, covariance
from sere_plugins.specs.losses import CoralParams
from tests.probes.driver import batch, context
from tests.probes.golden import CORAL, CORAL_TLL, det

S, T = det(8, 6, 0.0), det(8, 6, 1.0)


def test_golden_numbers_of_two_libraries() -> None:
    """The other one's is the mean difference and four times ours."""
    assert coral(S, T).item() == pytest.approx(CORAL, rel=1e-12)
    means = (S.mean(dim=0) - T.mean(dim=0)).square().mean()
    assert (means + 4 * coral(S, T)).item() == pytest.approx(CORAL_TLL, rel=1e-12)


def test_covariance_is_numpy_s() -> None:
    np.testing.assert_allclose(covariance(S).numpy(), np.cov(S.numpy(), rowvar=False), rtol=1e-12, atol=1e-15)


def test_moving_a_side_or_rotating_both_changes_nothing_and_scaling_counts_to_the_fourth_power() -> None:
    torch.testing.assert_close(coral(S + 3.0, T - torch.arange(6.0).double()), coral(S, T))
    torch.testing.assert_close(coral(3 * S, 3 * T), 81 * coral(S, T))
    rotation, _ = torch.linalg.qr(det(6, 6, 0.4))
    torch.testing.assert_close(coral(S @ rotation, T @ rotation), coral(S, T))
    assert not torch.isclose(coral(S @ rotation, T), coral(S, T))


def test_equal_covariances_give_zero_and_only_those() -> None:
    assert coral(S, S.flip(0)).item() == pytest.approx(0.0, abs=1e-30)
    assert coral(S, -S).item() == pytest.approx(0.0, abs=1e-30)  # mirrored: other rows, same covariance
    assert coral(S, 1.01 * S).item() > 1e-6


@pytest.mark.parametrize("source, target", [(S[:1], T), (S, T[:1]), (S[:1], T[:1])])
def test_a_single_row_has_no_covariance(source: Tensor, target: Tensor) -> None:
    source = source.clone().requires_grad_()
    loss = coral(source, target)
    loss.backward()
    assert loss.item() == 0.0 and source.grad is not None and not source.grad.any()


def test_gradient_reaches_both_sides_and_is_right() -> None:
    assert torch.autograd.gradcheck(coral, (S.clone().requires_grad_(), T.clone().requires_grad_()))
    source, target = S.clone().requires_grad_(), T.clone().requires_grad_()
    coral(source, target).backward()
    assert all(side.grad is not None and (side.grad.abs().sum(dim=1) > 0).all() for side in (source, target))


def test_half_precision_is_widened() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = coral(S.bfloat16(), T.bfloat16())
    expected = coral(S.bfloat16().float(), T.bfloat16().float())
    assert loss.dtype == torch.float32 and torch.equal(loss, expected)


def test_use_source_decides_what_is_encoded() -> None:
    both, alone = (Coral(CoralParams(use_source=choice), context()) for choice in (True, False))
    assert (both.reads, alone.reads) == ({"labelled", "source", "target"}, {"labelled", "target"})
    labelled, source, target = batch(S[:3], S[:3], labels=torch.tensor([0, 1, 2])), batch(S[3:], S[3:]), batch(T, T)
    torch.testing.assert_close(both(labelled=labelled, source=source, target=target)["coral"], coral(S, T))
    torch.testing.assert_close(alone(labelled=labelled, target=target)["coral"], coral(S[:3], T))
