"""Rows, pairs and their names; jobs, which are complete configs; and mistakes, each one coded line at its place, all at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sere_core.compare.grammar import Flags, read_request
from sere_core.compare.plan import ComparePlan, Row
from sere_core.compare.planning import plan_comparison
from sere_core.config import load
from sere_core.identity import identify
from sere_core.plan import make_plan
from sere_registry.errors import SereError
from tests.compare.tiny import COMPARISON, made

MANIFEST = "path,speaker,language,emotion\n" + "".join(f"{n}.wav,s{n % 3},pl,{'anger' if n % 2 else 'sadness'}\n" for n in range(12))


def config_of(plan: ComparePlan, folder: Path, row: str, pair: str) -> Any:
    job = next(job.job for job in plan.jobs if (job.row, job.pair) == (row, pair))
    return load(folder / "jobs" / f"{job}.yaml").config


def test_the_command_line_comes_before_the_budget_of_the_file(home: Path) -> None:
    plan, folder = made(COMPARISON + "budget: {epochs: 3}\n", sets=["train.epochs=1"])
    assert plan.budget["epochs"] == 1 and config_of(plan, folder, plan.rows[0].name, plan.pairs[0]).train.epochs == 1


def test_a_job_is_a_config_that_means_the_same_from_every_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, folder = made(COMPARISON + "pairs: [xa>xb, xb>xa]\nseeds: [3, 5]\n")
    assert len(plan.jobs) == 3 * 2 * 2 == len(list((folder / "jobs").iterdir()))
    monkeypatch.chdir("/")
    for job in plan.jobs:
        resolved = load(folder / "jobs" / f"{job.job}.yaml")
        assert identify(make_plan(resolved)).name == job.job
        assert (resolved.config.name, resolved.config.seed) == ("little", job.seed)
        assert resolved.config.output.dir == str(folder / "records")
    assert plan == ComparePlan.read(folder)


def test_relative_paths_become_absolute_and_do_not_change_a_job(home: Path) -> None:
    (home / "data").mkdir()  # a corpus by its manifest; planning opens no audio
    (home / "data" / "list.csv").write_text(MANIFEST)
    for number in range(12):
        (home / "data" / f"{number}.wav").touch()
    change = "set: {{corpora: {{xb: {{use: manifest, params: {{file: {}}}}}}}, features: {{cache: here}}}}\n"
    plan, folder = made(COMPARISON + change.format("data/list.csv"))
    config = config_of(plan, folder, "floor", "xa>xb")
    assert config.corpora["xb"].params["file"] == str(home / "data" / "list.csv")
    assert config.features.cache == str(home / "here")
    again, _ = made(COMPARISON + change.format(home / "data" / "list.csv"))
    assert [job.job for job in again.jobs] == [job.job for job in plan.jobs]


def test_what_changes_every_run_is_laid_over_that_of_the_comparison_it_extends(home: Path) -> None:
    """What another says for all rows stays, and what it takes away stays away, unless this one says otherwise."""
    other = "set: {hooks: null, task: {shots: 2, folds: 3}, resonance: {use: irf, params: {temperature: 0.5}}}\n"
    (home / "other.yaml").write_text(COMPARISON + other)
    own = "extends: other.yaml\nsere: 1\ncompare: own\nset: {task: {shots: 1, normalise: corpus}"
    config = config_of(*made(own + "}\n"), "ours", "xa>xb")
    assert (config.task.shots, config.task.folds, config.task.normalise) == (1, 3, "corpus")
    assert not config.hooks and config.resonance.params["temperature"] == 0.5
    config = config_of(*made(own + ", hooks: {mine: {use: progress}}, resonance: {use: attention}}\n"), "ours", "xa>xb")
    assert set(config.hooks) >= {"mine"} and "attention" in config.resonance.use


def test_places_with_the_same_config_share_a_run_and_the_first_seed_comes_first(home: Path) -> None:
    plan, folder = made(COMPARISON + "pairs: [xa>xb, xc>xb]\n")
    ceilings = {job.pair: job.job for job in plan.jobs if job.row == "ceiling"}
    assert ceilings["xa>xb"] == ceilings["xc>xb"], "both learn from xb alone"
    assert len(plan.missing_jobs(folder)) == 5 < len(plan.jobs)
    plan, folder = made(COMPARISON + "seeds: 3\n")
    seeds = {job.job: job.seed for job in plan.jobs}
    assert [seeds[job] for job in plan.missing_jobs(folder)] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_the_budget_is_every_rows_unless_another_is_allowed_by_name(home: Path) -> None:
    plan, folder = made(COMPARISON + "budget: {epochs: 2, steps_per_epoch: 3}\n")
    assert plan.budget == {"epochs": 2, "steps_per_epoch": 3}
    assert {load(file).config.train.epochs for file in (folder / "jobs").iterdir()} == {2}
    text = COMPARISON.replace("ours: {}", "ours: {train: {epochs: 2}}")
    plan, _ = made(text + "allow: [config.train.epochs]\n")
    assert plan.allow == ("config.train.epochs",)


def test_rows_say_what_they_vary_and_a_changed_use_varies_its_block(home: Path) -> None:
    text = COMPARISON.replace("ours: {}", "ours: {}\n  theirs: {losses: {adapt: {use: coral, weight: 2}}, views: {weak: [{use: gain}]}}")
    plan, _ = made(text)
    assert plan.rows == (
        Row("floor", "floor", ("losses.adapt",)),
        Row("ours", "method", ()),
        Row("theirs", "method", ("losses.adapt", "views.weak")),
        Row("ceiling", "ceiling", ("losses.adapt", "task.source", "task.classes")),
    )
    assert plan.reference == "ours"


def test_axes_are_crossed_and_pass_over_rows_that_lack_what_they_vary(home: Path) -> None:
    bare = COMPARISON.replace("reference: ours\n", "")
    plan, _ = made(bare + "vary: {losses.adapt.params.dual_weight: [0, 0.1], network.dim: [8]}\n")
    assert [row.name for row in plan.rows] == ["floor dim=8", "ours dual_weight=0 dim=8", "ours dual_weight=0.1 dim=8", "ceiling dim=8"]
    assert [row.role for row in plan.rows] == ["floor", "method", "method", "ceiling"]
    assert plan.rows[1].varied == ("losses.adapt.params.dual_weight", "network.dim")
    assert plan.reference == "ours dual_weight=0 dim=8", "the first method"
    plan, _ = made(bare + "vary: {size: [{name: narrow, set: {network: {dim: 4}}}, {name: wide, set: {network: {dim: 64}}}]}\n")
    assert [row.name for row in plan.rows[:2]] == ["floor narrow", "floor wide"], "values may be named overlays"
    assert plan.rows[3].varied == ("network.dim",)


def test_a_config_and_an_axis_make_rows_named_by_the_axis(home: Path) -> None:
    found = plan_comparison("base.yaml", Flags(vary=("losses.adapt.use=tric,coral",), floor=("adapt=coral",)))
    plan = found.plan
    assert [(row.name, row.role) for row in plan.rows] == [("adapt=tric", "method"), ("adapt=coral", "floor")]
    assert (plan.name, plan.pairs, plan.seeds) == ("tiny-comparison", ("xa>xb",), (0,))
    assert found.folder == home / "runs" / "tiny-comparison" and not found.folder.exists(), "a dry run writes nothing"
    assert any("no ceiling" in line for line in found.warnings) and not any("no floor" in line for line in found.warnings)
    alone = plan_comparison("base.yaml", Flags())
    assert [row.name for row in alone.plan.rows] == ["tiny"]
    assert sum("no floor" in line for line in alone.warnings) == 1, "said, not mended"


def test_pairs_set_the_ends_and_the_variables_and_leave_other_corpora_out(home: Path) -> None:
    (home / "base.yaml").write_text((home / "base.yaml").read_text() + "select: {use: '${vars.rule}'}\nvars: {rule: last, source: none}\n")
    config = config_of(*made(COMPARISON + "set: {vars: {rule: last}}\npairs: [xc>xa]\n"), "ours", "xc>xa")
    assert (config.task.source, config.task.target, sorted(config.corpora)) == ("xc", "xa", ["xa", "xc"])
    assert made(COMPARISON + "pairs: all\n")[0].pairs == ("xa>xb", "xa>xc", "xb>xa", "xb>xc", "xc>xa", "xc>xb")


def test_a_row_that_varies_a_variable_varies_all_that_reads_it(home: Path) -> None:
    """Else what it makes differ (weights, features) would be refused as unlike the other rows'."""
    text = (home / "base.yaml").read_text() + "select: {use: '${vars.rule}'}\nvars: {rule: last, other: '${vars.more}', more: 3}\n"
    (home / "base.yaml").write_text(text)
    rows = "rows: {plain: {}, chosen: {vars: {rule: entropy}}, deep: {vars: {more: 4}, network: {dim: '${vars.other}'}}}\n"
    plan, folder = made("sere: 1\ncompare: little\nbase: base.yaml\npairs: [xa>xb]\n" + rows)
    assert [row.varied for row in plan.rows] == [(), ("vars.rule", "select"), ("vars.more", "network.dim", "vars.other")]
    assert config_of(plan, folder, "deep", "xa>xb").network.dim == 4


def test_pairs_may_be_overlays(home: Path) -> None:
    plan, folder = made(COMPARISON + "pairs: {there: {task: {target: xc}}, three folds: {task: {target: xc, folds: 3}}}\n")
    assert plan.pairs == ("there", "three folds")
    assert [config_of(plan, folder, "ours", pair).task.folds for pair in plan.pairs] == [2, 3]
    assert config_of(plan, folder, "ceiling", "three folds").task.source == "xc"


@pytest.mark.parametrize("emotions", ["[anger, sadness]", "[anger, fear, sadness]"])
def test_a_ceiling_learns_from_its_target_in_the_classes_of_the_pair(home: Path, emotions: str) -> None:
    more = f"set: {{corpora: {{xb: {{params: {{emotions: {emotions}}}}}}}}}\npairs: [xa>xb]\n"
    task = config_of(*made(COMPARISON + more), "ceiling", "xa>xb").task
    assert (task.source, task.target, task.classes) == ("xb", "xb", ["anger", "sadness"])


def test_a_role_is_given_by_a_value_of_an_axis_and_by_a_name_with_a_comma(home: Path) -> None:
    axes = "vary:\n  losses.adapt: [null, {use: tric}]\n  resonance.params.temperature: [0.5, 1]\n"
    text = COMPARISON.partition("rows:")[0] + axes
    plan, _ = made(text, floor=("adapt=null",), reference="adapt={use: tric}, temperature=1")
    assert [row.role for row in plan.rows] == ["floor", "floor", "method", "method"]
    assert plan.reference == "adapt={use: tric}, temperature=1"
    plan, _ = made(text, floor=("adapt=null, temperature=1",))
    assert [row.role for row in plan.rows] == ["method", "floor", "method", "method"], "a row's name may have commas"


def test_rows_may_be_chosen_by_their_name_or_by_a_value_of_an_axis(home: Path) -> None:
    plan, folder = made(COMPARISON + "vary: {resonance.params.temperature: [0.5, 1]}\n", rows=("ours", "temperature=1"))
    assert {row.name for row in plan.rows} == {"ours temperature=0.5", "ours temperature=1", "floor temperature=1", "ceiling temperature=1"}
    assert {job.row for job in plan.jobs} == {row.name for row in plan.rows}
    assert plan.reference == "ours temperature=0.5", "chosen among those that are left"
    assert "# called with --row ours\n# called with --row temperature=1\n" in (folder / "compare.yaml").read_text()


# mistakes


def lines(text: str, **flags: object) -> list[str]:
    """The coded lines that a comparison leads to."""
    with pytest.raises(SereError) as caught:
        made(text, **flags)
    return [str(problem).splitlines()[0] for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("pars: [xa>xb]", "11:1: pars: [C302]"),
        ("pairs: [xa>xb, xa]", "11:16: pairs: [C302]"),
        ("pairs: [xa>xb, xa>xb]", "11:16: pairs: [C302]"),
        ("pairs: [xa>xa]", "11:9: pairs: [C302]"),
        ("vary: {size: [{name: x, set: 3}]}", "11:8: vary.size: [C302]"),
        ("pairs: [xa>xd]", "11:9: task.target: [C308]"),
        ("seeds: 0", "11:8: seeds: [C302]"),
        ("seeds: [1, 2, 1]", "11:1: seeds: [C302]"),
        ("budget: {epochs: 0}", "11:18: budget.epochs: [C302]"),
        ("allow: everything", "11:8: allow: [C302]"),
        ("allow: [digest.features]", "11:9: allow.0: [C308]"),
        ("vary: {losses.adapt.weight: []}", "11:8: vary.losses.adapt.weight: [C302]"),
        ("vary: {losses.adopt.weight: [1]}", "11:8: vary.losses.adopt.weight: [C305]"),
        ("vary: {losses.adapt.params.weigth: [1]}", "losses.adapt.params.weigth: [C302]"),
        ("vary: {train.epochs: [1, 2]}", "train.epochs: [C311]"),
        ("set: {seed: 4}", "11:7: set.seed: [C302]"),
        ("set: {name: x, task: {shotz: 1}}", "11:7: set.name: [C302]"),
        ("set: {task: {shotz: 1}}", "11:14: task.shotz: [C302]"),
        ("set: {losses: {adapt: {use: trik}}}", "11:29: losses.adapt.use: [R201]"),
        ("set: {task: {shots: 99}}", "11:21: task.shots: [D607]"),
        ("sere: 1 -> sere: 2", "1:7: sere: [C309]"),
        ("base: base.yaml -> base: nothing.yaml", "3:7: base: [C304]"),
        ("base: base.yaml\n -> ", "base: [C302]"),
        ("compare: little -> compare: a/b", "2:10: compare: [C302]"),
        ("floor: floor -> floor: flor", "8:8: floor: [C308]"),
        ("floor: floor -> floor: [floor, ceiling]", "ceiling: [C311]"),
        ("reference: ours -> reference: theirs", "10:12: reference: [C308]"),
        ("ours: {} -> floor: {}", "6:3: rows.floor: [C301]"),
        ("ours: {} -> ours: {output: x}", "6:10: rows.ours.output: [C302]"),
        ("ours: {} -> ours: {train: {epochs: 9}}", "6:26: train.epochs: [C311]"),
        ("ours: {} -> ours: {train: {batch: {target: 2}}}", "train.batch.target: [C311]"),
        ("ours: {} -> ours: {losses: {adapt: {weight: heavy}}}", "6:35: losses.adapt.weight: [C302]"),
        ("ours: {} -> ours: [1]", "6:3: rows.ours: [C302]"),
    ],
)
def test_a_mistake_is_a_line_with_its_place(home: Path, change: str, expected: str) -> None:
    old, arrow, new = change.partition(" -> ")
    assert not arrow or old in COMPARISON
    found = lines(COMPARISON.replace(old, new) if arrow else f"{COMPARISON}{change}\n")
    assert any(("comparison.yaml:" * expected[0].isdigit()) + expected in line for line in found), found
    assert not (home / "runs").exists(), "a plan that cannot be made leaves nothing behind"


def test_problems_of_all_rows_are_reported_together(home: Path) -> None:
    text = COMPARISON.replace("ours: {}", "ours: {losses: {adapt: {use: trik}}}\n  theirs: {method: {use: mdc}, losses: null}")
    text = text.replace("reference: ours\n", "")
    assert [line.split(": ")[1] for line in lines(text)] == ["losses.adapt.use", "method.use"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"vary": ("losses.adapt.weight",)}, "--vary losses.adapt.weight: [C305]"),
        ({"vary": ("losses.adapt.weight=[1",)}, "[C305]"),
        ({"pairs": "xa>xq"}, "--pairs xa>xq: task.target: [C308]"),
        ({"seeds": "many"}, "--seeds many: seeds: [C302]"),
        ({"sets": ("task.shotz=1",)}, "--set task.shotz=1: task.shotz: [C305]"),
        ({"reference": "nobody"}, "--reference nobody: reference: [C308]"),
        ({"rows": ("ours", "theirs")}, "--row theirs: [C308]"),
    ],
)
def test_a_mistake_on_the_command_line(home: Path, flags: dict[str, object], expected: str) -> None:
    found = lines(COMPARISON, **flags)
    assert any(expected in line for line in found), found


def test_the_file_and_the_command_line_ask_for_the_same(home: Path) -> None:
    Path("comparison.yaml").write_text(f"{COMPARISON}pairs: [xa>xb, xb>xa]\nseeds: 2\nvary: {{losses.adapt.weight: [0, 0.1]}}\n")
    written = read_request("comparison.yaml", Flags()).comparison
    Path("comparison.yaml").write_text(COMPARISON)
    flags = Flags(pairs="xa>xb,xb>xa", seeds="2", vary=("losses.adapt.weight=0,0.1",))
    assert read_request("comparison.yaml", flags).comparison == written
