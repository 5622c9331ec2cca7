"""Pseudo-Label (Lee, ICML workshop 2013): what is most probable now counts as the label.

    L = a(t) 1/B sum_j 1[max p_j >= threshold] CE(argmax p_j, p_j),   a(t) = min(1, t / ramp)

The paper has no threshold and raises a(t) from 0 to 3 between two epochs; the threshold, division by B and the ramp are those of USB
(microsoft/Semi-supervised-learning).  What a(t) rises to is the weight in the config.  No class shares are assumed; a class that is
never predicted is never taught.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sere_core.functional import pseudo_label_loss, wide
from sere_plugins.specs.alignment import PseudoLabelParams
from sere_registry import BuildContext, Progress, UnlabelledBatch


class PseudoLabel(nn.Module):
    """Cross-entropy with its own confident predictions on T_u, and on S_u with `use_source`."""

    def __init__(self, params: PseudoLabelParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params
        self.reads = frozenset({"target", "progress", *(["source"] if params.use_source else [])})
        self.mask: Tensor | None = None

    def forward(self, progress: Progress, target: UnlabelledBatch, source: UnlabelledBatch | None = None) -> Mapping[str, Tensor]:
        logits = torch.cat([wide(batch.logits) for batch in (target, source) if batch is not None])
        loss, self.mask = pseudo_label_loss(logits, logits, self.params.threshold)
        return {"pseudo_label": self.ramp(progress.fraction) * loss}

    def ramp(self, fraction: float) -> float:
        """a(t), from 0 to 1."""
        return fraction / self.params.ramp if fraction < self.params.ramp else 1.0

    def diagnostics(self) -> Mapping[str, float]:
        """`mask`: the share of the last batch that was confident enough to teach."""
        return {} if self.mask is None else {"mask": self.mask.float().mean().item()}
