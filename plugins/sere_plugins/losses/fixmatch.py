"""FixMatch (arXiv:2001.07685): a confident guess on a weak view supervises the strong view."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from sere_core.functional import pseudo_label_loss
from sere_plugins.specs.losses import FixMatchParams
from sere_registry import BuildContext, UnlabelledBatch


class FixMatch(nn.Module):
    """The consistency term alone.

    Cross-entropy on S_l is the loss `cross_entropy`; the weight (1 in the paper, ramped if wanted) is the config's; the
    moving average that predicts in the authors' code is the parameter `ema` of the method `joint`.  Differs from the
    authors' code in that cross-entropy sees S_l unaltered instead of its weak view.
    """

    views = frozenset({"target"})

    def __init__(self, params: FixMatchParams, context: BuildContext) -> None:
        super().__init__()
        self.threshold = params.threshold
        self.mask: Tensor | None = None

    def forward(self, target: UnlabelledBatch) -> Mapping[str, Tensor]:
        assert target.views is not None  # asked for in `views`
        loss, self.mask = pseudo_label_loss(target.views.weak.logits, target.views.strong.logits, self.threshold)
        return {"fixmatch": loss}

    def diagnostics(self) -> Mapping[str, float]:
        """`mask`: the share of the last batch that was confident enough to teach."""
        return {} if self.mask is None else {"mask": self.mask.float().mean().item()}
