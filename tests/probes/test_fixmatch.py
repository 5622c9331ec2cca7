"""FixMatch: whose views it wants, and what it reports; the loss itself is held in `test_functional`."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sere_core.functional import pseudo_label_loss
from sere_plugins.losses.fixmatch import FixMatch
from sere_plugins.specs.losses import FixMatchParams
from sere_registry import Views
from tests.probes.driver import batch, context
from tests.probes.golden import det

WEAK, STRONG = 4 * det(9, 5, 0.2), 2 * det(9, 5, 0.7)


@pytest.mark.parametrize("count", [1, 9])
def test_it_reads_the_target_s_views_and_reports_its_mask(count: int) -> None:
    loss = FixMatch(FixMatchParams(threshold=0.8), context())
    assert loss.views == {"target"} and loss.diagnostics() == {}
    weak, strong = (batch(rows[:count], rows[:count]) for rows in (WEAK, STRONG))
    target = replace(weak, views=Views(weak, strong))
    expected, mask = pseudo_label_loss(WEAK[:count], STRONG[:count], 0.8)
    torch.testing.assert_close(loss(target=target), {"fixmatch": expected})
    assert loss.diagnostics() == {"mask": pytest.approx(mask.double().mean().item())}
