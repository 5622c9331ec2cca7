"""The speaker-clustered bootstrap: intervals of a row's means and of differences between rows.

Speakers are resampled, not utterances (Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 3.8), in one draw
for all seeds, rows and pairs of a target corpus.  Shots, folds and initial weights are not covered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.reading import Results, RunFacts
from sere_core.rng import derive
from sere_core.score.interval import REPLICATES, How, Interval, binomial_recalls, draw_speakers, expanded_percentile, fold_mean_uar

Array = NDArray[np.float64]
#: pair -> seeds
Places = Mapping[str, Sequence[int]]

#: differences of replicates no larger are rounding
_ROUNDING = 1e-12


def sides(pair: str) -> tuple[str, str]:
    """The source and target corpus that a pair's name tells, "" where it does not."""
    source, arrow, target = (part.strip() for part in pair.partition(">"))
    return (source, target) if arrow else ("", "")


@dataclass(frozen=True)
class _Cell:
    """Replicates of one row in one pair."""

    values: Array
    target: str
    clusters: int
    speakers: bool


class Replicates:
    """Bootstrap replicates of every run of a comparison.

    Where speakers are unknown, utterances are resampled within each class: one draw for all seeds and pairs of a row.
    """

    def __init__(self, results: Results) -> None:
        self._runs = results.runs
        self._target = {pair: sides(pair)[1] or pair for pair in results.plan.pairs}
        self._values: dict[tuple[str, str, int], Array] = {}
        self._speakers: dict[str, int] = {}
        self._cells: dict[tuple[str, str, tuple[int, ...]], _Cell] = {}
        by_target: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
        for place in results.runs:
            by_target[self._target[place[1]]].append(place)
        for target, places in by_target.items():
            if all(self._runs[place].speakers for place in places):
                self._resample(target, places)

    def interval(self, row: str, places: Places) -> Interval | None:
        """Of the mean over pairs of the mean over seeds; None for a single speaker."""
        return _interval([self._cell(row, pair, seeds) for pair, seeds in places.items()])

    def difference(self, row: str, reference: str, places: Places) -> Interval | None:
        cells = []
        for pair, seeds in places.items():
            one, other = self._cell(row, pair, seeds), self._cell(reference, pair, seeds)
            values = one.values - other.values
            values = np.where(np.abs(values) <= _ROUNDING, 0.0, values)
            cells.append(_Cell(values, one.target, one.clusters, one.speakers))
        return _interval(cells)

    def _cell(self, row: str, pair: str, seeds: Sequence[int]) -> _Cell:
        key = (row, pair, tuple(seeds))
        if key not in self._cells:  # every row needs the reference's
            target = self._target[pair]
            if target in self._speakers:
                values = np.mean([self._values[row, pair, seed] for seed in seeds], axis=0)
                self._cells[key] = _Cell(values, target, self._speakers[target], True)
            else:
                self._cells[key] = _utterances(row, target, [self._runs[row, pair, seed] for seed in seeds])
        return self._cells[key]

    def _resample(self, target: str, places: list[tuple[str, str, int]]) -> None:
        everybody = sorted({speaker for place in places for speaker in self._runs[place].speakers})
        column = {speaker: index for index, speaker in enumerate(everybody)}
        weights = draw_speakers(len(everybody), REPLICATES, 0, target)
        self._speakers[target] = len(everybody)
        alike: dict[tuple[object, ...], list[tuple[str, str, int]]] = defaultdict(list)
        for place in places:
            run = self._runs[place]
            alike[run.speakers, run.speaker_folds, run.by_speaker.sum(axis=-1).tobytes()].append(place)
        for members in alike.values():
            first = self._runs[members[0]]
            counts = np.stack([self._runs[place].by_speaker for place in members])
            mine = weights[:, [column[speaker] for speaker in first.speakers]]
            found = fold_mean_uar(mine, counts, first.speaker_folds)
            # a run that lacks speakers of others may have none of its own in a replicate: it says nothing there
            silent = np.isnan(found[:, 0])
            for place, values in zip(members, np.ascontiguousarray(found.T), strict=True):
                values[silent] = self._runs[place].uar
                self._values[place] = values


def _utterances(row: str, target: str, runs: Sequence[RunFacts]) -> _Cell:
    pooled = [run.confusion.sum(axis=0) for run in runs]
    support = pooled[0].sum(axis=1)
    kept = np.flatnonzero(support)
    recall = np.mean([np.diagonal(each)[kept] / np.maximum(each.sum(axis=1)[kept], 1) for each in pooled], axis=0)
    seeds = [derive(0, "utterances", target, row, runs[0].classes[index]) for index in kept]
    uniforms = np.stack([np.random.default_rng(seed).random(REPLICATES) for seed in seeds], axis=1)
    deviations = (binomial_recalls(uniforms, support[kept], recall) - recall).mean(axis=1)
    return _Cell(float(np.mean([run.uar for run in runs])) + deviations, target, int(support.sum()), False)


def _interval(cells: Sequence[_Cell]) -> Interval | None:
    parts: dict[str, Array] = {}
    clusters: dict[str, int] = {}
    for cell in cells:
        parts[cell.target] = parts.get(cell.target, 0.0) + cell.values / len(cells)
        clusters[cell.target] = max(cell.clusters, clusters.get(cell.target, 0))
    ends = expanded_percentile(list(parts.values()), list(clusters.values())) if cells else None
    if ends is None:
        return None
    known = {cell.speakers for cell in cells}
    how: How = "speakers and utterances" if len(known) > 1 else "speakers" if True in known else "utterances"
    return Interval(*ends, how, sum(clusters.values()))
