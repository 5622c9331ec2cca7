"""The gradient of equations 4 to 6: sums over matches, never over pairs of frames."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from sere_plugins.resonance.kernel import Kernel
from sere_plugins.resonance.recipe import Matches, Recipe

Gradients = tuple[Tensor | None, Tensor, Tensor | None, Tensor | None]


def gradients(matches: Matches, recipe: Recipe, grad_similarity: Tensor | None, grad_told: Tensor | None) -> Gradients:
    """dL/dz^a, dL/dz^b, dL/de^a, dL/de^b; what is told depends on z^b alone, so that without dL/dS the others are None.

    Args:
        grad_similarity: dL/dS `[A, lanes]`; grad_told: dL/dzt `[A, lanes, D]`; None where there is none.
    """
    ua, ub, na, nb, ea, eb, best, winner, counts = matches
    plan, kernel = recipe.plan, recipe.kernel
    dza, dzb, dea, deb = None, torch.zeros_like(ub), None, None
    if grad_similarity is not None:
        heads = recipe.shares.nonzero().squeeze(1)  # only highlights have a gradient of S
        matched = winner[:, heads]
        weight = grad_similarity.T[:, plan.a.owner[heads]] * recipe.shares[heads]
        mine, theirs = None if ea is None else ea[heads], None if eb is None else eb[matched]
        pull, along, slope = local(weight, best[:, heads], mine, theirs, kernel)
        dza = torch.zeros_like(ua)
        if matched.numel():
            dza[heads] = _pulled(_from_b(ub, matched, pull), ua[heads], along.sum(dim=0), na[heads])
            back = torch.zeros_like(nb).index_add_(0, matched.flatten(), along.flatten())
            dzb = _pulled(_from_a(ua, heads, matched, pull, len(ub)), ub, back, nb)
        if slope is not None and ea is not None and eb is not None:
            dea = torch.zeros_like(ea).index_copy_(0, heads, slope.sum(dim=0))
            deb = torch.zeros_like(eb).index_add_(0, matched.flatten(), slope.flatten(), alpha=-1)
    if grad_told is not None and counts is not None:
        for first, last, b, lane in plan.jobs():
            own = plan.b.rows(b, b + 1)
            dzb[own].addmm_(counts[:, own].T, grad_told[first:last, lane])
    return dza, dzb, dea, deb


def _from_b(ub: Tensor, matched: Tensor, pull: Tensor) -> Tensor:
    """For each highlight the sum of pull * zhat over the frames that it was matched with, `[heads, D]`."""
    return embedding_bag(matched.T.contiguous(), ub, mode="sum", per_sample_weights=pull.T.contiguous())


def _from_a(ua: Tensor, heads: Tensor, matched: Tensor, pull: Tensor, frames: int) -> Tensor:
    """For each frame of b the same sum over the highlights that were matched with it, `[frames, D]`."""
    flat = matched.flatten()
    order = flat.argsort()
    count = torch.bincount(flat, minlength=frames)
    rows, starts = heads[order % len(heads)], count.cumsum(0) - count
    return embedding_bag(rows, ua, starts, mode="sum", per_sample_weights=pull.flatten()[order])


def _pulled(towards: Tensor, unit: Tensor, along: Tensor, norm: Tensor) -> Tensor:
    """From the summed zhat of the others to a gradient in z: what is along z goes, and the rest by 1 / |z|."""
    return towards.addcmul_(unit, along.unsqueeze(1), value=-1).mul_(norm.unsqueeze(1))


def local(weight: Tensor, best: Tensor, ea: Tensor | None, eb: Tensor | None, kernel: Kernel) -> tuple[Tensor, Tensor, Tensor | None]:
    """dL/dcos, dL/dcos * cos and dL/d(e_i - e_j) of every match, from dL/dR and the burst strengths of the two that meet.

    The gradient of a cosine c in z_i is n_i (zhat_j - c zhat_i): the first goes with zhat_j, the second with zhat_i.
    """
    if kernel.sync is None or ea is None or eb is None:
        return weight, weight * best, None
    gap = ea - eb
    slope = kernel.slope(gap)
    synchrony = kernel.synchrony(gap)
    if kernel.combine == "product":
        through = weight * best
        return weight * synchrony, through, through * slope
    return weight, weight * (best - synchrony), weight * synchrony * slope
