"""IRF with burst strengths in units of the utterance: a variant that is ours, not the paper's.

    e'_t = (e_t - mean_t e_t) / std_t e_t                        (A1) over real frames; takes the place of e in (4)

In equation 4 one tau serves every pair.  Where the strengths of two languages or speakers differ in level or spread, the
synchrony of all their frames is near 0 and the field is silent.  With (A1) a burst answers a burst, however strong either is:
that is equation 4 with a level and a tau of each utterance's own.  (6) is as before: what stands above the mean still does.
"""

from __future__ import annotations

from torch import Tensor

from sere_plugins.resonance.irf import Irf


class AdaptiveIrf(Irf):
    """`irf` on standardised strengths; an utterance whose strength never changes has e' = 0 everywhere."""

    def _weighed(self, bursts: Tensor, mask: Tensor) -> Tensor:
        strength = super()._weighed(bursts, mask)
        count = mask.sum(dim=1, keepdim=True).clamp(min=1)
        centred = (strength - strength.sum(dim=1, keepdim=True) / count) * mask
        variance = centred.square().sum(dim=1, keepdim=True) / count
        # relative to the level: what rounding leaves of a constant is no spread
        floor = 1e-6 * strength.detach().abs().amax(dim=1, keepdim=True)
        still = variance <= floor.square()
        return (centred / variance.masked_fill(still, 1.0).sqrt()).masked_fill(still, 0.0)
