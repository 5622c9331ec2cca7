"""FixMatch: who teaches whom, and when."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sere_plugins.losses.fixmatch import FixMatch, pseudo_label_loss
from sere_plugins.specs.losses import FixMatchParams
from tests.probes.driver import batch, build_context, with_views
from tests.probes.golden import det

WEAK, STRONG = 4 * det(9, 5, 0.2), 2 * det(9, 5, 0.7)


def leaf(values: Tensor) -> Tensor:
    return values.clone().requires_grad_()


def test_reference_by_hand() -> None:
    loss, mask = pseudo_label_loss(WEAK, STRONG, 0.8)
    total, kept = 0.0, 0
    for weak, strong in zip(WEAK, STRONG, strict=True):
        posteriors = weak.softmax(dim=0)
        if posteriors.max() >= 0.8:
            total += -strong.log_softmax(dim=0)[posteriors.argmax()].item()
            kept += 1
    assert 0 < kept < len(WEAK) and int(mask.sum()) == kept
    assert loss.item() == pytest.approx(total / len(WEAK), rel=1e-12)  # over B, not over those kept


def test_gradient_is_p_minus_one_hot_on_the_confident_and_none_reaches_the_weak_view() -> None:
    weak, strong = leaf(WEAK), leaf(STRONG)
    loss, mask = pseudo_label_loss(weak, strong, 0.8)
    loss.backward()
    expected = (STRONG.softmax(dim=1) - functional.one_hot(WEAK.argmax(dim=1), 5)) * mask[:, None] / len(WEAK)
    torch.testing.assert_close(strong.grad, expected)
    assert weak.grad is None


def test_equal_views_are_thresholded_pseudo_labels() -> None:
    loss, mask = pseudo_label_loss(WEAK, WEAK, 0.8)
    pseudo = functional.cross_entropy(WEAK, WEAK.argmax(dim=1), reduction="none")
    torch.testing.assert_close(loss, (pseudo * mask).mean())


def test_a_threshold_above_one_gives_exactly_nothing() -> None:
    strong = leaf(STRONG)
    loss, _ = pseudo_label_loss(WEAK, strong, 1.5)
    loss.backward()
    assert loss.item() == 0.0 and strong.grad is not None and not strong.grad.any()


def test_the_mask_shrinks_as_the_threshold_grows() -> None:
    shares = [pseudo_label_loss(WEAK, STRONG, threshold)[1].sum().item() for threshold in torch.linspace(0.1, 1.1, 30).tolist()]
    assert shares == sorted(shares, reverse=True) and shares[0] == len(WEAK) and shares[-1] == 0


@pytest.mark.parametrize("count", [1, 9])
def test_module_reads_the_target_s_views_and_reports_its_mask(count: int) -> None:
    loss = FixMatch(FixMatchParams(threshold=0.8), build_context())
    assert loss.views == {"target"} and loss.diagnostics() == {}
    target = with_views(batch(WEAK[:count], WEAK[:count]), batch(STRONG[:count], STRONG[:count]))
    expected, mask = pseudo_label_loss(WEAK[:count], STRONG[:count], 0.8)
    torch.testing.assert_close(loss(target=target), {"fixmatch": expected})
    assert loss.diagnostics() == {"mask": pytest.approx(mask.double().mean().item())}


def test_a_batch_without_views_is_a_bug_of_the_engine() -> None:
    with pytest.raises(ValueError, match="views"):
        FixMatch(FixMatchParams(), build_context())(target=batch(WEAK, WEAK))
