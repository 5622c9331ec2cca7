"""`layer: auto`: the layer of a pretrained encoder that a run reads, chosen before training on labels of the source alone.

The means over frames of every layer's output, standardised as the task standardises the source, are classified by
a ridge regression on the classes, each utterance by the others of S_l; the layer with the smallest error is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sere_core.console import Speaker
from sere_core.data.normalise import Normaliser
from sere_core.features.origin import encoder_origin
from sere_core.features.store import extract_all
from sere_core.plan import Plan
from sere_registry import BuildContext, Recording


@dataclass(frozen=True)
class Choice:
    """What was chosen for an encoder.

    Args:
        encoder: its id.
        layer: that is read.
        evidence: of each layer that could be.
    """

    encoder: str
    layer: int
    evidence: dict[int, float]

    def __str__(self) -> str:
        rest = ", ".join(f"{layer}: {value:.3f}" for layer, value in self.evidence.items())
        return f"{self.encoder}: layer {self.layer} of {max(self.evidence)}, by the labelled source utterances, each left out ({rest})"


def choose_layers(plan: Plan, device: torch.device, speaker: Speaker) -> tuple[Choice, ...]:
    """For each encoder of the plan that has `layer: auto`, what is chosen.

    Of labels only those of S_l, and those that are held out of the source (`task.validation`), are read, and no
    speech but the source's: the choice is the same for all folds.  Where a corpus is its own source (the ceiling) it is made
    once, by the labels of all folds, which the row may see.
    """
    resolved, task = plan.resolved, plan.task
    names = [name for name in resolved.open_layers if name in plan.paths]
    if not names:
        return ()
    labels: dict[Recording, int] = {}
    for fold in task.folds:
        shown = (*zip(fold.labelled, fold.labels, strict=True), *zip(fold.validation, fold.validation_labels, strict=True))
        labels |= {recording: label for recording, label in shown if recording.corpus == task.source}
    source = dict.fromkeys((*labels, *(recording for fold in task.folds for recording in fold.source)))
    bounds = {name: resolved.components[f"encoders.{name}"] for name in names}
    encoders = {name: bound.build(BuildContext(id=name)).to(device) for name, bound in bounds.items()}
    with speaker.bar("all layers of the source") as tell:
        features = extract_all(
            [(recording, tuple(names)) for recording in source],
            {name: (encoder, bounds[name].full_name, encoder_origin(bounds[name], plan.contents)) for name, encoder in encoders.items()},
            frozenset(),
            resolved.config.features,
            plan.contents,
            progress=tell,
        )
    options, choices = resolved.config.task, []
    for name, encoder in encoders.items():
        means = [(recording, features.frames(recording, name)[0]) for recording in source]
        normaliser = Normaliser.fit(options.normalise, means, shrinkage=options.shrinkage)
        known = np.concatenate([normaliser.apply(recording, mean[None]) for recording, mean in means if recording in labels])
        truth = np.array([labels[recording] for recording in source if recording in labels])
        parts = np.split(known.astype(np.float64), len(encoder.depths), axis=1)
        found = {depth: evidence(part, truth) for depth, part in zip(encoder.depths, parts, strict=True)}
        choices.append(Choice(name, max(found, key=lambda depth: found[depth]), found))
    return tuple(choices)


def evidence(values: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """How well utterances `[n, H]` are classified by the others: minus the mean squared error of a ridge regression on one-hot
    classes, leaving one out (in closed form, as in Golub et al. 1979; the penalty is H, the trace of standardised data by n)."""
    centred = values - values.mean(axis=0)
    gram, truth = centred @ centred.T, np.eye(int(labels.max()) + 1)[labels]
    hat = gram @ np.linalg.inv(gram + values.shape[1] * np.eye(len(gram))) + 1 / len(gram)
    left_out = truth - (truth - hat @ truth) / (1 - np.diag(hat))[:, None]
    return -float(((left_out - truth) ** 2).mean())
