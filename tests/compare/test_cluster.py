"""A Dask cluster, as real processes on loopback, and Slurm as submitit sees it: nothing lost, and the same records."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sere_core.cli import main
from sere_core.compare.crew import run_jobs
from sere_core.compare.plan import record_of
from sere_registry import BuildContext, SereError, WorkOrder
from tests.compare.tiny import COMPARISON, made

SLOW = COMPARISON.replace("ours: {}", "ours: {hooks: {slow: {use: 'file:parts.py:SLOW'}}}")
Started = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def dask(home: Path) -> Iterator[Started]:
    """Starts parts of a cluster; none outlives its test."""
    pytest.importorskip("distributed", reason="the extra `sere[distributed]` is not installed")
    running: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        with open(home / f"dask-{len(running)}.log", "wb") as log:
            running.append(subprocess.Popen([sys.executable, "-m", "dask", *words], stdout=log, stderr=log, cwd=home))
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


def worker(dask: Started, address: str) -> subprocess.Popen[bytes]:
    """A worker with one slot, in one process."""
    return dask("worker", address, "--no-nanny", "--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard")


def wait_for(there: Callable[[], object], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_dask_worker_costs_nothing_but_time(home: Path, dask: Started) -> None:
    from sere_plugins.executors.dask import DaskCluster
    from sere_plugins.specs.executors import DaskParams

    plan, folder = made(SLOW)
    slow = plan.jobs[1].job
    address, _ = scheduler(dask, home)
    executor = DaskCluster(DaskParams(address=address), BuildContext("executor"))
    first = worker(dask, address)
    assert executor.workers == 1

    def kill_half_way() -> None:
        wait_for(lambda: (record_of(folder, slow) / "history.jsonl").exists())
        worker(dask, address)
        first.send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill_half_way, daemon=True)
    killer.start()
    outcomes = list(run_jobs(executor, folder, [slow], print))
    killer.join()
    assert first.wait() == -signal.SIGKILL and [(one.job, one.code) for one in outcomes] == [(slow, "")]


@pytest.mark.slow
def test_a_dask_cluster_on_the_command_line(home: Path, dask: Started, capfd: pytest.CaptureFixture[str]) -> None:
    (home / "comparison.yaml").write_text(COMPARISON)
    address, process = scheduler(dask, home)

    def compare(*more: str, params: str = "") -> tuple[int, str]:
        executor = f"{{use: dask, params: {{address: '{address}'{params}}}}}"
        code = main(["compare", "comparison.yaml", "--executor", executor, *more])
        printed = capfd.readouterr()
        lines = [line for line in printed.err.splitlines() if not line.startswith("warning: ")]
        return code, printed.out if code == 0 else "\n".join(lines)

    code, said = compare(params=", patience: 0.2")
    assert code == 4 and said.startswith(f"[X707] the scheduler at {address} has no workers\n"), said
    worker(dask, address)
    code, said = compare()
    assert code == 0 and "3/3" in said and "ceiling" in said, said
    code, said = compare()
    assert code == 0 and "all 3 runs were done before" in said, said

    work = json.loads((home / "runs" / "little" / "work.json").read_text())
    assert "the version of torch" in work["facts"]
    process.kill()
    code, said = compare("--seeds", "2")
    assert code == 4 and said.startswith(f"[X707] no Dask scheduler answers at {address}: ") and len(said.splitlines()) == 2, said


def test_without_the_package_or_an_address_the_hint_is_printed(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "comparison.yaml").write_text(COMPARISON)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    assert main(["compare", "comparison.yaml", "--executor", "dask"]) == 4
    assert "[X707] no scheduler is named" in capsys.readouterr().err
    assert main(["compare", "comparison.yaml", "--executor", "dask", "--jobs", "2"]) == 2
    assert "[C305]" in capsys.readouterr().err
    assert main(["compare", "comparison.yaml", "--executor", "dusk"]) == 2
    assert "--executor dusk: executor.use: [R201] no executor named 'dusk'" in capsys.readouterr().err
    assert main(["compare", "comparison.yaml", "--executor", "{use: local, params: {workers: 0}}"]) == 2
    assert "executor.params.workers: [C302]" in capsys.readouterr().err


# Slurm


@pytest.fixture
def slurm(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with commands of Slurm that keep the scripts which are submitted."""
    pytest.importorskip("submitit", reason="the extra `sere[slurm]` is not installed")
    tools = home / "tools"
    tools.mkdir()
    for name, text in {"srun": "exit 1", "sbatch": f"cp $1 {home}/submitted.sh; echo Submitted batch job 1234"}.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return home


def test_slurm_gets_one_array_with_a_cap_and_the_command_returns(slurm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    executor = "executor: {use: submitit, params: {workers: 2, minutes: 30, cpus: 4, slurm: {partition: cpu, mem: 8GB}}}\n"
    (slurm / "comparison.yaml").write_text(COMPARISON + executor)
    assert main(["compare", "comparison.yaml", "--yes"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "submitted 2 worker(s), 2 at a time: 1234" in said and "--collect" in said
    script = (slurm / "submitted.sh").read_text()
    wanted = ("--array=0-1%2", "--time=30", "--cpus-per-task=4", "--partition=cpu", "--mem=8GB", "--job-name=sere-little", "--requeue")
    assert all(f"#SBATCH {line}" in script for line in wanted), script
    assert "--signal=USR2@" in script
    assert main(["compare", "comparison.yaml", "--collect"]) == 1
    assert "3 of 3 runs are not done" in capsys.readouterr().err


@pytest.mark.slow
def test_a_task_of_the_array_can_be_queued_again(slurm: Path) -> None:
    from submitit.core.utils import DelayedSubmission

    from sere_plugins.executors.submitit import Worker

    task = Worker(("-c", "import time; time.sleep(60)"), 1)
    runner = threading.Thread(target=task, daemon=True)
    runner.start()
    wait_for(lambda: task.child)
    again = task.checkpoint()
    runner.join(10)
    assert not runner.is_alive(), "the worker was asked to end"
    path = slurm / "again.pkl"
    again.dump(path)
    assert DelayedSubmission.load(path).function.words == task.words


def test_without_slurm_the_hint_is_printed(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="the extra `sere[slurm]` is not installed")
    (home / "comparison.yaml").write_text(COMPARISON)
    monkeypatch.setenv("PATH", str(home))
    assert main(["compare", "comparison.yaml", "--executor", "submitit", "--yes"]) == 4
    assert "[X707] Slurm cannot be reached" in capsys.readouterr().err


def test_submitit_runs_the_jobs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("submitit", reason="the extra `sere[slurm]` is not installed")
    (home / "comparison.yaml").write_text(COMPARISON)
    local = "{use: submitit, params: {cluster: local, workers: 1}}"
    assert main(["compare", "comparison.yaml", "--executor", local, "--yes"]) == 0
    folder = home / "runs" / "little"
    wait_for(lambda: len(list(folder.glob("records/*/done"))) == 3)
    capsys.readouterr()
    assert main(["compare", "comparison.yaml", "--collect"]) == 0
    assert "ceiling" in capsys.readouterr().out


def test_a_scheduler_that_refuses_is_one_line(slurm: Path) -> None:
    from sere_plugins.executors.submitit import Submitit
    from sere_plugins.specs.executors import SubmititParams

    (slurm / "tools" / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition' >&2\nexit 1\n")
    with pytest.raises(SereError) as caught:
        Submitit(SubmititParams(), BuildContext("executor")).start(WorkOrder("little", slurm, ("-c", ""), 2))
    (problem,) = caught.value.problems
    assert problem.code == "X707" and "invalid partition" in problem.message and "\n" not in problem.message
