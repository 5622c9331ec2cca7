"""A sweep: as many draws for every row, from declared ranges only; and its choice, from posteriors of T_u alone."""

from __future__ import annotations

import csv
import functools
import io
import json
import operator
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from sere_core.cli import main
from sere_core.compare.grammar import Flags
from sere_core.compare.plan import ComparePlan, failure_file, is_done, record_of, write_json
from sere_core.compare.reading import read_results
from sere_core.compare.spaces import Range, draw, space_table
from sere_core.compare.sweep import Sweep, choose, plan_of_choices, plan_sweep
from sere_core.compare.tables import refuse_mixed
from sere_core.config import load
from sere_core.config.nodes import leaves
from sere_core.identity import identify
from sere_core.plan import make_plan
from sere_core.score.records import digest_files
from sere_core.tables.text import comma
from sere_plugins.specs.losses import TricBalancedParams, TricPooledParams
from sere_plugins.specs.methods import LogisticParams, SvmParams
from sere_plugins.specs.transductive import LogisticBalancedParams
from sere_registry.errors import SereError
from tests.compare.tiny import planned

TUNED = """\
sere: 1
compare: little
base: base.yaml
rows:
  floor: {losses: {adapt: null}}
  ours: {}
  closed: {losses: null, method: {use: logistic}}
  theirs: {losses: {adapt: {use: coral}}}
  ceiling: {losses: {adapt: null}}
floor: floor
ceiling: ceiling
reference: ours
pairs: [xa>xb, xb>xa]
tune: {trials: 3, repeats: 2, select: entropy}
"""


def sweep(text: str = TUNED, **flags: Any) -> Sweep:
    """The plan of a sweep in the working directory; nothing is written."""
    Path("comparison.yaml").write_text(text)
    return plan_sweep("comparison.yaml", Flags(**flags))


def problem(text: str = TUNED, **flags: Any) -> str:
    """What is wrong with it."""
    with pytest.raises(SereError) as caught:
        sweep(text, **flags)
    return str(caught.value)


def settings(found: Sweep) -> dict[tuple[str, str, int], list[Mapping[str, Any]]]:
    return {(place.row, place.pair, place.seed): [trial.setting for trial in place.trials] for place in found.places}


def test_every_row_gets_the_same_number_of_trials_in_every_pair_and_repeat(home: Path) -> None:
    found = sweep()
    counts = Counter({(place.row, place.pair, place.seed): len(place.trials) for place in found.places})
    assert len(counts) == 5 * 2 * 2
    assert {count for (row, _, _), count in counts.items() if row != "ceiling"} == {3}
    assert {count for (row, _, _), count in counts.items() if row == "ceiling"} == {1}, "a ceiling is no method and is not tuned"
    jobs = {trial.job for place in found.places for trial in place.trials}
    assert jobs == set(found.planned.configs), "and each has its config"
    tuning = {row.name: row.tuning for row in found.planned.plan.rows}
    assert tuning.pop("ceiling") == "none"
    assert set(tuning.values()) == {"random search, 3 trials, sere.entropy, 2 repeats"}
    found = sweep(params=("losses.adapt",))
    (place,) = (place for place in found.places if (place.row, place.pair, place.seed) == ("floor", "xa>xb", 0))
    assert [dict(trial.setting) for trial in place.trials] == [{}, {}, {}], "a row without ranges"
    assert len({trial.job for trial in place.trials}) == 1


def test_the_first_trial_is_the_row_as_it_is(home: Path) -> None:
    found = sweep()
    as_it_is = planned(TUNED.replace("tune: {trials: 3, repeats: 2, select: entropy}", "seeds: 2"))
    jobs = {(job.row, job.pair, job.seed): job.job for job in as_it_is.plan.jobs}
    assert {(place.row, place.pair, place.seed): place.trials[0].job for place in found.places} == jobs, "a comparison's record serves both"
    assert all(not place.trials[0].setting for place in found.places)


def test_one_setting_for_all_pairs_of_a_row(home: Path) -> None:
    alike = settings(sweep(TUNED.replace("repeats: 2", "repeats: 2, per: row")))
    assert all(alike[row, "xa>xb", seed] == alike[row, "xb>xa", seed] for row, _, seed in alike)
    assert alike["ours", "xa>xb", 0] != alike["ours", "xa>xb", 1], "each repeat draws anew"
    ends = {"xa>xb": "task: {source: xa, target: xb}", "xb>xa": "task: {source: xb, target: xa}, losses: {adapt: {weight: 2}}"}
    pairs = "".join(f"  {pair}: {{{given}}}\n" for pair, given in ends.items())
    other = TUNED.replace("repeats: 2", "repeats: 2, per: row").replace(" [xa>xb, xb>xa]\n", f"\n{pairs}")
    assert "[C311] 'losses.adapt.weight' has other ranges in xb>xa" in problem(other)


def test_draws_stay_within_what_is_declared_and_reach_the_configs(home: Path) -> None:
    found = sweep()
    for place in found.places:
        for trial in place.trials[1:]:
            (home / "job.yaml").write_text(found.planned.configs[trial.job])
            resolved = load("job.yaml")
            assert identify(make_plan(resolved)).name == trial.job and resolved.config.seed == place.seed
            for path, value in trial.setting.items():
                assert functools.reduce(operator.getitem, path.split("."), resolved.config.model_dump()) == value
            if place.row == "ceiling":
                assert not trial.setting
            if place.row == "closed":
                assert list(trial.setting) == ["method.params.C"] and 1e-4 <= trial.setting["method.params.C"] <= 1e2, "it takes no steps"
            if place.row == "floor":
                assert 0 <= trial.setting["losses.classify.params.label_smoothing"] <= 0.3
            if place.row in ("floor", "ours", "theirs"):
                assert 1e-4 <= trial.setting["train.optimizer.params.lr"] <= 1e-2
                assert 1e-6 <= trial.setting["train.optimizer.params.weight_decay"] <= 1e-2
            assert ("losses.adapt.weight" in trial.setting) == (place.row in ("ours", "theirs"))


def test_draws_belong_to_their_place_and_do_not_move(home: Path) -> None:
    first = settings(sweep())
    assert len({str(drawn) for place, drawn in first.items() if place[0] == "ours"}) == 4, "pairs and repeats have draws of their own"
    assert settings(sweep()) == first
    more = settings(sweep(trials=4))
    assert all(more[place][:3] == drawn for place, drawn in first.items() if place[0] != "ceiling"), (
        "a larger search begins with the smaller"
    )
    fewer = settings(sweep(TUNED.replace("  closed: {losses: null, method: {use: logistic}}\n", "")))
    assert all(drawn == first[place] for place, drawn in fewer.items()), "nor does another row move them"


def test_every_kind_of_range_is_drawn_from() -> None:
    ranges = [
        Range("a", "log", (1e-3, 1e3)),
        Range("b", "uniform", (-1.0, 1.0)),
        Range("c", "int", (1, 3), True),
        Range("d", "choice", (None, [1, 2], "x")),
        Range("e", "log", (1, 64), True),
    ]
    drawn = draw(ranges, 200, 0)
    assert 60 < sum(one["a"] < 1 for one in drawn) < 140, "evenly in the logarithm"
    assert 60 < sum(one["b"] < 0 for one in drawn) < 140
    assert {one["c"] for one in drawn} == {1, 2, 3}
    assert [value for value in (None, [1, 2], "x") if not any(one["d"] == value for one in drawn)] == []
    assert all(type(one["e"]) is int and 1 <= one["e"] <= 64 for one in drawn)
    with pytest.raises(SereError, match=r"a: \[C302\] \[2, 1\] \(uniform\) is no range of 'a'"):
        draw([Range("a", "uniform", (2, 1))], 1, 0)


def test_only_what_is_named_is_searched(home: Path) -> None:
    found = sweep(params=("losses.adapt.params.dual_weight",))
    assert {row.name: row.space for row in found.planned.plan.rows}["ours"] == {"losses.adapt.params.dual_weight": "log 0.01..10"}
    assert "losses.adapt.params.dual_weight" in {row.name: row for row in found.planned.plan.rows}["ours"].varied


FEW = TUNED.replace("pairs: [xa>xb, xb>xa]\n", "budget: {steps_per_epoch: 2}\n").replace("trials: 3, repeats: 2", "trials: 2, repeats: 1")
KINDS = FEW.replace(
    "  ceiling:",
    """\
  without: {losses: {adapt: {params: {prototype_weight: 0}}}}
  ramped: {losses: {adapt: {use: coral, weight: {start: 1, end: 0}}}}
  nrc: {losses: null, method: {use: nrc}}
  rprop: {train: {optimizer: {use: rprop, params: {lr: 0.1}}}}
  ceiling:""",
)
LR, DECAY = {"train.optimizer.params.lr": "log 0.0001..0.01"}, {"train.optimizer.params.weight_decay": "log 1e-06..0.01"}
BATCH = {
    "train.batch.labelled": "one of all, 8, 16, 32",
    "train.batch.source": "log 8..32",
    "train.batch.target": "log 8..32",
}


def spaces(text: str = KINDS, **flags: Any) -> dict[str, dict[str, str]]:
    return {row.name: dict(row.space) for row in sweep(text, **flags).planned.plan.rows}


def params(given: str, text: str = KINDS) -> str:
    return text.replace("select: entropy", f"select: entropy, params: {given}")


@pytest.mark.parametrize(
    ("given", "wanted", "closed"),
    [
        ("[train]", LR | DECAY | BATCH, {}),
        ("[train.optimizer]", LR | DECAY, {}),
        ("[train.optimizer.params.weight_decay]", DECAY, {}),
        ("[train.batch.source]", {"train.batch.source": "log 8..32"}, {}),
        ("{train.optimizer.params.lr: [log, 0.01, 0.1]}", {"train.optimizer.params.lr": "log 0.01..0.1"}, {}),
        ("{train: true, train.batch: false, train.optimizer.params.lr: false}", DECAY, {}),
        ("{network.dropout: [uniform, 0, 0.5]}", {"network.dropout": "uniform 0..0.5"}, {}),
        ("{train.clip: [log, 1, 10]}", {"train.clip": "log 1..10"}, {}),
        ("[method]", {}, {"method.params.C": "log 0.0001..100"}),
    ],
)
def test_every_row_that_trains_by_gradient_searches_the_same_of_the_engine(
    given: str, wanted: dict[str, str], closed: dict[str, str], home: Path
) -> None:
    found = spaces(params(given))
    assert found.pop("closed") == closed and found.pop("ceiling") == {}
    rprop, nrc = found.pop("rprop"), found.pop("nrc")
    assert rprop.pop("train.optimizer.params.lr", None) in (None, "log 0.01..1", "log 0.01..0.1"), "around its own rate"
    assert rprop == {path: words for path, words in wanted.items() if "optimizer" not in path}, (
        "it knows no weight decay, and has set its rate"
    )
    assert wanted == {path: words for path, words in nrc.items() if "method" not in path}
    assert found == dict.fromkeys(found, wanted)


def test_weights_of_losses_are_searched_where_they_are_one_setting(home: Path) -> None:
    found = spaces(params("[losses.adapt.weight, losses.classify]"))
    weight, smoothing = {"losses.adapt.weight": "log 0.1..10"}, {"losses.classify.params.label_smoothing": "uniform 0..0.3"}
    assert found["floor"] == smoothing and found["ours"] == found["theirs"] == found["without"] == weight | smoothing
    assert found["closed"] == found["nrc"] == {}
    assert found["ramped"] == smoothing, "the row is named after its ramp"
    ramp = "set: {losses: {adapt: {weight: {start: 4, end: 0}}}}\nrows:"
    found = spaces(params("[losses.adapt.weight]", KINDS.replace("rows:", ramp)))
    assert found["ours"] == {"losses.adapt.weight.start": "log 0.4..40"}
    off = "set: {losses: {adapt: {weight: 0}}}\nrows:"
    assert "[C311]" in problem(params("[losses.adapt.weight]", KINDS.replace("rows:", off))), "a search does not switch a loss on"
    found = spaces(params("[losses.classify.weight]"))
    assert found["floor"] == found["ours"] == {"losses.classify.weight": "log 0.1..10"}, "the unit of the others, where it is named"


def test_what_a_row_is_named_after_is_not_searched(home: Path) -> None:
    found = spaces()
    assert found["ours"].keys() - found["without"].keys() == {"losses.adapt.params.prototype_weight"}
    assert not found["without"].keys() - found["ours"].keys()
    for place in sweep(KINDS).places:
        if place.row == "without":
            assert all("losses.adapt.params.prototype_weight" not in trial.setting for trial in place.trials)
    found = spaces(params("{losses.adapt.params.prototype_weight: [choice, [0.5]]}"))
    assert found["without"] == {} and found["ours"] == {"losses.adapt.params.prototype_weight": "one of 0.5"}
    assert "losses.adapt.weight" not in spaces(vary=("losses.adapt.weight=0.1,1",), params=("losses.adapt",))["ours weight=0.1"]


def test_what_is_drawn_beside_a_default_keeps_it(home: Path) -> None:
    found = sweep(params("[train.optimizer.params.weight_decay]"))
    for place in found.places:
        for trial in place.trials[1:]:
            given = found.planned.resolved[trial.job].config.train.optimizer.params
            if place.row in ("floor", "ours", "nrc"):
                assert given == {"lr": 1e-3, "weight_decay": trial.setting["train.optimizer.params.weight_decay"]}


@pytest.mark.parametrize(
    ("given", "code", "names"),
    [
        ("[losses, losses.adapt.params.dual_wait]", "C308", "losses.adapt.params.dual_weight"),
        ("[losses, train.optimizer.params.decay]", "C308", "train.optimizer.params.weight_decay"),
        ("[losses, losses.adopt.weight]", "C308", "losses.adapt.weight"),
        ("[losses, resonance.params.nothing]", "C308", "resonance.params"),
        ("[losses, method.params.iterations]", "C311", "[log, LOW, HIGH]"),
        ("[losses, train.epochs]", "C311", "budget"),
        ("[losses, train.steps_per_epoch]", "C311", "budget"),
        ("[losses, task.shots]", "C311", "task.shots"),
        ("[losses, seed]", "C311", "seed"),
        ("[losses, train.device]", "C311", "train.device"),
        ("[losses, train.optimizer.use]", "C311", "vary"),
        ("{losses: true, losses.adapt.params.predicts: false}", "C308", "losses.adapt.params.predict"),
        ("{losses: true, train.optimizer.params.lr: [log, 0, 1]}", "C302", "train.optimizer.params.lr"),
        ("{losses: true, train.optimizer.params.lr: [log, .inf, 1]}", "C302", "train.optimizer.params.lr"),
        ("{losses: true, train.optimizer.params.lr: [loguniform, 0.1, 1]}", "C302", "[log, LOW, HIGH]"),
        ("{losses: true, train.optimizer.params.lr: []}", "C302", "[log, LOW, HIGH]"),
        ("{losses: true, train.optimizer.params.lr: [choice, []]}", "C302", "train.optimizer.params.lr"),
        ("{losses: true, train.batch.source: [log, 1.5, 8]}", "C302", "train.batch.source"),
        ("{losses: true, train.batch.source: [int, 0, 0]}", "C302", "train.batch.source"),
        ("{losses: true, losses.adapt.params.dual_weight: [uniform, -2, -1]}", "C302", "losses.adapt.params.dual_weight"),
        ("{losses: true, train.batch: [choice, [8]]}", "C302", "train.batch"),
        ("{losses: 3}", "C302", "params.losses"),
        ("7", "C302", "params"),
    ],
)
def test_what_cannot_be_searched_is_a_line_at_its_place(given: str, code: str, names: str, home: Path) -> None:
    text = problem(params(given, FEW.replace("  floor: {losses: {adapt: null}}\n", "").replace("floor: floor\n", "")))
    assert f"[{code}]" in text and names in text and "comparison.yaml:12:" in text, text
    assert not (home / "runs").exists()


def test_the_batch_of_the_target_moves_no_budget(home: Path) -> None:
    free = KINDS.replace("budget: {steps_per_epoch: 2}\n", "")
    for given in ("[train]", "[train.batch]", "[train.batch.target]", "{train.batch.target: [int, 2, 4]}"):
        assert "[C311]" in (line := problem(params(given, free))) and "steps_per_epoch" in line
    found = spaces(params("{train.batch: true, train.batch.target: false}", free))
    assert found["ours"] == {path: words for path, words in BATCH.items() if "target" not in path}


def test_the_space_of_every_row_is_printed_and_kept(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("comparison.yaml").write_text(KINDS)
    monkeypatch.setenv("COLUMNS", "2000")
    assert main(["sweep", "comparison.yaml", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    found = sweep(KINDS)
    shown = [line.split() for line in printed[printed.index("What each row searches") :].splitlines()]
    for row in found.planned.plan.rows:
        at = next(place for place, words in enumerate(shown) if words[:2] == [row.name, f"({len(row.space)})"])
        lines = [" ".join(words) for words in (shown[at][2:], *shown[at + 1 : at + max(len(row.space), 1)])]
        ranges = [f"{path} {words}" for path, words in row.space.items()] or [f"nothing: {'not tuned' if not row.trials else ''}"]
        assert lines == ranges
        assert row.trials == (0 if row.name == "ceiling" else 2)
    plan = plan_of_choices(found, ())
    plan.write(found.folder)
    assert ComparePlan.read(found.folder) == plan, "with names, ranges and trials"
    table = list(csv.DictReader(io.StringIO(comma(space_table(plan.rows)))))
    for row in plan.rows:
        mine = [line for line in table if line["row"] == row.name]
        assert {(line["parameters"], line["trials"]) for line in mine} == {(str(len(row.space)), str(row.trials))}
        assert {line["searched"]: line["range"] for line in mine if line["searched"] != "nothing"} == row.space


def test_a_comparison_may_extend_another_key_by_key(home: Path) -> None:
    Path("other.yaml").write_text(TUNED)
    own = "extends: other.yaml\nsere: 1\ncompare: own\ntune: {trials: 2, repeats: 1, select: snd}\n"
    found = sweep(own)
    assert (found.planned.plan.name, found.planned.plan.seeds, found.tune.trials) == ("own-tuned", (0,), 2)
    assert [row.name for row in found.planned.plan.rows] == ["floor", "ours", "closed", "theirs", "ceiling"]
    assert "method.params.C" in spaces(own)["closed"], "null in a row still takes its losses away"
    assert "[C304]" in (line := problem(own.replace("other", "another"))) and "comparison.yaml:1:10: extends" in line
    Path("other.yaml").write_text(TUNED + "extends: comparison.yaml\n")
    assert "other.yaml:15:10: extends: [C304]" in problem(own), "in a circle"
    assert "comparison.yaml:1:1: extends: [C302]" in problem(own.replace("other.yaml", "[other.yaml]"))


def test_repeats_take_the_seeds_that_were_listed(home: Path) -> None:
    assert sweep(TUNED + "seeds: [7, 5, 3]\n").planned.plan.seeds == (7, 5)
    assert "comparison.yaml:15:1: seeds: [C311] 2 repeats, but 1 seeds" in problem(TUNED + "seeds: [7]\n")


@pytest.mark.parametrize(
    ("select", "line"),
    [
        ("last", "[C311] the selector 'sere.last' looks at epochs"),
        ("entropie", "tune.select: [R201]"),
        ("{use: snd, params: {temperature: -1}}", "[C302]"),
        ("oracle", "[C311] the selector 'sere.oracle' chooses by labels of the target"),
        ("mixval", "[C311] the selector 'sere.mixval' reads mixture"),
        ("dev", "[C311] the selector 'sere.dev' reads source_embedding"),
        ("null", "[C311] nothing says by which rule settings are chosen"),
    ],
)
def test_a_rule_that_cannot_choose_is_refused_before_anything_runs(select: str, line: str, home: Path) -> None:
    assert line.removeprefix("tune.select: ") in problem(TUNED.replace("select: entropy", f"select: {select}"))
    assert not (home / "runs").exists() and "--trials 0" in problem(trials=0)
    with pytest.raises(SereError, match=r"tune: \[C311\]"):
        planned(TUNED)


def test_rows_whose_epochs_an_oracle_chooses_are_not_searched(home: Path) -> None:
    found = problem(TUNED + "set: {select: {use: oracle}}\n")
    assert "tune: [C311] the epochs of ceiling, closed, floor, ours, theirs are chosen by labels of the target" in found


def test_without_optuna_there_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("comparison.yaml").write_text(TUNED)
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["sweep", "comparison.yaml"]) == 3
    printed = capsys.readouterr().err
    assert "[P108] `sere sweep` needs the distribution 'optuna'" in printed and 'pip install "sere[sweep]"' in printed


# the choice

ONE = TUNED.replace("pairs: [xa>xb, xb>xa]\n", "")


def finished(record: Path, confidences: Sequence[float]) -> None:
    """A finished record, of which only the posteriors of T_u are there: of two classes, with one confidence for each fold."""
    stored(record, [{"target": np.array([[each, 1 - each]] * 4, dtype=np.float32)} for each in confidences])


def stored(record: Path, folds: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> None:
    """A finished record, of which only what a sweep may read of each fold is there."""
    (record / "checkpoints").mkdir(parents=True)
    for fold, kept in enumerate(folds):
        save_file({f"result/{name}": value for name, value in kept.items()}, record / "checkpoints" / f"fold-{fold}.safetensors")
    sums = {path.relative_to(record).as_posix(): sha256(path.read_bytes()).hexdigest() for path in record.glob("*/*")}
    (record / "done").write_text(json.dumps({"sha256": sums}))


def searched(confidence: dict[int, Sequence[float]]) -> Sweep:
    """A sweep whose trials are all finished; trial number -> confidence in its folds, 0.6 where nothing is said."""
    found = sweep(ONE)
    for place in found.places:
        for number, trial in enumerate(place.trials):
            if not is_done(found.folder, trial.job):
                finished(record_of(found.folder, trial.job), confidence.get(number, (0.6, 0.6)))
    return found


def chosen(found: Sweep) -> dict[tuple[str, str, int], int]:
    return {(choice.place.row, choice.place.pair, choice.place.seed): choice.chosen for choice in choose(found)[0]}


def test_the_best_mean_over_folds_is_chosen_and_the_first_of_equals(home: Path) -> None:
    assert set(chosen(searched({})).values()) == {0}
    shutil.rmtree(home / "runs")
    found = searched({1: (0.99, 0.5), 2: (0.9, 0.9)})
    assert {number for place, number in chosen(found).items() if place[0] != "ceiling"} == {2}, "two good folds before one very good one"
    assert {number for place, number in chosen(found).items() if place[0] == "ceiling"} == {0}
    plan = plan_of_choices(found, choose(found)[0])
    jobs = {(place.row, place.pair, place.seed): place.trials for place in found.places}
    assert len(plan.jobs) == len(found.places) == len(jobs)
    assert all(job.job == jobs[job.row, job.pair, job.seed][0 if job.row == "ceiling" else 2].job for job in plan.jobs)


def test_one_setting_for_all_pairs_is_chosen_by_the_mean_over_them(home: Path) -> None:
    found = sweep(TUNED.replace("repeats: 2", "repeats: 1, per: row"))
    sure = {"xa>xb": (0.9, 0.99, 0.5), "xb>xa": (0.9, 0.5, 0.95)}
    for place in found.places:
        for number, trial in enumerate(place.trials):
            finished(record_of(found.folder, trial.job), (sure[place.pair][number],))
    each = replace(found, tune=found.tune.model_copy(update={"per": "pair"}))
    ours = [("ours", "xa>xb", 0), ("ours", "xb>xa", 0)]
    assert [chosen(each)[place] for place in ours] == [1, 2], "each pair by itself"
    assert [chosen(found)[place] for place in ours] == [0, 0] and found.tuning.endswith("1 repeats, one setting for all pairs")
    lost = next(place for place in found.places if (place.row, place.pair) == ("ours", "xb>xa")).trials[0].job
    (record_of(found.folder, lost) / "done").unlink()
    write_json(failure_file(found.folder, lost), {"code": "T501", "line": "[T501] so it was"})
    assert [chosen(found)[place] for place in ours] == [1, 1], "a setting that diverges in one pair has lost in all"
    assert len(choose(found)[0]) == len(found.places)


def test_a_setting_that_diverges_has_lost_and_any_other_failure_leaves_a_gap(home: Path) -> None:
    found = searched({2: (0.9, 0.9)})
    floor, ours = (next(place for place in found.places if place.row == row and place.seed == 0) for row in ("floor", "ours"))
    for place, code in ((floor, "T501"), (ours, "X706")):
        (record_of(found.folder, place.trials[2].job) / "done").unlink()
        write_json(failure_file(found.folder, place.trials[2].job), {"code": code, "line": f"[{code}] so it was"})
    choices, without = choose(found)
    (choice,) = (each for each in choices if each.place == floor)
    assert choice.chosen == 0 and choice.scores[2] is None
    assert [(place.row, place.seed, why) for place, why in without] == [("ours", 0, "[X706] so it was")]
    gap = next(job for job in plan_of_choices(found, choices).jobs if (job.row, job.seed) == ("ours", 0))
    assert not is_done(found.folder, gap.job), "no trial stands in for a choice that was not made"
    record = record_of(found.folder, found.places[0].trials[0].job)
    save_file({"other": np.zeros(1)}, record / "checkpoints" / "fold-0.safetensors")
    with pytest.raises(SereError, match="T505"):
        choose(found)


def test_a_rule_that_reads_held_out_labels_needs_the_task_to_keep_them_and_the_method_to_see_the_source(home: Path) -> None:
    text = ONE.replace("select: entropy", "select: source_validation")
    assert "task: {validation: 5}" in problem(text)
    found = sweep(text + "set: {task: {validation: 1}}\n")
    labels = np.array([0, 1])
    for place in found.places:
        for number, trial in enumerate(place.trials):
            record = record_of(found.folder, trial.job)
            right = np.eye(2)[labels if number == 1 else 1 - labels]
            kept = {"target": np.eye(2)} | ({} if place.row == "theirs" else {"validation": right, "validation_labels": labels})
            if not record.exists():
                stored(record, [kept])
    choices, without = choose(found)
    assert {each.chosen for each in choices if each.place.row != "ceiling"} == {1}
    assert {place.row for place, _ in without} == {"theirs"} and "may not see" in without[0][1]


def test_a_search_from_file_to_table_and_no_score_of_the_target_moves_its_choice(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("comparison.yaml").write_text(ONE.replace("trials: 3", "trials: 2"))
    assert main(["sweep", "comparison.yaml"]) == 0, capsys.readouterr().err
    printed = capsys.readouterr()
    folder = here / "runs" / "little-tuned"
    plan = ComparePlan.read(folder)
    choices = (folder / "chosen.json").read_text()
    tunings = {row.name: row.tuning for row in plan.rows}
    assert tunings["ours"] == "random search, 2 trials, sere.entropy, 2 repeats" and tunings["ceiling"] == "none"
    assert len(read_results(folder).runs) == len(plan.jobs) == 5 * 2
    assert "tuning random search, 2 trials, sere.entropy, 2 repeats" in " ".join(printed.out.split())
    assert "What each row searches" in printed.out
    assert "the whole search, 2 times: UAR in %, mean over pairs, by repeat\n  floor: " in printed.out
    jobs = {trial["job"] for place in json.loads((folder / "trials.json").read_text())["places"] for trial in place["trials"]}
    assert {path.name for path in (folder / "records").iterdir()} == jobs
    for job in jobs:  # every score of a trial turned around, chosen or not, and the answers on T_e with it
        record = folder / "records" / job
        scores = json.loads((record / "scores.json").read_text())
        for fold in scores["folds"]:
            fold["confusion"] = [row[::-1] for row in fold["confusion"]]
            fold["uar"] = 1 - fold["uar"]
        scores["mean"]["uar"] = 1 - scores["mean"]["uar"]
        (record / "scores.json").write_text(json.dumps(scores))
        (record / "predictions.csv").write_text("nothing\n")
        (record / "done").write_text(json.dumps({"sha256": digest_files(record)}))
    again = main(["sweep", "comparison.yaml"])
    reprinted = capsys.readouterr()
    assert again == 0 and "FAILED" not in reprinted.out, reprinted.err
    assert (folder / "chosen.json").read_text() == choices and ComparePlan.read(folder) == plan
    assert reprinted.out != printed.out, "the table is another: it does show scores"


def test_tuned_rows_share_no_table_with_rows_as_they_are(home: Path) -> None:
    found = searched({})
    plan = plan_of_choices(found, choose(found)[0])
    rows = tuple(replace(row, tuning="none", space={}) if row.name == "ours" else row for row in plan.rows)
    plan = replace(plan, rows=rows)
    plan.write(found.folder)
    with pytest.raises(SereError, match=r"\[T508\] rows of other tuning share no table"):
        refuse_mixed(read_results(found.folder))


# the file that comes with sere

SIX = """\
extends: {folder}/six_pairs_tuned.yaml
sere: 1
compare: six-small
base: base.yaml
set: {{encoders: {{small: {{params: {{layers: 0}}}}}}}}
pairs: null
budget: {{epochs: 2, steps_per_epoch: 2}}
tune: {{trials: {trials}, repeats: 1, select: information_max, params: {{losses: true, method: true, train: true}}}}
"""


@pytest.mark.slow
def test_the_rows_of_the_six_pairs_are_all_searched_alike(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(__file__).parents[2] / "configs" / "compare"
    Path("comparison.yaml").write_text(SIX.format(folder=folder, trials=2))
    assert main(["sweep", "comparison.yaml", "--yes"]) == 0, capsys.readouterr().err
    plan = ComparePlan.read(here / "runs" / "six-small-tuned")
    rows = {row.name: row for row in plan.rows}
    assert {row.trials for row in plan.rows if row.role != "ceiling"} == {2} and len(read_results(here / "runs" / plan.name).runs) == 16
    assert {name for name, row in rows.items() if not row.space} == {"ceiling", "ceiling-all"}
    closed = {name for name in rows if name.startswith(("jdar", "logistic"))}
    for name in rows.keys() - closed - {"ceiling", "ceiling-all"}:
        assert {path: words for path, words in rows[name].space.items() if path.startswith("train")} == LR | DECAY | BATCH
    assert all(path.startswith("method.params.") for name in closed for path in rows[name].space)
    assert "losses.adapt.params.prototype_weight" not in rows["sere -L_PR"].space


def test_no_value_of_a_shipped_comparison_was_chosen_on_its_labels() -> None:
    """Rows of the six pairs say which component they are, what they leave out, and nothing else but views, which FixMatch needs."""
    found = Path(__file__).parents[2] / "configs" / "compare" / "six_pairs.yaml"
    rows = yaml.safe_load(found.read_text())["rows"]
    given = {".".join(path): value for row in rows.values() for path, value in leaves(row) if "views" not in path and path[-1:] != ("use",)}
    assert {path: value for path, value in given.items() if value is not None} == {
        "": {},
        "losses.adapt.params.prototype_weight": 0,
        "losses.adapt.params.dual_weight": 0,
        "losses.adapt.params.teacher": "logistic",
        "task.shots": "all",
        "train.batch.labelled": 32,
    }
    assert (LogisticParams().C, SvmParams().C) == (LogisticRegression().C, SVC().C)
    assert (LogisticBalancedParams().C, TricBalancedParams().teacher_C, TricPooledParams().C) == (1.0, 1.0, 1.0)
