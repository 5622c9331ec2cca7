"""What the folds of a run are made of: rendered or listed audio, features on disk, and who prepares the streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from sere_core.console import Speaker
from sere_core.data.leakage import audio_warnings
from sere_core.features.store import FeatureSet, extract_all
from sere_core.plan import Plan, build_corpus
from sere_core.train.prepare import Preparer
from sere_registry import BuildContext


@dataclass(frozen=True)
class Material:
    """The features of a run.

    Args:
        features: of every recording of the task.
        preparer: makes the streams of a fold from them.
        input_dim: the width of the target path's frozen output.
        warnings: what the audio itself gave rise to: the same recording trained on and scored.
    """

    features: FeatureSet
    preparer: Preparer
    input_dim: int
    warnings: tuple[str, ...]

    @property
    def trains_encoder(self) -> bool:
        """Is an encoder trained?  If not, the engine's own layers are too small to be worth several threads."""
        return any(
            parameter.requires_grad for encoder in self.preparer.encoders.values() for parameter in cast(nn.Module, encoder).parameters()
        )


def gather(plan: Plan, device: torch.device, speaker: Speaker) -> Material:
    """Make the audio of corpora that are made, and extract every feature that is not in the cache.

    Raises:
        SereError: the problems of all files together, or a cache that cannot be written.
    """
    resolved, config = plan.resolved, plan.resolved.config
    for name in plan.corpora:
        with speaker.bar(f"corpus {name}") as tell:
            build_corpus(resolved, name).prepare(tell)
    bounds = {name: resolved.components[f"encoders.{name}"] for name in plan.paths}
    encoders = {name: bound.build(BuildContext(id=name)).to(device) for name, bound in bounds.items()}
    dynamics = resolved.components["dynamics"].build(BuildContext(id="dynamics", dim=config.network.dim))
    recordings = plan.recordings()
    with speaker.bar("features") as tell:
        features = extract_all(
            list(recordings.values()),
            {name: (encoder, bounds[name].full_name, bounds[name].version) for name, encoder in encoders.items()},
            frozenset(dynamics.contours),
            config.features,
            progress=tell,
        )
    report = features.report
    counted = f"{report.recordings} utterances, {report.seconds / 60:.1f} minutes"
    counted += f"; {report.extracted} extracted, {report.cached} from the cache"
    speaker.say(f"features: {counted}; {report.trimmed} trimmed, {report.cut} cut at {config.features.max_seconds:g} s")
    digests = {key: features.audio_digest(recording) for key, (recording, _) in recordings.items()}
    preparer = Preparer(
        features, encoders, dynamics, config.paths.labelled, resolved.encoder_of, config.task.normalise, config.task.setting, plan.languages
    )
    scored = plan.task.folds[0].test[0]
    width = encoders[resolved.encoder_of(scored.language)].input_dim
    return Material(features, preparer, width, audio_warnings(plan.task.folds, digests))
