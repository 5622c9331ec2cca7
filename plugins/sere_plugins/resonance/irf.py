"""IRF: SERE's Instantaneous Resonance Field (arXiv 2604.07417).

For a pair (a, b) of utterances with T_a and T_b real frames; z are the enhanced frames and d the bursts of IDFE:

    (3) e_t   = sum_k alpha_k |d_t^k|,  alpha learnable              [P weighted sum; R `alpha`, `burst`]
    (4) R_ij  = cos(z_i^a, z_j^b) * exp( -|e_i^a - e_j^b| / tau )    [R `sync`, `combine`; tau is `temperature`]
    (5) j*(i) = argmax_j R_ij                                        [P]
        zt_{a<-b} = mean over real i of z^b_{j*(i)}                  [P] "resonance-aware representation of a, told by b"
    (6) S(a,b) = mean over highlight frames i in H_a of R_{i, j*(i)} [P]
        H_a = { i : e_i^a >= mean_i e_i^a }                          [R `highlight`, `quantile`]

[P] the paper says so, [R] our reading, with the parameter that holds the alternatives.  R is directed: rows belong to a.
Padding never wins an argmax and never enters a mean.  Gradients flow through z and e of the matched frames, not through
the argmax.  alpha is reached through S alone: what is told depends on it only through the argmax.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sere_plugins.resonance.base import FrameField
from sere_plugins.resonance.kernel import Kernel
from sere_plugins.resonance.watch import Watch
from sere_plugins.specs.resonance import BurstFieldParams
from sere_registry import BuildContext, Encoded


class Irf(FrameField):
    """Frame cosine times burst synchrony (equations 3 to 6).

    With K = 0 dynamic features e is 0: the synchrony is 1 everywhere and every frame a highlight.

    >>> from sere_registry import Frames, UnlabelledBatch
    >>> z = torch.eye(3).unsqueeze(0)
    >>> d = torch.tensor([[[0.0], [1.0], [2.0]]])
    >>> g = z.mean(1)
    >>> batch = UnlabelledBatch(Frames(z, torch.ones(1, 3, dtype=torch.bool), 50.0), d, g, g, g, torch.arange(1), ("a",))
    >>> Irf(BurstFieldParams(), BuildContext(id="irf", dim=2, dynamics_dim=1)).similarity(batch, batch).tolist()
    [[1.0]]
    """

    def __init__(self, params: BurstFieldParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params
        bursts = context.dynamics_dim > 0
        self.kernel = Kernel(params.temperature, params.sync if bursts or params.combine == "sum" else None, params.combine)
        start = params.alpha_init if params.alpha == "free" else math.log(math.expm1(params.alpha_init))
        self.weights = nn.Parameter(torch.full((context.dynamics_dim,), start))
        self._seen: tuple[Tensor, Tensor, Tensor] | None = None
        self._watch = Watch()

    @property
    def alpha(self) -> Tensor:
        """The weights alpha_k of equation 3, `[K]`."""
        return nn.functional.softplus(self.weights) if self.params.alpha == "softplus" else self.weights

    def strength(self, batch: Encoded) -> Tensor | None:
        """e_t, equation 3: d `[B, T, K]` -> `[B, T]`, 0 in padded frames."""
        self._watch.note(batch)
        return None if self.kernel.sync is None else self._weighed(batch.bursts, batch.frames.mask)

    def _weighed(self, bursts: Tensor, mask: Tensor) -> Tensor:
        # bfloat16 sums would decide by rounding who is a highlight
        bursts = bursts.to(torch.promote_types(bursts.dtype, torch.float32)).masked_fill(~mask.unsqueeze(-1), 0.0)
        if self.params.burst == "abs":
            bursts = bursts.abs()
        return (bursts * self.alpha.to(bursts.dtype)).sum(dim=-1)

    def highlights(self, strength: Tensor | None, mask: Tensor) -> Tensor:
        """H, equation 6, `[B, T]`."""
        if strength is None or self.params.highlight == "all" or mask.numel() == 0:
            return mask
        inside = strength.masked_fill(~mask, -torch.inf)
        count = mask.sum(dim=1, keepdim=True)
        if self.params.highlight == "above_mean":
            # of equal strengths the rounded mean may exceed them all, which no true mean can
            level = torch.minimum((strength * mask).sum(dim=1, keepdim=True) / count.clamp(min=1), inside.amax(dim=1, keepdim=True))
        else:
            below = torch.floor(count * self.params.quantile + 1e-6).long()
            level = inside.sort(dim=1, descending=True).values.gather(1, (count - below - 1).clamp(min=0))
        chosen = mask & (inside >= level)
        self._seen = (strength, mask, chosen)
        return chosen

    def diagnostics(self) -> Mapping[str, float]:
        """alpha and its largest distance from where it started; of the last batch, the share of highlight frames and the spread of e
        over tau: far above 1 the synchrony of most frames is 0, far below it is 1 and says nothing.  Of pairs of frames, the quantiles of R
        and of the synchrony, and the shares of synchronies below 0.05 (`low`) and above 0.95 (`high`)."""
        alpha = self.alpha.detach()
        found = {f"alpha/{k}": value for k, value in enumerate(alpha.tolist())}
        if found:
            found["alpha_drift"] = float((alpha - self.params.alpha_init).abs().max())
        if self._seen is not None:
            strength, mask, chosen = self._seen
            found["highlight_share"] = float(chosen.sum() / mask.sum())
            found["burst_spread"] = float(strength[mask].std(correction=0) / self.params.temperature)
        return {**found, **self._watch.distribution(self.kernel, self._weighed)}
