"""Jobs: done, failed, lost, or somebody else's; and workers that run them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sere_core.cli import main
from sere_core.compare.crew import run_jobs
from sere_core.compare.jobs import Outcome, outcome_of, read_job, run_job
from sere_core.compare.plan import lost_file
from sere_core.compare.work import pull, read_work
from sere_core.score.records import Record, RunFolder
from sere_plugins.executors.local import Local
from sere_plugins.specs.executors import LocalParams
from sere_registry import BuildContext, SereError, WorkOrder, error
from sere_registry.files import FolderLock
from sere_registry.processes import Children
from tests.compare.tiny import COMPARISON, PARTS, Here, made

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


def local(workers: int) -> Local:
    return Local(LocalParams(workers=workers), BuildContext("executor"))


def test_a_job_leaves_a_record_and_is_not_done_twice(home: Path) -> None:
    plan, folder = made(COMPARISON)
    job = plan.jobs[1].job
    assert run_job(folder, job) == Outcome(job)
    record = Record.read(folder / "records" / job)
    assert record.manifest["job"] == job and record.manifest["name"] == "little"
    before = (record.path / "done").stat().st_mtime_ns
    assert run_job(folder, job) == Outcome(job)
    assert (record.path / "done").stat().st_mtime_ns == before


def test_a_bug_is_a_line_and_a_traceback_and_is_forgotten_when_the_job_is_done(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, folder = made(TROUBLE)
    job = plan.jobs[1].job
    outcome = run_job(folder, job, trust=True)
    assert outcome is not None and outcome.code == "B404"
    assert "[B404]" in outcome.line and "parts.py:" in outcome.line and "RuntimeError: a bug of the plugin" in outcome.line
    assert json.loads((folder / "failures" / f"{job}.json").read_bytes()) == {"code": "B404", "line": outcome.line}
    assert 'raise RuntimeError("a bug of the plugin")' in (folder / "failures" / f"{job}.txt").read_text()
    monkeypatch.setattr("sere_core.compare.jobs._run", lambda folder, job, begin: None)
    assert run_job(folder, job, trust=True) == Outcome(job)
    assert not list((folder / "failures").iterdir())


def test_a_job_of_another_process_is_left_to_it_and_one_whose_config_was_changed_is_not_run(home: Path) -> None:
    plan, folder = made(COMPARISON)
    job = plan.jobs[0].job
    with RunFolder(folder / "records", job).claim("new"):
        assert run_job(folder, job) is None
    assert not (folder / "failures").exists()
    file = folder / "jobs" / f"{job}.yaml"
    file.write_text(file.read_text().replace("epochs: 1", "epochs: 2"))
    outcome = run_job(folder, job, trust=True)
    assert outcome is not None and outcome.code == "T505"


def test_a_job_that_costs_too_many_processes_fails_and_its_notes_go_with_the_next_plan(home: Path) -> None:
    plan, folder = made(COMPARISON)
    job = plan.jobs[0].job
    lost_file(folder, job).parent.mkdir()
    lost_file(folder, job).write_text("here 1\nthere 2\n")
    outcome = run_job(folder, job, losses=2)
    assert outcome is not None and outcome.code == "X706" and "2 process(es)" in outcome.line
    assert not list((folder / "records" / job).glob("history*")) and not lost_file(folder, job).exists()
    made(COMPARISON)
    assert run_job(folder, job, losses=2) == Outcome(job)


def test_what_others_work_on_is_waited_for_and_taken_over_if_they_give_up(home: Path) -> None:
    plan, folder = made(COMPARISON)
    theirs, given_up, mine = (job.job for job in plan.jobs)
    locks = {job: FolderLock(folder / "records" / job) for job in (theirs, given_up)}
    printed: list[str] = []

    def sleep(seconds: float) -> None:
        """Meanwhile the other process finishes one of its jobs, then loses the other."""
        job = next(iter(locks), None)
        if job == theirs:
            (folder / "records" / job / "done").write_text("{}")
        if job is not None:
            locks.pop(job).release()

    here = Here()
    outcomes = list(run_jobs(here, folder, [theirs, given_up, mine], printed.append, sleep))
    assert {one.job: one.code for one in outcomes} == dict.fromkeys((mine, theirs, given_up), "")
    assert here.seen == [mine, given_up]
    assert printed == ["waiting for 2 run(s) that another process works on"]


def test_workers_survive_bugs_and_kills_and_a_second_call_goes_on(home: Path) -> None:
    plan, folder = made(TROUBLE)
    rows = {job.job: job.row for job in plan.jobs}
    outcomes = {rows[one.job]: one for one in run_jobs(local(2), folder, plan.missing_jobs(folder), print)}
    assert {row: one.code for row, one in outcomes.items()} == {"sound": "", "buggy": "B404", "killed": "X706"}
    assert plan.missing_jobs(folder) == [plan.jobs[1].job, plan.jobs[2].job]
    assert run_job(folder, plan.jobs[2].job, trust=True) == Outcome(plan.jobs[2].job), "the killed one goes on"
    assert not (folder / "failures" / f"{plan.jobs[2].job}.json").exists()


def test_workers_that_cannot_work_end_the_call(home: Path) -> None:
    plan, folder = made(COMPARISON)
    work = json.loads((folder / "work.json").read_text())
    work["facts"]["the version of torch"] = "1.0"
    (folder / "work.json").write_text(json.dumps(work))
    with pytest.raises(SereError) as caught:
        read_work(folder)
    (problem,) = caught.value.problems
    assert problem.code == "X708" and problem.message.startswith("the version of torch is 1.0 where the jobs were planned, ")
    with pytest.raises(SereError) as caught:
        list(run_jobs(local(1), folder, plan.missing_jobs(folder), print))
    assert caught.value.problems[0].code == "X706" and "ended with 4" in caught.value.problems[0].message
    assert not (folder / "records").exists(), "nothing has started"


def test_a_full_disk_ends_the_worker_and_leaves_the_job_open(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, folder = made(COMPARISON)
    job = plan.jobs[0].job

    def full(resolved: object, job: str, begin: Callable[[], None]) -> None:
        begin()
        raise error("X705", "the disk is full")

    with monkeypatch.context() as patched, pytest.raises(SereError, match="X705"):
        patched.setattr("sere_core.compare.jobs._run", full)
        list(pull(folder, [job, plan.jobs[1].job], 4))
    assert outcome_of(folder, job) is None and not any((folder / "lost").iterdir()), "no failure, and no process was lost"
    assert list(pull(folder, [job], 4)) == [Outcome(job)]


def test_a_closed_iterator_leaves_no_process(home: Path) -> None:
    plan, folder = made(COMPARISON.replace("ours: {}", "ours: {hooks: {slow: {use: 'file:parts.py:SLOW'}}}"))
    outcomes = run_jobs(local(1), folder, [plan.jobs[0].job, plan.jobs[1].job], print)
    assert next(outcomes) == Outcome(plan.jobs[0].job)
    children = _children()
    outcomes.close()  # type: ignore[attr-defined]
    assert len(children) >= 1 and not children & _children()


def _children() -> set[int]:
    """The workers below this process."""
    pids = {pid for file in Path("/proc/self/task").glob("*/children") for pid in map(int, file.read_text().split())}
    return {pid for pid in pids if b"sere_core.cli" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def test_workers_pass_over_what_has_failed_and_what_others_do(home: Path) -> None:
    plan, folder = made(TROUBLE)
    sound, buggy, killed = (job.job for job in plan.jobs)
    (home / "killed").touch()
    lock = FolderLock(folder / "records" / killed)
    assert [one.job for one in pull(folder, [sound, buggy, killed], 1, trust=True)] == [sound, buggy]
    assert list(pull(folder, [sound, buggy, killed], 1, trust=True)) == []
    lock.release()
    assert list(pull(folder, [sound, buggy, killed], 1, trust=True)) == [Outcome(killed)]


def test_a_worker_imports_no_file_that_it_is_not_told_to_trust(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "parts.py").write_text(f"open({str(home / 'imported')!r}, 'w').close()\n" + PARTS)
    plan, folder = made(TROUBLE)
    sound, buggy, _ = (job.job for job in plan.jobs)
    (home / "imported").unlink()
    for words in (["work", str(folder)], ["work", str(folder), "--features", "only"]):
        assert main(words) == 3
        said = capsys.readouterr().err
        assert "[P109]" in said and f"{home / 'parts.py'}" in said and f"{buggy}.yaml" in said
    assert not (home / "imported").exists(), "which the import writes"
    assert outcome_of(folder, sound) == Outcome(sound) and outcome_of(folder, buggy) is None, "others may run it"
    with pytest.raises(SereError):
        read_job(folder, buggy, trust=False)
    assert "losses.adapt" in read_job(folder, buggy, trust=True).components


def test_a_detached_executor_starts_workers_and_is_not_waited_for(home: Path) -> None:
    plan, folder = made(COMPARISON)
    orders: list[WorkOrder] = []

    class Away:
        workers, detached = 3, True

        def start(self, order: WorkOrder) -> Children | str:
            orders.append(order)
            return "gone"

    printed: list[str] = []
    assert list(run_jobs(Away(), folder, plan.missing_jobs(folder), printed.append)) == []
    assert printed == ["gone"] and [(one.folder, one.jobs) for one in orders] == [(folder, 3)]
