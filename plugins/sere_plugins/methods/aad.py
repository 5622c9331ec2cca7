"""Attracting and dispersing (Yang et al. 2022, arXiv:2205.04183): source-free, by neighbours that agree and others that do not.

    stage "source"  S_l only   label-smoothed cross-entropy
    stage "adapt"   T_u only   L = - 1/B sum_i sum_{k in N_i} S_k . p_i                         attraction
                                   + alpha(t) 1/B sum_i sum_{j != i} p_j . p_i                  dispersal
                               alpha(t) = alpha_0 (1 + 10 t)^-beta, t the share of the stage that is done

N_i are the K nearest of i in a bank of T_u's unit embeddings, whose rows of the batch are overwritten before the search; S are the
bank's posteriors, without gradient.  In the second term both sides have a gradient, as in the authors' code.  Gradients agree with
their Office-Home script.

Features and classifier are both trained, as there.  An utterance is kept from its own neighbours by position, where the code drops
the first rank.  The dispersal is a sum over the batch, and so about (B - 1)/C alpha against an attraction of K: with few classes it
must fall (beta), or predictions become less certain instead of dispersed.  Class shares are not assumed to be equal, but that two
utterances of a batch mostly differ in class; the dispersal is least where classes are predicted equally often.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from sere_core.functional import linear_kernel, nearest
from sere_plugins.methods.source_free import Neighbours
from sere_plugins.specs.source_free import AadParams
from sere_registry import Progress, UnlabelledBatch


def dispersal(posteriors: Tensor) -> Tensor:
    """`1/B sum_i sum_{j != i} p_j . p_i` of `[B, C]`; 0 for a single row.

    >>> import torch
    >>> dispersal(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    tensor(0.6667)
    """
    products = linear_kernel(posteriors, posteriors)
    return (products.sum() - products.diagonal().sum()) / len(posteriors)


class Aad(Neighbours):
    """The objective above, with a bank of T_u."""

    params: AadParams

    def adapt(self, target: UnlabelledBatch, progress: Progress) -> Mapping[str, Tensor]:
        """The adaptation stage: write the batch into the bank, then look for neighbours."""
        posteriors = target.logits.softmax(dim=-1)
        self.bank.write(target.index, target.embedding, posteriors)
        near = nearest(self.bank.embeddings, target.index, self.params.neighbours)
        scores = self.bank.posteriors.to(posteriors.dtype)[near].sum(dim=1)
        alpha = self.params.dispersal * (1 + 10 * progress.fraction) ** -self.params.fall
        terms = {"attraction": -(scores * posteriors).sum(dim=-1).mean()}
        return {**terms, "dispersal": alpha * dispersal(posteriors)} if self.params.dispersal else terms
