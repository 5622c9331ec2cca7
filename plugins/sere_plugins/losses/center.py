"""Centre loss (Wen et al., ECCV 2016): labelled embeddings draw near the centre of their class.

    L   = 1/2B sum_i ||g_i - c_{y_i}||^2                                         (eq. 2, divided by B)
    c_k <- c_k - alpha sum_{i: y_i = k} (c_k - g_i) / (1 + n_k)                  (eq. 3 and 4), after each step

Centres start at 0, as in the authors' code.  It stands beside cross-entropy and reads nothing of the target.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sere_core.functional import centre_loss, moved_centres, wide
from sere_plugins.specs.alignment import CenterParams
from sere_registry import BuildContext, LabelledBatch, Progress


class Center(nn.Module):
    """The distance to centres `[C, D]`, which are part of the state."""

    centres: Tensor

    def __init__(self, params: CenterParams, context: BuildContext) -> None:
        super().__init__()
        self.rate = params.rate
        self.register_buffer("centres", torch.zeros(len(context.classes), context.embedding_dim))
        self._last: list[tuple[Tensor, Tensor]] = []  # one for each encoder that S_l passes

    def forward(self, labelled: LabelledBatch) -> Mapping[str, Tensor]:
        rows = wide(labelled.embedding)
        self._last.append((rows.detach(), labelled.labels))
        return {"center": centre_loss(rows, labelled.labels, self.centres.to(rows.dtype))}

    def after_step(self, progress: Progress) -> None:
        """The centres follow the last batch."""
        if self._last:
            rows, labels = (torch.cat(parts) for parts in zip(*self._last, strict=True))
            self.centres.copy_(moved_centres(self.centres, rows, labels, self.rate))
            self._last = []
