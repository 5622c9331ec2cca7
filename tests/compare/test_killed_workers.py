"""Workers that are killed at random moments: no job is lost, none that is done is run again, and every record has the same bytes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from sere_core.cli import main
from sere_core.compare.jobs import at_work
from sere_core.compare.plan import record_of
from sere_registry import SereError
from sere_registry.files import FolderLock
from tests.compare.tiny import COMPARISON, made

#: a hook that notes what begins and ends, and is slow enough to be killed
WITNESS = """\
import json, os, pathlib, time
from sere_registry import ComponentSpec, Params, param
from sere_registry.hookspecs import hookimpl

class Where(Params):
    log: pathlib.Path = param("", "where to write")

class Witness:
    def __init__(self, params, context):
        self.log = params.log

    def note(self, run, what):
        with open(self.log, "a") as file:
            file.write(json.dumps({"job": run.job, "what": what, "at": time.time_ns()}) + "\\n")

    @hookimpl
    def sere_run_start(self, run):
        self.note(run, "start")

    @hookimpl
    def sere_step_end(self, run):
        time.sleep(0.05)

    @hookimpl
    def sere_run_end(self, run, error):
        self.note(run, "end" if error is None else "failed")

WITNESS = ComponentSpec(kind="hook", name="witness", factory=f"{__name__}:Witness", params=Where, summary="notes what runs")
"""
HOOK = "set: {train: {epochs: 3}, hooks: {witness: {use: 'file:witness.py:WITNESS', params: {log: LOG}}}}\n"


def forked(folder: Path) -> int:
    """`sere work` in a child, which has imported torch already; its process."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.dup2(os.open(folder.parent / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), 2)
        code = main(["work", str(folder), "--quiet", "--trust", "--losses", "1000"])
    finally:
        os._exit(code)


def holder(record: Path) -> str:
    """Who holds the lock of a run that has begun to train."""
    begun = (record / "manifest.json").exists() and at_work(record)
    return (record / ".lock").read_text() if begun else ""


def contents(folder: Path, jobs: list[str]) -> dict[str, bytes]:
    """Every file of the records but what holds times or a lock."""
    files = [path for job in jobs for path in record_of(folder, job).rglob("*") if path.is_file() and not path.name.endswith(".tmp")]
    kept = [path for path in files if path.name not in ("timing.json", ".lock")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


@pytest.mark.parametrize(
    ("workers", "kills", "seeds"), [pytest.param(2, 3, 1, marks=pytest.mark.slow), pytest.param(8, 50, 12, marks=pytest.mark.counts)]
)
def test_no_job_is_lost_and_none_is_run_again(workers: int, kills: int, seeds: int, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    torch.set_num_threads(1)
    (home / "witness.py").write_text(WITNESS)
    log = home / "log.jsonl"
    plan, folder = made(COMPARISON + HOOK.replace("LOG", str(log)), seeds=str(seeds))
    jobs = plan.missing_jobs(folder)
    draw, running, killed, done = random.Random(kills), list[int](), 0, dict[str, int]()
    began = time.monotonic()
    while len(done) < len(jobs):
        assert time.monotonic() < began + 580, (killed, len(done))
        assert not list(folder.glob("failures/*.json"))
        running = [pid for pid in running if os.waitpid(pid, os.WNOHANG)[0] == 0]
        running += [forked(folder) for _ in range(workers - len(running))]
        time.sleep(draw.uniform(0.05, 0.25))
        holders = {line.split()[1] for job in jobs if (line := holder(record_of(folder, job))) and job not in done}
        busy = [pid for pid in running if str(pid) in holders]
        if killed < kills and busy:
            victim = draw.choice(busy if killed % 2 else running)
            running.remove(victim)
            os.kill(victim, signal.SIGKILL)
            killed += os.waitstatus_to_exitcode(os.waitpid(victim, 0)[1]) == -signal.SIGKILL
        for job in jobs:
            path = record_of(folder, job) / "done"
            if job not in done and path.exists():
                done[job] = path.stat().st_mtime_ns
    for pid in running:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, (home / "runs" / "log").read_text()
    notes = [json.loads(line) for line in log.read_text().splitlines()]
    starts = Counter(note["job"] for note in notes if note["what"] == "start")
    with capsys.disabled():
        print(f"\n{workers} workers, {killed} killed: {len(jobs)} jobs, begun {starts.total()} times, {time.monotonic() - began:.0f} s")
    assert killed == kills and not list(folder.glob("failures/*")) and not list(folder.glob("lost/*"))
    assert set(starts) == set(jobs) and starts.total() > len(jobs), "nothing is lost, and some were killed half-way"
    assert max(Counter(note["job"] for note in notes if note["what"] == "end").values()) == 1
    assert all(note["at"] < done[note["job"]] for note in notes if note["what"] == "start"), "what is done is not begun again"
    assert all((record_of(folder, job) / "done").stat().st_mtime_ns == at for job, at in done.items())

    far = contents(folder, jobs)
    shutil.rmtree(folder / "records")
    assert os.waitstatus_to_exitcode(os.waitpid(forked(folder), 0)[1]) == 0
    here = contents(folder, jobs)
    assert here.keys() == far.keys() and [name for name in here if here[name] != far[name]] == []


# locks of other machines


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FolderLock, "BEAT", 0.1)


def test_a_holder_that_lets_go_leaves_no_name_and_one_that_holds_shows_that_it_lives(fast: None, tmp_path: Path) -> None:
    lock, file = FolderLock(tmp_path), tmp_path / ".lock"
    assert file.read_text().split() == [os.uname().nodename, str(os.getpid())]
    before = file.stat().st_mtime_ns
    time.sleep(0.3)
    assert file.stat().st_mtime_ns > before
    with pytest.raises(SereError) as caught:
        FolderLock(tmp_path)
    assert caught.value.problems[0].code == "T504" and str(os.getpid()) in caught.value.problems[0].message
    lock.release()
    assert file.read_text() == ""


def test_what_another_machine_lost_is_taken_over_and_a_lock_that_does_not_reach_it_is_refused(fast: None, tmp_path: Path) -> None:
    file = tmp_path / ".lock"
    file.write_text("elsewhere 7\n")
    FolderLock(tmp_path).release()
    file.write_text("elsewhere 7\n")
    child = os.fork()
    if child == 0:  # the other machine, which holds a lock that is not seen here
        for _ in range(100):
            time.sleep(0.05)
            os.utime(file)
        os._exit(0)
    try:
        with pytest.raises(SereError) as caught:
            FolderLock(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    (problem,) = caught.value.problems
    assert problem.code == "X708" and "from elsewhere" in problem.message
    assert file.read_text() == "elsewhere 7\n", "its holder is not disturbed"


def test_a_holder_whose_lock_was_taken_over_ends(fast: None, tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os.dup2(os.open(tmp_path / "said", os.O_WRONLY | os.O_CREAT, 0o644), 2)
        FolderLock(tmp_path / "run")
        (tmp_path / "run" / ".lock").write_text("elsewhere 7\n")
        time.sleep(20)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert "[T504]" in (tmp_path / "said").read_text()
