"""Deep adaptation network (arXiv:1502.02791): the embeddings of source and target get the same mean in a space of kernels.

    L = MMD_k^2(g(S), g(T)) = mean k(s, s') + mean k(t, t') - 2 mean k(s, t),   k(a, b) = sum_u exp(-||a - b||^2 / h_u)    (eq. 3)

Bandwidths h_u are the mean squared distance of two rows of the joint batch, without gradient, times powers of `factor` around 1
(those of transferlearning's `mmd_pytorch.py`, whose number the biased estimate gives).  Deviations: kernels weigh the same, where the
paper finds their weights by a quadratic program; and it aligns three layers of its network, where ours has g and the logits.
No class shares are assumed, but where they differ between source and target, equal means are the wrong aim.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sere_core.functional import bandwidths, gaussian_kernel, mmd, wide
from sere_plugins.specs.alignment import DanParams
from sere_registry import BuildContext, LabelledBatch, UnlabelledBatch
from sere_registry.guard import warn


def mk_mmd(source: Tensor, target: Tensor, kernels: int = 5, factor: float = 2.0, unbiased: bool = False) -> Tensor:
    """The squared discrepancy of rows `[n, D]` and `[m, D]`.

    Returns:
        A scalar; 0, with zero gradients, where all rows are equal or an unbiased estimate lacks a second row.

    >>> rows = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    >>> mk_mmd(rows, rows).item()
    0.0
    """
    widths = bandwidths(torch.cat([source, target]), kernels, factor)
    if min(widths) == 0 or (unbiased and min(len(source), len(target)) < 2):
        return 0.0 * (source.sum() + target.sum())
    within_source, within_target, across = (
        gaussian_kernel(a, b, widths) for a, b in ((source, source), (target, target), (source, target))
    )
    return mmd(within_source, within_target, across, unbiased)


class Dan(nn.Module):
    """The discrepancy of S_l, and of S_u with it if `use_source`, from T_u."""

    def __init__(self, params: DanParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params
        self.reads = frozenset({"labelled", "target", *(["source"] if params.use_source else [])})

    def forward(self, labelled: LabelledBatch, target: UnlabelledBatch, source: UnlabelledBatch | None = None) -> Mapping[str, Tensor]:
        def gap(name: str) -> Tensor:
            rows = [wide(getattr(each, name)) for each in (labelled, source) if each is not None]
            params = self.params
            return mk_mmd(torch.cat(rows), wide(getattr(target, name)), params.kernels, params.factor, unbiased)

        unbiased = self.params.estimate == "unbiased"
        if unbiased and min(len(labelled) + (0 if source is None else len(source)), len(target)) < 2:
            warn("dan", "rows", "dan: a batch with one row on a side has no unbiased estimate, and counts as 0")
        return {name: gap(name) for name in ("embedding", *(["logits"] if self.params.layers == "both" else []))}
