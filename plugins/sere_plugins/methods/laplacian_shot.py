"""LaplacianShot (arXiv:2006.15486) and LAME (arXiv:2201.05718): neighbours in T_u get like predictions; no gradient, no new classifier.

    min_Y sum_i y_i . a_i + sum_i y_i . log y_i + lambda/2 sum_ij w_ij ||y_i - y_j||^2        rows of Y are posteriors
    y_i <- softmax(-a_i + lambda sum_j w_ij y_j)                                              its concave-convex bound, in turn

    laplacian_shot   a_ic = ||x_i - m_c||^2,  x at length 1, m_c the mean of class c in S_l
    lame             a_i  = -log p_i,  p of a logistic regression fitted to S_l

W is the symmetric graph of k nearest neighbours in T_u, edges weigh 1.  The energy falls in every round where W is positive
semidefinite; such a graph need not be, so rounds may end at their limit, and the last energies are traced.

Deviations: the graph is symmetric and joins utterances by the cosine of standardised vectors (ours), where the codes have nearest
neighbours of unit features; LaplacianShot's rectification of prototypes is left out (off in arXiv:2204.11181's configs).
An utterance that is no node (inductive) takes one step from its k nearest nodes of T_u; a node gets its own y.
Class shares: nothing is assumed, and nothing keeps a class: with a large lambda the most frequent predictions take their
neighbours over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sere_core.functional import entropy, neighbour_graph, squared_distances, unit_rows
from sere_plugins.methods.base import Array, Labels, OwnLosses, labelled_vectors, stream_vectors
from sere_plugins.methods.graph import Nodes
from sere_plugins.methods.logistic import Linear, fitted
from sere_plugins.specs.methods import LogisticParams
from sere_plugins.specs.transductive import LaplacianParams
from sere_registry import MethodContext, Stage, StageData, UnlabelledBatch


def smoothed(unary: Tensor, graph: Tensor, weight: float, rounds: int, tolerance: float) -> tuple[Tensor, list[float]]:
    """Y `[n, C]` from a `[n, C]` and a sparse W `[n, n]`, and by round the energy without its constant (the degrees)."""
    found, energies = (-unary).softmax(dim=1), []
    kept = unary.masked_fill(unary.isinf(), 0.0)  # of a class that has posterior 0
    for _ in range(rounds):
        found = (-unary + weight * torch.sparse.mm(graph, found)).softmax(dim=1)
        pairs = (found * torch.sparse.mm(graph, found)).sum()
        energies.append(float((found * kept).sum() - entropy(found).sum() - weight * pairs))
        if len(energies) > 1 and abs(energies[-2] - energies[-1]) <= tolerance * abs(energies[-2]):
            break
    return found, energies


class LaplacianShot(OwnLosses):
    """One stage; its state are T_u's nodes with their y `[n, C]`, and the means `weight` `[C, F]` of the classes `seen` `[C]`."""

    vectors_only = True
    name = "laplacian_shot"
    params: LaplacianParams
    weight: Tensor
    bias: Tensor
    seen: Tensor

    def __init__(self, params: LaplacianParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.nodes = Nodes(context.input_dim, self.classes)
        self.register_buffer("weight", torch.zeros(self.classes, context.input_dim))
        self.register_buffer("bias", torch.zeros(self.classes))
        self.register_buffer("seen", torch.ones(self.classes, dtype=torch.bool))

    def stages(self) -> Sequence[Stage]:
        return [Stage(self.name, sees=frozenset({"labelled", "target"}), solve=self.solve)]

    def solve(self, data: StageData) -> Mapping[str, Sequence[float]]:
        """Fit what a_i comes from, then smooth it in float64.

        Returns:
            `energy` by round, and `changed`, the share of T_u that is not predicted as by a_i alone.

        Raises:
            SereError: B402 if the two paths' vectors differ in width.
        """
        (target,) = stream_vectors(data, ["target"])
        vectors, labels = labelled_vectors(self.name, data, target.shape[1])
        for name, value in self.fit(vectors, labels)._asdict().items():
            if name != "steps":
                getattr(self, name).copy_(value)
        rows = torch.as_tensor(target)
        graph = neighbour_graph(self.nodes.fit(rows), self.params.neighbours)
        unary = self.unary(rows.to(self.weight.device)).cpu()
        found, energies = smoothed(unary, graph, self.params.smoothness, self.params.rounds, self.params.tolerance)
        self.nodes.carried = found.to(self.nodes.rows)
        changed = found.argmax(dim=1) != unary.argmin(dim=1)
        return {"energy": energies, "changed": [float(changed.double().mean())]}

    def fit(self, vectors: Array, labels: Labels) -> Linear:
        """The classes' means at `weight` `[C, F]`; there is no bias."""
        rows, known = unit_rows(torch.as_tensor(vectors)), torch.as_tensor(labels)
        counts = known.bincount(minlength=self.classes)
        sums = rows.new_zeros(self.classes, rows.shape[1]).index_add(0, known, rows)
        return Linear(sums / counts.clamp_min(1).unsqueeze(1), rows.new_zeros(self.classes), counts > 0)

    def unary(self, vectors: Tensor) -> Tensor:
        """a `[n, C]` of vectors `[n, F]` in float64: infinite for a class without labels."""
        found = squared_distances(unit_rows(vectors.double()), self.weight.double())
        return found.masked_fill(~self.seen, torch.inf)

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        """One step from the nearest nodes, or the y of the utterance itself where it is one."""
        near = self.nodes.near(batch.vectors, self.params.neighbours)
        around = self.nodes.carried[near].double().sum(dim=1)
        reached = (-self.unary(batch.vectors) + self.params.smoothness * around).softmax(dim=1)
        return self.nodes.own(batch.vectors, near, reached.to(self.weight.dtype))


class Lame(LaplacianShot):
    """The same with W and b of a logistic regression at `weight` `[C, F]` and `bias` `[C]`."""

    name = "lame"

    def fit(self, vectors: Array, labels: Labels) -> Linear:
        """The classifier; its C is scikit-learn's default."""
        return fitted(LogisticParams(), self.classes, vectors, labels)

    def unary(self, vectors: Tensor) -> Tensor:
        """-log p of vectors `[n, F]`."""
        return -Linear(self.weight.double(), self.bias.double(), self.seen).logits(vectors).log_softmax(dim=1)
