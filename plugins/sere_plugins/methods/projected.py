"""Methods that bring source and target into one space, and classify there: the classifier, and what those methods share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from sere_core.functional import ResizableBuffers, distances
from sere_plugins.methods.base import OwnLosses, labelled_vectors, stream_vectors
from sere_plugins.methods.logistic import Linear, fitted
from sere_plugins.specs.closed_form import ProjectedParams
from sere_plugins.specs.methods import LogisticParams
from sere_registry import MethodContext, Stage, StageData, UnlabelledBatch
from sere_registry.training import Stream


class Classifier(ResizableBuffers):
    """Posteriors in a space of width m, fitted to rows with labels; a class without labels is never predicted.

        nearest    p_c ~ exp(-C d_c / sum_c' d_c'),  d_c the squared distance to the nearest row of class c
        logistic   multinomial logistic regression with scikit-learn's defaults

    The argmax of `nearest` is the nearest row's class (of classes at equal distance the first); its probabilities
    tell how much nearer it is than the others' rows, whatever the scale, and are not calibrated.
    """

    rows: Tensor
    labels: Tensor
    weight: Tensor
    bias: Tensor
    seen: Tensor

    def __init__(self, kind: Literal["nearest", "logistic"], width: int, classes: int) -> None:
        super().__init__()
        self.kind = kind
        self.resizable = {"rows": 0, "labels": 0}
        self.register_buffer("rows", torch.zeros(0, width))
        self.register_buffer("labels", torch.zeros(0, dtype=torch.long))
        self.register_buffer("weight", torch.zeros(classes, width if kind == "logistic" else 0))
        self.register_buffer("bias", torch.zeros(classes))
        self.register_buffer("seen", torch.ones(classes, dtype=torch.bool))

    def fit(self, rows: Tensor, labels: Tensor) -> None:
        """From rows `[n, m]` with labels `[n]`."""
        if self.kind == "nearest":
            self.rows, self.labels = rows.to(self.rows), labels.to(self.labels)
            self.seen.fill_(False)[self.labels] = True
            return
        found = fitted(LogisticParams(), len(self.bias), rows.cpu().double().numpy(), labels.cpu().numpy())
        for name in ("weight", "bias", "seen"):
            getattr(self, name).copy_(getattr(found, name))

    def forward(self, rows: Tensor) -> Tensor:
        """`[B, m]` -> posteriors `[B, C]`."""
        if self.kind == "logistic":
            return Linear(self.weight, self.bias, self.seen).logits(rows).softmax(dim=1)
        gaps = distances(rows, self.rows).square()
        nearest = gaps.new_full((len(rows), len(self.seen)), torch.inf)
        nearest.scatter_reduce_(1, self.labels.expand(len(rows), -1), gaps, "amin")
        total = nearest.masked_fill(~self.seen, 0.0).sum(dim=1, keepdim=True)
        count = self.seen.sum()
        return (-count * nearest / total.masked_fill(total == 0, 1.0)).softmax(dim=1)


class Given(NamedTuple):
    """What is fitted to, in float64: source `[n_s, F]`, labels `[n_s]` (-1: unlabelled, after all others) and target `[n_t, F]`."""

    source: Tensor
    labels: Tensor
    target: Tensor

    @property
    def labelled(self) -> Tensor:
        """The vectors of S_l."""
        return self.source[self.labels >= 0]

    @property
    def known(self) -> Tensor:
        """The labels of S_l."""
        return self.labels[self.labels >= 0]


class Projected(OwnLosses):
    """One stage that fits a map into a space of width m, and a classifier there; the backbone stays as it is."""

    vectors_only = True
    name: str
    params: ProjectedParams

    def __init__(self, params: ProjectedParams, context: MethodContext, width: int) -> None:
        super().__init__(params, context)
        self.width = context.input_dim
        self.classifier = Classifier(params.classifier, width, self.classes)

    def stages(self) -> Sequence[Stage]:
        streams: set[Stream] = {"labelled", "target", "source"} if self.params.use_source else {"labelled", "target"}
        return [Stage(self.name, sees=frozenset(streams), solve=self.solve)]

    def solve(self, data: StageData) -> Mapping[str, Sequence[float]]:
        """The closed form.

        Returns:
            What `fit` returns.

        Raises:
            SereError: B402 if the streams' vectors differ in width.
        """
        labelled, known = labelled_vectors(self.name, data, self.width)
        target, *source = map(torch.as_tensor, stream_vectors(data, ["target", "source"] if self.params.use_source else ["target"]))
        unknown = [torch.full((len(rows),), -1) for rows in source]
        labels = torch.cat([torch.as_tensor(known), *unknown])
        return self.fit(Given(torch.cat([torch.as_tensor(labelled), *source]), labels, target))

    @abstractmethod
    def fit(self, given: Given) -> Mapping[str, Sequence[float]]:
        """Fit the map and the classifier; returns the trace."""

    @abstractmethod
    def embed(self, vectors: Tensor) -> Tensor:
        """Target vectors `[B, F]` in the common space, `[B, m]`, one by one."""

    def posteriors(self, vectors: Tensor) -> Tensor:
        """Of vectors `[B, F]`, as `predict`."""
        found: Tensor = self.classifier(self.embed(vectors.to(self.classifier.bias)))
        return found

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        """The classifier's posteriors, from the state alone."""
        return self.posteriors(batch.vectors)
