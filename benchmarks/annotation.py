"""What a few labels of the target are worth: UAR after k labels chosen by `sere annotate`'s rule, and after k at random.

    SERE_DATA=/data/speech python benchmarks/annotation.py --pairs emodb_to_emovo,emovo_to_emodb --seeds 3

For each real pair and seed a run without target labels (transductive) gives posteriors and embeddings; k utterances are
chosen from these, their true labels stand in for a person's, and the config is run again with `task.target_labels`.  What is
scored are the utterances that were not labelled, by both ways of choosing the same number.  Prints a Markdown table of means.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev

import numpy as np

from sere_core import run as engine
from sere_core.annotate.choose import choose
from sere_core.config import load
from sere_core.plan import list_corpus, make_plan
from sere_core.score.records import Record

PAIRS = "emodb_to_emovo,emodb_to_ravdess,emovo_to_emodb,emovo_to_ravdess,ravdess_to_emodb,ravdess_to_emovo"
ROWS = {
    "logistic": ["method={use: logistic}", "losses=null", "resonance=null"],
    "source-only": ["losses.adapt=null", "resonance=null"],
    "sere": [],
}


def trained(pair: str, seed: int, folder: Path, sets: list[str]) -> Record:
    """The record of one transductive run."""
    common = ["task.setting=transductive", "hooks=null", f"output.dir={folder}", *sets]
    resolved = load(f"real/{pair}", sets=common, seed=seed)
    engine.run(resolved, fresh=True, quiet=True)
    return Record.read(engine.folder_of(resolved))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", default=PAIRS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", default="logistic")
    parser.add_argument("--k", default="5,10,20,50")
    arguments = parser.parse_args()
    budgets = [int(k) for k in arguments.k.split(",")]
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for row in arguments.rows.split(","):
            for pair in arguments.pairs.split(","):
                for seed in range(arguments.seeds):
                    measure(found, row, pair, seed, budgets, folder)
            print_table(found, row, budgets)


def measure(found: dict[tuple[str, str, int], list[float]], row: str, pair: str, seed: int, budgets: list[int], folder: Path) -> None:
    """All budgets of one pair and seed, for both ways of choosing."""
    record = trained(pair, seed, folder, ROWS[row])
    found[row, "none", 0].append(100 * record.scores["mean"]["uar"])
    plan = make_plan(load(record.path / "config.yaml"))
    order = [each.id for each in plan.task.folds[0].test]
    posteriors = {each.id: each.posteriors for each in record.predictions}
    embeddings = np.load(record.path / "embeddings" / "fold-0.npz")["embedding"]
    utterances = {each.id: each for each in list_corpus(plan.resolved, plan.task.target)}
    generator = np.random.default_rng(seed)
    for k in budgets:
        picked = {
            "random": generator.choice(len(order), k, replace=False).tolist(),
            "annotate": choose(embeddings, np.array([posteriors[id] for id in order]), k, seed=seed),
        }
        for how, rows in picked.items():
            file = folder / "labels.csv"
            chosen = [utterances[order[each]] for each in rows]
            lines = [f"{each.recording.path},{each.speaker},{each.recording.language},{each.emotion}\n" for each in chosen]
            file.write_text("path,speaker,language,emotion\n" + "".join(lines))
            sets = [*ROWS[row], f"corpora.mine={{use: manifest, params: {{file: {file}}}}}", "task.target_labels=mine"]
            again = trained(pair, seed, folder, sets)
            found[row, how, k].append(100 * again.scores["mean"]["uar"])
    print(row, pair, seed, {key[1:]: round(values[-1], 1) for key, values in found.items() if key[0] == row}, flush=True)


def print_table(found: dict[tuple[str, str, int], list[float]], row: str, budgets: list[int]) -> None:
    """Means over pairs and seeds, and the mean difference with its standard error over them."""
    print(f"\n| {row} | 0 | {' | '.join(map(str, budgets))} |\n|{'---|' * (len(budgets) + 2)}")
    for how in ("random", "annotate"):
        cells = [f"{fmean(found[row, how, k]):.1f}" for k in budgets]
        print(f"| {how} | {fmean(found[row, 'none', 0]):.1f} | {' | '.join(cells)} |")
    cells = []
    for k in budgets:
        gains = [a - b for a, b in zip(found[row, "annotate", k], found[row, "random", k], strict=True)]
        cells.append(f"{fmean(gains):+.1f} ± {stdev(gains) / len(gains) ** 0.5:.1f}" if len(gains) > 1 else f"{gains[0]:+.1f}")
    print(f"| difference | | {' | '.join(cells)} |\n", flush=True)


if __name__ == "__main__":
    main()
