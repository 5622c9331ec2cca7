"""Label propagation (Zhou et al., NeurIPS 2003): the labels of S_l spread over a graph of nearest neighbours.

    S   = D^-1/2 W D^-1/2                   W: symmetric graph of k nearest neighbours of S_l, S_u and T_u, without loops
    F  <- alpha S F + (1 - alpha) Y         until it settles, at (1 - alpha) (I - alpha S)^-1 Y;  Y: one-hot rows of S_l, else 0
    p_i = F_i / sum_c F_ic

With `shares` k, the mass of each class on T_u is scaled to its share, once (class mass normalisation of Zhu et al., ICML 2003):
p_ic ~ k_c F_ic / sum_{j in T_u} F_jc with rows of F that sum to 1.

Deviations: edges weigh 1 and join utterances by the cosine of vectors that are standardised within their domain (ours), where
Zhou et al. have a Gaussian kernel.  An utterance that no label reaches gets equal posteriors; their number is traced.
An utterance that is no node (inductive) gets the mean p of its k nearest nodes, then the same scaling; a node gets its own p.
Class shares: without `shares` nothing is assumed of T_u's, but as many seeds of each class are spread as S_l has; near alpha = 1
all rows of F are nearly alike, so that classes whose seeds have many neighbours take most of T_u, and with unequal `shares`
the class of the largest share does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sere_core.functional import equal_shares, neighbour_graph, normalised_graph
from sere_plugins.methods.base import OwnLosses, labelled_vectors, stream_vectors
from sere_plugins.methods.graph import Nodes
from sere_plugins.methods.label_shift import shares_trace, target_shares
from sere_plugins.specs.transductive import LabelPropagationParams
from sere_registry import MethodContext, Stage, StageData, UnlabelledBatch
from sere_registry.guard import warn
from sere_registry.training import Stream


def spread(graph: Tensor, labels: Tensor, alpha: float, rounds: int, tolerance: float) -> tuple[Tensor, list[float]]:
    """F `[n, C]` from a normalised graph `[n, n]` and Y `[n, C]`, and the largest change of each round."""
    found, changes = labels, []
    for _ in range(rounds):
        fresh = alpha * torch.sparse.mm(graph, found) + (1 - alpha) * labels
        changes.append(float((fresh - found).abs().max()))
        found = fresh
        if changes[-1] <= tolerance * (1 - alpha):
            break
    return found, changes


class LabelPropagation(OwnLosses):
    """One stage; its state are the nodes with their p `[n, C]`, and `offsets` `[C]`, the logarithms of the scaling."""

    vectors_only = True
    params: LabelPropagationParams
    offsets: Tensor

    def __init__(self, params: LabelPropagationParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.nodes = Nodes(context.input_dim, self.classes)
        self.register_buffer("offsets", torch.zeros(self.classes))

    def stages(self) -> Sequence[Stage]:
        source: tuple[Stream, ...] = ("source",) if self.params.use_source else ()
        return [Stage("label_propagation", sees=frozenset({"labelled", "target", *source}), solve=self.solve)]

    def solve(self, data: StageData) -> Mapping[str, Sequence[float]]:
        """Spread in float64.

        Returns:
            `change` by round, `unreached` (the share of T_u without a label's path), and the shares, where they are not equal.

        Raises:
            SereError: B402 if the two paths' vectors differ in width; C302 if shares do not fit the classes.
        """
        (target,) = stream_vectors(data, ["target"])
        labelled, known = labelled_vectors("label_propagation", data, target.shape[1])
        others = stream_vectors(data, ["source"] if self.params.use_source else [])
        rows = self.nodes.fit(*(torch.as_tensor(each) for each in (target, labelled, *others)))
        seeds, count = rows.new_zeros(len(rows), self.classes), len(target)
        seeds[count : count + len(labelled)] = functional.one_hot(torch.as_tensor(known), self.classes).to(rows)
        graph = normalised_graph(neighbour_graph(rows, self.params.neighbours))
        found, changes = spread(graph, seeds, self.params.alpha, self.params.rounds, self.params.tolerance)
        mass = found.sum(dim=1, keepdim=True)
        seen = seeds.any(dim=0).to(rows)
        posteriors = torch.where(mass > 0, found / mass.clamp_min(1e-300), seen / seen.sum())
        self.nodes.carried = posteriors.to(self.offsets)
        unreached = mass[:count] == 0
        if unreached.any():
            warn(
                "label_propagation", "unreached", f"label_propagation: no label reaches {int(unreached.sum())} of {count} target utterances"
            )
        trace = {"change": changes, "unreached": [float(unreached.double().mean())]}
        if self.params.shares == "none":
            return trace
        shares = target_shares(self.params, "label_propagation", labelled, known, target, self.classes)
        here = posteriors[:count]
        self.offsets.copy_(equal_shares(here.log(), rounds=1, among=here.sum(dim=0) > 0, given=shares).offsets)
        return {**trace, **shares_trace(shares)}

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        """p of the nearest nodes, or of the utterance itself where it is one, scaled to the shares."""
        near = self.nodes.near(batch.vectors, self.params.neighbours)
        posteriors = self.nodes.own(batch.vectors, near, self.nodes.carried[near].mean(dim=1))
        return (posteriors.log() + self.offsets).softmax(dim=1)
