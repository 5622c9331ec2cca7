"""TRIC: SERE's Triple-Resonance Interaction Chain (arXiv 2604.07417).

g_u = mean_t z_t is the utterance embedding, y_l the label of a labelled item, S and zt come from the resonance field
(equations 5 and 6).  Three resonances: prototype (with S_l), intra-source (S_u with S_l), cross-lingual (T_u with S_u).

    anchor  a(j) = argmax_{l in S_l} S(u_j, l), pseudo-label y_{a(j)}                                    [P]
    (7)  P_c  = ( sum_{l: y_l=c} g_l + sum_{j in U_c} m_j ) / ( N_c + M_c ),  m_j = 1/2 ( g_j + g_{a(j)} )  [P; R the 1/2: `mix`]
         U_c are the items of U with pseudo-label c; U is T_u, or S_u and then T_u                       [R `anchors_from`]
    (8)  L_PR = (1/M) sum_c sum_{j in U_c} || zt_j - P_c ||^2,  zt_j = zt_{j<-a(j)}                      [P; R `squared`, `prototype_loss`]
    (9)  L_DR = mean over u in S_u and T_u of dist( zt_{u<-r(u)}, zt_{r(u)<-u} )                         [P; R `distance`]
         r(u) = argmax S(u, .) over S_l if u in S_u, over S_u if u in T_u
    (10) L    = CE(S_l) + lambda_PR L_PR + lambda_DR L_DR                                                [R; CE is another loss]

[P] the paper says so, [R] our reading, with the parameter that holds the alternatives.  Anchors and r(u) are searched over
all pairs without gradient; only the chosen pairs are aligned with gradient.

What this reading implies, and `diagnostics` watches:
* zt_j is made of its anchor's frames, so (8) pulls labelled frames to P_c and reaches T_u through m_j alone.
* alpha (equation 3) moves the argmax and nothing else that (8) or (9) read: by default it gets no gradient and stays where
  it starts.  `mix: resonance` gives it one.
* (8) is least where everything is one point.  Frames that end in a LayerNorm cannot shrink to 0, but all classes can fall
  together: watch `prototype_spread`, which a large lambda_PR sends towards 0.  Where nothing bounds frames, `embedding_norm`
  falls, and `normalise: l2` prevents that.
* (8) and (9) punish whatever makes two utterances differ, bursts included: IDFE's gates tend to close under them.  Then
  e is 0 everywhere and the burst term says nothing: watch the field's `burst_spread`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sere_core.functional import unit_rows, wide
from sere_plugins.specs.losses import TricParams
from sere_registry import BuildContext, Encoded, LabelledBatch, Resonance, ResonanceField, UnlabelledBatch, error


@dataclass(frozen=True)
class Matched:
    """Items u, each with the partner that resonates with it most, r(u) or a(u): rows `picks` of a pool.

    Args:
        resonance: S of each item and its partner, the aligned representation of the item and, if `both`, of the partner.
    """

    items: Encoded
    pool: Encoded
    picks: Tensor
    resonance: Resonance

    @classmethod
    def find(cls, items: Encoded, pool: Encoded, field: ResonanceField, both: bool, among: Tensor | None = None) -> Matched | None:
        """The best partner of every item; None where a side is empty.

        Args:
            both: align the partners with their items too?
            among: `[items, pool]` bool, who may be whose partner; None: everybody.
        """
        if not len(items) or not len(pool):
            return None
        similarity = field.similarity(items, pool)
        picks = (similarity if among is None else similarity.masked_fill(~among, -torch.inf)).argmax(dim=1)
        return cls(items, pool, picks, field.aligned(items, pool, picks, both=both))


#: items of U with their anchors, and the pseudo-labels `[n]` of these items
Members = tuple[Matched, Tensor]


def prototypes(labelled: Tensor, labels: Tensor, mixed: Tensor, pseudo: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """P_c `[C, D]`, equation 7, and N_c + M_c `[C]`.

    Args:
        labelled: g_l, `[N, D]`, with `labels` `[N]`.
        mixed: m_j, `[M, D]`, with pseudo-labels `[M]`; a class without any keeps its labelled mean.

    >>> prototypes(torch.tensor([[1.0], [4.0]]), torch.tensor([0, 1]), torch.tensor([[3.0]]), torch.tensor([0]), 2)
    (tensor([[2.],
            [4.]]), tensor([2., 1.]))
    """
    rows = torch.cat([labelled, mixed])
    members = functional.one_hot(torch.cat([labels, pseudo]), classes).to(rows.dtype)
    count = members.sum(dim=0)
    return members.T @ rows / count.clamp(min=1).unsqueeze(1), count


class Tric(nn.Module):
    """Prototype, intra-source and cross-lingual resonance: lambda_PR L_PR and lambda_DR L_DR of equation 10.

    Where nothing reads S_u (`dual_weight: 0`, and `anchors_from: target` or no prototype term) it is not even encoded.
    """

    def __init__(self, params: TricParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params
        self.classes = context.classes
        self.predicts = params.predict != "classifier"
        chained = params.prototype_weight != 0 and params.anchors_from != "target"
        self.reads = frozenset({"support", "target", "field", *(["source"] if params.dual_weight or chained else [])})
        self._seen: dict[str, Tensor] = {}
        self._anchors = Anchors()

    # -- equations 7 to 10 ------------------------------------------------------------------------------------------

    def forward(
        self, *, support: LabelledBatch, target: UnlabelledBatch, field: ResonanceField, source: UnlabelledBatch | None = None
    ) -> Mapping[str, Tensor]:
        """The two weighted terms; one of weight 0 is a constant 0 and costs nothing."""
        p, self._seen = self.params, {}
        prototype = dual = support.embedding.new_zeros(())
        intra = cross = None
        with torch.autocast(support.embedding.device.type, enabled=False):
            if source is not None:
                intra = Matched.find(source, support, field, both=p.dual_weight > 0)
                if p.dual_weight or p.anchors_from == "relay":
                    cross = Matched.find(target, source, field, both=p.dual_weight > 0)
            members = self._members(support, target, field, intra, cross) if p.prototype_weight else []
            if members:
                prototype = self._prototype(support, members)
            pairs = [each for each in (intra, cross) if each is not None]
            if p.dual_weight and pairs:
                dual = self._dual(pairs)
        for each in [matched for matched, _ in members] or pairs:
            if each.pool is support:
                self._anchors.note(each.picks, support.labels)
        self._seen["embedding_norm"] = torch.cat([support.embedding, target.embedding]).detach().norm(dim=1).mean()
        if "prototype_spread" not in self._seen:  # no equation 7 this time: the labelled means still show a collapse
            self._seen["prototype_spread"] = _spread(*self._labelled_means(support))
        return {"prototype": p.prototype_weight * prototype, "dual": p.dual_weight * dual}

    def _members(
        self, support: LabelledBatch, target: UnlabelledBatch, field: ResonanceField, intra: Matched | None, cross: Matched | None
    ) -> list[Members]:
        """U of equation 7."""
        found: list[Members | None] = []
        if intra is not None and self.params.anchors_from != "target":
            found.append((intra, support.labels[intra.picks]))
        if self.params.anchors_from != "relay":
            found.append(self._anchored(support, target, field))
        elif intra is not None and cross is not None:  # S_l labels S_u, and S_u labels T_u
            found.append((cross, support.labels[intra.picks][cross.picks]))
        return [each for each in found if each is not None]

    def _anchored(self, support: LabelledBatch, target: UnlabelledBatch, field: ResonanceField) -> Members | None:
        """T_u with a(j) and y_{a(j)}."""
        found = Matched.find(target, support, field, both=False)
        return None if found is None else (found, support.labels[found.picks])

    def _prototype(self, support: LabelledBatch, members: Sequence[Members]) -> Tensor:
        """L_PR, equations 7 and 8."""
        own = torch.cat([self._scaled(each.items.embedding) for each, _ in members])
        anchors = torch.cat([self._scaled(each.pool.embedding.index_select(0, each.picks)) for each, _ in members])
        similarity = torch.cat([each.resonance.similarity for each, _ in members])
        aligned = torch.cat([self._scaled(each.resonance.aligned) for each, _ in members])
        pseudo = torch.cat([labels for _, labels in members])
        if self.params.mix == "mean":
            mixed = (own + anchors) / 2
        else:
            share = similarity.clamp(min=0).unsqueeze(1)
            mixed = (own + share * anchors) / (1 + share)
        centres, count = prototypes(self._scaled(support.embedding), support.labels, mixed, pseudo, len(self.classes))
        self._seen["prototype_spread"] = _spread(centres, count)
        self._seen["aligned_norm"] = aligned.detach().norm(dim=1).mean()
        self._seen["similarity"] = similarity.detach().mean()
        self._seen["shares"] = torch.bincount(pseudo, minlength=len(self.classes)).float() / len(pseudo)
        if self.params.prototype_loss == "contrastive":
            logits = unit_rows(aligned) @ unit_rows(centres).T / self.params.contrast_temperature
            return functional.cross_entropy(logits.masked_fill(count == 0, -torch.inf), pseudo)
        return self._euclidean(aligned - centres[pseudo]).mean()

    def _dual(self, pairs: Sequence[Matched]) -> Tensor:
        """L_DR, equation 9: the aligned representations of both should be one."""
        forth = torch.cat([self._scaled(each.resonance.aligned) for each in pairs])
        back = torch.cat([self._scaled(found) for each in pairs if (found := each.resonance.reverse) is not None])
        if self.params.distance == "cosine":
            return (1 - (unit_rows(forth) * unit_rows(back)).sum(dim=1)).mean()
        return self._euclidean(forth - back).mean()

    def _scaled(self, rows: Tensor) -> Tensor:
        """g or zt `[n, D]`, at length 1 for `normalise: l2`."""
        return unit_rows(wide(rows)) if self.params.normalise == "l2" else wide(rows)

    def _euclidean(self, gaps: Tensor) -> Tensor:
        """`[n, D]` -> `[n]`: squared, or the norm itself (whose gradient at 0 is 0)."""
        return gaps.square().sum(dim=1) if self.params.squared else torch.linalg.vector_norm(gaps, dim=1)

    # -- prediction -------------------------------------------------------------------------------------------------

    def predict(self, batch: UnlabelledBatch, support: LabelledBatch, field: ResonanceField | None = None) -> Tensor | None:
        """Posteriors `[B, C]`; None for `predict: classifier`.

        `prototype` compares g with the labelled means (equation 7 without U: the scored utterances may not shape their own
        prototypes), `resonance` takes each class's best S(u, l).

        Raises:
            SereError: B402 if `resonance` gets no field.
        """
        if self.params.predict == "prototype":
            centres, count = self._labelled_means(support)
            scores = -torch.cdist(self._scaled(batch.embedding), centres, compute_mode="donot_use_mm_for_euclid_dist").square()
            scores = scores.masked_fill(count == 0, -torch.inf)
        elif self.params.predict == "resonance":
            if field is None:
                raise error("B402", "tric's `predict: resonance` got no resonance field", "add `resonance: {use: irf}`")
            similarity = field.similarity(batch, support)
            scores = similarity.new_full((len(batch), len(self.classes)), -torch.inf)
            scores = scores.scatter_reduce(1, support.labels.expand(len(batch), -1), similarity, "amax")
        else:
            return None
        return (scores / self.params.predict_temperature).softmax(dim=1)

    def _labelled_means(self, support: LabelledBatch) -> tuple[Tensor, Tensor]:
        """Equation 7 with no U."""
        g, labels = self._scaled(support.embedding), support.labels
        return prototypes(g, labels, g[:0], labels[:0], len(self.classes))

    def pseudo_labels(self, batch: UnlabelledBatch, support: LabelledBatch, field: ResonanceField) -> Tensor:
        """y_{a(u)} `[B]`: the label of each utterance's anchor in S_l.

        `anchors_from: relay` reaches S_l by way of S_u, which is not there at scoring: the anchor is then sought in S_l directly.
        """
        return support.labels[field.similarity(batch, support).argmax(dim=1)]

    # -- what to watch ----------------------------------------------------------------------------------------------

    def diagnostics(self) -> Mapping[str, float]:
        """Of the last step: the shares of the pseudo-labels and their entropy (1: all equally frequent, 0: only one), the mean S of the
        anchors, and two signs of collapse, the norm of embeddings and the mean distance of the prototypes from their centre.  Of the
        steps since the last call, which of S_l were anchors: see `Anchors`."""
        found = {name: float(value) for name, value in self._seen.items() if name != "shares"}
        if "shares" in self._seen:
            shares = self._seen["shares"].tolist()
            found.update({f"pseudo_share/{name}": share for name, share in zip(self.classes, shares, strict=True)})
            found["pseudo_entropy"] = -sum(share * math.log(share) for share in shares if share > 0) / math.log(max(len(shares), 2))
        return {**found, **self._anchors.shares(self.classes)}


def _spread(centres: Tensor, count: Tensor) -> Tensor:
    """The mean distance of filled classes' prototypes from their centre."""
    filled = centres.detach()[count > 0]
    spread: Tensor = torch.linalg.vector_norm(filled - filled.mean(dim=0), dim=1).mean()
    return spread


class Anchors:
    """How often each item of S_l was chosen as an anchor, counted on the device and read once an epoch."""

    def __init__(self) -> None:
        self._counts = self._labels = torch.zeros(0, dtype=torch.long)
        self._read = True

    def note(self, picks: Tensor, labels: Tensor) -> None:
        """Choices `[n]` among items with `labels` `[N]`; the first after a reading starts anew."""
        if self._read or len(self._counts) != len(labels):
            self._counts, self._labels, self._read = torch.zeros_like(labels), labels, False
        self._counts.index_add_(0, picks, torch.ones_like(picks))

    def shares(self, classes: Sequence[str]) -> dict[str, float]:
        """By class, the share of choices that fell on it (`anchor_share`) and the share of its items that were chosen at all
        (`anchor_used`); and the share of choices that fell on the item chosen most (`anchor_top`)."""
        if not len(self._counts):
            return {}
        self._read = True
        counts, labels = self._counts.tolist(), self._labels.tolist()
        total = max(sum(counts), 1)
        found = {"anchor_top": max(counts) / total}
        for number, name in enumerate(classes):
            own = [count for count, label in zip(counts, labels, strict=True) if label == number]
            found[f"anchor_share/{name}"] = sum(own) / total
            found[f"anchor_used/{name}"] = sum(count > 0 for count in own) / max(len(own), 1)
        return found
