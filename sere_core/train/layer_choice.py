"""`layer: auto`: the layer of a pretrained encoder that a run reads, chosen before training on labels of the source alone.

The means over frames of every layer's output, standardised as the task standardises the source, are classified by a ridge
regression on one-hot classes, the utterances of each speaker of S_l by those of the others.  Thirty utterances rank layers badly,
and what classifies best within a language lies lower than what carries emotion to another (docs/layers.md has the figures): so
of the layers whose error is not shown to be larger than the smallest, the one nearest to the middle of the network is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
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

#: a layer's error counts as larger where the mean difference by utterance is above this many standard errors
STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Choice:
    """What was chosen for an encoder.

    Args:
        encoder: its id.
        layer: that is read.
        errors: of each layer that could be: the mean squared error of the classes' scores.
    """

    encoder: str
    layer: int
    errors: Mapping[int, float]

    def __str__(self) -> str:
        rest = ", ".join(f"{layer}: {value:.3f}" for layer, value in self.errors.items())
        how = "nearest to the middle of those as good as the best on labelled source utterances of left-out speakers"
        return f"{self.encoder}: layer {self.layer} of {max(self.errors)}, {how} (errors {rest})"


def choose_layers(plan: Plan, device: torch.device, speaker: Speaker) -> tuple[Choice, ...]:
    """For each encoder of the plan that has `layer: auto`, what is chosen.

    Of labels only those of S_l, and those that are held out of the source (`task.validation`), are read, and no
    speech but the source's: the choice is the same for all folds.  Where a corpus is its own source (the ceiling) it is made
    once, by the labels of all folds, which the row may see.
    """
    resolved, task = plan.resolved, plan.task
    bounds = {name: resolved.components[f"encoders.{name}"] for name in resolved.open_layers if name in plan.paths}
    built = {name: bound.build(BuildContext(id=name)).to(device) for name, bound in bounds.items()}
    encoders = {name: encoder for name, encoder in built.items() if getattr(encoder, "depths", ())}  # or `auto` says something else
    if not encoders:
        return ()
    labels: dict[Recording, int] = {}
    for fold in task.folds:
        shown = (*zip(fold.labelled, fold.labels, strict=True), *zip(fold.validation, fold.validation_labels, strict=True))
        labels |= {recording: label for recording, label in shown if recording.corpus == task.source}
    source = dict.fromkeys((*labels, *(recording for fold in task.folds for recording in fold.source)))
    with speaker.bar("all layers of the source") as tell:
        features = extract_all(
            [(recording, tuple(encoders)) for recording in source],
            {name: (encoder, bounds[name].full_name, encoder_origin(bounds[name], plan.contents)) for name, encoder in encoders.items()},
            frozenset(),
            resolved.config.features,
            plan.contents,
            progress=tell,
        )
    options, choices = resolved.config.task, []
    known = [recording for recording in source if recording in labels]
    truth = np.array([labels[recording] for recording in known])
    speakers = np.array([recording.speaker for recording in known])
    for name, encoder in encoders.items():
        means = {recording: features.frames(recording, name)[0] for recording in source}
        normaliser = Normaliser.fit(options.normalise, list(means.items()), shrinkage=options.shrinkage)
        values = np.concatenate([normaliser.apply(recording, means[recording][None]) for recording in known])
        parts = np.split(values.astype(np.float64), len(encoder.depths), axis=1)
        errors = {depth: left_out_errors(part, truth, speakers) for depth, part in zip(encoder.depths, parts, strict=True)}
        found = {depth: float(each.mean()) for depth, each in errors.items()}
        choices.append(Choice(name, best_layer(errors), found))
    return tuple(choices)


def left_out_errors(values: NDArray[np.float64], labels: NDArray[np.int64], speakers: NDArray[np.str_]) -> NDArray[np.float64]:
    """The squared error of each utterance's scores, by a ridge regression on the one-hot classes of the other speakers' utterances.

    Args:
        values: `[n, H]`; the penalty is H, so that standardised values and their number weigh alike.
        speakers: of each; with a single one, each utterance is left out by itself.
    """
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

    truth = np.eye(int(labels.max()) + 1)[labels]
    groups = speakers if len(set(speakers)) > 1 else np.arange(len(labels))
    scores = cross_val_predict(Ridge(values.shape[1]), values, truth, groups=groups, cv=LeaveOneGroupOut())
    errors: NDArray[np.float64] = ((scores - truth) ** 2).sum(axis=1)
    return errors


def best_layer(errors: Mapping[int, NDArray[np.float64]]) -> int:
    """Nearest to the middle of those whose errors `[n]` are not known to be larger than those of the best; of two, the better.

    >>> best_layer({1: np.array([0.1, 0.1, 0.1]), 2: np.array([0.3, 0.2, 0.3]), 3: np.array([0.0, 0.1, 0.3]), 4: np.array([0.9, 0.8, 0.9])})
    1
    """
    best = min(errors, key=lambda layer: float(errors[layer].mean()))

    def larger(layer: int) -> bool:
        more = errors[layer] - errors[best]
        return bool(more.mean() > STANDARD_ERRORS * more.std(ddof=1) / np.sqrt(len(more)))

    middle = max(errors) / 2
    return min((layer for layer in errors if not larger(layer)), key=lambda layer: (abs(layer - middle), float(errors[layer].mean())))
