"""IRF: SERE's Instantaneous Resonance Field (arXiv 2604.07417).

For a pair (a, b) of utterances with T_a and T_b real frames; z are the enhanced frames and d the bursts of
IDFE:

    (3) e_t   = sum_k alpha_k |d_t^k|,  alpha learnable              [P weighted sum; R `alpha`, `burst`]
    (4) R_ij  = cos(z_i^a, z_j^b) * exp( -|e_i^a - e_j^b| / tau )    [R `sync`, `combine`; tau is `temperature`]
    (5) j*(i) = argmax_j R_ij                                        [P]
        zt_{a<-b} = mean over real i of z^b_{j*(i)}                  [P] a's aligned representation
    (6) S(a,b) = mean over highlight frames i in H_a of R_{i, j*(i)} [P]
        H_a = { i : e_i^a >= mean_i e_i^a }                          [R `highlight`, `quantile`]

[P] the paper says so, [R] our reading, with the parameter that holds the alternatives.  R is directed: rows
belong to a. Padding never wins an argmax and never enters a mean.  Gradients flow through z and e of the
matched frames, not through the argmax.  alpha is reached through S alone: zt depends on it only through the
argmax.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sere_core.functional import unit_rows
from sere_plugins.resonance.base import FrameField, check_widths, full_precision, partners, wide_type
from sere_plugins.resonance.search import best_matches, deferred, highest, mean_of_matches
from sere_plugins.specs.resonance import BurstFieldParams
from sere_registry import BuildContext, Encoded, Resonance

#: utterances of each side, and values, that the distributions in the diagnostics are taken from
_FEW, _VALUES = 4, 1_000_000


class BestMatch(FrameField):
    """Equations 5 and 6 for any R: each frame of a with its best match in b, in memory that grows with T and
    not with T_a x T_b."""

    def similarity(self, a: Encoded, b: Encoded) -> Tensor:
        """S of every pair `[A, B]`, equation 6, without gradient: of a, the highlights alone are searched."""
        check_widths(a, b)
        with torch.no_grad(), full_precision(a):
            ea, eb = (self.strength(side.bursts, side.frames.mask) for side in (a, b))
            chosen = self.highlights(ea, a.frames.mask)
            return highest(a.frames, chosen, ea, b.frames, eb, self.resonance)

    def aligned(self, a: Encoded, b: Encoded, picks: Tensor | None = None, *, both: bool = False) -> Resonance:
        """S `[P]` and zt_{a<-b} `[P, D]` of row i of a and row `picks[i]` of b; with `both` also zt_{b<-a}.
        Differentiable."""
        picks = partners(a, b, picks)
        with full_precision(a):
            za, zb = (side.frames.values.to(wide_type(side.frames.values)) for side in (a, b))
            real, other = a.frames.mask, b.frames.mask
            ea, eb = (self.strength(side.bursts, side.frames.mask) for side in (a, b))
            weights = self.frame_weights(ea, real, za.dtype)
            best, j, i = best_matches((za, real, ea), (zb, other, eb), picks, self.resonance, both)

            def similarity(za: Tensor, zb: Tensor, ea: Tensor | None, eb: Tensor | None) -> Tensor:
                chosen = weights > 0
                cell = (j + picks.unsqueeze(1) * other.shape[1])[chosen]
                cosine = (unit_rows(za[chosen]) * unit_rows(zb.flatten(0, 1)[cell])).sum(dim=1)
                gap = None if ea is None or eb is None else ea[chosen] - eb.flatten()[cell]
                parts = weights[chosen] * self.resonance(cosine, gap)
                return torch.zeros_like(weights).masked_scatter(chosen, parts).sum(dim=1)

            found = (weights * best.masked_fill(~real, 0.0)).sum(dim=1)
            aligned = mean_of_matches(zb, j, real, picks)
            rows = torch.arange(len(picks), device=picks.device)
            reverse = None if i is None else mean_of_matches(za, i, other[picks], rows)
            return Resonance(deferred(found, similarity, za, zb, ea, eb), aligned, reverse)


class Irf(BestMatch):
    """Frame cosine times burst synchrony, equations 3 to 6.

    With K = 0 dynamic features there is no burst term: the synchrony is 1 everywhere and every frame a
    highlight.

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
        start = params.alpha_init if params.alpha == "free" else math.log(math.expm1(params.alpha_init))
        self.weights = nn.Parameter(torch.full((context.dynamics_dim,), start))
        self._last: tuple[tuple[Tensor, Tensor, Tensor], ...] | None = None

    @property
    def alpha(self) -> Tensor:
        """The weights alpha_k of equation 3, `[K]`."""
        return nn.functional.softplus(self.weights) if self.params.alpha == "softplus" else self.weights

    def strength(self, bursts: Tensor, mask: Tensor) -> Tensor | None:
        """e_t, equation 3: d `[B, T, K]` -> `[B, T]`, 0 in padded frames; at least float32, since e decides
        who is a highlight."""
        if not len(self.weights):
            return None
        bursts = bursts.to(wide_type(bursts)).masked_fill(~mask.unsqueeze(-1), 0.0)
        bursts = bursts.abs() if self.params.burst == "abs" else bursts
        return (bursts * self.alpha.to(bursts.dtype)).sum(dim=-1)

    def synchrony(self, gap: Tensor) -> Tensor:
        """exp(-|e_i - e_j| / tau), or with the gap squared; overwrites the gap."""
        gap = gap.abs_() if self.params.sync == "exp_abs" else gap.square_()
        return gap.mul_(-1.0 / self.params.temperature).exp_()

    def resonance(self, cosine: Tensor, gap: Tensor | None) -> Tensor:
        """R, equation 4."""
        synchrony = 1.0 if gap is None else self.synchrony(gap)
        return cosine.mul_(synchrony) if self.params.combine == "product" else cosine.add_(synchrony)

    def highlights(self, strength: Tensor | None, mask: Tensor) -> Tensor:
        """H, equation 6, `[B, T]`."""
        if strength is None or self.params.highlight == "all" or mask.numel() == 0:
            return mask
        inside = strength.masked_fill(~mask, -torch.inf)
        count = mask.sum(dim=1, keepdim=True)
        if self.params.highlight == "above_mean":
            # of equal strengths the rounded mean may exceed them all, which no true mean can
            mean = (strength * mask).sum(dim=1, keepdim=True) / count.clamp(min=1)
            level = torch.minimum(mean, inside.amax(dim=1, keepdim=True))
        else:
            below = torch.floor(count * self.params.quantile + 1e-6).long()
            level = inside.sort(dim=1, descending=True).values.gather(1, (count - below - 1).clamp(min=0))
        return mask & (inside >= level)

    def similarity(self, a: Encoded, b: Encoded) -> Tensor:
        """S of every pair, `[A, B]`, without gradient."""
        self.note(a, b)
        return super().similarity(a, b)

    def note(self, a: Encoded, b: Encoded) -> None:
        """What `diagnostics` looks at, without its graph."""
        self._last = tuple((each.frames.values.detach(), each.bursts.detach(), each.frames.mask) for each in (a, b))

    @torch.no_grad()
    def diagnostics(self) -> Mapping[str, float]:
        """alpha and its largest distance from where it started; of the last search, the share of highlight frames of a and the spread
        of e over tau: far above 1 the synchrony of most frames is 0, far below it is 1 and says nothing.  Of
        pairs of frames, the
        quantiles of R and of the synchrony, and the shares of synchronies below 0.05 (`low`) and above 0.95 (`high`)."""
        alpha = self.alpha
        found = {f"alpha/{k}": value for k, value in enumerate(alpha.tolist())}
        if found:
            found["alpha_drift"] = float((alpha - self.params.alpha_init).abs().max())
        if self._last is None or not all(len(mask) for _, _, mask in self._last):
            return found
        (za, da, real), (zb, db, other) = self._last
        ea, eb = self.strength(da, real), self.strength(db, other)
        few, others = real[:_FEW], other[:_FEW]
        cosine = unit_rows(za[:_FEW][few].to(wide_type(za))) @ unit_rows(zb[:_FEW][others].to(wide_type(zb))).T
        if ea is None or eb is None:
            return {**found, **_quantiles("resonance", self.resonance(cosine, None))}
        found["highlight_share"] = float(self.highlights(ea, real).sum() / real.sum())
        found["burst_spread"] = float(ea[real].std(correction=0) / self.params.temperature)
        gap = ea[:_FEW][few].unsqueeze(1) - eb[:_FEW][others]
        synchrony = self.synchrony(gap.clone())
        found["synchrony/low"] = float((synchrony < 0.05).float().mean())
        found["synchrony/high"] = float((synchrony > 0.95).float().mean())
        found |= _quantiles("synchrony", synchrony)
        return {**found, **_quantiles("resonance", self.resonance(cosine, gap))}


def _quantiles(name: str, values: Tensor) -> dict[str, float]:
    values = values.flatten().float()
    values = values[:: 1 + len(values) // _VALUES]  # torch's quantile takes no more than 16 million
    levels = (0.05, 0.5, 0.95)
    found = torch.quantile(values, torch.tensor(levels, device=values.device)).tolist()
    return {f"{name}/q{round(100 * level):02d}": value for level, value in zip(levels, found, strict=True)}
