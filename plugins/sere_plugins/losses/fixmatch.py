"""FixMatch (arXiv:2001.07685): a confident guess on a weak view supervises the strong view."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from sere_plugins.specs.losses import FixMatchParams
from sere_registry import BuildContext, UnlabelledBatch


def pseudo_label_loss(guide: Tensor, student: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """`(1/B) sum_j 1[max p_j >= threshold] CE(argmax p_j, q_j)`, equation 4 of arXiv:2001.07685.

    Divided by B, not by how many are kept, as in the authors' code; no gradient reaches the guide.

    Args:
        guide: logits `[B, C]` whose softmax is p (the weak view).
        student: logits `[B, C]` whose softmax is q (the strong view).
        threshold: the least confidence that teaches.

    Returns:
        The scalar and the mask `[B]`.
    """
    confidence, guess = guide.detach().softmax(dim=-1).max(dim=-1)
    mask = confidence >= threshold
    each = functional.cross_entropy(student, guess, reduction="none")
    return torch.where(mask, each, 0.0).sum() / len(guess), mask


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
        if target.views is None:
            raise ValueError("fixmatch declares views of `target`, but the batch came without them")
        loss, self.mask = pseudo_label_loss(target.views.weak.logits, target.views.strong.logits, self.threshold)
        return {"fixmatch": loss}

    def diagnostics(self) -> Mapping[str, float]:
        """`mask`: the share of the last batch that was confident enough to teach."""
        return {} if self.mask is None else {"mask": self.mask.float().mean().item()}
