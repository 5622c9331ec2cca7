"""ECAN (Zhao et al., ICASSP 2024, arXiv:2401.12925), reconstructed: source-free, by contrast with neighbours and with pseudo-labels.

    stage "source"  S_l only   label-smoothed cross-entropy
    stage "adapt"   T_u only   L = L_div + lambda L_ncl + beta L_scl
    L_div = sum_c pbar_c log pbar_c                                                             pbar: the batch's mean prediction
    L_ncl = - 1/B sum_i 1/K sum_{k in N_i} log softmax_{a != i}(f_i . m_a / tau)_k              over the bank m, [n, D]
    yhat_i = argmax_c (p_i + sum_{k in N_i} S_k)_c
    L_scl = SupCon of the batch's f with the labels yhat (arXiv:2004.11362, equation 2)

f are embeddings at length 1, N_i the K nearest of i in the bank, S its posteriors without gradient; the rows of the batch are
overwritten before the search.  Known from a summary of the paper are the idea and L.  Reconstructed are the terms: the
negatives (the whole bank), the rule of pseudo-labels, K, tau, lambda and beta.  Optimizer and source stage are NRC's.

L_div takes T_u to be balanced over the classes.  It alone holds p with its gradient, so that nothing of L makes predictions certain
or ties classes to the clusters that the contrasts make: the objective has that weakness, whatever the reconstruction adds to it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sere_core.functional import diversity, linear_kernel, nearest, supervised_contrastive, unit_rows, wide
from sere_plugins.methods.source_free import EPS, Neighbours
from sere_plugins.specs.source_free import EcanParams
from sere_registry import MethodContext, UnlabelledBatch


def neighbour_contrast(rows: Tensor, bank: Tensor, index: Tensor, near: Tensor, temperature: float) -> Tensor:
    """L_ncl of unit rows f `[B, D]`, whose place in the bank `[n, D]` is `index` `[B]` and whose neighbours are `near` `[B, K]`.

    0, with zero gradients, where there is no other utterance.

    >>> rows = torch.eye(2)[[0, 0, 1]]
    >>> neighbour_contrast(rows[:1], rows, torch.tensor([0]), torch.tensor([[1]]), temperature=1.0)
    tensor(0.3133)
    """
    if not near.numel():
        return 0.0 * rows.sum()
    scores = linear_kernel(rows, bank) / temperature
    itself = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, index[:, None], True)
    others = scores.masked_fill(itself, -torch.inf).logsumexp(dim=1, keepdim=True)
    return (others - scores.gather(1, near)).mean()


class Ecan(Neighbours):
    """The objective above, with a bank of T_u."""

    params: EcanParams

    def __init__(self, params: EcanParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self._guesses: Tensor | None = None

    def adapt(self, target: UnlabelledBatch) -> Mapping[str, Tensor]:
        """The adaptation stage: write the batch into the bank, then look for neighbours."""
        params, tau = self.params, self.params.temperature
        posteriors, rows = wide(target.logits).softmax(dim=-1), unit_rows(wide(target.embedding))
        self.bank.write(target.index, target.embedding, posteriors)
        near = nearest(self.bank.embeddings, target.index, params.neighbours)
        terms = {"diversity": params.diversity * diversity(posteriors, EPS)}
        if params.neighbour_weight:
            contrast = neighbour_contrast(rows, self.bank.embeddings.to(rows.dtype), target.index, near, tau)
            terms["neighbours"] = params.neighbour_weight * contrast
        self._guesses = self.guesses(posteriors, near)
        if params.class_weight:
            terms["classes"] = params.class_weight * supervised_contrastive(rows, self._guesses, tau, tau)
        return terms

    def guesses(self, posteriors: Tensor, near: Tensor) -> Tensor:
        """yhat `[B]`."""
        return (posteriors.detach() + self.bank.posteriors[near].sum(dim=1)).argmax(dim=1)

    def diagnostics(self) -> Mapping[str, float]:
        """`classes`: how many the last pseudo-labels had; `spread` as in `Neighbours`."""
        found = {} if self._guesses is None else {"classes": float(len(torch.unique(self._guesses)))}
        return {**found, **super().diagnostics()}
