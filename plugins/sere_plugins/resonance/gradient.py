"""The gradient of equations 4 to 6, utterance by utterance: sums over matches, never over pairs of frames."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from sere_plugins.resonance.kernel import Kernel
from sere_plugins.resonance.recipe import Recipe, match_counts
from sere_plugins.resonance.search import Job
from sere_plugins.resonance.workers import share

Gradients = tuple[Tensor | None, Tensor, Tensor | None, Tensor | None]


def gradients(
    ua: Tensor,
    ub: Tensor,
    na: Tensor,
    nb: Tensor,
    ea: Tensor | None,
    eb: Tensor | None,
    best: Tensor,
    winner: Tensor,
    recipe: Recipe,
    grad_similarity: Tensor | None,
    grad_told: Tensor | None,
) -> Gradients:
    """dL/dz^a, dL/dz^b, dL/de^a, dL/de^b; what is told depends on z^b alone, so that without dL/dS the others are None.

    Args:
        ua, ub: z / |z|, `[N_a, D]`, `[N_b, D]`; na, nb: 1 / |z|; ea, eb: burst strengths or None.
        best, winner: R_{i, j*(i)} and j*(i), `[lanes, N_a]`.
        grad_similarity: dL/dS `[A, lanes]`; grad_told: dL/dzt `[A, lanes, D]`; None where there is none.
    """
    plan, kernel = recipe.plan, recipe.kernel
    enough = plan.worth_threads(ua.device)
    dzb = torch.zeros_like(ub)
    dza, dea, deb = (None if e is None or grad_similarity is None else torch.zeros_like(e) for e in (ua, ea, eb))
    heads = recipe.shares.nonzero().squeeze(1)  # only highlights have a gradient of S
    edges = torch.searchsorted(heads, torch.tensor(plan.a.starts, device=heads.device)).tolist()
    pull, along, slope = (best.new_empty(plan.lanes, len(heads)) for _ in range(3))

    def of_b(job: Job) -> None:
        first, last, b, lane = job
        own, mine = plan.b.rows(b, b + 1), slice(edges[first], edges[last])
        if grad_similarity is not None and mine.stop > mine.start:
            rows = heads[mine]
            matched = winner[lane, rows]
            weight = grad_similarity[plan.a.owner[rows], lane] * recipe.shares[rows]
            mine_e, their_e = None if ea is None else ea[rows], None if eb is None else eb[matched]
            pull[lane, mine], along[lane, mine], gap = local(weight, best[lane, rows], mine_e, their_e, kernel)
            matched = matched - own.start
            if gap is not None and deb is not None:
                slope[lane, mine] = gap
                deb[own].index_add_(0, matched, gap, alpha=-1)
            order = matched.argsort()
            count = torch.bincount(matched, minlength=own.stop - own.start)
            weights = pull[lane, mine][order]
            towards = embedding_bag(rows[order], ua, count.cumsum(0) - count, mode="sum", per_sample_weights=weights)
            back = torch.zeros_like(nb[own]).index_add_(0, matched, along[lane, mine])
            dzb[own] = towards.addcmul_(ub[own], back.unsqueeze(1), value=-1).mul_(nb[own].unsqueeze(1))
        if grad_told is not None:
            dzb[own].addmm_(match_counts(winner, plan, job, dzb.dtype).T, grad_told[first:last, lane])

    def of_a(utterance: int) -> None:
        mine = slice(edges[utterance], edges[utterance + 1])
        rows = heads[mine]
        towards = embedding_bag(winner[:, rows].T.contiguous(), ub, mode="sum", per_sample_weights=pull[:, mine].T.contiguous())
        back = along[:, mine].sum(dim=0)
        assert dza is not None
        dza[rows] = towards.addcmul_(ua[rows], back.unsqueeze(1), value=-1).mul_(na[rows].unsqueeze(1))
        if dea is not None:
            dea[rows] = slope[:, mine].sum(dim=0)

    share(plan.jobs(), of_b, enough)
    if grad_similarity is not None and plan.lanes and len(plan.b):
        share(range(len(plan.a)), of_a, enough)
    return dza, dzb, dea, deb


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
