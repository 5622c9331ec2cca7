"""Jobs on many machines: an executor over a Dask cluster that is there already, named by the address of its scheduler.

Each slot of a worker runs one job at a time in a process of its own, which dies with the worker.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import os
import shutil
import threading
import time
import uuid
import warnings
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING

from sere_core.compare.jobs import JobProcesses, Outcome, ProcessLostError, at_work, failed
from sere_core.compare.plan import is_done, record_of
from sere_core.compare.planning import Needs
from sere_core.content import Contents
from sere_core.identity import code_digest
from sere_core.score.manifest import versions
from sere_registry.errors import Problem, SereError, error
from sere_registry.files import FolderLock, writing

if TYPE_CHECKING:
    from distributed import Client, Future

_TRANSPORT = ("dask", "distributed")  # through which the machines exchange jobs
_INSTALL = "install the same versions of sere and its plugins on all machines, and start the workers again"
_HINTS = {
    "file": "put it on the shared file system: jobs name it by its whole path",
    "data": "mount the corpora under the same path on all machines",
}

_CONNECT = 10.0  # seconds
_FIRST_WORKER = 30.0  # seconds until there must be one
_RETRIES = 3  # of a job whose process is lost; how many workers a job may cost is `allowed-failures` of the scheduler
_VISIBLE = 60.0  # seconds that a network file system may hide a new file

#: of a worker: the processes of each call of `sere compare`
_PROCESSES: dict[str, JobProcesses] = {}
_LOCK = threading.Lock()


class DaskCluster:
    """The workers of a Dask scheduler ("tcp://host:8786"), one job at a time in each of their slots.

    All machines share the folder, whose locks keep two workers from one job.  P108 without Dask, X707 without scheduler or workers, X708
    for every way in which a worker is not like this machine.
    """

    def __init__(self, address: str, folder: Path, needs: Needs) -> None:
        if importlib.util.find_spec("distributed") is None:
            raise error("P108", "--scheduler needs the distribution 'distributed'", 'pip install "sere[distributed]"')
        self.address = address
        self.needs = Needs(needs.packages, needs.files, tuple(name for name in needs.data if Path(name).exists()))
        self.mine = facts(self.needs)
        with self._client() as client:
            with contextlib.suppress(TimeoutError):
                client.wait_for_workers(1, timeout=_FIRST_WORKER)
            self.workers: int = sum(client.nthreads().values())
            if not self.workers:
                hint = f"start workers with `dask worker {address}`, or let the cluster adapt with a minimum of one"
                raise error("X707", f"the scheduler at {address} has no workers", hint)
            self._check(client, folder)

    def run(self, folder: Path, jobs: Sequence[str]) -> Generator[Outcome, None, None]:
        """See `Executor.run`; X707 if the scheduler is lost."""
        from distributed import as_completed

        call = uuid.uuid4().hex[:12]
        with self._client() as client:
            futures = {}
            try:
                for number, job in enumerate(jobs):
                    arguments = (str(folder), job, call, self.needs, self.mine)
                    key, first = f"sere-{job}-{call}", -number  # in the order of the jobs, so that a table is there early
                    futures[client.submit(work, *arguments, key=key, pure=False, retries=_RETRIES, priority=first)] = job
                for future in as_completed(list(futures), loop=client.loop):
                    yield self._outcome(folder, futures.pop(future), future)
            finally:
                with contextlib.suppress(Exception):  # a cluster that is gone has nothing to stop
                    client.cancel(list(futures), force=True)
                    client.run(dismiss, call, on_error="ignore")

    @contextlib.contextmanager
    def _client(self) -> Iterator[Client]:
        from distributed import Client

        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters of it is said here
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="distributed")  # versions that differ are lines of `_check`
                client = Client(self.address, timeout=_CONNECT, set_as_default=False)
        except (OSError, ValueError, TypeError, RuntimeError) as cause:
            what = " ".join(str(cause).split())[:200] or type(cause).__name__
            hint = "give the address that `dask scheduler` prints, such as tcp://host:8786, and check that it can be reached from here"
            raise error("X707", f"no Dask scheduler answers at {self.address}: {what}", hint) from cause
        try:
            yield client
        finally:
            with contextlib.suppress(Exception):
                client.close(timeout=_CONNECT)

    def _check(self, client: Client, folder: Path) -> None:
        """X708 with everything in which a worker is not like this machine."""
        found = client.run(facts, self.needs, on_error="return")
        bare = [worker for worker, had in found.items() if isinstance(had, Exception)]
        alike = {worker: had for worker, had in found.items() if worker not in bare}
        problems = differences(self.mine, alike)
        if bare:
            hint = "start the workers in an environment with this version of sere"
            problems.append(Problem("X708", f"sere cannot be imported on {first_of(bare)}: {found[bare[0]]}", hint))
        if folder.is_dir() and alike:
            problems += self._check_folder(client, folder, list(alike))
        if problems:
            raise SereError(*problems)

    def _check_folder(self, client: Client, folder: Path, workers: list[str]) -> Iterator[Problem]:
        """A lock that is held here must be held there."""
        trial = folder / f".cluster-{uuid.uuid4().hex[:12]}"
        lock = FolderLock(trial)
        try:
            seen = client.run(lock_state, str(trial), workers=workers)
        finally:
            lock.release()
            with writing(trial):
                shutil.rmtree(trial)
        for state, what, hint in (
            ("missing", f"{folder} is not the same folder", "put `--out` on a file system that all machines share, under the same path"),
            ("free", f"locks in {folder} do not reach", "mount the file system with locks (for Lustre: -o flock)"),
        ):
            blind = [worker for worker, found in seen.items() if found == state]
            if blind:
                yield Problem("X708", f"{what} on {first_of(blind)}", hint)

    def _outcome(self, folder: Path, job: str, future: Future) -> Outcome:
        from distributed import KilledWorker

        if future.status == "cancelled":
            raise error("X707", f"the scheduler at {self.address} was lost", "what is done is kept; the same command goes on")
        cause = future.exception()
        if isinstance(cause, (KilledWorker, ProcessLostError)):
            lost = f"the process of this job {cause}, {_RETRIES + 1} times"
            what = "more workers were lost with this job than the scheduler allows" if isinstance(cause, KilledWorker) else lost
            hint = "if memory ran out, take fewer slots for each worker or smaller batches; the same command goes on"
            return failed(folder, job, Problem("X706", what, hint))
        if isinstance(cause, ImportError):
            hint = "install it there, and start the worker again"
            return failed(folder, job, Problem("X708", f"sere cannot be imported on a worker that joined: {cause}", hint))
        if cause is not None:
            raise cause
        outcome: Outcome = future.result()
        if outcome.state == "done" and not _appears(folder, job):
            what = f"a worker has finished this job, but its record is not in {record_of(folder, job)}"
            return failed(folder, job, Problem("X708", what, "all machines need one shared folder"))
        return outcome


def _appears(folder: Path, job: str) -> bool:
    """Is there a finished record?  A network file system may hide it for a while."""
    until = time.monotonic() + _VISIBLE
    while not is_done(folder, job):
        if time.monotonic() > until:
            return False
        with contextlib.suppress(OSError):
            list(record_of(folder, job).iterdir())
        time.sleep(0.2)
    return True


def work(folder: str, job: str, call: str, needs: Needs, wanted: Mapping[str, str]) -> Outcome:
    """Run one job on this worker, if it is like the calling machine; ProcessLostError submits it again."""
    if call not in _PROCESSES:  # a machine that may have joined, or changed, since the call began
        problems = differences(wanted, {"a worker that joined": facts(needs)})
        if problems:
            return failed(Path(folder), job, problems[0])
    threads = os.environ.get("OMP_NUM_THREADS", "")  # by default one, since each slot of the worker has one
    with _LOCK:
        processes = _PROCESSES.setdefault(call, JobProcesses(Path(folder), max(1, int(threads)) if threads.isdigit() else 1))
    return processes.run(job)


def dismiss(call: str) -> None:
    """End all processes of a call; what is still queued for it must not begin."""
    with _LOCK:
        processes = _PROCESSES.setdefault(call, JobProcesses(Path(), 1))
    processes.close()


def facts(needs: Needs) -> dict[str, str]:
    """What this machine has of `needs`, by name; read anew each time."""
    owners, contents = packages_distributions(), Contents()
    distributions = {name for package in needs.packages for name in owners.get(package, ())}
    found = {f"the version of {name}": version for name, version in versions((*_TRANSPORT, *distributions)).items()}
    found |= {f"the code of {package}": code_digest("", package, contents) or "missing" for package in needs.packages}
    for name in needs.files:
        content = Path(name).read_bytes() if Path(name).is_file() else None
        found[f"the file {name}"] = "missing" if content is None else hashlib.sha256(content).hexdigest()[:16]
    return found | {f"the data {name}": "there" if os.path.exists(name) else "missing" for name in needs.data}


def lock_state(folder: str) -> str:
    """How a folder looks whose lock is held elsewhere: "locked", "missing" or "free"."""
    if not os.path.isdir(folder):
        return "missing"
    return "locked" if at_work(Path(folder)) else "free"


def differences(mine: Mapping[str, str], theirs: Mapping[str, Mapping[str, str]]) -> list[Problem]:
    """One line for each thing that is not the same here and on the workers (`theirs`: worker -> its facts)."""
    problems = []
    for name in dict.fromkeys((*mine, *(each for found in theirs.values() for each in found))):
        here = mine.get(name, "missing")
        others: dict[str, list[str]] = defaultdict(list)
        for worker, found in theirs.items():
            if found.get(name, "missing") != here:
                others[found.get(name, "missing")].append(worker)
        if others:
            there = ", ".join(f"{value} on {first_of(workers)}" for value, workers in others.items())
            problems.append(Problem("X708", f"{name} is {here} here, {there}", _HINTS.get(name.split()[1], _INSTALL)))
    return problems


def first_of(workers: Sequence[str]) -> str:
    return workers[0] if len(workers) == 1 else f"{workers[0]} and {len(workers) - 1} more"
