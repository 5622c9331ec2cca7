"""GRAND (arXiv:2005.11079): an MLP on features that spread over a graph, from which whole nodes are dropped at random.

    A       = D^-1/2 (W + I) D^-1/2                        W: symmetric graph of k nearest neighbours of T_u, S_l and S_u
    Xbar(X) = 1/(K + 1) sum_{k=0}^K A^k X                  mixed-order propagation
    X^(s)   = diag(e) X,  e_i ~ Bernoulli(1 - delta)       DropNode, s = 1..S draws; unscaled, X^(pred) = (1 - delta) X
    p^(s)   = softmax(MLP(Xbar(X^(s)))),  pbar = mean_s p^(s),  pbar' ~ pbar^(1/T) without gradient
    L       = 1/S sum_s CE(S_l; p^(s)) + lambda 1/S sum_s mean_i ||pbar'_i - p_i^(s)||^2          i: all nodes

Each step is one of all nodes, as in the authors' code (`train_grand.py`: Adam, 0.01, weight decay 5e-4).  The number of steps and
the optimizer are the config's, so that the budget is that of other methods: a stage with a phase, which reads no batch, since
the graph that `begin` builds holds every utterance.  The MLP reads vectors; the backbone is not touched.

Deviations: the graph is ours (the paper's are citations): cosine of vectors standardised within their domain, which are also X.
The authors stop early by labels of a validation set; here the steps run out.
An utterance that is no node (inductive) is one more row of A with edges to its k nearest nodes, whose own rows stay as they are;
what it needs of them, G = sum_m c_m A^m X, is stored.  A node gets its own Xbar.
Class shares: nothing is assumed; sharpening makes what is frequent among predictions more frequent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sere_core.functional import neighbour_graph, normalised_graph
from sere_plugins.methods.base import OwnLosses, labelled_vectors, stream_vectors
from sere_plugins.methods.graph import Nodes
from sere_plugins.specs.transductive import GrandParams
from sere_registry import Group, MethodContext, Phase, Stage, StageData, UnlabelledBatch
from sere_registry.training import Stream


def propagated(graph: Tensor, rows: Tensor, weights: Sequence[float]) -> Tensor:
    """`sum_k weights_k A^k X` of a sparse A `[n, n]` and X `[n, F]`."""
    found = weights[0] * rows if weights else torch.zeros_like(rows)
    for weight in weights[1:]:
        rows = torch.sparse.mm(graph, rows)
        found = found + weight * rows
    return found


def consistency(logs: Tensor, temperature: float) -> Tensor:
    """`1/S sum_s mean_i ||pbar'_i - p_i^(s)||^2` of log-posteriors `[S, n, C]`; no gradient reaches pbar'."""
    posteriors = logs.exp()
    sharp = posteriors.mean(dim=0).detach() ** (1 / temperature)
    return (posteriors - sharp / sharp.sum(dim=1, keepdim=True)).square().sum(dim=2).mean()


class Grand(OwnLosses):
    """One stage; beside the MLP its state are the nodes, which carry G and Xbar, `[n, 2 F]`."""

    params: GrandParams

    def __init__(self, params: GrandParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.nodes = Nodes(context.input_dim, 2 * context.input_dim)
        dropout = params.dropout
        self.mlp = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(context.input_dim, params.hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(params.hidden, self.classes),
        )
        self.streams: tuple[Stream, ...] = ("source",) if params.use_source else ()
        self._graph: tuple[Tensor, Tensor, int] | None = None

    def parameters_by_group(self) -> Mapping[str, Group]:
        decay = {"weight_decay": self.params.weight_decay}
        return {"mlp": Group(list(self.mlp.parameters()), scale=self.params.rate, options=decay)}

    def stages(self) -> Sequence[Stage]:
        phase = Phase("grand", self.loss, trains=("mlp",), reads=frozenset())
        return [Stage("grand", sees=frozenset({"labelled", "target", *self.streams}), phases=(phase,), begin=self.begin)]

    def begin(self, data: StageData) -> None:
        """Build the graph and, for prediction, what its nodes carry; the same after a resume.

        Raises:
            SereError: B402 if the two paths' vectors differ in width.
        """
        (target,) = stream_vectors(data, ["target"])
        labelled, known = labelled_vectors("grand", data, target.shape[1])
        unit = self.nodes.fit(*(torch.as_tensor(each) for each in (target, labelled, *stream_vectors(data, self.streams))))
        graph = normalised_graph(neighbour_graph(unit, self.params.neighbours), loops=True).to(self.nodes.rows)
        self._graph = graph, torch.as_tensor(known).to(self.nodes.rows.device), len(target)
        first, second = graph.indices()
        degrees = graph.values()[first == second].reciprocal().unsqueeze(1)  # the loop of a row is 1 / (its degree)
        carried = propagated(graph, self.nodes.rows, self._orders(len(unit))[1]) / degrees.sqrt()
        whole = propagated(graph, self.nodes.rows, self._mean())
        self.nodes.carried = (1 - self.params.drop) * torch.cat([carried, whole], dim=1)

    def _mean(self) -> list[float]:
        return [1 / (self.params.order + 1)] * (self.params.order + 1)

    def _orders(self, nodes: int) -> tuple[float, list[float]]:
        """Of a new row of A with b = 1/(edges + 1) on its diagonal: what it keeps of itself, and c_m of its nodes' A^m X.

        h_0 = x, h_k = b h_{k-1} + sqrt(b) sum_j (A^{k-1} X)_j / sqrt(d_j), and Xbar the mean of h_0 to h_K.
        """
        share, order = 1 / (min(self.params.neighbours, nodes) + 1), self.params.order
        own = sum(share**k for k in range(order + 1)) / (order + 1)
        return own, [share**0.5 * sum(share**k for k in range(order - m)) / (order + 1) for m in range(order)]

    def loss(self) -> Mapping[str, Tensor]:
        """Both terms of a step on all nodes."""
        assert self._graph is not None, "begin comes first"
        graph, known, first = self._graph
        rows = self.nodes.rows
        logs = torch.stack([self._draw(graph, rows) for _ in range(self.params.draws)])
        seeds = logs[:, first : first + len(known)]
        ce = functional.nll_loss(seeds.flatten(0, 1), known.repeat(self.params.draws))
        if not self.params.weight:
            return {"ce": ce}
        return {"ce": ce, "consistency": self.params.weight * consistency(logs, self.params.temperature)}

    def _draw(self, graph: Tensor, rows: Tensor) -> Tensor:
        """Log-posteriors `[n, C]` of one draw of DropNode."""
        kept = torch.rand(len(rows), 1, device=rows.device) >= self.params.drop
        with torch.autocast(rows.device.type, enabled=False):
            found: Tensor = self.mlp(propagated(graph, rows * kept, self._mean())).log_softmax(dim=1)
        return found

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        """The MLP on Xbar without dropping nodes: of the utterance's own row, or reached from its nearest nodes."""
        rows = self.nodes.standardised(batch.vectors)
        near = self.nodes.near(batch.vectors, self.params.neighbours)
        width = rows.shape[1]
        spread = self.nodes.carried[near].sum(dim=1)[:, :width]
        own, _ = self._orders(len(self.nodes.rows))
        reached = (1 - self.params.drop) * own * rows + spread
        whole = self.nodes.own(batch.vectors, near, torch.cat([spread, reached], dim=1))[:, width:]
        found: Tensor = self.mlp(whole).softmax(dim=1)
        return found
