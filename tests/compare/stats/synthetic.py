"""Comparisons drawn in memory, from speakers that are known to the test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.plan import ComparePlan, Job, Row
from sere_core.compare.reading import Results, RunFacts

CLASSES = ("anger", "fear", "happiness", "neutral", "sadness")
SIX = ("aa>bb", "bb>aa", "aa>cc", "cc>aa", "bb>cc", "cc>bb")

Accuracy = Callable[[str, str, int], float]


def facts(by_speaker: NDArray[np.int64], folds: Sequence[int], *, known: bool = True, pair: str = "aa>bb") -> RunFacts:
    """A run with these counts `[S, C, C]`; `known=False` forgets who said what."""
    confusion = np.stack([by_speaker[np.asarray(folds) == fold].sum(axis=0) for fold in sorted(set(folds))])
    names = tuple(f"s{number:02d}" for number in range(len(by_speaker)))
    genders = tuple("female" if number % 2 else "male" for number in range(len(by_speaker)))
    known_fields = {"speakers": names, "genders": genders, "speaker_folds": tuple(folds), "by_speaker": by_speaker} if known else {}
    return RunFacts(
        job="job",
        path=Path("job"),
        classes=CLASSES[: by_speaker.shape[-1]],
        protocol=f"{pair} 5-shot",
        selection="last",
        evidence="confirmed",
        digests={"folds": "same"},
        confusion=confusion,
        seconds={"train": 2.0, "score": 1.0},
        peak_mib=100.0,
        parameters=1000,
        **known_fields,
    )


def counts(generator: np.random.Generator, accuracy: NDArray[np.float64], per_class: int) -> NDArray[np.int64]:
    """`[S, C, C]` from accuracies `[S, C]`; what is wrong is answered with the next class."""
    speakers, classes = accuracy.shape
    found = np.zeros((speakers, classes, classes), dtype=np.int64)
    places = np.arange(classes)
    found[:, places, places] = generator.binomial(per_class, np.clip(accuracy, 0.0, 1.0))
    found[:, places, (places + 1) % classes] = per_class - found[:, places, places]
    return found


def comparison(
    accuracy: Accuracy,
    rows: Sequence[str | Row] = ("floor", "ours"),
    pairs: Sequence[str] = SIX,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    *,
    speakers: int = 12,
    folds: int = 4,
    per_class: int = 6,
    known: bool = True,
    without: Sequence[tuple[str, str, int]] = (),
    seed: int = 0,
) -> Results:
    """Runs whose utterances are right with probability `accuracy(row, pair, seed)`, give or take what a speaker is like."""
    generator = np.random.default_rng(seed)
    chosen = tuple(row if isinstance(row, Row) else Row(row, "floor" if row == "floor" else "method", ("losses",)) for row in rows)
    manner = {target: generator.normal(0, 0.08, (speakers, len(CLASSES))) for target in sorted({pair.partition(">")[2] for pair in pairs})}
    runs = {}
    for row in chosen:
        for pair in pairs:
            for number in seeds:
                drawn = counts(generator, accuracy(row.name, pair, number) + manner[pair.partition(">")[2]], per_class)
                if (row.name, pair, number) not in without:
                    runs[row.name, pair, number] = facts(drawn, [index % folds for index in range(speakers)], known=known, pair=pair)
    jobs = tuple(Job(row.name, pair, number, "job") for row in chosen for pair in pairs for number in seeds)
    return Results(ComparePlan("made-up", chosen, tuple(pairs), tuple(seeds), jobs, chosen[0].name, (), {}), runs)
