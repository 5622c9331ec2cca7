"""How often verdicts are wrong: level, coverage and power of the verdicts of sere on simulated comparisons.

    python benchmarks/verdicts.py [TABLES [PROCESSES]]

Rows are alike on average, or the second is better by two points.  Utterances per speaker and class are those of EmoDB, EMOVO and
RAVDESS, and those of a made-up fourth corpus of 12 speakers; each is right with a probability of its own for class and speaker, which
rows share.  Between rows there are these deviations, in points of recall; a difference of two rows has the square root of 2 of each:

    draw      1.5 by source corpus and seed, and 1.5 by pair and seed
    speaker   by test speaker, the same in all pairs with that target and in all seeds
    pair      by pair, the same in all seeds

A level is the share of tables with any "better", "worse" or "equivalent" that is false, a coverage that of 95 % intervals that hold the
true difference.
"""

from __future__ import annotations

import itertools
import math
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.plan import ComparePlan, Job, Row
from sere_core.compare.reading import Results, RunFacts
from sere_core.compare.stats.summary import verdicts
from sere_core.score.interval import ALPHA, uar_interval

Counts = NDArray[np.int64]
CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
FOLDS = 5
#: EmoDB: utterances of its ten speakers by class
EMODB = np.array(
    [
        [14, 1, 4, 7, 11, 7], [12, 0, 6, 11, 10, 9], [13, 8, 1, 4, 9, 4], [10, 1, 8, 4, 4, 3], [11, 2, 10, 8, 9, 7],
        [12, 2, 6, 2, 4, 4], [12, 8, 7, 10, 9, 5], [16, 8, 12, 8, 7, 10], [13, 5, 8, 6, 11, 4], [14, 11, 7, 11, 5, 9],
    ]
)  # fmt: skip
CORPORA: dict[str, Counts] = {
    "emodb": EMODB,
    "emovo": np.full((6, 6), 14),
    "ravdess": np.tile([8, 8, 8, 8, 4, 8], (24, 1)),
    "fourth": np.full((12, 6), 10),
}


@dataclass(frozen=True)
class Scenario:
    """Sizes of a comparison, and the deviations between rows in points; `effect` is of the first row that is not the reference."""

    name: str
    rows: int = 15
    corpora: int = 3
    pairs: int | None = None
    seeds: int = 5
    speaker: float = 0.0
    pair: float = 0.0
    effect: float = 0.0
    known: bool = True
    power: bool = False
    draw: float = 1.5
    corpus: float = 0.0


SCENARIOS = (
    Scenario("draws alone", power=True),
    Scenario("speaker 2.1", speaker=2.1, power=True),
    Scenario("speaker 4.2", speaker=4.2, power=True),
    Scenario("speaker 5.7, 12 rows", rows=12, speaker=5.7),
    Scenario("speaker 9", speaker=9.0),
    Scenario("pair 1", pair=1.0),
    Scenario("pair 2.1", pair=2.1, power=True),
    Scenario("pair 4", pair=4.0),
    Scenario("speaker 4.2, pair 2.1", speaker=4.2, pair=2.1),
    Scenario("draws of 4", draw=4.0),
    Scenario("12 pairs: draws alone", corpora=4, power=True),
    Scenario("12 pairs: speaker 4.2", corpora=4, speaker=4.2, power=True),
    Scenario("12 pairs: pair 2.1", corpora=4, pair=2.1, power=True),
    Scenario("3 seeds: draws alone", seeds=3),
    Scenario("3 seeds: speaker 4.2", seeds=3, speaker=4.2),
    Scenario("3 seeds: pair 2.1", seeds=3, pair=2.1),
    Scenario("2 rows: draws alone", rows=2, power=True),
    Scenario("2 rows: speaker 4.2", rows=2, speaker=4.2, power=True),
    Scenario("2 rows: pair 2.1", rows=2, pair=2.1, power=True),
    Scenario("20 rows: speaker 4.2", rows=20, speaker=4.2),
    Scenario("20 rows: pair 2.1", rows=20, pair=2.1),
    Scenario("2 pairs: speaker 4.2", pairs=2, speaker=4.2),
    Scenario("1 pair: draws alone", pairs=1),
    Scenario("1 pair: speaker 4.2", pairs=1, speaker=4.2),
    Scenario("unknown speakers: draws alone", known=False),
    Scenario("unknown speakers: speaker 4.2", known=False, speaker=4.2),
    Scenario("a corpus's own effect 2.1 (not carried)", corpus=2.1),
)


def simulate(scenario: Scenario, number: int) -> Results:
    """One comparison; `number` seeds it."""
    random = np.random.default_rng([number, 14])
    corpora = list(CORPORA)[: scenario.corpora]
    pairs = [f"{source}>{target}" for source, target in itertools.permutations(corpora, 2)][: scenario.pairs]
    rows = tuple(Row(f"row {index}", "method", ()) for index in range(scenario.rows))
    size = len(rows)
    effect = np.zeros(size)
    effect[1] = scenario.effect
    common = {name: random.normal(0, 8, (1, len(CORPORA[name]), 1)) + random.normal(0, 10, (1, 1, len(CLASSES))) for name in corpora}
    own = {name: random.normal(0, scenario.speaker, (size, len(CORPORA[name]), 1)) for name in corpora}
    targets = {name: random.normal(0, scenario.corpus, size) for name in corpora}
    draws = {(name, seed): random.normal(0, scenario.draw, size) for name in corpora for seed in range(scenario.seeds)}
    runs: dict[tuple[str, str, int], RunFacts] = {}
    for pair in pairs:
        source, target = pair.split(">")
        support = CORPORA[target]
        whole = 45 + random.normal(0, 3) + effect + targets[target] + random.normal(0, scenario.pair, size)
        for seed in range(scenario.seeds):
            shift = whole + draws[source, seed] + random.normal(0, scenario.draw, size) + random.normal(0, 3)
            chance = np.clip((shift[:, None, None] + common[target] + own[target]) / 100, 0.02, 0.98)
            folds = np.empty(len(support), dtype=np.int64)
            folds[np.random.default_rng([number, seed, len(support)]).permutation(len(support))] = np.arange(len(support)) % FOLDS
            for row, hits in zip(rows, random.binomial(support, chance), strict=True):
                runs[row.name, pair, seed] = facts(hits, support, folds, scenario.known)
    jobs = tuple(Job(*place, "job") for place in runs)
    plan = ComparePlan("simulated", rows, tuple(pairs), tuple(range(scenario.seeds)), jobs, rows[0].name, (), {})
    return Results(plan, runs)


def facts(hits: Counts, support: Counts, folds: Counts, known: bool) -> RunFacts:
    places = np.arange(len(CLASSES))
    counts = np.zeros((*hits.shape, len(CLASSES)), dtype=np.int64)
    counts[:, places, places] = hits
    counts[:, places, (places + 1) % len(CLASSES)] = support - hits
    confusion = np.stack([counts[folds == fold].sum(axis=0) for fold in range(FOLDS)])
    speakers = tuple(map(str, range(len(hits))))
    of_speakers = {"speakers": speakers, "speaker_folds": tuple(folds.tolist()), "by_speaker": counts} if known else {}
    return RunFacts("job", Path(), CLASSES, "", "", "", {}, confusion, **of_speakers)  # type: ignore[arg-type]


def judge(scenario: Scenario, number: int) -> tuple[bool, list[bool], float, float, float]:
    """Of one null table: is any verdict false, which intervals hold 0; with +2 points: is it shown, would it be alone; what could be."""
    found = verdicts(simulate(scenario, number))
    held = [verdict.interval.low <= 0 <= verdict.interval.high for verdict in found if verdict.interval]
    false = any(each.shown in ("better", "worse") for each in found)
    least = found[0].detectable or math.nan
    if not scenario.power:
        return false, held, math.nan, math.nan, least
    planted = verdicts(simulate(replace(scenario, effect=2.0), number))[0]
    return false, held, planted.shown == "better", planted.p < ALPHA, least


def of_runs(speaker: float, corpus: str, known: bool, times: int) -> float:
    """How often the interval of a run holds what all speakers of a population would score."""
    random = np.random.default_rng([len(corpus), times])
    support, held = CORPORA[corpus], 0
    for _ in range(times):
        classes = 45 + random.normal(0, 10, len(CLASSES))
        chance = np.clip(classes + random.normal(0, speaker, (len(support), 1)), 2, 98) / 100
        folds = random.permutation(len(support)) % FOLDS
        run = facts(random.binomial(support, chance), support, folds, True)
        of_folds = [{"fold": fold, "speakers": [{"confusion": each} for each in run.by_speaker[folds == fold]]} for fold in range(FOLDS)]
        scores = {"folds": of_folds, "pooled": {"confusion": run.confusion.sum(axis=0)}, "mean": {"uar": run.uar}}
        interval = uar_interval(scores if known else scores | {"folds": [{"fold": 0, "speakers": []}]})
        assert interval is not None
        held += interval.low <= classes.mean() / 100 <= interval.high
    return 100 * held / times


def main(tables: int = 200, processes: int = 2) -> None:
    print(f"{tables} tables each; 15 rows, 6 pairs, 5 seeds, known speakers where nothing else is said; in %")
    heads = ("level", "coverage", "power, +2", "one row's", "least shown")
    print(f"{'between rows':40}" + "".join(f"{head:>12}" for head in heads))
    with ProcessPoolExecutor(processes) as pool:
        for scenario in SCENARIOS:
            false, held, shown, alone, least = zip(*pool.map(judge, [scenario] * tables, range(tables), chunksize=10), strict=True)
            covered = 100 * np.mean([each for every in held for each in every])
            level, power, single = (100 * np.mean(each) for each in (false, shown, alone))
            found = (level, covered, power, single, 100 * np.nanmedian(least))
            shown_as = ("-" if math.isnan(each) else f"{each:.1f}" for each in found)
            print(f"{scenario.name:40}" + "".join(f"{each:>12}" for each in shown_as), flush=True)
    print("\nruns: coverage of the interval of one UAR, in %\nspeakers' deviation   " + "".join(f"{name:>10}" for name in CORPORA))
    for deviation, known in ((0.0, True), (4.0, True), (8.0, True), (15.0, True), (0.0, False), (8.0, False)):
        held_by = [of_runs(deviation, corpus, known, 5 * tables) for corpus in CORPORA]
        print(f"{deviation:4.0f} {'' if known else 'unknown speakers':17}" + "".join(f"{each:10.1f}" for each in held_by), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
