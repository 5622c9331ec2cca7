"""Equations 4 to 6 with their gradient, in memory that grows with T and not with T_a x T_b.

The search keeps the winners' places alone.  Around them everything is small: a told representation is a count vector
times z^b, and the gradient of a similarity is, for each frame, a weighted sum of the frames it was matched with.
Gradients flow through z and e of the matched frames, not through the argmax [P].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from sere_plugins.resonance.kernel import Kernel, inverse_norms
from sere_plugins.resonance.search import Plan, search


@dataclass(frozen=True)
class Recipe:
    """What to compute.

    Args:
        plan: which utterances meet.
        kernel: equation 4.
        shares: `[N_a]`, what each frame of a counts in equation 6: 1 / |H_a| for highlights, else 0.
        told: is equation 5's representation asked for?
    """

    plan: Plan
    kernel: Kernel
    shares: Tensor
    told: bool


def resonate(za: Tensor, zb: Tensor, ea: Tensor | None, eb: Tensor | None, recipe: Recipe) -> tuple[Tensor, Tensor | None]:
    """S `[A, lanes]` and zt `[A, lanes, D]` (None if not asked for), differentiable in z and e.

    Args:
        za, zb: packed frames `[N_a, D]`, `[N_b, D]`.
        ea, eb: packed burst strengths `[N_a]`, `[N_b]`, or None for a kernel without burst term.
    """
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (za, zb, ea, eb)):
        return _Resonate.apply(za, zb, ea, eb, recipe)  # type: ignore[no-any-return, no-untyped-call]
    return _values(za, zb, ea, eb, recipe, where=recipe.told)[:2]


def _values(za: Tensor, zb: Tensor, ea: Tensor | None, eb: Tensor | None, recipe: Recipe, where: bool) -> tuple[Tensor, Tensor | None, Any]:
    plan = recipe.plan
    na, nb = inverse_norms(za), inverse_norms(zb)
    unit = zb * nb.unsqueeze(1)
    best, winner = search(za, unit, na, ea, eb, plan, recipe.kernel, where)
    similarity = za.new_zeros(len(plan.a), plan.lanes).index_add_(0, plan.a.owner, (best * recipe.shares).T)
    told = None
    if recipe.told and winner is not None:
        told = za.new_zeros(len(plan.a), plan.lanes, zb.shape[1])
        for first, last, b, lane in plan.jobs():
            told[first:last, lane] = _counts(winner, recipe, first, last, b, lane, zb.dtype) @ zb[plan.b.rows(b, b + 1)]
    return similarity, told, (na, nb, unit, best, winner)


def _counts(winner: Tensor, recipe: Recipe, first: int, last: int, b: int, lane: int, dtype: torch.dtype) -> Tensor:
    """How often each frame of b was matched, over T_a: zt = counts @ z^b (equation 5), `[last - first, T_b]`."""
    plan = recipe.plan
    rows, length = plan.a.rows(first, last), plan.b.lengths[b]
    cell = (plan.a.owner[rows] - first) * length + (winner[lane, rows] - plan.b.starts[b])
    counts = torch.bincount(cell, minlength=(last - first) * length).view(last - first, length).to(dtype)
    return counts / counts.sum(dim=1, keepdim=True).clamp(min=1)


class _Resonate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, za, zb, ea, eb, recipe):  # type: ignore[no-untyped-def]
        similarity, told, (na, nb, unit, best, winner) = _values(za, zb, ea, eb, recipe, where=True)
        ctx.recipe = recipe
        ctx.save_for_backward(za, unit, na, nb, ea, eb, best, winner)
        ctx.set_materialize_grads(False)
        return similarity, told

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx, grad_similarity, grad_told):  # type: ignore[no-untyped-def]
        za, unit, na, nb, ea, eb, best, winner = ctx.saved_tensors
        recipe = ctx.recipe
        plan = recipe.plan
        dza = dzb = dea = deb = None
        if grad_similarity is not None:
            heads = recipe.shares.nonzero().squeeze(1)  # only highlights have a gradient
            matched = winner[:, heads]
            weight = grad_similarity.T[:, plan.a.owner[heads]] * recipe.shares[heads]
            pull, along, gap = _local(weight, best[:, heads], matched, ea, eb, heads, recipe.kernel)
            if gap is not None:
                dea = torch.zeros_like(ea).index_copy_(0, heads, gap.sum(dim=0))
                deb = torch.zeros_like(eb).index_add_(0, matched.flatten(), gap.flatten(), alpha=-1)
            if ctx.needs_input_grad[0]:
                dza = torch.zeros_like(za).index_copy_(0, heads, _pull_a(za[heads], unit, na[heads], matched, pull, along))
            if ctx.needs_input_grad[1]:
                dzb = _pull_b(za, unit, na, nb, heads, matched, pull, along)
        if grad_told is not None and ctx.needs_input_grad[1]:
            dzb = torch.zeros_like(unit) if dzb is None else dzb
            for first, last, b, lane in plan.jobs():
                counts = _counts(winner, recipe, first, last, b, lane, unit.dtype)
                dzb[plan.b.rows(b, b + 1)].addmm_(counts.T, grad_told[first:last, lane])
        return dza, dzb, dea, deb, None


def _local(
    weight: Tensor, best: Tensor, matched: Tensor, ea: Tensor | None, eb: Tensor | None, heads: Tensor, kernel: Kernel
) -> tuple[Tensor, Tensor, Tensor | None]:
    """dL/dcos, dL/dcos * cos and dL/d(e_i - e_j) of every match `[lanes, heads]`, from dL/dR."""
    if kernel.sync is None or ea is None or eb is None:
        return weight, weight * best, None
    gap = ea[heads] - eb[matched]
    slope = kernel.slope(gap)
    synchrony = kernel.synchrony(gap)
    if kernel.combine == "product":
        through = weight * best
        return weight * synchrony, through, through * slope
    return weight, weight * (best - synchrony), weight * synchrony * slope


def _pull_a(za: Tensor, unit: Tensor, na: Tensor, matched: Tensor, pull: Tensor, along: Tensor) -> Tensor:
    """The gradient of cosines in z^a: sum_b pull * n_i * (zhat_j - cos * zhat_i)."""
    towards = embedding_bag(matched.T.contiguous(), unit, mode="sum", per_sample_weights=pull.T.contiguous())
    own = along.sum(dim=0) * na.square()
    return towards.mul_(na.unsqueeze(1)).addcmul_(za, own.unsqueeze(1), value=-1)


def _pull_b(za: Tensor, unit: Tensor, na: Tensor, nb: Tensor, heads: Tensor, matched: Tensor, pull: Tensor, along: Tensor) -> Tensor:
    """The same in z^b, where one frame may have been matched by many."""
    flat = matched.flatten()
    order = flat.argsort()
    counts = torch.bincount(flat, minlength=len(unit))
    weights = (pull * na[heads]).flatten()[order]
    towards = embedding_bag(heads[order % max(len(heads), 1)], za, counts.cumsum(0) - counts, mode="sum", per_sample_weights=weights)
    own = torch.zeros_like(nb).index_add_(0, flat, along.flatten())
    return towards.addcmul_(unit, own.unsqueeze(1), value=-1).mul_(nb.unsqueeze(1))
