"""Entropic optimal transport between the frames of two utterances (Cuturi 2013, arXiv 1306.0895), relaxed on b's side.

Of all plans pi with row sums 1 / T_a, the one that minimises

    sum_ij pi_ij (1 - cos(z_i^a, z_j^b)) + epsilon sum_ij pi_ij log pi_ij + rho KL( sum_i pi_ij || 1 / T_b )

found by alternate scaling in logarithms (Chizat et al. 2018, doi:10.1090/mcom/3303).  The last term is why it is relaxed: in
balanced transport every frame of b is heard equally, so that what b tells is its mean g_b, whatever the plan.

The scaling stands here and not in a library because pairs differ in both lengths and each batch holds hundreds: of the solvers of
POT (Flamary et al. 2021), the batched ones want sets of equal size and the relaxed one takes a pair at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sere_plugins.resonance.pairwise import PairwiseField
from sere_plugins.specs.resonance import SinkhornParams
from sere_registry import BuildContext


class Sinkhorn(PairwiseField):
    """heard = T_a pi: each frame of a divides itself among b's frames, and frames of b that are asked often answer less.

    Use it to ask whether a few frames of b (hubs: silence, noise) win most of equation 5's matches and whether that harms:
    `balance: 0` is `attention` at tau = epsilon, near 1 all frames of b are heard alike.
    """

    def __init__(self, params: SinkhornParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params

    def hear(self, scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        kernel = scores / self.params.epsilon
        even, share = (-mask.sum(dim=1, keepdim=True).to(scores.dtype).log() for mask in (columns, rows))
        v = scores.new_zeros(columns.shape).masked_fill(~columns, -torch.inf)
        for _ in range(self.params.iterations if self.params.balance else 0):
            u = (share - (kernel + v.unsqueeze(1)).logsumexp(dim=2)).masked_fill(~rows, -torch.inf)
            v = (self.params.balance * (even - (kernel + u.unsqueeze(2)).logsumexp(dim=1))).masked_fill(~columns, -torch.inf)
        return (kernel + v.unsqueeze(1)).softmax(dim=2)
