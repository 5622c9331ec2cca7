"""Whose statistics should standardise features, where speakers are known, unknown, few or confounded with emotions?

    SERE_DATA=/data/speech python benchmarks/normalisation.py [--seeds 3] [--rows source-only ...] [--json FILE]

Real speech: the ordered pairs of EmoDB, EMOVO and RAVDESS, shared classes, five shots, the configs of `configs/real`, transductive
(one training per run: what differs is whose statistics, not who is scored).  No audio and no label changes between situations,
only what the features are told of the target's speakers: who they are; nothing; that each is several speakers of n utterances;
that each is a speaker per emotion (and in the last situation the source's speakers, too).  UAR in %, mean over pairs and
seeds; every seed draws other shots, other groups of n and other first weights.  Statistics by corpus, or none, do not
depend on speakers: those two columns are the same in every situation but one.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import permutations
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import numpy as np
import torch

from sere_core.config import Resolved, load
from sere_core.console import Speaker
from sere_core.data.folds import rank
from sere_core.data.plan import Fold
from sere_core.plan import Plan, list_corpus, make_plan
from sere_core.train.fold import FoldTrainer
from sere_core.train.material import Material, gather
from sere_core.train.streams import steps_per_epoch
from sere_registry import Recording

CPU = torch.device("cpu")
BASE = Path(__file__).parents[1] / "configs" / "real" / "three.yaml"
CORPORA = ("emodb", "emovo", "ravdess")
ROWS = {
    "source-only": ["losses.adapt=null", "resonance=null"],
    "logistic": ["method.use=sere.logistic", "losses=null", "resonance=null"],
    "logistic balanced": ["method.use=sere.logistic_balanced", "losses=null", "resonance=null"],
}
MODES = {
    "none": ["task.normalise=none"],
    "corpus": ["task.normalise=corpus"],
    "speaker": ["task.normalise=speaker"],
    **{f"shrunk by {k}": ["task.normalise=speaker", f"task.shrinkage={k}"] for k in (2, 5, 10, 20)},
}
SIZES = (1, 2, 3, 5, 10)
#: a recording's name of its speaker in a situation
Names = Callable[[Recording], str]


def config(source: str, target: str, seed: int, sets: list[str]) -> Resolved:
    pair = [f"task.source={source}", f"task.target={target}", "task.setting=transductive", "hooks=null"]
    unused = [f"corpora.{name}=null" for name in CORPORA if name not in (source, target)]
    return load(str(BASE), sets=[*pair, *unused, *sets], seed=seed)


def situations(plan: Plan, seed: int) -> dict[str, Names]:
    """Situation -> what the speaker of a recording is called there."""
    task = plan.task
    emotions = {each.recording.key: each.emotion for name in plan.corpora for each in list_corpus(plan.resolved, name)}
    by_speaker: dict[str, list[str]] = defaultdict(list)
    for each in sorted(task.folds[0].target, key=lambda each: rank("groups", seed, each.key)):
        by_speaker[each.speaker].append(each.key)
    place = {key: number for keys in by_speaker.values() for number, key in enumerate(keys)}

    def of_target(name: Names) -> Names:
        return lambda each: name(each) if each.corpus == task.target else each.speaker

    found: dict[str, Names] = {"as they are": lambda each: each.speaker, "unknown": of_target(lambda each: "")}
    for size in SIZES:
        found[f"{size} per speaker"] = of_target(lambda each, size=size: f"{each.speaker}/{place[each.key] // size}")  # type: ignore[misc]
    found["one emotion each"] = of_target(lambda each: f"{each.speaker}/{emotions[each.key]}")
    found["one emotion each, source too"] = lambda each: f"{each.speaker}/{emotions[each.key]}"
    return found


def renamed(fold: Fold, name: Names) -> Fold:
    streams = {stream: getattr(fold, stream) for stream in ("labelled", "source", "target", "test")}
    return replace(fold, **{key: tuple(replace(each, speaker=name(each)) for each in side) for key, side in streams.items()})


def uar(material: Material, fold: Fold, emotions: Mapping[str, str], folder: Path) -> float:
    """Of one training, over all that it scores."""
    resolved, classes = material.plan.resolved, material.plan.task.classes
    last = resolved.components["select"].build(replace(material.builder(fold, CPU).context, id="select"))
    steps = steps_per_epoch(resolved.config.train, fold)
    builder, streams = material.builder(fold, CPU), material.streams(fold)
    place, standardise = folder / "fold.safetensors", partial(material.standardise, fold)
    trainer = FoldTrainer(0, builder, streams, resolved.config.train, steps, last, place, standardise=standardise)
    predicted = trainer.run().posteriors.argmax(dim=1).numpy()
    truth = np.array([classes.index(emotions[each.key]) for each in fold.test])
    return fmean(float((predicted[truth == each] == each).mean()) for each in range(len(classes)))


def scores(source: str, target: str, seeds: int, rows: list[str], folder: Path) -> Iterator[tuple[str, str, str, float]]:
    """(row, situation, mode, UAR) of every run of a pair."""
    features = None
    for seed in range(seeds):
        plan = make_plan(config(source, target, seed, ROWS[rows[0]]))
        if features is None:  # the same recordings for every seed
            features = gather(plan, CPU, Speaker(quiet=True))
        emotions = {each.recording.key: each.emotion for each in list_corpus(plan.resolved, target)}
        for row in rows:
            fixed: dict[str, float] = {}
            for situation, name in situations(plan, seed).items():
                fold = renamed(plan.task.folds[0], name)
                for mode, sets in MODES.items():
                    resolved = config(source, target, seed, [*ROWS[row], *sets])
                    material = Material(replace(plan, resolved=resolved), features.features, features.encoders, features.dynamics)
                    if mode not in fixed:
                        found = uar(material, fold, emotions, folder)
                        fixed |= {mode: found} if mode in ("none", "corpus") else {}
                    else:
                        found = fixed[mode]
                    yield row, situation, mode, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--pairs", nargs="+", default=[f"{a}>{b}" for a, b in permutations(CORPORA, 2)])
    parser.add_argument("--json", type=Path, help="a file for the UAR of every run")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    with TemporaryDirectory() as folder:
        for pair in options.pairs:
            for *key, value in scores(*pair.split(">"), options.seeds, options.rows, Path(folder)):
                found[key[0], key[1], key[2]].append(100 * value)
            if options.json:
                options.json.write_text(json.dumps([[*key, values] for key, values in found.items()]))
    for row in options.rows:
        names = list(dict.fromkeys(situation for _, situation, _ in found))
        print(f"\n{row}, n = {len(found[row, names[0], 'none'])}\n{'':30}" + "".join(f"{mode:>14}" for mode in MODES))
        for name in names:
            print(f"{name:30}" + "".join(f"{fmean(found[row, name, mode]):14.1f}" for mode in MODES))


if __name__ == "__main__":
    main()
