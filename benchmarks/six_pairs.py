"""Every method on every ordered pair of EmoDB, EMOVO and RAVDESS: the table behind the README's numbers.

    SERE_DATA=/data/speech python benchmarks/six_pairs.py --seeds 3 --out runs/six_pairs

Two processes with one thread each share the records folder; what is done is not done again, so the script may be
stopped and called again.  Prints UAR in percent by pair, averaged over folds and seeds, beside the chance level.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

CORPORA = ("emodb", "emovo", "ravdess")
PAIRS = [f"{source}_to_{target}" for source in CORPORA for target in CORPORA if source != target]
NO_LOSSES = ["losses=null"]

WITH_EMODB = "[anger, disgust, fear, happiness, neutral, sadness]"
WITHOUT = "[anger, disgust, fear, happiness, neutral, sadness, surprise]"

#: row -> what is set on top of the pair's config; {target} and {classes} are the pair's
ROWS: dict[str, list[str]] = {
    "source-only": ["losses.adapt=null"],
    "sere": [],
    "coral": ["losses.adapt={use: coral, weight: 1.0}"],
    "fixmatch": [
        "losses.adapt={use: fixmatch, weight: 1.0}",
        "views.weak=[{use: feature_dropout, params: {share: 0.1}}]",
        "views.strong=[{use: feature_dropout, params: {share: 0.4}}, {use: frame_mask}]",
    ],
    "mcd": ["method.use=mcd", *NO_LOSSES],
    "nrc": ["method.use=nrc", *NO_LOSSES],
    "jdar": ["method.use=jdar", *NO_LOSSES],
    # not methods: other label regimes, and two ceilings that are trained on labels of the target's other folds
    "all-source-labels": ["losses.adapt=null", "task.shots=all", "train.batch.labelled=32"],
    "ceiling-5-shot": ["losses.adapt=null", "task.source={target}", "task.classes={classes}"],
    "ceiling-all": ["losses.adapt=null", "task.source={target}", "task.classes={classes}", "task.shots=all", "train.batch.labelled=32"],
}


def job(work: tuple[str, str, int, Path, tuple[str, ...]]) -> tuple[str, str, int, float]:
    """One run of five folds; its mean UAR."""
    row, pair, seed, out, more = work
    os.environ["OMP_NUM_THREADS"] = "1"
    from sere_core.config import load
    from sere_core.run import run
    from sere_core.score.reading import Record

    common = ["hooks=null", f"output.dir={out / pair / row}", "train.threads=1"]
    config = Path(__file__).parent.parent / "configs" / "real" / f"{pair}.yaml"
    target, classes = pair.split("_to_")[1], WITH_EMODB if "emodb" in pair else WITHOUT
    overlay = [line.replace("{target}", target).replace("{classes}", classes) for line in ROWS[row]]
    resolved = load(config, sets=[*common, *more, *overlay], seed=seed)
    folder = out / pair / row / resolved.digest()
    if not (folder / "done").exists():
        run(resolved, resume=True, quiet=True)
    scores: dict[str, Any] = Record.read(folder).scores
    return row, pair, seed, 100 * scores["mean"]["uar"]


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", nargs="*", default=list(ROWS))
    parser.add_argument("--pairs", nargs="*", default=PAIRS)
    parser.add_argument("--out", type=Path, default=Path("runs/six_pairs"))
    parser.add_argument("--set", action="append", default=[], help="for every run")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    jobs = [
        (row, pair, seed, options.out, tuple(options.set))
        for seed in range(options.seeds)
        for pair in options.pairs
        for row in options.rows
    ]
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for number, (row, pair, seed, uar) in enumerate(pool.imap_unordered(job, jobs), start=1):
            found[row, pair].append(uar)
            print(f"{number}/{len(jobs)} {pair} {row} seed {seed}: {uar:.1f}", flush=True)
    print(f"\n{'UAR %':12s}", *(f"{pair:>18s}" for pair in options.pairs), f"{'mean':>8s}")
    for row in options.rows:
        cells = [found[row, pair] for pair in options.pairs]
        spread = [f"{fmean(cell):.1f}" + (f" ±{stdev(cell):.1f}" if len(cell) > 1 else "") for cell in cells]
        print(f"{row:12s}", *(f"{cell:>18s}" for cell in spread), f"{fmean(fmean(cell) for cell in cells):8.1f}")


if __name__ == "__main__":
    main()
