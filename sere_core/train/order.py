"""In which order a run draws its utterances, as digests: known before training, and the same for every method."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence

from sere_core.config.model import Train
from sere_core.data.plan import Fold
from sere_core.rng import derive
from sere_core.train.streams import make_samplers
from sere_registry import Recording


def fold_seed(seed: int, fold: int) -> int:
    """The seed of everything random in a fold."""
    return derive(seed, "fold", fold)


def steps_per_epoch(train: Train, fold: Fold) -> int:
    """How many steps make an epoch of a fold: what the config says, or one pass over T_u."""
    return train.steps_per_epoch or -(-len(fold.target) // train.batch.target)


def order_digests(folds: Sequence[Fold], train: Train, seed: int) -> dict[str, str]:
    """Stream -> SHA-256 of the utterances drawn, in order, in every step of the budget of every fold.

    All streams are there, whether or not the method reads them; one without utterances is not.  A stage draws the steps
    of its share of the budget from the first on.

    Args:
        folds: who is in the streams.
        train: batch sizes, and steps: epochs times `steps_per_epoch`.
        seed: the run's.
    """
    made = {name: hashlib.sha256() for name in ("labelled", "source", "target")}
    drawn: set[str] = set()
    for fold in folds:
        members: dict[str, Sequence[Recording]] = {"labelled": fold.labelled, "source": fold.source, "target": fold.target}
        samplers = make_samplers({name: len(each) for name, each in members.items()}, train.batch.model_dump(), fold_seed(seed, fold.index))
        for name, sampler in samplers.items():
            drawn.add(name)
            made[name].update("\n".join(recording.key for recording in members[name]).encode() + b"\0")
            for step in range(train.epochs * steps_per_epoch(train, fold)):
                made[name].update(array("I", sampler(step)).tobytes())
    return {name: digest.hexdigest() for name, digest in made.items() if name in drawn}
