"""Joint distribution adaptive regression (Zhang et al., ICASSP 2021), a shallow method in closed form.

    min_P ||L_s - P^T X_s||_F^2 + lambda f1(P) + mu ||P^T||_{2,1}
    f1 = ||P^T (m_s - m_t)||^2 + sum_c ||P^T (m_{s,c} - m_{t,c})||^2

X_s are the vectors of S_l, m_s and m_t the means of S_l and T_u, m_{s,c} those of a class, m_{t,c} those of a
pseudo-class, yhat = argmax P^T x.  Pseudo-labels and P take turns until the labels stay.

Reconstructed: the objective is known from a transcription, the solver and what follows are ours.  Vectors come as the
engine normalises them, and a constant 1 is appended (its row of P is an intercept, penalised like the others).  The
first labels come from aligning the marginal means alone.  A class that no target utterance gets has no gap.  The
norm is read as a sum over the rows of P, since the paper means to select features; `axis: columns` takes it literally.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sere_plugins.methods.l21 import Problem, irls
from sere_plugins.methods.own_losses import refuse_losses
from sere_plugins.specs.methods import JdarParams
from sere_registry import Group, MethodContext, Stage, StageData, UnlabelledBatch, error


def gaps(source: Tensor, labels: Tensor, target: Tensor, guesses: Tensor | None, classes: int) -> Tensor:
    """Delta: the marginal gap and one for each class that both sides have, `[d, 1..C+1]`.

    Args:
        source: `[d, n_s]`.
        labels: `[n_s]`.
        target: `[d, n_t]`.
        guesses: pseudo-labels `[n_t]`; without them, the marginal gap alone.
        classes: C.
    """
    columns = [source.mean(dim=1) - target.mean(dim=1)]
    if guesses is not None:
        for c in range(classes):
            ours, theirs = labels == c, guesses == c
            if ours.any() and theirs.any():
                columns.append(source[:, ours].mean(dim=1) - target[:, theirs].mean(dim=1))
    return torch.stack(columns, dim=1)


def with_constant(vectors: Tensor) -> Tensor:
    """Vectors `[n, F]` as columns with a 1 below, `[F + 1, n]`."""
    return functional.pad(vectors, (0, 1), value=1.0).T


class Jdar(nn.Module):
    """One stage that solves for the projection P `[F + 1, C]`; the backbone stays as it is."""

    projection: Tensor

    def __init__(self, params: JdarParams, context: MethodContext) -> None:
        super().__init__()
        refuse_losses("jdar", context)
        self.params = params
        self.backbone = context.backbone
        self.classes = len(context.classes)
        self.register_buffer("projection", torch.zeros(context.input_dim + 1, self.classes))

    def parameters_by_group(self) -> Mapping[str, Group]:
        return {}

    def stages(self) -> Sequence[Stage]:
        return [Stage("jdar", sees=frozenset({"labelled", "target"}), solve=self.solve)]

    def solve(self, data: StageData) -> Mapping[str, Sequence[float]]:
        """Alternate pseudo-labels and the convex problem, in float64.

        Returns:
            By round: `objective` (it may rise when pseudo-labels change), `misalignment` (f1), `steps` of the solver and
            `changed`, the number of pseudo-labels that the round changed: 0 at the end, unless the rounds ran out.

        Raises:
            SereError: B402 if the two streams' vectors differ in width.
        """
        source, target = (data.vectors(stream).detach().cpu().double() for stream in ("labelled", "target"))
        if source.shape[1] != target.shape[1]:
            widths = f"the labelled vectors have width {source.shape[1]}, the target's {target.shape[1]}"
            raise error("B402", f"method 'jdar' needs one feature space: {widths}", hint="give both paths the same encoder", place="paths")
        labels = data.labels().cpu()
        x_s, x_t = with_constant(source), with_constant(target)
        one_hot = functional.one_hot(labels, self.classes).double().T
        trace: dict[str, list[float]] = {"objective": [], "misalignment": [], "steps": [], "changed": []}
        guesses: Tensor | None = None
        for _ in range(self.params.rounds):
            delta = gaps(x_s, labels, x_t, guesses, self.classes)
            problem = Problem(x_s, one_hot, delta, self.params.alignment, self.params.sparsity, self.params.axis)
            p, objectives = irls(problem, self.params.iterations, self.params.tolerance)
            fresh = (p.T @ x_t).argmax(dim=0)
            changed = x_t.shape[1] if guesses is None else int((fresh != guesses).sum())
            guesses = fresh
            for name, value in zip(trace, (objectives[-1], problem.misalignment(p), len(objectives), changed), strict=True):
                trace[name].append(float(value))
            if not changed:
                break
        self.projection.copy_(p)
        return trace

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        """The softmax of `P^T x`: the argmax is the method's, the probabilities are not calibrated (a one-hot target differs by 1)."""
        return (with_constant(batch.vectors.to(self.projection.dtype)).T @ self.projection).softmax(dim=-1)
