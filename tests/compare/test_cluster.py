"""Many machines, as real processes on loopback: nothing lost, nothing run twice, the same records; and refusals before anything starts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sere_core.cli import main
from sere_core.compare import dask_cluster
from sere_core.compare.dask_cluster import DaskCluster, differences, facts, lock_state, work
from sere_core.compare.jobs import run_all, run_job
from sere_core.compare.plan import record_of
from sere_core.compare.planning import Needs, Planned
from sere_registry.files import FolderLock
from tests.compare.tiny import COMPARISON, made, planned

#: a hook that notes what runs where and when, and is slow enough to be interrupted
WITNESS = """\
import json, os, pathlib, time
import torch
from sere_registry import ComponentSpec, Params, param
from sere_registry.hookspecs import hookimpl

class Where(Params):
    log: pathlib.Path = param("", "where to write")

class Witness:
    def __init__(self, params, context):
        self.log = params.log

    def note(self, run, what, **more):
        line = {"job": run.job, "what": what, "pid": os.getpid(), "worker": os.getppid(), "at": time.monotonic(), **more}
        with open(self.log, "a") as file:
            file.write(json.dumps(line) + "\\n")

    @hookimpl
    def sere_run_start(self, run):
        self.note(run, "start", threads=torch.get_num_threads())

    @hookimpl
    def sere_step_end(self, run, fold, epoch, step):
        time.sleep(0.1)
        self.note(run, "step", step=[fold, epoch, step])

    @hookimpl
    def sere_run_end(self, run, error):
        self.note(run, "end" if error is None else "failed")

WITNESS = ComponentSpec(kind="hook", name="witness", factory=f"{__name__}:Witness", params=Where, summary="notes what runs where")
"""

EIGHT = """\
sere: 1
compare: eight
base: base.yaml
rows:
  floor: {losses: {adapt: null}}
  ours: {}
floor: floor
reference: ours
set:
  train: {epochs: 2}
  hooks: {witness: {use: 'file:witness.py:WITNESS', params: {log: LOG}}, checkpoint: {use: checkpoint}}
"""

Started = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def dask(home: Path) -> Iterator[Started]:
    """Starts parts of a cluster; none outlives its test."""
    pytest.importorskip("distributed", reason="the extra `sere[distributed]` is not installed")
    running: list[subprocess.Popen[bytes]] = []

    def start(*words: str, **environ: str) -> subprocess.Popen[bytes]:
        with open(home / f"dask-{len(running)}.log", "wb") as log:
            command = [sys.executable, "-m", "dask", *words]
            running.append(subprocess.Popen(command, env={**os.environ, **environ}, stdout=log, stderr=log, cwd=home))
        return running[-1]

    yield start
    for process in reversed(running):
        process.kill()
        process.wait()


def scheduler(dask: Started, home: Path) -> tuple[str, subprocess.Popen[bytes]]:
    """A scheduler, and its address."""
    file = home / "scheduler.json"
    process = dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    wait_for(lambda: file.exists() and file.read_bytes().rstrip().endswith(b"}"))  # the file is there before its content
    return json.loads(file.read_bytes())["address"], process


def worker(dask: Started, address: str, *words: str, **environ: str) -> subprocess.Popen[bytes]:
    """A worker with one slot, in one process."""
    return dask("worker", address, "--no-nanny", "--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard", *words, **environ)


def wait_for(there: Callable[[], object], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)


def notes(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def contents(folder: Path, jobs: list[str]) -> dict[str, bytes]:
    """Every file of the records that must not depend on where they were made; checkpoints and timing.json may."""
    files = [path for job in jobs for path in record_of(folder, job).rglob("*") if path.is_file()]
    kept = [path for path in files if path.name not in ("timing.json", ".lock") and path.parent.name != "checkpoints"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def eight(home: Path, dask: Started, seeds: int) -> tuple[Path, Planned, str]:
    """Where the witness of a comparison of two rows writes, its plan, and the address of a scheduler."""
    log = home / "log.jsonl"
    (home / "witness.py").write_text(WITNESS)
    found = planned(EIGHT.replace("LOG", str(log)), seeds=str(seeds))
    found.write()
    return log, found, scheduler(dask, home)[0]


def test_a_killed_worker_costs_nothing_but_time(home: Path, dask: Started) -> None:
    log, found, address = eight(home, dask, 4)
    folder = found.folder
    jobs = found.plan.missing_jobs(folder)
    first, _second = worker(dask, address), worker(dask, address)
    killed: list[object] = []

    def kill_half_way() -> None:
        """The first worker, when three jobs are done and it has half of another behind it."""

        def half_way() -> bool:
            seen = notes(log)
            mine = [note for note in seen if note["worker"] == first.pid]
            ended = sum(note["what"] == "end" for note in seen)
            if ended >= 3 and mine and mine[-1].get("step", [0])[0] == 1:  # type: ignore[index]
                killed.append(mine[-1]["job"])
            return bool(killed)

        wait_for(half_way)
        first.send_signal(signal.SIGKILL)

    executor = DaskCluster(address, folder, found.needs)
    assert len(jobs) == 8 and executor.workers >= 1
    killer = threading.Thread(target=kill_half_way, daemon=True)
    killer.start()
    outcomes = list(run_all(executor, folder, jobs, print, lambda seconds: time.sleep(0.05)))
    killer.join()

    assert sorted((one.job, one.state) for one in outcomes) == sorted((job, "done") for job in jobs), "nothing is lost"
    seen = notes(log)
    by: dict[tuple[object, object], list[float]] = defaultdict(list)
    for note in seen:
        by[note["job"], note["pid"]].append(note["at"])  # type: ignore[arg-type]
    starts = {job: sum(note["job"] == job and note["what"] == "start" for note in seen) for job in jobs}
    assert starts == {job: 2 if job == killed[0] else 1 for job in jobs}, "nothing is begun twice but what was killed"
    assert sum(note["what"] == "end" for note in seen) == len(jobs)
    spans = sorted((min(at), max(at)) for (job, _), at in by.items() if job == killed[0])
    assert len(spans) == 2 and spans[0][1] < spans[1][0], "one after the other, in two processes"
    steps = [note["step"] for note in seen if note["job"] == killed[0] and note["what"] == "step"]
    first_fold = [str(step) for step in steps if step[0] == 0]  # type: ignore[index]
    assert first_fold and len(first_fold) == len(set(first_fold)), "the finished fold is not trained again"
    assert {note["threads"] for note in seen if note["what"] == "start"} == {1}

    far = contents(folder, jobs)
    shutil.rmtree(folder / "records")
    assert all(run_job(folder, job).state == "done" for job in [*jobs[:3], str(killed[0])])
    here = contents(folder, [*jobs[:3], str(killed[0])])
    assert here and here == {name: far[name] for name in here}, "a record does not tell where it was made"
    assert {job: len({name for name in far if job in name}) for job in jobs} == dict.fromkeys(jobs, len(far) // len(jobs))


def test_a_closed_iterator_stops_what_runs(home: Path, dask: Started) -> None:
    log, found, address = eight(home, dask, 2)
    plan, folder = found.plan, found.folder
    worker(dask, address, OMP_NUM_THREADS="2")
    outcomes = DaskCluster(address, folder, found.needs).run(folder, plan.missing_jobs(folder))
    assert next(outcomes).state == "done"
    wait_for(lambda: sum(note["what"] == "start" for note in notes(log)) == 2)
    outcomes.close()
    pids = {note["pid"] for note in notes(log)}
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 5.0)
    assert [note["what"] for note in notes(log)].count("end") == 1 and len(plan.missing_jobs(folder)) == 3
    assert {note["threads"] for note in notes(log) if note["what"] == "start"} == {2}, "the worker says otherwise than one"


def test_a_cluster_on_the_command_line(
    home: Path, dask: Started, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "comparison.yaml").write_text(COMPARISON)
    address, process = scheduler(dask, home)

    def compare(*more: str, to: str = address) -> tuple[int, str]:
        code = main(["compare", "comparison.yaml", "--scheduler", to, *more])
        printed = capfd.readouterr()
        lines = [line for line in printed.err.splitlines() if not line.startswith("warning: ")]
        return code, printed.out if code == 0 else "\n".join(lines)

    monkeypatch.setattr(dask_cluster, "_FIRST_WORKER", 0.2)
    code, said = compare()
    assert code == 4 and said.startswith(f"[X707] the scheduler at {address} has no workers\n"), said
    monkeypatch.setattr(dask_cluster, "_FIRST_WORKER", 30.0)

    (home / "bare" / "sere_core").mkdir(parents=True)
    (home / "bare" / "sere_core" / "__init__.py").touch()
    bare = worker(dask, address, PYTHONPATH=f"{home / 'bare'}:{os.environ.get('PYTHONPATH', '')}")
    code, said = compare()
    assert code == 4 and said.startswith("[X708] sere cannot be imported on tcp://127.0.0.1:"), said
    assert "No module named 'sere_core.compare'" in said
    bare.kill()

    (home / "old" / "numpy-1.0.dist-info").mkdir(parents=True)
    (home / "old" / "numpy-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.0\n")
    old = worker(dask, address, PYTHONPATH=f"{home / 'old'}:{os.environ.get('PYTHONPATH', '')}")
    wait_for(lambda: "numpy is" in compare()[1])
    code, said = compare()
    assert code == 4 and len([line for line in said.splitlines() if "X708" in line]) == 1 and ", 1.0 on tcp://127.0.0.1:" in said, said
    assert not (home / "runs" / "little" / "records").exists(), "nothing has started"
    old.kill()

    worker(dask, address)
    wait_for(lambda: "time:" in compare("--dry-run")[1])
    code, said = compare()
    assert code == 0 and "3/3" in said and "ceiling" in said, said
    code, said = compare()
    assert code == 0 and "all 3 runs were done before" in said, said

    process.kill()
    monkeypatch.setattr(dask_cluster, "_CONNECT", 1.0)
    code, said = compare("--seeds", "2")
    assert code == 4 and said.startswith(f"[X707] no Dask scheduler answers at {address}: ") and len(said.splitlines()) == 2, said


def test_without_the_package_the_hint_is_printed(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "comparison.yaml").write_text(COMPARISON)
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["compare", "comparison.yaml", "--scheduler", "tcp://127.0.0.1:8786"]) == 3
    assert capsys.readouterr().err.endswith(
        "[P108] --scheduler needs the distribution 'distributed'\n    pip install \"sere[distributed]\"\n"
    )
    assert main(["compare", "comparison.yaml", "--scheduler", "tcp://127.0.0.1:8786", "--jobs", "2"]) == 2
    assert "[C305] --jobs is of this machine" in capsys.readouterr().err


def test_what_a_worker_lacks_is_named_and_one_that_joins_late_runs_nothing_unless_it_is_alike(home: Path) -> None:
    plan, folder = made(COMPARISON)
    needs = Needs(("sere_core",))
    wanted = {**facts(needs), "the version of torch": "1.0"}
    outcome = work(str(folder), plan.jobs[0].job, "a call", needs, wanted)
    assert (outcome.state, outcome.code) == ("failed", "X708") and "the version of torch is 1.0 here" in outcome.line
    assert not record_of(folder, plan.jobs[0].job).exists()

    (home / "part.py").write_text("A = 1\n")
    here = facts(Needs((), (str(home / "part.py"),), (str(home),)))
    there = {**here, f"the file {home / 'part.py'}": "0123456789abcdef", f"the data {home}": "missing"}
    first, second = differences(here, {"tcp://a": there, "tcp://b": here, "tcp://c": there})
    assert first.message.endswith(", 0123456789abcdef on tcp://a and 1 more") and "whole path" in first.hint
    assert second.message == f"the data {home} is there here, missing on tcp://a and 1 more" and "mount the corpora" in second.hint

    lock = FolderLock(home / "trial")
    assert lock_state(str(home / "trial")) == "locked"
    lock.release()
    assert lock_state(str(home / "trial")) == "free", "as on a file system whose locks do not reach other machines"
    assert lock_state(str(home / "other")) == "missing"
