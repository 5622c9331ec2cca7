"""Workers as an array of Slurm jobs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from submitit import AutoExecutor
from submitit.helpers import DelayedSubmission

from sere_plugins.specs.executors import SubmititParams
from sere_registry import BuildContext, WorkOrder, error
from sere_registry.processes import Child


class Submitit:
    """An array whose tasks are workers; they go on by themselves, and a task that is preempted, or runs out of time, is queued again."""

    detached = True

    def __init__(self, params: SubmititParams, context: BuildContext) -> None:
        self.params, self.workers = params, params.workers

    def start(self, order: WorkOrder) -> str:
        params, count = self.params, min(self.params.tasks or self.workers, order.jobs)
        logs = order.folder / "slurm"
        slurm = {f"slurm_{name}": value for name, value in params.slurm.items()}
        try:
            executor = AutoExecutor(logs, cluster=params.cluster, slurm_max_num_timeout=params.requeues)
        except RuntimeError as cause:
            hint = "submit from a machine where `sbatch` can be called, or use another executor"
            raise error("X707", f"Slurm cannot be reached: {cause}", hint) from cause
        executor.update_parameters(name=f"sere-{order.name}", timeout_min=params.minutes, cpus_per_task=params.cpus)
        executor.update_parameters(slurm_array_parallelism=self.workers, slurm_additional_parameters={"requeue": True}, **slurm)
        words = (*order.words, "--features", "first", "--losses", str(params.losses))
        try:
            with executor.batch():
                tasks = [executor.submit(Worker(words, params.cpus)) for _ in range(count)]
        except (subprocess.CalledProcessError, RuntimeError) as cause:
            said = getattr(cause, "stderr", None) or str(cause)
            raise error("X707", f"Slurm did not take the jobs: {' '.join(str(said).split())[:300]}", "correct `params`") from cause
        return f"submitted {count} worker(s), {self.workers} at a time: {tasks[0].job_id.partition('_')[0]}; their logs: {logs}"


class Worker:
    """One task of the array, with a worker of sere in a process of its own."""

    def __init__(self, words: tuple[str, ...], threads: int) -> None:
        self.words, self.threads = words, threads
        self.child: Child | None = None

    def __call__(self) -> str:
        self.child = Child(self.words, self.threads)
        how, _ = self.child.wait()
        if how:
            print(f"the worker {how}", file=sys.stderr)
        return how

    def checkpoint(self) -> DelayedSubmission:
        """What is queued again when Slurm announces the end of the task; its worker may let go of its job."""
        if self.child is not None:
            self.child.process.send_signal(signal.SIGTERM)
            time.sleep(5)
        return DelayedSubmission(Worker(self.words, self.threads))
