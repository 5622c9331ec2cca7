"""SHOT (Liang et al. 2020, arXiv:2002.08546): the source classifier is frozen, and target features move to it.

    stage "source"  S_l only   label-smoothed cross-entropy
    stage "adapt"   T_u only   L = w CE(yhat, p) + mean_j H(p_j) + sum_c pbar_c log pbar_c      equations 4, 5, 8 and 9
                               trains everything but the classifier

    e_j = [f_j; 1] / ||[f_j; 1]||,   m_c = sum_j p_jc e_j / sum_j p_jc,   yhat_j = argmax_c cos(e_j, m_c)
    once more with 1[yhat_j = c] in place of p_jc                                               equations 6 and 7

f_j are the embeddings `[n, D]` of all of T_u, p_j its posteriors; pbar is the mean prediction of the batch.  A class that no one
predicts gets no centroid, and one that the first round leaves empty none in the second, where the authors' code divides by 0.
Pseudo-labels are assigned at the beginning and after epochs; they and the objective are those of `object/image_target.py`.

Differs from it: the network is the config's, so that there is no bottleneck with BatchNorm and no weight-normalised classifier;
optimizer and batches are the config's.  The third term takes each batch, and so T_u, to be balanced over the classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from sere_core.functional import ResizableBuffers, entropy, linear_kernel, unit_rows, wide
from sere_plugins.losses.entropy import information
from sere_plugins.methods.source_free import SourceFree
from sere_plugins.specs.source_free import ShotParams
from sere_registry import MethodContext, Progress, Stage, StageData, UnlabelledBatch


def centroid_labels(embeddings: Tensor, posteriors: Tensor, threshold: int = 0) -> Tensor:
    """yhat `[n]` of embeddings `[n, D]` and posteriors `[n, C]`; a class predicted at most `threshold` times is none.

    >>> centroid_labels(torch.tensor([[4.0, 0.0], [5.0, 1.0], [0.0, 3.0]]), torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9]]))
    tensor([0, 0, 1])
    """
    rows = unit_rows(functional.pad(embeddings, (0, 1), value=1.0))
    counts = posteriors.argmax(dim=1).bincount(minlength=posteriors.shape[1])
    among = counts > min(threshold, int(counts.max()) - 1)  # at least the class that is predicted most
    weights = posteriors
    for _ in range(2):
        centroids = unit_rows(weights.T @ rows)
        labels = linear_kernel(rows, centroids).masked_fill(~among, -torch.inf).argmax(dim=1)
        weights = functional.one_hot(labels, posteriors.shape[1]).to(rows.dtype)
        among = weights.any(dim=0)
    return labels


class Assigned(ResizableBuffers):
    """The pseudo-labels `[n]` of T_u, and the classes `[n]` that were predicted when they were assigned; empty at first."""

    resizable: Mapping[str, int] = {"labels": 0, "predicted": 0}
    labels: Tensor
    predicted: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in self.resizable:
            self.register_buffer(name, torch.zeros(0, dtype=torch.long))


class Shot(SourceFree):
    """The objective above; pseudo-labels are part of the state."""

    params: ShotParams
    adapts = ("features",)

    def __init__(self, params: ShotParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.assigned = Assigned()
        self._mean: Tensor | None = None

    def stages(self) -> Sequence[Stage]:
        source, adapt = super().stages()
        return [source, replace(adapt, after_epoch=self.after_epoch)]

    def begin(self, data: StageData) -> None:
        """Assign by the source model; a resumed run has pseudo-labels and keeps them."""
        if not len(self.assigned.labels):
            self.assign(data)

    def after_epoch(self, progress: Progress, data: StageData) -> None:
        """Assign anew."""
        if (progress.epoch + 1) % self.params.every == 0:
            self.assign(data)

    @torch.no_grad()
    def assign(self, data: StageData) -> None:
        """yhat of all of T_u, from the network as it is."""
        target = data.encoded("target")
        posteriors = wide(target.logits).softmax(dim=1)
        self.assigned.predicted = posteriors.argmax(dim=1)
        self.assigned.labels = centroid_labels(wide(target.embedding), posteriors, self.params.threshold)

    def adapt(self, target: UnlabelledBatch) -> Mapping[str, Tensor]:
        """The adaptation stage."""
        logits = wide(target.logits)
        posteriors = logits.softmax(dim=1)
        self._mean = posteriors.detach().mean(dim=0)
        each, spread = information(posteriors, self.params.diversity)
        guesses = functional.cross_entropy(logits, self.assigned.labels[target.index])
        return {"pseudo_label": self.params.pseudo_weight * guesses, "entropy": each, "diversity": spread}

    def diagnostics(self) -> Mapping[str, float]:
        """`spread` of the last batch; `missing` classes, and `corrected`, of the pseudo-labels."""
        found: dict[str, float] = {}
        if self._mean is not None:
            found["spread"] = entropy(self._mean).item() / math.log(len(self._mean))
        if len(self.assigned.labels):
            found["missing"] = float(self.classes - len(torch.unique(self.assigned.labels)))
            found["corrected"] = (self.assigned.labels != self.assigned.predicted).float().mean().item()
        return found
