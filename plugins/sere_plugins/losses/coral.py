"""Deep CORAL (arXiv:1607.01719): source and target embeddings get the same covariance."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sere_core.functional import wide
from sere_plugins.specs.losses import CoralParams
from sere_registry import BuildContext, LabelledBatch, UnlabelledBatch


def covariance(rows: Tensor) -> Tensor:
    """The unbiased covariance of `[n, D]` rows, `[D, D]`; zero for a single row, which has none."""
    centred = rows - rows.mean(dim=0)
    return centred.T @ centred / max(len(rows) - 1, 1)


def coral(source: Tensor, target: Tensor) -> Tensor:
    """`||Cov_s - Cov_t||_F^2 / (4 D^2)`, equation 1 of arXiv:1607.01719.

    Args:
        source: embeddings `[n_s, D]`.
        target: embeddings `[n_t, D]`.

    Returns:
        A scalar; 0, with zero gradients, where a side has fewer than two rows.

    >>> rows = torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 3.0]])
    >>> round(coral(rows, rows + 5.0).item(), 6)
    0.0
    """
    if min(len(source), len(target)) < 2:
        return 0.0 * (source.sum() + target.sum())
    with torch.autocast(source.device.type, enabled=False):  # products of centred rows lose their digits in bfloat16
        gap = covariance(wide(source)) - covariance(wide(target))
        return gap.square().sum() / (4 * source.shape[1] ** 2)


class Coral(nn.Module):
    """Covariance alignment of S_l, and of S_u with it if `use_source`, with T_u.

    25 labelled utterances alone estimate a D x D matrix poorly.
    """

    def __init__(self, params: CoralParams, context: BuildContext) -> None:
        super().__init__()
        self.reads = frozenset({"labelled", "target", *(["source"] if params.use_source else [])})

    def forward(self, labelled: LabelledBatch, target: UnlabelledBatch, source: UnlabelledBatch | None = None) -> Mapping[str, Tensor]:
        rows = labelled.embedding if source is None else torch.cat([labelled.embedding, source.embedding])
        return {"coral": coral(rows, target.embedding)}
