"""ADoGT (Gao et al., IEEE Transactions on Affective Computing, 2023), reconstructed: centre loss, a domain adversary, gated fusion.

    gate = sigmoid(W [h1; h2]),  h = gate * h1 + (1 - gate) * h2                      all [B, D]
    L    = CE(S_l) + lambda_c (1/2B) sum_i ||h_i - c_{y_i}||^2 + b L_dom(h)
    c_k <- c_k - alpha sum_{i: y_i = k} (c_k - h_i) / (1 + n_k)                       after every step (Wen et al., ECCV 2016)

h1 is the network's embedding g, h2 a projection (linear, LayerNorm) of the frozen encoder's mean vector, L_dom DANN's, with
its gradient reversed on the way to h (`losses/dann.py`).  The classifier sees h; prediction is item by item.

Reconstructed: the abstract tells the four parts.  That domains are corpora and the adversary sits on h, and all numbers,
are ours.  Two things are weaker than in the paper: its transformer over spectra is whatever network the config trains, and its
separate unsupervised extractor is the config's encoder, so that h1 and h2 come from the same frozen frames.  The
source side of L_dom is S_l and S_u.

Without `fusion`, and with both weights 0, it is source-only, to the bit.  What is assumed of class shares is DANN's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sere_core.functional import centre_loss, moved_centres
from sere_plugins.losses.dann import DomainAdversary
from sere_plugins.methods.base import OwnLosses, check_width
from sere_plugins.specs.adversarial import AdogtParams
from sere_registry import Encoded, Group, LabelledBatch, MethodContext, Phase, Progress, Stage, UnlabelledBatch
from sere_registry.training import Stream


class GatedFusion(nn.Module):
    """h of h1 `[B, D]` and vectors `[B, F]`; `gate` is the last one, `[B, D]`."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.projection = nn.Sequential(nn.Linear(width, dim), nn.LayerNorm(dim))
        self.mixing = nn.Linear(2 * dim, dim)
        self.gate: Tensor | None = None

    def forward(self, first: Tensor, vectors: Tensor) -> Tensor:
        second = self.projection(vectors.to(first.dtype))
        gate = torch.sigmoid(self.mixing(torch.cat([first, second], dim=1)))
        self.gate = gate.detach()
        fused: Tensor = gate * first + (1 - gate) * second
        return fused


class Adogt(OwnLosses):
    """One stage of one phase: network, fusion and classifier learn together, the discriminator against them."""

    params: AdogtParams
    centres: Tensor

    def __init__(self, params: AdogtParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.width = context.input_dim
        self.fusion = GatedFusion(context.embedding_dim, context.input_dim) if params.fusion else None
        self.adversary = DomainAdversary(context.embedding_dim, params) if params.domain_weight else None
        self.register_buffer("centres", torch.zeros(self.classes, context.embedding_dim))

    def parameters_by_group(self) -> Mapping[str, Group]:
        trained = [*self.backbone.parameters(), *(self.fusion.parameters() if self.fusion else [])]
        return {"network": Group(trained), **(self.adversary.parameters_by_group() if self.adversary else {})}

    def stages(self) -> Sequence[Stage]:
        sees = frozenset[Stream]({"labelled", "source", "target"} if self.adversary else {"labelled"})
        phase = Phase("learn", self.learn, trains=tuple(self.parameters_by_group()), reads=sees | {"progress"})
        return [Stage("adogt", sees, (phase,))]

    def learn(self, progress: Progress, labelled: LabelledBatch, **unlabelled: UnlabelledBatch) -> Mapping[str, Tensor]:
        """The terms of L, and the step of the centres."""
        rows = self.fused(labelled)
        terms = {"ce": functional.cross_entropy(self.backbone.classifier(rows), labelled.labels)}
        if self.params.centre_weight:
            terms["centre"] = self.params.centre_weight * centre_loss(rows, labelled.labels, self.centres)
            self.centres = moved_centres(self.centres, rows, labelled.labels, self.params.centre_rate)
        if self.adversary is not None:
            sides = [rows, *(self.fused(unlabelled[name]) for name in ("source", "target"))]
            terms["domain"] = self.params.domain_weight * self.adversary(progress, torch.cat(sides), len(sides[-1]))
        return terms

    def fused(self, batch: Encoded) -> Tensor:
        """h `[B, D]`.

        Raises:
            SereError: B402 if the two paths' vectors differ in width.
        """
        if self.fusion is None:
            return batch.embedding
        check_width("adogt_reconstructed", batch.vectors.shape[1], self.width)
        fused: Tensor = self.fusion(batch.embedding, batch.vectors)
        return fused

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        """The softmax of the classifier on h."""
        logits: Tensor = self.backbone.classifier(self.fused(batch))
        return logits.softmax(dim=-1)

    def diagnostics(self) -> Mapping[str, float]:
        """The discriminator's, and `gate`."""
        found = {} if self.adversary is None else dict(self.adversary.diagnostics())
        if self.fusion is not None and self.fusion.gate is not None:
            found["gate"] = float(self.fusion.gate.mean())
        return found
