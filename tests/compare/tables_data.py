"""A comparison whose statistics are written by hand, so that tables can be read off: three rows, floor and ceiling, two pairs."""

from __future__ import annotations

from pathlib import Path

from sere_core.compare.reading import Results, read_results
from sere_core.compare.stats.bootstrap import Interval
from sere_core.compare.stats.summary import PairSummary, RowSummary, Shown, Spread, Summary, Verdict
from tests.compare.made_up import make_comparison

#: row -> role, UAR by pair, mean
VALUES = {
    "source-only": ("floor", (0.40, 0.5), 0.45),
    "a&b_%": ("method", (0.51, 0.604), 0.557),
    "two|three": ("method", (0.5, 0.6), 0.55),
    "<four>": ("method", (0.45, 0.49), 0.47),
    "ceiling": ("ceiling", (0.8, 0.9), 0.85),
}
PAIRS = ("aa>bb", "bb>aa")


def by_hand(folder: Path) -> tuple[Results, Summary]:
    """Results and summary; `<four>` lacks a run, `two|three` is reconstructed, `a&b_%` is better than the floor."""
    missing = ("<four>", "bb>aa", 1)
    make_comparison(folder, list(VALUES), PAIRS, 2, name="small", missing=[missing], evidence={"two|three": "reconstructed"})
    results = read_results(folder)
    rows = tuple(_row(name, *value) for name, value in VALUES.items())
    verdicts = tuple(_verdict(name) for name in list(VALUES)[1:])
    return results, Summary("source-only", rows, verdicts, None, {"aa>bb": 0.2, "bb>aa": 0.2}, notes=("A note on 5 % & more.",))


def _row(name: str, role: str, uars: tuple[float, ...], mean: float) -> RowSummary:
    lacking = (("bb>aa", 1),) if name == "<four>" else ()
    pairs = {}
    for pair, uar in zip(PAIRS, uars, strict=True):
        missing = tuple(seed for where, seed in lacking if where == pair)
        n = 2 - len(missing)
        interval = Interval(uar - 0.05, uar + 0.05, "speakers", 10)
        spread = Spread(uar, 0.0125 if n > 1 else None, n)
        pairs[pair] = PairSummary(spread, {}, interval, {}, {}, missing)
    return RowSummary(
        row=name,
        role=role,
        pairs=pairs,
        mean=Spread(mean, None, 2),
        interval=Interval(mean - 0.0412, mean + 0.0412, "speakers", 20),
        recall={"anger": mean, "fear": mean - 0.1},
        genders={"female": mean + 0.01, "male": mean - 0.01},
        rank=None if role == "ceiling" else 1.5,
        seconds=12.34,
        phases={"features": 2.34, "train and score": 10.0},
        peak_mib=1234.5,
        parameters=None if role == "ceiling" else 1234567.0,
        missing=lacking,
    )


def _verdict(name: str) -> Verdict:
    shown: Shown = "better" if name in {"a&b_%", "ceiling"} else "no difference shown"
    p = 0.0004 if shown == "better" else 0.2
    return Verdict(
        row=name, reference="source-only", difference=VALUES[name][2] - 0.45, interval=None, p=p, p_holm=p, p_least=p, p_wilcoxon=p,
        p_pairs=p, n=4, units=4, pairs=2, wins=3, ties=1, losses=0, shown=shown, smallest_detectable=None,
    )  # fmt: skip
