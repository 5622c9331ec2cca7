"""TIM (arXiv:2008.11297) and alpha-TIM (arXiv:2204.11181): prototypes learn S_l, and to be sure and varied on T_u.

    min_w  a CE(S_l) - b H(mean_{i in T_u} p_i) + c mean_{i in T_u} H(p_i),     p_i = softmax(t cos(x_i, w))
    H(p) = (1 - sum_c p_c^alpha) / (alpha - 1),  alpha -> 1: -sum_c p_c log p_c

w start as the means of the classes in S_l; gradient steps (Adam) move them alone.  `tim` has Shannon's entropy, `alpha_tim`
alpha 5 and other weights.  The authors' codes have this cosine classifier and, as their default, one by squared distances of
unit rows, whose logits differ by the length of w.

Class shares: the second term is largest where T_u falls into equal shares; with alpha in 2..7 it gives way where the data say
otherwise.  For `estimated` or listed shares k it is H(p) = (1 - sum_c p_c^alpha (C k_c)^(1 - alpha)) / (alpha - 1), the
entropy relative to k (ours): for alpha 1 minus KL(p || k) plus log C, for equal shares the formula above.
A class without labels has no prototype.  Prediction is by w alone, item by item, also of new utterances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sere_core.functional import unit_rows
from sere_plugins.methods.base import OwnLosses, labelled_vectors, stream_vectors
from sere_plugins.methods.label_shift import shares_trace, target_shares
from sere_plugins.specs.transductive import TimParams
from sere_registry import MethodContext, Stage, StageData, UnlabelledBatch


def alpha_entropy(posteriors: Tensor, alpha: float, relative: Tensor | None = None) -> Tensor:
    """H of `[..., C]`, relative to shares of which `relative` `[C]` is the C-fold; differentiable where a posterior is 0.

    >>> alpha_entropy(torch.tensor([0.5, 0.5]), 2.0), alpha_entropy(torch.tensor([0.5, 0.5]), 1.0)
    (tensor(0.5000), tensor(0.6931))
    """
    ratio = torch.ones_like(posteriors) if relative is None else relative.to(posteriors)
    safe = posteriors.clamp_min(1e-12)
    if alpha == 1:
        return -(posteriors * (safe / ratio).log()).sum(dim=-1)
    return (1 - (safe**alpha * ratio ** (1 - alpha)).sum(dim=-1)) / (alpha - 1)


class Tim(OwnLosses):
    """One stage; its state are the prototypes `weight` `[C, F]` and which classes were `seen` `[C]`."""

    vectors_only = True
    name = "tim"
    params: TimParams
    weight: Tensor
    seen: Tensor

    def __init__(self, params: TimParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.register_buffer("weight", torch.zeros(self.classes, context.input_dim))
        self.register_buffer("seen", torch.ones(self.classes, dtype=torch.bool))

    def stages(self) -> Sequence[Stage]:
        return [Stage(self.name, sees=frozenset({"labelled", "target"}), solve=self.solve)]

    def solve(self, data: StageData) -> Mapping[str, Sequence[float]]:
        """Gradient steps on the prototypes, in float64.

        Returns:
            By step `ce`, `marginal` and `conditional` (the entropies), and shares that are not equal.

        Raises:
            SereError: B402 if the two paths' vectors differ in width; C302 if shares do not fit the classes.
        """
        (target,) = stream_vectors(data, ["target"])
        vectors, known = labelled_vectors(self.name, data, target.shape[1])
        shares = target_shares(self.params, self.name, vectors, known, target, self.classes)
        labelled, rows = unit_rows(torch.as_tensor(vectors)), unit_rows(torch.as_tensor(target))
        given = functional.one_hot(torch.as_tensor(known), self.classes).to(rows)
        seen = given.any(dim=0) if shares is None else given.any(dim=0) & (shares > 0)
        means = (given.T @ labelled / given.sum(dim=0).clamp_min(1).unsqueeze(1))[seen]
        learns, given = given[:, seen].any(dim=1), given[:, seen]
        trace: dict[str, list[float]] = {"ce": [], "marginal": [], "conditional": []}
        relative = None if shares is None else shares[seen] * int(seen.sum())
        with torch.enable_grad():
            means.requires_grad_()
            optimizer = torch.optim.Adam([means], lr=self.params.lr)
            for _ in range(self.params.steps):
                terms = self.terms(means, labelled[learns], given[learns], rows, relative)
                optimizer.zero_grad()
                sum(terms.values(), start=means.new_zeros(())).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                for name, term in terms.items():
                    trace[name].append(term.item())
        self.weight.zero_()[seen] = means.detach().to(self.weight)
        self.seen.copy_(seen)
        return {**trace, **shares_trace(shares)}

    def terms(self, means: Tensor, labelled: Tensor, given: Tensor, rows: Tensor, relative: Tensor | None) -> dict[str, Tensor]:
        """The objective's three, with their weights and signs.

        Args:
            means: w `[S, F]` of the classes with labels.
            labelled: unit rows of S_l `[n, F]`.
            given: their one-hot labels `[n, S]`.
            rows: of T_u `[m, F]`.
            relative: S-fold shares `[S]`; None: equal ones.
        """
        own, alpha = self.params, self.params.alpha
        posteriors = self._scores(rows, means).softmax(dim=1)
        return {
            "ce": -own.labelled_weight * (given * self._scores(labelled, means).log_softmax(dim=1)).sum(dim=1).mean(),
            "marginal": -own.marginal_weight * alpha_entropy(posteriors.mean(dim=0), alpha, relative),
            "conditional": own.conditional_weight * alpha_entropy(posteriors, alpha).mean(),
        }

    def _scores(self, rows: Tensor, means: Tensor) -> Tensor:
        return self.params.temperature * rows @ unit_rows(means).T

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        """The softmax of scaled cosines to the prototypes."""
        scores = self._scores(unit_rows(batch.vectors.to(self.weight)), self.weight)
        return scores.masked_fill(~self.seen, -torch.inf).softmax(dim=1)


class AlphaTim(Tim):
    """The same with the defaults of alpha-TIM."""

    name = "alpha_tim"
