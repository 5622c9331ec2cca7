"""Jobs are complete configs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sere_core.compare.plan import ComparePlan
from sere_core.config import load
from sere_registry.errors import SereError
from tests.compare.tiny import COMPARISON, made

MANIFEST = "path,speaker,language,emotion\n" + "".join(f"{n}.wav,s{n % 3},pl,{'anger' if n % 2 else 'sadness'}\n" for n in range(12))


def corpus(folder: Path) -> None:
    """A corpus by its manifest; planning opens no audio."""
    folder.mkdir()
    (folder / "list.csv").write_text(MANIFEST)
    for number in range(12):
        (folder / f"{number}.wav").touch()


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
    corpus(home / "data")
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


def test_the_budget_is_every_rows(home: Path) -> None:
    plan, folder = made(COMPARISON + "budget: {epochs: 2, steps_per_epoch: 3}\n")
    assert plan.budget == {"epochs": 2, "steps_per_epoch": 3}
    assert {load(file).config.train.epochs for file in (folder / "jobs").iterdir()} == {2}


def test_another_budget_is_possible_where_it_is_allowed_by_name(home: Path) -> None:
    text = COMPARISON.replace("ours: {}", "ours: {train: {epochs: 2}}")
    plan, _ = made(text + "allow: [config.train.epochs]\n")
    assert plan.allow == ("config.train.epochs",)


def test_a_plan_that_cannot_be_made_leaves_nothing_behind(home: Path) -> None:
    with pytest.raises(SereError):
        made(COMPARISON + "set: {task: {shots: 99}}\n")
    assert not (home / "runs").exists()
