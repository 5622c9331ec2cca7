"""Tables in every format: what a reader needs is in each of them, and nothing that is in a name can break one."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sere_core.cli import main
from sere_core.compare.plan import Row
from sere_core.compare.reading import Results, read_results
from sere_core.compare.stats.summary import PairSummary, RowSummary, Shown, Spread, Summary, Verdict
from sere_core.compare.tables import SHAPES, FullName, Source, build, write_tables
from sere_core.score.interval import Interval
from sere_core.tables import Table, print_tables, render
from sere_registry.errors import SereError
from tests.compare.made_up import default_protocol, make_comparison

MAIN_MARKDOWN = """\
**small: UAR in %, mean ± standard deviation over 2 seeds; 5-shot inductive 5 folds speaker-disjoint norm=speaker \
(test speakers' own utterances read); selection last; \
features 94126b3f; tuning none; evidence confirmed, reconstructed; chance 20.0 %; n = 19 of 20 runs.**

|  | aa>bb | bb>aa | mean | interval, 95 % | n | rank \
| diff. | its interval | p (Holm) | p (pairs) | least shown | w/t/l | against source-only |
| :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | :--- |
| source-only | 40.0 ±1.2 | 50.0 ±1.2 | 45.0 | 40.9..49.1 | 4 | 1.50 |  |  |  |  |  |  | reference |
|   |   |   |   |   |   |   |   |   |   |   |   |   |   |
| a&amp;b\\_% | **51.0 ±1.2** | **60.4 ±1.2** | **55.7** ↑ | 51.6..59.8 | 4 | 1.50 \
| +10.7 | -1.2..+5.7 | &lt;0.001 | 0.500 | 3.5 | 3/1/0 | better |
| two\\|three (reconstructed) \
| <u>50.0 ±1.2</u> | <u>60.0 ±1.2</u> | <u>55.0</u> | 50.9..59.1 | 4 | 1.50 \
| +10.0 | -1.2..+5.7 | 0.200 | 0.500 | 3.5 | 3/1/0 | no difference shown |
| &lt;four> | 45.0 ±1.2 | 49.0 (n=1) | (47.0) | 42.9..51.1 | 3/4 | 1.50 \
| +2.0 | -1.2..+5.7 | 0.200 | 0.500 | 3.5 | 3/1/0 | no difference shown |
|   |   |   |   |   |   |   |   |   |   |   |   |   |   |
| ceiling † | 80.0 ±1.2 | 90.0 ±1.2 | 85.0 ↑ | 80.9..89.1 | 4 | - | +40.0 | -1.2..+5.7 | &lt;0.001 | 0.500 | 3.5 | 3/1/0 | better |
|   |   |   |   |   |   |   |   |   |   |   |   |   |   |
| chance | 20.0 | 20.0 | 20.0 |  |  |  |  |  |  |  |  |  |  |

* Best in bold, second underlined, among methods.
* † ceiling: a ceiling, not a method: 5-shot inductive 5 folds speaker-disjoint norm=speaker \
(test speakers' own utterances read) target-supervised
* Missing runs: a dash means no run; a number in parentheses says on how many of 2 seeds a value rests.
* A note on 5 % &amp; more.
"""

LATEX_LINES = (
    r" & aa$\to$bb & bb$\to$aa & mean & interval, 95 \% & n & rank \\",
    r" & diff. & its interval & p (Holm) & p (pairs) & least shown & w/t/l & against source-only \\",
    r"a\&b\_\% & \textbf{51.0}{\scriptsize\,$\pm$\,1.2} & \textbf{60.4}{\scriptsize\,$\pm$\,1.2} & \textbf{55.7}\,$\uparrow$"
    r" & 51.6..59.8 & 4 & 1.50 \\",
    r"a\&b\_\% & $+10.7$ & $-1.2..+5.7$ & \textless{}0.001 & 0.500 & 3.5 & 3/1/0 & better \\",
    r"\textless{}four\textgreater{} & 45.0{\scriptsize\,$\pm$\,1.2} & 49.0\,{\scriptsize(n=1)} & (47.0)"
    r" & 42.9..51.1 & 3/4 & 1.50 \\",
    r"chance & 20.0 & 20.0 & 20.0 &  &  &  \\",
)


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
    return results, Summary("source-only", rows, verdicts, 2.0, {"aa>bb": 0.2, "bb>aa": 0.2}, notes=("A note on 5 % & more.",))


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
        measures={"kappa": mean - 0.3, "ece": 0.1234, "war": mean} if role != "ceiling" else {"war": mean},
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
        row=name, reference="source-only", difference=VALUES[name][2] - 0.45, interval=Interval(-0.0123, 0.0567, "speakers", 20),
        p=p, p_holm=p, p_pairs=0.5, pairs=2, wins=3, ties=1, losses=0, shown=shown, detectable=0.0345,
    )  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Summary]:
    return by_hand(tmp_path_factory.mktemp("small"))


def printed(results: Results, summary: Summary | None = None, shape: str = "main", encoding: str = "utf-8", **how: Any) -> str:
    buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_tables(Console(file=buffer, **{"width": 80, **how}), build(results, shape, summary))
    buffer.seek(0)
    return "\n".join(line.rstrip() for line in buffer.read().splitlines())


def made(folder: Path, *shape: Any, **more: Any) -> Results:
    make_comparison(folder, *shape, **more)
    return read_results(folder)


def line(text: str, begin: str) -> str:
    return next(each for each in text.splitlines() if each.startswith(begin))


def records(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render(table, "csv"))))


# what stands in them


def test_the_main_table_in_markdown(small: tuple[Results, Summary]) -> None:
    assert render(build(small[0], "main", small[1]), "markdown") == MAIN_MARKDOWN


def test_the_main_table_in_latex(small: tuple[Results, Summary]) -> None:
    text = render(build(small[0], "main", small[1]), "latex")
    assert all(each in text.splitlines() for each in LATEX_LINES)
    assert text.count(r"\midrule") == 4 + 3, "chance says nothing in the block of tests"
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 2
    caption = line(text, r"\caption")
    assert all(each in caption for each in ("5-shot inductive", r"chance 20.0 \%", "n = 19 of 20 runs", "reconstructed", "selection last"))


def test_the_main_table_in_csv(small: tuple[Results, Summary]) -> None:
    table = records(build(small[0], "main", small[1]))
    assert [row["row"] for row in table] == ["source-only", "a&b_%", "two|three", "<four>", "ceiling", "chance"]
    best, ceiling = table[1], table[4]
    assert (best["aa>bb"], best["aa>bb std"], best["aa>bb n"], best["mean"], best["p_holm"]) == ("51.0", "1.25", "2", "55.7", "0.0004")
    assert best["regime"] == "5-shot" and best["features"] == "94126b3f" and best["tuning"] == "none" and best["shown"] == "better"
    assert table[2]["evidence"] == "reconstructed" and "target-supervised" in ceiling["protocol"] and ceiling["average rank"] == ""
    assert table[3]["bb>aa std"] == "" and (table[3]["n"], table[3]["planned"]) == ("3", "4")


def test_a_row_says_its_evidence_once() -> None:
    parts = {"role": "method", "features": ""}
    for name, label in {"lrjda": "lrjda (reconstructed)", "lrjda (reconstructed)": "", "lrjda_reconstructed": ""}.items():
        assert FullName({**parts, "row": name}, "reconstructed", False, False).label == (label or name)
    assert FullName({**parts, "row": "lrjda (reconstructed)"}, "stand-in", False, False).label.endswith("(stand-in)")


def test_what_all_rows_have_is_said_once_for_all(tmp_path: Path) -> None:
    results = made(tmp_path, ["source-only", "ours", "theirs"], seeds=1)
    idfe, nrc = ("sere.idfe", "reconstructed"), ("sere.nrc", "stand-in")
    found = {place: frozenset({idfe, nrc} if place[0] == "theirs" else {idfe}) for place in results.runs}
    runs = {place: replace(run, components=found[place]) for place, run in results.runs.items()}
    text = printed(replace(results, runs=runs), width=200)
    assert "in all rows sere.idfe (reconstructed)" in text and "theirs (stand-in)" in text
    assert "source-only (" not in text and "ours (" not in text


def test_the_main_table_without_a_terminal(small: tuple[Results, Summary]) -> None:
    text = printed(*small, width=80, encoding="ascii")
    assert all(len(each) <= 80 for each in text.splitlines()) and text.isascii() and "\x1b" not in text
    assert line(text, "a&b_%").split() == ["a&b_%", "*51.0+-1.2", "*60.4+-1.2", "*55.7", "51.6..59.8", "4", "1.50"]
    assert line(text, "two|three").split()[1:] == ["_50.0+-1.2", "_60.0+-1.2", "_55.0", "50.9..59.1", "4", "1.50"]
    assert "(reconstructed)" in text and line(text, "<four>").split()[1:4] == ["45.0+-1.2", "49.0(1)", "(47.0)"]
    assert line(text, "ceiling #") and line(text, "# ceiling: a ceiling, not a method") and line(text, "* best, _ second")
    assert text.count("no difference shown") == 2 and "against" in text and "diff." in text
    assert text.count("chance   ") == 1, "a line that says nothing in the block of tests is left out there"


def test_on_a_terminal_styles_tell_best_and_second(small: tuple[Results, Summary]) -> None:
    text = printed(*small, width=140, force_terminal=True)
    assert "\x1b[1m51.0±1.2\x1b[0m" in text and "\x1b[4m50.0±1.2\x1b[0m" in text and "*51.0" not in text and "─" in text
    assert "aa>bb" in text and "Best in bold" in text


def test_six_pairs_and_twelve_rows_in_80_columns(tmp_path: Path) -> None:
    corpora = ("emodb", "emovo", "ravdess")
    pairs = [f"{source}_to_{target}" for source in corpora for target in corpora if source != target]
    rows = ["source-only", *(f"method-number-{n}" for n in range(10)), "ceiling-all-labels"]
    results = made(tmp_path, rows, pairs, 2, folds=2, speakers=4, per_class=4, evidence={"method-number-3": "stand-in"})
    text = printed(results, width=80)
    assert all(len(each) <= 80 for each in text.splitlines()) and "…" not in text
    head, below = text.splitlines()[5:7]
    assert head.split() == ["emodb>", "emodb>", "emovo>", "emovo>", "ravdess>", "ravdess>"], "all pairs in one block"
    assert below.split() == ["emovo", "ravdess", "emodb", "ravdess", "emodb", "emovo"]
    assert len(re.findall(r"^method-number-3", text, re.M)) == 3 and "(stand-in)" in text
    wide = printed(results, width=200)
    assert len(re.findall(r"^method-number-3", wide, re.M)) == 1, "one block where there is room"


def test_one_seed_and_one_pair(tmp_path: Path) -> None:
    results = made(tmp_path, ["source-only", "ours"], ["aa>bb"], 1)
    text = printed(results)
    assert "±" not in text.split("one seed, so no deviation")[1].split("UAR is the mean")[0]
    assert "n = 2 of 2 runs" in " ".join(text.split()) and line(text, "ours").count("*") == 0, "a method alone is not best"
    assert [row["aa>bb std"] for row in records(build(results))] == [""] * 4


def test_missing_runs_are_a_dash_with_their_n(tmp_path: Path) -> None:
    missing = [("ours", "aa>bb", seed) for seed in range(3)] + [("theirs", "bb>aa", 1)]
    results = made(tmp_path, missing=missing, accuracy={"ours": 0.9, "theirs": 0.8})
    text = printed(results, width=160)
    ours, theirs = line(text, "ours").split(), line(text, "theirs").split()
    assert ours[1] == "-" and ours[3].startswith("(") and ours[5] == "3/6" and "n = 14 of 18 runs" in text
    assert theirs[2].endswith("(2)") and theirs[5] == "5/6"
    assert "*" not in line(text, "ours") + line(text, "theirs"), "values over other seeds do not compete"
    everything = [(row, pair, seed) for row in ("source-only", "ours") for pair in ("aa>bb", "bb>aa") for seed in range(3)]
    assert "no run yet" in printed(made(tmp_path / "none", ["source-only", "ours"], missing=everything), width=160)


def test_values_that_look_the_same_are_equally_good_and_a_missing_floor_is_told(tmp_path: Path) -> None:
    rows = [Row("floor", "floor", ()), *(Row(name, "method", ()) for name in ("x", "y", "z"))]
    text = printed(made(tmp_path, rows, seeds=1, accuracy=lambda row, pair, seed: {"floor": 1.0, "z": 0.0}.get(row, 1.0)), width=160)
    assert "*100.0" in line(text, "x") and "*100.0" in line(text, "y") and "_" not in line(text, "z")
    assert "*" not in line(text, "floor"), "a floor is not best"
    text = printed(made(tmp_path / "bare", [Row("ours", "method", ()), Row("theirs", "method", ())], seeds=1), width=160)
    assert line(text, "no floor ").split()[2:4] == ["-", "-"] and line(text, "no ceiling ").split()[2:4] == ["-", "-"]
    assert "no floor: without" in text and "no ceiling: without" in text


# full names, and what is refused


def test_other_features_weaker_evidence_and_a_ceilings_protocol_are_told(tmp_path: Path) -> None:
    results = made(tmp_path, features={"theirs": "abcdef0123456789" * 4}, evidence={"ours": "stand-in"}, seeds=1)
    for text in (printed(results, width=160), render(build(results), "latex")):
        assert "theirs [abcdef01]" in text and "ours (stand-in)" in text and "other features than the reference's" in text
    assert "target-supervised" in printed(made(tmp_path / "c", ["source-only", "ours", "ceiling-all"], seeds=1), width=160)
    by_row = {row["row"]: row for row in records(build(results))}
    assert by_row["theirs"]["features"] == "abcdef01" and by_row["ours"]["evidence"] == "stand-in"


def regime(row: str, pair: str) -> str:
    usual = default_protocol(Row(row, "method", ()), pair)
    return usual.replace("5-shot", "full") if row == "ours" else usual


def cheating(row: str, pair: str) -> str:
    return default_protocol(Row(row, "ceiling" if row == "ours" else "floor", ()), pair)


TUNED = [Row("a", "floor", ()), Row("b", "method", (), "20 trials on source_val"), Row("c", "method", ())]


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"protocol": regime}, [("aa>bb", "full inductive", "(ours)", "(source-only, theirs)"), ("bb>aa", "(ours)")]),
        ({"protocol": cheating}, [("target-supervised", "(ours)"), ("target-supervised", "(ours)")]),
        ({"rows": TUNED, "selection": {"c": "dev"}}, [("selection rules", "'dev' (c)"), ("tuning", "(b)", "'none' (a, c)")]),
    ],
    ids=["regime", "a method with a ceiling's protocol", "selection and tuning"],
)
def test_what_differs_is_refused_at_once_with_the_rows(tmp_path: Path, shape: dict[str, Any], words: list[tuple[str, ...]]) -> None:
    with pytest.raises(SereError) as caught:
        write_tables(Source(made(tmp_path, **shape)), tmp_path / "tables")
    assert [problem.code for problem in caught.value.problems] == ["T508"] * len(words)
    for problem, each in zip(caught.value.problems, words, strict=True):
        assert all(word in problem.message for word in each), problem
    assert not (tmp_path / "tables").exists()


# the other shapes


def test_recalls_genders_and_cost(small: tuple[Results, Summary]) -> None:
    results, summary = small
    classes, gender, cost = (records(build(results, shape, summary)) for shape in ("classes", "gender", "cost"))
    assert [row["anger recall"] for row in classes] == ["45.0", "55.7", "55.0", "47.0", "85.0"] and "sadness recall" not in classes[0]
    assert gender[1]["female UAR"] == "56.7" and gender[1]["gap"] == "2.0"
    assert (cost[0]["seconds"], cost[0]["peak MiB"], cost[0]["trained parameters"], cost[4]["trained parameters"]) == (
        "12.34", "1234.5", "1234567.0", "",
    )  # fmt: skip
    assert float(cost[0]["features seconds"]) + float(cost[0]["train and score seconds"]) == pytest.approx(12.34)
    assert "1,234,567" in printed(results, summary, shape="cost")


def test_measures_are_a_column_each_and_none_of_them_is_ranked(small: tuple[Results, Summary]) -> None:
    results, summary = small
    table = build(results, "measures", summary)
    assert [column.title for column in table.columns] == ["", "WAR", "ECE", "kappa"], "what is known"
    assert [(row["war"], row["ece"], row["kappa"]) for row in records(table)][3:] == [("0.47", "0.123", "0.17"), ("0.85", "", "")]
    assert {cell.standing for each in table.lines for cell in each.cells} == {""}


def test_an_ablation_tells_its_parts(tmp_path: Path) -> None:
    rows = ["source-only", "ours", "ours -dual", "ours -dual -proto"]
    results = made(tmp_path, rows, ["aa>bb"], 2, reference="ours")
    table = records(build(results, "ablation"))
    assert [(row["dual"], row["proto"]) for row in table[:4]] == [("off", "off"), ("on", "on"), ("off", "on"), ("off", "off")]
    assert "✓" in printed(results, shape="ablation") and r"\checkmark{}" in render(build(results, "ablation"), "latex")
    assert line(printed(results, encoding="ascii", shape="ablation"), "ours -dual ").split()[2:4] == ["-", "x"]
    more = records(
        build(made(tmp_path / "more", ["source-only", "ours", "ours without dual", "theirs"], ["aa>bb"], 2, reference="ours"), "ablation")
    )
    assert [row["dual"] for row in more[:4]] == ["off", "on", "off", ""], "nothing is known of another method's parts"
    plain = records(build(made(tmp_path / "plain", seeds=1), "ablation"))
    assert [row["row"] for row in plain] == ["source-only", "ours", "theirs", "no ceiling", "chance"], "simply rows"


def test_combinations_of_encoders_pair_by_pair(tmp_path: Path) -> None:
    results = made(tmp_path, ["one", "two", "one>two", "two/one"], ["B>C", "C>B"], 2)
    table = records(build(results, "encoders"))
    assert [(row["pair"], row["source encoder"], row["target encoder"]) for row in table[:4]] == [
        ("B>C", "one", ""), ("B>C", "two", ""), ("B>C", "one", "two"), ("B>C", "two", "one"),
    ]  # fmt: skip
    assert table[4]["row"] == "chance" and table[4]["uar"] == "20.0" and len(table) == 10
    bold = re.findall(r"\\textbf", render(build(results, "encoders"), "latex"))
    assert len(bold) >= 2, "best of each pair"


def test_all_tables_are_written_in_all_formats(small: tuple[Results, Summary], tmp_path: Path) -> None:
    results, summary = small
    paths = write_tables(Source(results, summary), tmp_path / "tables")
    assert {path.name for path in paths} == {
        f"{s}.{e}" for s in ("main", "classes", "measures", "gender", "cost") for e in ("md", "csv", "tex")
    }
    assert (tmp_path / "tables" / "main.md").read_text() == MAIN_MARKDOWN
    before = {path: path.read_bytes() for path in paths}
    assert {path: path.read_bytes() for path in write_tables(Source(results, summary), tmp_path / "tables")} == before
    other = Source(made(tmp_path / "b", ["one", "one -x", "two>three"], ["a>b"], 1))
    names = {path.name for path in write_tables(other, tmp_path / "b" / "tables")}
    assert names == {f"{shape}.{ending}" for shape in SHAPES if shape != "space" for ending in ("md", "csv", "tex")}


# names that could break a format


UGLY = (r"a & b_c % <d> \e{} $f$ #g ~h ^i |j| `k` *l* [m] “n” 中", "x\x1b[31mred\x07", "[bold]not markup[/bold]", "-begins", "= 1+1")


@pytest.fixture(scope="module")
def ugly(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("ugly")
    return made(folder, ["source-only", *UGLY, "ceiling {"], ["a_&>b%", "{c>d}"], 1, name="50 % & more_{")


@pytest.mark.parametrize("shape", list(SHAPES))
def test_no_format_is_broken_by_names(ugly: Results, shape: str) -> None:
    table = build(ugly, shape)
    rows = [each for each in render(table, "markdown").splitlines() if each.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", each)) for each in rows} == {len(table.columns) + 1}
    parsed = list(csv.reader(io.StringIO(render(table, "csv"))))
    assert len({len(each) for each in parsed}) == 1
    if shape == "main":
        assert [each[0] for each in parsed[2:4]] == [UGLY[0], "x?[31mred?"]
    for encoding in ("utf-8", "ascii"):
        text = printed(ugly, shape=shape, width=100, encoding=encoding)
        assert "\x1b" not in text and "\x07" not in text
        assert all(len(each) <= 100 for each in text.splitlines())


# the command


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_comparison(tmp_path, seeds=1, failures={("theirs", "bb>aa", 0): "not a finite scalar"})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert main(["table", str(tmp_path)]) == 0
    done = capsys.readouterr()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before, "nothing is written"
    assert "source-only" in done.out and "\x1b" not in done.out
    assert main(["table", str(tmp_path), "--format", "csv"]) == 0
    assert [row["row"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))][:2] == ["source-only", "ours"]
    (failed,) = done.err.splitlines()
    assert all(word in failed for word in ("theirs", "bb>aa", "0", "[T501] not a finite scalar"))
    for ending, words in {"tex": r"\toprule", "md": "| ours |", "csv": "source-only,floor", "txt": "* best"}.items():
        output = tmp_path / f"out.{ending}"
        assert main(["table", str(tmp_path), "--shape", "classes", "-o", str(output)]) == 0
        assert capsys.readouterr().out == "" and words in output.read_text()
    assert main(["table", str(tmp_path / "nothing")]) == 1 and "T505" in capsys.readouterr().err
    make_comparison(tmp_path / "begun", 1, 1, 1, missing=[("source-only", "p0>q0", 0)])
    assert main(["table", str(tmp_path / "begun")]) == 1


def test_tables_need_no_torch() -> None:
    modules = "sere_core.compare.tables, sere_core.cli.compare, sere_core.score.table, sere_core.score.records"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
