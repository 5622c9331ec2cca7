"""Two utterances of a trained fold: their sound, their contours, and what the run's resonance field sees between them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sere_core.config import Resolved
from sere_core.console import Speaker
from sere_core.data.plan import Fold
from sere_core.features import audio, contours
from sere_core.identity import check_unchanged, identify
from sere_core.plan import Plan
from sere_core.score.records import checkpoint_of
from sere_core.train.checkpoint import Checkpoint
from sere_core.train.fold import load_state
from sere_core.train.material import gather
from sere_core.train.network import predicting
from sere_core.train.whole import evaluating
from sere_registry.errors import Place, Problem, SereError, error, suggest
from sere_registry.protocols import Encoder
from sere_registry.utterances import Recording

Array = NDArray[np.float32]

#: in which order an utterance is looked for, and what its stream is called
STREAMS = ("labelled", "source", "target", "test")


@dataclass(frozen=True)
class Voice:
    """One utterance: samples `[N]` at 16 kHz, contours `[Tc]` every `hop` seconds, and frames `[T]` in seconds.

    `strength` `[T]` is what the field weighs, or else the sum of |d|; None without dynamics.
    """

    recording: Recording
    stream: str
    samples: Array
    contours: Mapping[str, Array]
    hop: float
    times: Array
    strength: Array | None

    @property
    def seconds(self) -> float:
        return len(self.samples) / 16_000


@dataclass(frozen=True)
class Pair:
    """Two utterances and the field between them, as in `FrameMap`, with S(a, b) and `back`, S(b, a).

    `weighed`: does the field weigh bursts?
    """

    a: Voice
    b: Voice
    resonance: Array
    alignment: Array
    weights: Array
    similarity: float
    back: float
    weighed: bool
    title: str


def trained_folds(folder: Path, resolved: Resolved, plan: Plan, command: Sequence[str]) -> list[int]:
    """The folds with a final checkpoint; T505 if there is none, C311 without a field, and of an oracle's run."""
    if resolved.oracle:
        what = "this run holds no network of the epochs that its oracle chose"
        raise error("C311", what, "look at a run with another selector", resolved.place("select"))
    if resolved.config.resonance is None:
        raise error("C311", "this config has no resonance field", "add `resonance: {use: irf}`", resolved.place("resonance"))
    # a fold's embeddings are written when its training is over
    ends = ("checkpoints/fold-{}.safetensors", "embeddings/fold-{}.npz")
    found = [fold.index for fold in plan.task.folds if all((folder / end.format(fold.index)).is_file() for end in ends)]
    if not found:
        begun = any((folder / "checkpoints").glob("fold-*"))
        what = f"no fold of this config is trained: there is no final checkpoint in {folder / 'checkpoints'}"
        raise error("T505", what, f"{'finish' if begun else 'train'} it: {shlex.join([*command, *(['--resume'] if begun else [])])}")
    return found


def find(fold: Fold, names: Iterable[str]) -> list[tuple[str, Recording]]:
    """(stream, recording) of each id; C302 for unknown and ambiguous ones."""
    known: dict[str, dict[str, tuple[str, Recording]]] = {}
    for stream in STREAMS:
        for recording in getattr(fold, stream):
            for each in (recording.key, recording.id):
                known.setdefault(each, {}).setdefault(recording.key, (stream, recording))
    found: list[tuple[str, Recording]] = []
    problems: list[Problem] = []
    for name in names:
        matches = known.get(name, {})
        if len(matches) == 1:
            found += matches.values()
            continue
        what, hint = f"fold {fold.index + 1} has no utterance '{name}'", suggest(name, known, "utterances")
        if matches:
            what, hint = f"both corpora have an utterance '{name}'", f"write one of {', '.join(sorted(matches))}"
        problems.append(Problem("C302", what, hint, Place(path="ID")))
    if problems:
        raise SereError(*problems)
    return found


def look(
    folder: Path, resolved: Resolved, plan: Plan, fold: Fold, pairs: Iterable[Sequence[tuple[str, Recording]]], speaker: Speaker
) -> list[Pair]:
    """Encode the two utterances of each pair with a fold's final network, and compute its field.

    Args:
        folder: of the record.
        pairs: (stream, recording) of a and of b, as `find` gives them.

    Raises:
        SereError: B403 if the field has no map of frames; T505 if record and data do not belong together.
    """
    checkpoint = Checkpoint.load(checkpoint_of(folder, fold.index), fold.index)
    check_unchanged(identify(plan), checkpoint.manifest, folder)
    device = torch.device("cpu")
    material = gather(plan, device, speaker)
    method = material.builder(fold, device).method()
    load_state(method, checkpoint.under("method"))
    field = method.field
    streams = material.streams(fold)
    material.standardise(fold, method)

    def pair(chosen: Sequence[tuple[str, Recording]]) -> Pair:
        name, sides = resolved.components["resonance"].full_name, []
        for stream, recording in chosen:
            held_by = streams[stream]
            place = getattr(fold, stream).index(recording)  # streams keep the order of the fold
            sides.append(predicting(method).encode(held_by.collate([place], device)))
        seen = None if field is None else field.frame_map(*sides)
        if field is None or seen is None:
            what = f"'{name}' has no map of frames to draw" if field is not None else "this method leaves the resonance field out"
            raise error("B403", what, "fields that have one: irf, cosine, attention, dtw, sinkhorn", resolved.place("resonance"))
        forth, back = (float(field.similarity(one, other)) for one, other in (sides, sides[::-1]))
        voices = []
        for (stream, recording), side, strength in zip(chosen, sides, (seen.strength_a, seen.strength_b), strict=True):
            encoder = material.encoders[streams[stream].path]
            mask = side.frames.mask[0]
            if strength is None and side.bursts.shape[-1]:
                strength = side.bursts[0][mask].abs().sum(dim=1)
            voices.append(_voice(recording, stream, resolved, encoder, int(mask.sum()), None if strength is None else strength.numpy()))
        resonance, alignment, weights = (part.float().numpy() for part in (seen.resonance, seen.alignment, seen.weights))
        title = f"{resolved.config.name}, fold {fold.index + 1}, {name}"
        return Pair(voices[0], voices[1], resonance, alignment, weights, forth, back, seen.strength_a is not None, title)

    with evaluating(method):
        return [pair(chosen) for chosen in pairs]


def _voice(recording: Recording, stream: str, resolved: Resolved, encoder: Encoder, frames: int, strength: Array | None) -> Voice:
    options = resolved.config.features
    samples = audio.read(recording, options).samples
    times = (encoder.offset + np.arange(frames) / encoder.rate).astype(np.float32)
    return Voice(recording, stream, samples, contours.contours(samples, options), options.hop, times, strength)
