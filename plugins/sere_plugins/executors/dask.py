"""Workers on a Dask cluster that is there already."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import uuid
import warnings

from distributed import Client, Future, get_worker

from sere_plugins.specs.executors import DaskParams
from sere_registry import BuildContext, WorkOrder, error
from sere_registry.processes import Child

_CONNECT = 10.0  # seconds


class DaskCluster:
    """One worker of sere in each slot of the workers of a scheduler; X707 without a scheduler, or workers of it."""

    def __init__(self, params: DaskParams, context: BuildContext) -> None:
        self.params = params
        self.address = params.address or os.environ.get("DASK_SCHEDULER_ADDRESS", "")

    @property
    def workers(self) -> int:
        client = self._client()
        try:
            with contextlib.suppress(TimeoutError):
                client.wait_for_workers(1, timeout=self.params.patience)
            slots: int = sum(client.nthreads().values())
        finally:
            client.close(timeout=_CONNECT)
        if not slots:
            hint = f"start workers with `dask worker {self.address}`, or let the cluster adapt with a minimum of one"
            raise error("X707", f"the scheduler at {self.address} has no workers", hint)
        return slots

    def start(self, order: WorkOrder) -> DaskCrew:
        """As many as there are jobs: workers that join later find some to do."""
        client, call = self._client(), uuid.uuid4().hex[:12]
        words = (*order.words, "--losses", str(self.params.losses))
        futures = [
            client.submit(work, words, call, key=f"sere-{order.name}-{call}-{number}", pure=False, retries=self.params.losses)
            for number in range(order.jobs)
        ]
        return DaskCrew(client, call, futures, self.address)

    def _client(self) -> Client:
        if not self.address:
            hint = "write it as `executor: {use: dask, params: {address: tcp://HOST:8786}}`, or set DASK_SCHEDULER_ADDRESS"
            raise error("X707", "no scheduler is named", hint)
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters of it is said here
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="distributed")  # of versions: workers compare what matters
                return Client(self.address, timeout=_CONNECT, set_as_default=False)
        except (OSError, ValueError, TypeError, RuntimeError) as cause:
            what = " ".join(str(cause).split())[:200] or type(cause).__name__
            hint = "give the address that `dask scheduler` prints, such as tcp://host:8786, and check that it can be reached from here"
            raise error("X707", f"no Dask scheduler answers at {self.address}: {what}", hint) from cause


class DaskCrew:
    """What was submitted to a scheduler."""

    def __init__(self, client: Client, call: str, futures: list[Future], address: str) -> None:
        self.client, self.call, self.futures, self.address = client, call, futures, address

    def running(self) -> int:
        if self.client.status != "running":
            raise error("X707", f"the scheduler at {self.address} was lost", "what is done is kept; the same command goes on")
        return sum(not future.done() for future in self.futures)

    def problem(self) -> str:
        ended = [future for future in self.futures if future.done()]
        failed = next((f"were lost: {future.exception()}" for future in ended if future.status == "error"), "")
        return failed or next((how for future in ended if future.status == "finished" and (how := future.result())), "")

    def stop(self) -> None:
        with contextlib.suppress(Exception):  # a cluster that is gone has nothing to stop
            self.client.cancel(self.futures, force=True)
            self.client.run(dismiss, self.call, on_error="ignore")
        with contextlib.suppress(Exception):
            self.client.close(timeout=_CONNECT)


#: of a Dask worker: the processes of each call
_CHILDREN: dict[str, list[Child] | None] = {}
_LOCK = threading.Lock()


def work(words: tuple[str, ...], call: str) -> str:
    """On a Dask worker: a worker of sere in a process of its own, which ends with it; "", or how it ended and what it said."""
    threads = os.environ.get("OMP_NUM_THREADS", "")  # by default one, since each slot of the worker has one
    with _LOCK:
        children = _CHILDREN.setdefault(call, [])
        if children is None:
            return ""
        child = Child(words, max(1, int(threads)) if threads.isdigit() else 1, output=True)
        children.append(child)
    how, printed = child.wait()
    return f"{how} on {get_worker().address}: {printed}" if how.startswith("ended") else how


def dismiss(call: str) -> None:
    """End all processes of a call; what is still queued for it must not begin."""
    with _LOCK:
        children, _CHILDREN[call] = _CHILDREN.get(call) or [], None
    for child in children:
        child.stop()
