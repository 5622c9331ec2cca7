"""The fields beside `irf`: without bursts, switched off, soft, and balanced.  Each asks whether a part of
equations 4 to 6 matters."""

from __future__ import annotations

import torch
from torch import Tensor

from sere_core.functional import unit_rows
from sere_plugins.resonance.base import FrameField, check_widths, full_precision, partners, wide_type
from sere_plugins.resonance.irf import BestMatch
from sere_plugins.specs.resonance import AttentionParams, SinkhornParams
from sere_registry import BuildContext, Encoded, NoParams, Resonance


class Cosine(BestMatch):
    """Without the burst term: R_ij = cos(z_i^a, z_j^b), and H_a in equation 6 is all real frames of a."""

    def __init__(self, params: NoParams, context: BuildContext) -> None:
        super().__init__()


class Mean(FrameField):
    """The field switched off: S(a, b) = cos(g_a, g_b), and the aligned representation of a is g_b."""

    directed = False

    def __init__(self, params: NoParams, context: BuildContext) -> None:
        super().__init__()

    def similarity(self, a: Encoded, b: Encoded) -> Tensor:
        """S of every pair, `[A, B]`, without gradient."""
        check_widths(a, b)
        with torch.no_grad(), full_precision(a):
            return _unit_embedding(a) @ _unit_embedding(b).T

    def aligned(self, a: Encoded, b: Encoded, picks: Tensor | None = None, *, both: bool = False) -> Resonance:
        """Row i of a with row `picks[i]` of b: S `[P]`, g_b and (with `both`) g_a `[P, D]`."""
        picks = partners(a, b, picks)
        with full_precision(a):
            similarity = (_unit_embedding(a) * _unit_embedding(b)[picks]).sum(dim=-1)
            return Resonance(similarity, b.embedding[picks], a.embedding if both else None)

    def frame_map(self, a: Encoded, b: Encoded) -> None:
        """It compares no frames."""


def _unit_embedding(batch: Encoded) -> Tensor:
    return unit_rows(batch.embedding.to(wide_type(batch.embedding)))


class Attention(FrameField):
    """Soft argmax (Vaswani et al. 2017, arXiv 1706.03762): A_ij = softmax_j( cos(z_i^a, z_j^b) / tau ).

    Use it to ask whether equation 5's hard choice matters: tau -> 0 is `cosine`, with tau -> infinity every
    frame is aligned with the mean of b, and between them gradients flow through the choice itself.
    """

    def __init__(self, params: AttentionParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params

    def alignment(self, scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        return (scores / self.params.temperature).masked_fill(~columns.unsqueeze(1), -torch.inf).softmax(dim=2)


class Sinkhorn(FrameField):
    """Entropic optimal transport (Cuturi 2013, arXiv 1306.0895), relaxed on b's side.

    Of all plans pi with row sums 1 / T_a it takes the one of least

        sum_ij pi_ij (1 - cos(z_i^a, z_j^b)) + epsilon sum_ij pi_ij log pi_ij + rho KL( sum_i pi_ij || 1 / T_b ),

    and A = T_a pi.  It is found by alternate scaling in logarithms (Chizat et al. 2018,
    doi:10.1090/mcom/3303), and not by a library: of the solvers of POT (Flamary et al. 2021), the batched
    ones want sets of equal size and the relaxed one takes a pair at a time.  It is relaxed because in
    balanced transport every frame of b weighs the same, so that zt is the mean g_b, whatever the plan.

    Use it to ask whether a few frames of b (hubs: silence, noise) win most of equation 5's matches and
    whether that harms: `balance: 0` is `attention` at tau = epsilon, near 1 all frames of b are matched
    alike.
    """

    def __init__(self, params: SinkhornParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params

    def alignment(self, scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        kernel = scores / self.params.epsilon
        even, share = (-mask.sum(dim=1, keepdim=True).to(scores.dtype).log() for mask in (columns, rows))
        v = scores.new_zeros(columns.shape).masked_fill(~columns, -torch.inf)
        for _ in range(self.params.iterations if self.params.balance else 0):
            u = (share - (kernel + v.unsqueeze(1)).logsumexp(dim=2)).masked_fill(~rows, -torch.inf)
            v = (self.params.balance * (even - (kernel + u.unsqueeze(2)).logsumexp(dim=1))).masked_fill(~columns, -torch.inf)
        return (kernel + v.unsqueeze(1)).softmax(dim=2)
