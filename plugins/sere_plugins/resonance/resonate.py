"""Equations 4 to 6 with their gradient, in memory that grows with T and not with T_a x T_b.

The search keeps the winners' places alone.  Around them everything is small: a told representation is a count vector
times z^b, and the gradient of a similarity is, for each frame, a weighted sum of the frames it was matched with.
Gradients flow through z and e of the matched frames, not through the argmax [P].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from sere_plugins.resonance.gradient import gradients
from sere_plugins.resonance.kernel import inverse_norms
from sere_plugins.resonance.known import needs_gradient
from sere_plugins.resonance.packing import Layout
from sere_plugins.resonance.recipe import Matches, Recipe, match_counts
from sere_plugins.resonance.search import Plan, search


def resonate(za: Tensor, zb: Tensor, ea: Tensor | None, eb: Tensor | None, recipe: Recipe) -> tuple[Tensor, Tensor | None]:
    """S `[A, lanes]` and zt `[A, lanes, D]` (None if not asked for), differentiable in z and e.

    Args:
        za, zb: packed frames `[N_a, D]`, `[N_b, D]`.
        ea, eb: packed burst strengths `[N_a]`, `[N_b]`, or None for a kernel without burst term.
    """
    if needs_gradient(za, zb, ea, eb):
        return _Resonate.apply(za, zb, ea, eb, recipe)  # type: ignore[no-any-return, no-untyped-call]
    return _values(za, zb, ea, eb, recipe)[:2]


def _values(za: Tensor, zb: Tensor, ea: Tensor | None, eb: Tensor | None, recipe: Recipe) -> tuple[Tensor, Tensor | None, Matches]:
    plan = recipe.plan
    na, nb = inverse_norms(za), inverse_norms(zb)
    ua, ub = za * na.unsqueeze(1), zb * nb.unsqueeze(1)
    best, winner = search(ua, ub, ea, eb, plan, recipe.kernel)
    counts = match_counts(winner, plan, zb.dtype) if recipe.told else None
    told = None if counts is None else _told(counts, zb, plan)
    return by_utterance(best, plan.a, recipe.shares), told, Matches(ua, ub, na, nb, ea, eb, best, winner, counts)


def by_utterance(best: Tensor, where: Layout, shares: Tensor) -> Tensor:
    """Equation 6 from every frame's best resonance `[lanes, N_a]` and what each counts `[N_a]`: `[A, lanes]`."""
    if not best.numel():
        return best.new_zeros(len(where), len(best))
    rows, starts = torch.arange(best.shape[1], device=best.device), torch.tensor(where.starts[:-1], device=best.device)
    return embedding_bag(rows, best.T.contiguous(), starts, mode="sum", per_sample_weights=shares)


def _told(counts: Tensor, zb: Tensor, plan: Plan) -> Tensor:
    """zt `[A, lanes, D]`, equation 5."""
    told = zb.new_zeros(len(plan.a), plan.lanes, zb.shape[1])
    for first, last, b, lane in plan.jobs():
        own = plan.b.rows(b, b + 1)
        torch.mm(counts[:, own], zb[own], out=told[first:last, lane])
    return told


class _Resonate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, za, zb, ea, eb, recipe):  # type: ignore[no-untyped-def]
        similarity, told, matches = _values(za, zb, ea, eb, recipe)
        ctx.recipe = recipe
        ctx.save_for_backward(*matches)
        ctx.set_materialize_grads(False)
        return similarity, told

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx, grad_similarity, grad_told):  # type: ignore[no-untyped-def]
        return (*gradients(Matches(*ctx.saved_tensors), ctx.recipe, grad_similarity, grad_told), None)
