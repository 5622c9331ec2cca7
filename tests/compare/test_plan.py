"""Rows, pairs and their names; and jobs, which are complete configs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sere_core.compare.grammar import Flags
from sere_core.compare.plan import ComparePlan, Row
from sere_core.compare.planning import plan_comparison
from sere_core.config import load
from sere_registry.errors import SereError
from tests.compare.tiny import COMPARISON, made

MANIFEST = "path,speaker,language,emotion\n" + "".join(f"{n}.wav,s{n % 3},pl,{'anger' if n % 2 else 'sadness'}\n" for n in range(12))


def test_a_job_is_a_config_that_means_the_same_from_every_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, folder = made(COMPARISON + "pairs: [xa>xb, xb>xa]\nseeds: [3, 5]\n")
    assert len(plan.jobs) == 3 * 2 * 2 == len(list((folder / "jobs").iterdir()))
    monkeypatch.chdir("/")
    for job in plan.jobs:
        resolved = load(folder / "jobs" / f"{job.job}.yaml")
        assert resolved.digest() == job.job
        assert (resolved.config.name, resolved.config.seed) == ("little", job.seed)
        assert resolved.config.output.dir == str(folder / "records")
    assert plan == ComparePlan.read(folder)


def test_relative_paths_become_absolute_and_do_not_change_a_job(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "data").mkdir()  # a corpus by its manifest; planning opens no audio
    (home / "data" / "list.csv").write_text(MANIFEST)
    for number in range(12):
        (home / "data" / f"{number}.wav").touch()
    change = "set: {{corpora: {{xb: {{use: manifest, params: {{file: {}}}}}}}, features: {{cache: here}}}}\n"
    plan, folder = made(COMPARISON + change.format("data/list.csv"))
    config = load(folder / "jobs" / f"{plan.jobs[0].job}.yaml").config
    assert config.corpora["xb"].params["file"] == str(home / "data" / "list.csv")
    assert config.features.cache == str(home / "here")
    again, _ = made(COMPARISON + change.format(home / "data" / "list.csv"))
    assert [job.job for job in again.jobs] == [job.job for job in plan.jobs]


def test_places_with_the_same_config_share_a_run(home: Path) -> None:
    plan, folder = made(COMPARISON + "pairs: [xa>xb, xc>xb]\n")
    ceilings = {job.pair: job.job for job in plan.jobs if job.row == "ceiling"}
    assert ceilings["xa>xb"] == ceilings["xc>xb"], "both learn from xb alone"
    assert len(plan.missing_jobs(folder)) == 5 < len(plan.jobs)


def test_the_first_seed_of_every_row_comes_first(home: Path) -> None:
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


def test_a_plan_that_cannot_be_made_leaves_nothing_behind(home: Path) -> None:
    with pytest.raises(SereError):
        made(COMPARISON + "set: {task: {shots: 99}}\n")
    assert not (home / "runs").exists()


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
    axes = "vary: {losses.adapt.params.dual_weight: [0, 0.1], network.dim: [8]}\n"
    plan, _ = made(COMPARISON.replace("reference: ours\n", "") + axes)
    assert [row.name for row in plan.rows] == ["floor dim=8", "ours dual_weight=0 dim=8", "ours dual_weight=0.1 dim=8", "ceiling dim=8"]
    assert [row.role for row in plan.rows] == ["floor", "method", "method", "ceiling"]
    assert plan.rows[1].varied == ("losses.adapt.params.dual_weight", "network.dim")
    assert plan.reference == "ours dual_weight=0 dim=8", "the first method"


def test_a_config_and_an_axis_make_rows_named_by_the_axis(home: Path) -> None:
    found = plan_comparison("base.yaml", Flags(vary=("losses.adapt.use=tric,coral",), floor=("adapt=coral",)))
    plan, folder, warnings = found.plan, found.folder, found.warnings
    assert [(row.name, row.role) for row in plan.rows] == [("adapt=tric", "method"), ("adapt=coral", "floor")]
    assert (plan.name, plan.pairs, plan.seeds) == ("tiny-comparison", ("xa>xb",), (0,))
    assert folder == home / "runs" / "tiny-comparison" and not folder.exists(), "a dry run writes nothing"
    assert any("no ceiling" in line for line in warnings) and not any("no floor" in line for line in warnings)


def test_values_of_an_axis_may_be_named_overlays(home: Path) -> None:
    axis = "vary: {size: [{name: narrow, set: {network: {dim: 4}}}, {name: wide, set: {network: {dim: 64}}}]}\n"
    plan, _ = made(COMPARISON.replace("reference: ours\n", "") + axis)
    assert [row.name for row in plan.rows[:2]] == ["floor narrow", "floor wide"]
    assert plan.rows[3].varied == ("network.dim",)


def test_a_table_without_a_floor_is_said_not_mended(home: Path) -> None:
    found = plan_comparison("base.yaml", Flags())
    assert [row.name for row in found.plan.rows] == ["tiny"]
    assert sum("this table has no floor" in line for line in found.warnings) == 1


def test_pairs_set_the_ends_and_the_variables_and_leave_other_corpora_out(home: Path) -> None:
    (home / "base.yaml").write_text((home / "base.yaml").read_text() + "select: {use: '${vars.rule}'}\nvars: {rule: last, source: none}\n")
    plan, folder = made(COMPARISON + "set: {vars: {rule: last}}\npairs: [xc>xa]\n")
    config = load(folder / "jobs" / f"{plan.jobs[1].job}.yaml").config
    assert (config.task.source, config.task.target, sorted(config.corpora)) == ("xc", "xa", ["xa", "xc"])


def test_all_means_every_ordered_pair(home: Path) -> None:
    plan, _ = made(COMPARISON + "pairs: all\n")
    assert plan.pairs == ("xa>xb", "xa>xc", "xb>xa", "xb>xc", "xc>xa", "xc>xb")


def test_pairs_may_be_overlays(home: Path) -> None:
    plan, folder = made(COMPARISON + "pairs: {there: {task: {target: xc}}, three folds: {task: {target: xc, folds: 3}}}\n")
    assert plan.pairs == ("there", "three folds")
    jobs = {(job.row, job.pair): load(folder / "jobs" / f"{job.job}.yaml").config.task for job in plan.jobs}
    assert (jobs["ours", "there"].folds, jobs["ours", "three folds"].folds) == (2, 3)
    assert jobs["ceiling", "three folds"].source == "xc"


@pytest.mark.parametrize("emotions", ["[anger, sadness]", "[anger, fear, sadness]"])
def test_a_ceiling_learns_from_its_target_in_the_classes_of_the_pair(home: Path, emotions: str) -> None:
    more = f"set: {{corpora: {{xb: {{params: {{emotions: {emotions}}}}}}}}}\npairs: [xa>xb]\n"
    plan, folder = made(COMPARISON + more)
    task = load(folder / "jobs" / f"{plan.jobs[-1].job}.yaml").config.task
    assert (plan.jobs[-1].row, task.source, task.target, task.classes) == ("ceiling", "xb", "xb", ["anger", "sadness"])


def test_a_role_is_given_by_a_value_of_an_axis_and_by_a_name_with_a_comma(home: Path) -> None:
    axes = {"losses.adapt": "[null, {use: tric}]", "resonance.params.temperature": "[0.5, 1]"}
    text = COMPARISON.partition("rows:")[0] + "".join(["vary:\n", *(f"  {path}: {values}\n" for path, values in axes.items())])
    plan, _ = made(text, floor=("adapt=null",), reference="adapt={use: tric}, temperature=1")
    assert [row.role for row in plan.rows] == ["floor", "floor", "method", "method"]
    assert plan.reference == "adapt={use: tric}, temperature=1"
    plan, _ = made(text, floor=("adapt=null, temperature=1",))
    assert [row.role for row in plan.rows] == ["method", "floor", "method", "method"], "a row's name may have commas"
