"""PT-MAP (arXiv:2006.03806): class means move to where optimal transport, in given class shares, puts T_u.

    x   <- sgn(x) |x|^0.5,  x / ||x||,  x - mean of its domain,  x / ||x||                     power transform
    mu_c = mean of class c in S_l;  then 20 times
    P    = Sinkhorn(exp(-lambda ||x_i - mu_c||^2)):  sum_c P_ic = 1,  sum_i P_ic = n k_c       i in T_u
    mu_c <- mu_c + alpha (sum_i P_ic x_i / sum_i P_ic - mu_c)

As in the authors' code, S_l takes part in the means of the last line, with its labels as rows of P (`use_labelled`; the formula
alone is ambiguous).  sgn(x)|x|^0.5 stands for their square root of features that are not negative; their QR reduction, which
changes no distance, is left out.  P is softmax_c(-lambda ||x - mu_c||^2 + v_c) with offsets v of the last scaling, so that an
utterance that took no part (inductive) is predicted in the same way, alone, with the mean of T_u.

Class shares: `equal` is the paper's assumption and its weakness (18 points lost in vision under Dirichlet(2) shares,
arXiv:2204.11181); k can be `estimated` or listed.  A class without labels has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sere_core.functional import equal_shares, squared_distances, unit_rows
from sere_plugins.methods.base import OwnLosses, labelled_vectors, stream_vectors
from sere_plugins.methods.label_shift import shares_trace, target_shares
from sere_plugins.specs.transductive import PtMapParams
from sere_registry import MethodContext, Stage, StageData, UnlabelledBatch

SCALINGS = 300


def transformed(vectors: Tensor, power: float) -> Tensor:
    """`sgn(x) |x|^power` at length 1, `[n, F]`."""
    return unit_rows(vectors.sign() * vectors.abs() ** power)


class PtMap(OwnLosses):
    """One stage; its state are mu `[C, F]`, v `[C]`, which classes were `seen` `[C]`, and the `centre` `[F]` of T_u."""

    vectors_only = True
    params: PtMapParams
    means: Tensor
    offsets: Tensor
    seen: Tensor
    centre: Tensor

    def __init__(self, params: PtMapParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.register_buffer("means", torch.zeros(self.classes, context.input_dim))
        self.register_buffer("offsets", torch.zeros(self.classes))
        self.register_buffer("seen", torch.ones(self.classes, dtype=torch.bool))
        self.register_buffer("centre", torch.zeros(context.input_dim))

    def stages(self) -> Sequence[Stage]:
        return [Stage("pt_map", sees=frozenset({"labelled", "target"}), solve=self.solve)]

    def solve(self, data: StageData) -> Mapping[str, Sequence[float]]:
        """Transport and move, in float64.

        Returns:
            `moved`, the largest step of a mean by round, `confidence` (the mean largest P), and shares that are not equal.

        Raises:
            SereError: B402 if the two paths' vectors differ in width; C302 if shares do not fit the classes.
        """
        (target,) = stream_vectors(data, ["target"])
        vectors, known = labelled_vectors("pt_map", data, target.shape[1])
        shares = target_shares(self.params, "pt_map", vectors, known, target, self.classes)
        labelled, rows = (transformed(torch.as_tensor(each), self.params.power) for each in (vectors, target))
        self.centre.copy_(rows.mean(dim=0))
        labelled, rows = unit_rows(labelled - labelled.mean(dim=0)), unit_rows(rows - rows.mean(dim=0))
        given = functional.one_hot(torch.as_tensor(known), self.classes).to(rows)
        seen = given.any(dim=0)
        means = given.T @ labelled / given.sum(dim=0).clamp_min(1).unsqueeze(1)
        every = torch.cat([labelled, rows])
        trace: dict[str, list[float]] = {"moved": [], "confidence": []}
        for _ in range(self.params.rounds):
            plan = equal_shares(-self.params.sharpness * squared_distances(rows, means), SCALINGS, among=seen, given=shares)
            whole = torch.cat([given if self.params.use_labelled else torch.zeros_like(given), plan.posteriors])
            mass = whole.sum(dim=0).unsqueeze(1)
            steps = self.params.step * torch.where(mass > 0, whole.T @ every / mass.clamp_min(1e-300) - means, 0.0)
            means = means + steps
            trace["moved"].append(float(steps.norm(dim=1).max()))
            trace["confidence"].append(float(plan.posteriors.amax(dim=1).mean()))
        last = equal_shares(-self.params.sharpness * squared_distances(rows, means), SCALINGS, among=seen, given=shares)
        self.means.copy_(means)
        self.offsets.copy_(last.offsets)
        self.seen.copy_(seen if shares is None else seen & (shares > 0))
        return {**trace, **shares_trace(shares)}

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        """P of each utterance alone, by the offsets of T_u."""
        rows = unit_rows(transformed(batch.vectors.to(self.means), self.params.power) - self.centre)
        scores = self.offsets - self.params.sharpness * squared_distances(rows, self.means)
        return scores.masked_fill(~self.seen, -torch.inf).softmax(dim=1)
