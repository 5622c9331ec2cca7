"""A comparison's runs, resampled: intervals of a row's means and of differences between rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.facts import Results, RunFacts, uar
from sere_core.compare.stats.bootstrap import binomial_recalls, draw_speakers, fold_mean_uar
from sere_core.compare.stats.interval import expanded_percentile
from sere_core.compare.stats.places import Places, sides
from sere_core.compare.stats.summary import How, Interval
from sere_core.rng import derive

Array = NDArray[np.float64]
Place = tuple[str, str, int]

#: differences of replicates no larger are rounding
_ROUNDING = 1e-12


@dataclass(frozen=True)
class _Cell:
    """Replicates of one row in one pair, resampled from `clusters` units of `target`."""

    values: Array
    target: str
    clusters: int
    speakers: bool


class Replicates:
    """B bootstrap replicates of every run of a comparison.

    Speakers of a target corpus are drawn once, for all rows, pairs and seeds that score on it.  Where a run on that corpus
    does not know its speakers, utterances are resampled within each class, from confusion counts summed over folds: one
    draw for all seeds and pairs of a row (whose test utterances are the same, or overlap), independent ones for two rows (counts do not
    tell which utterances both got right), so an interval of a difference is wider there than a paired one would be.

    Args:
        results: of a comparison.
        replicates: B.
        seed: of the draws; nothing else is random.
        level: of the intervals.
    """

    def __init__(self, results: Results, replicates: int = 2000, seed: int = 0, level: float = 0.95) -> None:
        self._runs, self._size, self._seed, self._level = results.runs, replicates, seed, level
        self._target = {pair: sides(pair)[1] or pair for pair in results.plan.pairs}
        by_target: dict[str, list[Place]] = defaultdict(list)
        for place in results.runs:
            by_target[self._target[place[1]]].append(place)
        self._values: dict[Place, Array] = {}
        self._speakers: dict[str, int] = {}
        self._cells: dict[tuple[str, str, tuple[int, ...]], _Cell] = {}
        self._drawn: dict[tuple[str, str, str], Array] = {}
        for target, places in by_target.items():
            if all(_knows_speakers(self._runs[place]) for place in places):
                self._resample(target, places)

    def interval(self, row: str, places: Places) -> Interval | None:
        """Of the mean over pairs of the mean over seeds.

        Args:
            row: its name.
            places: pair -> seeds, all of which have a record.

        Returns:
            None where a target corpus has a single speaker.
        """
        return self._interval([self._cell(row, pair, seeds) for pair, seeds in places.items()])

    def difference(self, row: str, reference: str, places: Places) -> Interval | None:
        """Of the mean over pairs of the mean over seeds of `row` minus `reference`; see `interval`."""
        cells = []
        for pair, seeds in places.items():
            one, other = self._cell(row, pair, seeds), self._cell(reference, pair, seeds)
            values = one.values - other.values
            cells.append(_Cell(np.where(np.abs(values) <= _ROUNDING, 0.0, values), one.target, one.clusters, one.speakers))
        return self._interval(cells)

    def _interval(self, cells: list[_Cell]) -> Interval | None:
        parts: dict[str, Array] = {}
        clusters: dict[str, int] = {}
        for cell in cells:
            parts[cell.target] = parts.get(cell.target, 0.0) + cell.values / len(cells)
            clusters[cell.target] = max(cell.clusters, clusters.get(cell.target, 0))
        ends = expanded_percentile(list(parts.values()), list(clusters.values()), self._level) if cells else None
        return Interval(*ends, _how(cell.speakers for cell in cells), sum(clusters.values()), self._level) if ends else None

    def _cell(self, row: str, pair: str, seeds: Iterable[int]) -> _Cell:
        key = (row, pair, tuple(seeds))
        if key not in self._cells:  # the reference's are asked for by every row
            self._cells[key] = self._made(row, self._target[pair], [(row, pair, seed) for seed in seeds])
        return self._cells[key]

    def _made(self, row: str, target: str, places: list[Place]) -> _Cell:
        if target in self._speakers:
            return _Cell(np.mean([self._values[place] for place in places], axis=0), target, self._speakers[target], True)
        return self._utterances(row, target, [self._runs[place] for place in places])

    def _resample(self, target: str, places: list[Place]) -> None:
        """Fill `_values` for the runs on one target corpus."""
        everybody = sorted({speaker for place in places for speaker in self._runs[place].speakers})
        column = {speaker: index for index, speaker in enumerate(everybody)}
        weights = draw_speakers(len(everybody), self._size, self._seed, target)
        self._speakers[target] = len(everybody)
        alike: dict[tuple[object, ...], list[Place]] = defaultdict(list)
        for place in places:
            run = self._runs[place]
            alike[run.speakers, run.speaker_folds, run.by_speaker.sum(axis=-1).tobytes()].append(place)
        for members in alike.values():
            first = self._runs[members[0]]
            counts = np.stack([self._runs[place].by_speaker for place in members])
            found = fold_mean_uar(weights[:, [column[speaker] for speaker in first.speakers]], counts, first.speaker_folds)
            # a run that lacks speakers of others may have none of its own in a replicate: it says nothing there
            silent = np.isnan(found[:, 0])
            for place, values in zip(members, np.ascontiguousarray(found.T), strict=True):
                values[silent] = self._runs[place].uar
                self._values[place] = values

    def _utterances(self, row: str, target: str, runs: list[RunFacts]) -> _Cell:
        """Deviations of the summed counts' UAR, around the mean of the runs' UAR."""
        pooled = [run.confusion.sum(axis=0) for run in runs]
        support = pooled[0].sum(axis=1)
        kept = np.flatnonzero(support)
        recall = np.mean([np.diagonal(counts)[kept] / np.maximum(counts.sum(axis=1)[kept], 1) for counts in pooled], axis=0)
        names = [runs[0].classes[index] for index in kept]
        found = binomial_recalls(np.stack([self._uniforms(target, row, name) for name in names], axis=1), support[kept], recall)
        centre = float(np.mean([run.uar for run in runs]))
        return _Cell(centre + (found - recall).mean(axis=1), target, int(support.sum()), False)

    def _uniforms(self, target: str, row: str, name: str) -> Array:
        if (target, row, name) not in self._drawn:
            self._drawn[target, row, name] = np.random.default_rng(derive(self._seed, "utterances", target, row, name)).random(self._size)
        return self._drawn[target, row, name]


def gender_uar(run: RunFacts) -> dict[str, float]:
    """UAR of the utterances of each gender's speakers, over the summed folds; empty where genders are unknown."""
    return gender_uars([run])[0]


def gender_uars(runs: Sequence[RunFacts]) -> list[dict[str, float]]:
    """`gender_uar` of many runs at once."""
    found: list[dict[str, float]] = [{} for _ in runs]
    alike: dict[tuple[tuple[str | None, ...], tuple[int, ...]], list[int]] = defaultdict(list)
    for index, run in enumerate(runs):
        alike[run.genders, run.by_speaker.shape].append(index)
    for (genders, shape), members in alike.items():
        known = [gender for gender in ("female", "male") if gender in genders] if shape[0] else []
        if known:
            chosen = np.array([[each == gender for each in genders] for gender in known], dtype=np.int64)
            counts = np.stack([runs[index].by_speaker for index in members])
            summed = np.einsum("gs,rsij->rgij", chosen, counts)
            for index, values in zip(members, uar(summed).tolist(), strict=True):
                found[index] = dict(zip(known, values, strict=True))
    return found


def _knows_speakers(run: RunFacts) -> bool:
    return len(run.speakers) > 0 and len(run.speakers) == len(run.by_speaker) == len(run.speaker_folds)


def _how(known: Iterable[bool]) -> How:
    seen = set(known)
    return "speakers and utterances" if len(seen) > 1 else "speakers" if True in seen else "utterances"
