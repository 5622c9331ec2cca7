"""Jobs: done, failed, lost, or somebody else's; and processes that run them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sere_core.compare import jobs
from sere_core.compare.jobs import LocalProcesses, run_all, run_job
from sere_core.score.records import Record, RunFolder
from sere_registry.files import FolderLock
from tests.compare.tiny import COMPARISON, Here, made

#: three rows: one with a bug, one whose process is killed once, one that is sound
TROUBLE = """\
sere: 1
compare: trouble
base: base.yaml
rows:
  sound: {}
  buggy: {losses: {adapt: {use: 'file:parts.py:BROKEN'}}}
  killed: {losses: {adapt: {weight: 0.5}}, hooks: {kill: {use: 'file:parts.py:KILL', params: {once: killed}}}}
"""


def test_a_job_leaves_a_record_and_is_not_done_twice(home: Path) -> None:
    plan, folder = made(COMPARISON)
    job = plan.jobs[1].job
    assert run_job(folder, job).state == "done"
    record = Record.read(folder / "records" / job)
    assert record.manifest["job"] == job and record.manifest["name"] == "little"
    before = (record.path / "done").stat().st_mtime_ns
    assert run_job(folder, job).state == "done"
    assert (record.path / "done").stat().st_mtime_ns == before


def test_a_bug_is_a_line_and_a_traceback_and_is_forgotten_when_the_job_is_done(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, folder = made(TROUBLE)
    job = plan.jobs[1].job
    outcome = run_job(folder, job)
    assert (outcome.state, outcome.code) == ("failed", "B404")
    assert "[B404]" in outcome.line and "parts.py:" in outcome.line and "RuntimeError: a bug of the plugin" in outcome.line
    assert json.loads((folder / "failures" / f"{job}.json").read_bytes()) == {"code": "B404", "line": outcome.line}
    assert 'raise RuntimeError("a bug of the plugin")' in (folder / "failures" / f"{job}.txt").read_text()
    monkeypatch.setattr("sere_core.compare.jobs._run", lambda folder, job: None)
    assert run_job(folder, job).state == "done"
    assert not list((folder / "failures").iterdir())


def test_a_job_of_another_process_is_left_to_it_and_one_whose_config_was_changed_is_not_run(home: Path) -> None:
    plan, folder = made(COMPARISON)
    job = plan.jobs[0].job
    with RunFolder(folder / "records", job).claim("new"):
        assert run_job(folder, job).state == "elsewhere"
    assert not (folder / "failures").exists()
    file = folder / "jobs" / f"{job}.yaml"
    file.write_text(file.read_text().replace("epochs: 1", "epochs: 2"))
    outcome = run_job(folder, job)
    assert (outcome.state, outcome.code) == ("failed", "T505")


def test_what_others_work_on_is_waited_for_and_taken_over_if_they_give_up(home: Path) -> None:
    plan, folder = made(COMPARISON)
    theirs, given_up, mine = (job.job for job in plan.jobs)
    locks = {job: FolderLock(folder / "records" / job) for job in (theirs, given_up)}
    printed: list[str] = []

    def sleep(seconds: float) -> None:
        """Meanwhile the other process finishes one of its jobs, then loses the other."""
        job = next(iter(locks))
        if job == theirs:
            (folder / "records" / job / "done").write_text("{}")
        locks.pop(job).release()

    here = Here()
    outcomes = list(run_all(here, folder, [theirs, given_up, mine], printed.append, sleep))
    assert [(one.job, one.state) for one in outcomes] == [(mine, "done"), (theirs, "done"), (given_up, "done")]
    assert here.seen == [theirs, given_up, mine, given_up]
    assert printed == ["waiting for 2 run(s) that another process works on"]


def test_processes_survive_bugs_and_kills_and_a_second_call_goes_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, folder = made(TROUBLE)
    rows = {job.job: job.row for job in plan.jobs}
    begin = jobs._Process
    started: list[object] = []
    monkeypatch.setattr(jobs, "_Process", lambda *given: started.append(given) or begin(*given))
    run = LocalProcesses(2).run(folder, plan.missing_jobs(folder))
    first = next(run)
    assert len(started) >= 2, "both are at work before the first job is done"
    outcomes = {rows[one.job]: one for one in (first, *run)}
    assert {row: one.state for row, one in outcomes.items()} == {"sound": "done", "buggy": "failed", "killed": "failed"}
    assert (outcomes["killed"].code, outcomes["killed"].line) == ("X706", "[X706] the process of this job was killed by SIGKILL")
    assert plan.missing_jobs(folder) == [plan.jobs[1].job, plan.jobs[2].job]
    monkeypatch.setattr(jobs, "_Process", begin)  # or the plugin that is imported next is blamed for it
    assert run_job(folder, plan.jobs[2].job).state == "done", "the killed one goes on"
    assert not (folder / "failures" / f"{plan.jobs[2].job}.json").exists()


def test_a_closed_iterator_leaves_no_process(home: Path) -> None:
    plan, folder = made(COMPARISON.replace("ours: {}", "ours: {hooks: {slow: {use: 'file:parts.py:SLOW'}}}"))
    outcomes = LocalProcesses(1).run(folder, [plan.jobs[0].job, plan.jobs[1].job])
    assert next(outcomes).state == "done"
    children = _children()
    outcomes.close()
    assert len(children) >= 1 and not children & _children()


def _children() -> set[int]:
    """The processes of jobs below this one."""
    pids = {pid for file in Path("/proc/self/task").glob("*/children") for pid in map(int, file.read_text().split())}
    return {pid for pid in pids if b"sere_core.compare.jobs" in Path(f"/proc/{pid}/cmdline").read_bytes()}
