"""How much does each rule of selection lose against the best epoch, and against the last one?

    SERE_DATA=/data/speech python benchmarks/selection.py configs/real/emodb_to_emovo.yaml [--seeds 3] [--held-out 5] [--set PATH=VALUE]
    SERE_DATA=/data/speech python benchmarks/selection.py configs/real/gap.yaml --pairs 'emodb>emovo,emovo>emodb' \\
        --row source-only losses.adapt=null --row mcc 'losses.adapt={use: sere.mcc}'

One training per method, pair, seed and fold, in which every selector scores every epoch; each then keeps its own, and the scored
utterances' labels, read afterwards, say what that was worth.  `--held-out` is `task.validation`: the labelled source utterances per
class that some selectors read, and that no row has for training.  UAR in %, mean over folds, seeds and pairs; regret: what the best
epoch of each fold, the oracle's, has more; its spread is over pairs and seeds.  The end says which rules lose at most one point on
average over the methods.
"""

from __future__ import annotations

import argparse
import inspect
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory

import torch

from sere_core.config import Resolved, load
from sere_core.console import Speaker
from sere_core.data.labels import labels_of
from sere_core.plan import list_corpus, make_plan
from sere_core.score.metrics import score
from sere_core.train.build import build_views
from sere_core.train.fold import FoldTrainer
from sere_core.train.material import Material, gather
from sere_core.train.streams import steps_per_epoch
from sere_registry import BuildContext, Selector
from sere_registry.catalog import Catalog
from sere_registry.errors import Place
from sere_registry.protocols import completed

CPU = torch.device("cpu")
#: points of regret that are called small
SMALL = 1.0
RULES = ("entropy", "information_max", "snd", "source_validation", "importance_weighting", "dev", "mixval")


class Every:
    """All selectors at once: it reads what any of them reads, and notes their scores by epoch."""

    keeps_last = False

    def __init__(self, selectors: Mapping[str, Selector]) -> None:
        self.selectors = selectors
        self.scores: dict[str, list[float]] = defaultdict(list)
        self.names = {name: set(inspect.signature(each.score).parameters) for name, each in selectors.items()}

    @property
    def score(self) -> Callable[..., float]:
        def every(**given: object) -> float:
            for name, selector in self.selectors.items():
                self.scores[name].append(selector.score(**{key: given[key] for key in self.names[name]}))
            return 0.0

        reads = sorted(set().union(*self.names.values()))
        every.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in reads]
        )
        return every


def selectors(classes: Sequence[str], held_out: int) -> dict[str, Selector]:
    catalog, found = Catalog(), {}
    for name in RULES:
        spec = catalog.find("selector", f"sere.{name}", Place()).spec
        made = completed(spec.load()(spec.params(), BuildContext(id="select", classes=tuple(classes))), Selector)
        if held_out or "validation" not in inspect.signature(made.score).parameters:
            found[name] = made
    return found


def of_seed(resolved: Resolved, folder: Path) -> dict[str, list[float]]:
    """Rule -> the UAR of the epoch that it keeps, by fold."""
    plan, train = make_plan(resolved), resolved.config.train
    material: Material = gather(plan, CPU, Speaker(quiet=True))
    found: dict[str, list[float]] = defaultdict(list)
    for fold in plan.task.folds:
        rule = Every(selectors(plan.task.classes, resolved.config.task.validation))
        trainer = FoldTrainer(
            fold.index,
            material.builder(fold, CPU),
            material.streams(fold),
            train,
            steps_per_epoch(train, fold),
            rule,
            folder / f"fold-{fold.index}.safetensors",
            views=build_views(resolved, material.encoders),
            standardise=partial(material.standardise, fold),
            every_epoch=True,
        )
        epochs = trainer.run().epochs
        if not epochs:
            raise SystemExit("the last stage of this method is a closed form: it has one state, and nothing to select")
        known = labels_of(fold, plan.task, list_corpus(resolved, plan.task.target))  # now that all of the fold is trained
        rows, labels = list(known), list(known.values())
        posteriors = {number: each.posteriors.double().numpy()[rows] for number, each in epochs.items()}
        uars = {number: score(each, labels, plan.task.classes).uar for number, each in posteriors.items()}
        last = max(uars)
        kept = {name: max(uars, key=lambda epoch, mine=mine: (mine[epoch], epoch)) for name, mine in rule.scores.items()}  # type: ignore[misc]
        for name, epoch in {"last": last, **kept, "oracle": max(uars, key=lambda epoch: (uars[epoch], epoch))}.items():
            found[name].append(uars[epoch])
    return found


def lines(uars: Mapping[str, Mapping[str, Sequence[float]]]) -> Iterator[str]:
    """A table of rules, from rule -> pair -> UAR in % by seed."""
    yield f"{'rule':22}{'UAR':>7}{'against last':>14}{'regret':>9}{'worst pair':>12}"
    for name, by_pair in uars.items():
        lost, last = losses(uars, name), fmean(fmean(values) for values in uars["last"].values())
        mean = fmean(fmean(values) for values in by_pair.values())
        spread = f" ± {stdev(every):.1f}" if len(every := [one for values in lost.values() for one in values]) > 1 else ""
        worst = max(map(fmean, lost.values()))
        yield f"{name:22}{mean:7.1f}{mean - last:+14.1f}{regret(lost):9.1f}{worst:12.1f}{spread}"


def losses(uars: Mapping[str, Mapping[str, Sequence[float]]], name: str) -> dict[str, list[float]]:
    """Pair -> what a rule's choice loses against the oracle's, by seed."""
    return {pair: [best - value for best, value in zip(uars["oracle"][pair], values, strict=True)] for pair, values in uars[name].items()}


def regret(lost: Mapping[str, Sequence[float]]) -> float:
    return fmean(map(fmean, lost.values()))


def verdict(found: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]) -> str:
    """Which rules lose at most `SMALL` points on average over all methods; from method -> rule -> pair -> UAR by seed."""
    rules = [name for name in next(iter(found.values())) if name != "oracle"]
    means = {name: fmean(regret(losses(uars, name)) for uars in found.values()) for name in rules}
    told = ", ".join(f"{name} {mean:.1f}" for name, mean in sorted(means.items(), key=lambda item: item[1]))
    good = [name for name, mean in means.items() if mean <= SMALL]
    return f"mean regret over methods: {told}\nat most {SMALL:g} point: {', '.join(good) or 'none'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--held-out", type=int, default=5)
    parser.add_argument("--pairs", help="SOURCE>TARGET,...: the config's own where there are none")
    parser.add_argument("--row", nargs="+", action="append", default=[], metavar="WORD", help="NAME PATH=VALUE ...: another method")
    parser.add_argument("--set", action="append", default=[], dest="sets")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    shared = [*asked.sets, "hooks=null", "select={use: sere.last}", f"task.validation={asked.held_out}"]
    named = asked.pairs.split(",") if asked.pairs else [""]
    pairs = {
        pair: [f"task.{end}={name}" for end, name in zip(("source", "target"), pair.split(">"), strict=False) if name] for pair in named
    }
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row, *sets in asked.row or [["the config's method"]]:
        uars: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for (pair, ends), seed in itertools.product(pairs.items(), range(asked.seeds)):
            with TemporaryDirectory() as folder:
                for name, values in of_seed(load(asked.config, sets=[*shared, *ends, *sets], seed=seed), Path(folder)).items():
                    uars[name][pair].append(100 * fmean(values))
        found[row] = uars
        print(f"\n{row}: {len(pairs)} pair(s), {asked.seeds} seed(s)", *lines(uars), sep="\n", flush=True)
    print(f"\n{verdict(found)}")


if __name__ == "__main__":
    main()
