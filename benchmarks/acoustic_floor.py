"""How much emotion the acoustic encoder's pooled vectors carry from one corpus to another, by plain logistic regression.

Reads EmoDB, EMOVO and RAVDESS below the folder SERE_DATA (emodb/, emovo/, ravdess/); the features come from the cache.

    SERE_DATA=~/corpora python benchmarks/acoustic_floor.py

For each of the six ordered pairs: train on five utterances per class of the source (mean of several draws), and on all of them;
score all target utterances (unweighted average recall, %).  Features are standardised per speaker, either the vectors
(`pooled`) or the frames before pooling (`frames`).
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from sere_core.config.model import Features
from sere_core.features.store import FeatureSet, extract_all
from sere_plugins.encoders.acoustic import Acoustic
from sere_plugins.specs.corpora import EMODB, EMOVO, RAVDESS
from sere_plugins.specs.encoders import AcousticParams
from sere_registry import BuildContext, Utterance

Array = NDArray[np.float64]
CORPORA = {"emodb": EMODB, "emovo": EMOVO, "ravdess": RAVDESS}
SHOTS = 5


@dataclass(frozen=True)
class Pooled:
    """The vectors of a corpus `[N, F]`, standardised per speaker, and the class of each."""

    vectors: Array
    labels: NDArray[np.int64]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="logistic regression on the acoustic encoder's pooled vectors")
    parser.add_argument("--draws", type=int, default=8, help="draws of the five shots")
    parser.add_argument("--c", type=float, default=0.005, help="inverse strength of the penalty, one for all pairs")
    parser.add_argument("--rate", type=int, default=25, help="frames per second")
    options = parser.parse_args()
    folder = os.environ.get("SERE_DATA")
    if not folder:
        sys.exit("SERE_DATA must name the folder of emodb/, emovo/ and ravdess/")
    warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")
    encoder = Acoustic(AcousticParams.model_validate({"rate": options.rate}), BuildContext("acoustic"))
    spoken = {name: _utterances(name, Path(folder)) for name in CORPORA}
    began = time.perf_counter()
    found = extract_all(
        [(utterance.recording, ("acoustic",)) for utterances in spoken.values() for utterance in utterances],
        {"acoustic": (encoder, "sere.acoustic", "0")},
        frozenset(),
        Features(),
    )
    print(f"{found.report} in {time.perf_counter() - began:.1f} s; F = {encoder.input_dim}")
    print(f"{'UAR %':20s} pooled: {SHOTS}-shot    all   frames: {SHOTS}-shot    all")
    rows = []
    for source, target in itertools.permutations(CORPORA, 2):
        classes = sorted({u.emotion for u in spoken[source]} & {u.emotion for u in spoken[target]} - {"boredom", "calm"})
        row: list[float] = []
        for by_frame in (False, True):
            trained, tested = (
                _pool([u for u in spoken[name] if u.emotion in classes], found, classes, by_frame) for name in (source, target)
            )
            row += [_few(trained, tested, options.c, options.draws), _score(trained, tested, options.c)]
        rows.append(row)
        _show(f"{source} > {target}", row)
    _show("mean", list(np.mean(rows, axis=0)))


def _utterances(name: str, folder: Path) -> Sequence[Utterance]:
    spec = CORPORA[name]
    corpus = spec.load()(spec.params.model_validate({"root": folder / name}), BuildContext(name))
    utterances: Sequence[Utterance] = corpus.utterances()
    return utterances


def _pool(utterances: Sequence[Utterance], found: FeatureSet, classes: Sequence[str], by_frame: bool) -> Pooled:
    frames = [found.frames(utterance.recording, "acoustic").astype(np.float64) for utterance in utterances]
    vectors = np.array([each.mean(axis=0) for each in frames])
    speakers = np.array([utterance.speaker for utterance in utterances])
    for speaker in np.unique(speakers):
        rows = np.flatnonzero(speakers == speaker)
        statistics = np.concatenate([frames[row] for row in rows]) if by_frame else vectors[rows]
        vectors[rows] = (vectors[rows] - statistics.mean(axis=0)) / (statistics.std(axis=0) + 1e-6)
    return Pooled(vectors, np.array([classes.index(utterance.emotion) for utterance in utterances]))


def _few(source: Pooled, target: Pooled, c: float, draws: int) -> float:
    scores = []
    for seed in range(draws):
        generator = np.random.default_rng(seed)
        classes = range(source.labels.max() + 1)
        rows = np.concatenate([generator.choice(np.flatnonzero(source.labels == label), SHOTS, replace=False) for label in classes])
        scores.append(_score(Pooled(source.vectors[rows], source.labels[rows]), target, c))
    return float(np.mean(scores))


def _score(source: Pooled, target: Pooled, c: float) -> float:
    predicted = LogisticRegression(C=c, max_iter=500).fit(source.vectors, source.labels).predict(target.vectors)
    return 100 * float(balanced_accuracy_score(target.labels, predicted))


def _show(name: str, row: Sequence[float]) -> None:
    print(f"{name:20s} {row[0]:14.1f} {row[1]:6.1f} {row[2]:16.1f} {row[3]:6.1f}", flush=True)


if __name__ == "__main__":
    main()
