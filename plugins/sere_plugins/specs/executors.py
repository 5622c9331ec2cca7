"""Executors: who runs the jobs of a comparison."""

from __future__ import annotations

from typing import Literal

from sere_plugins.specs import Declared, component
from sere_registry import param

_LOSSES = "how many processes in a row a job may cost before it fails with X706"


@component("local", "executors.local:Local")
class LocalParams(Declared):
    """processes of this machine, which end with the command that starts them."""

    workers: int | None = param(None, "how many runs at a time; null: as many as there are cores", ge=1)
    losses: int = param(1, _LOSSES, ge=1)


@component("dask", "executors.dask:DaskCluster", needs=("distributed",), extra="distributed")
class DaskParams(Declared):
    """the slots of a Dask cluster that is there already."""

    address: str = param("", "of its scheduler, as tcp://host:8786; empty: what DASK_SCHEDULER_ADDRESS says")
    patience: float = param(30.0, "seconds until there must be a worker", gt=0)
    losses: int = param(4, _LOSSES, ge=1)


@component("submitit", "executors.submitit:Submitit", needs=("submitit",), extra="slurm")
class SubmititParams(Declared):
    """an array of Slurm jobs; the command returns when they are submitted, and `--collect` reads later what is done."""

    workers: int = param(50, "how many tasks of the array run at a time", ge=1)
    tasks: int | None = param(None, "how many tasks the array has; null: as many as may run at a time", ge=1)
    minutes: int = param(240, "the time limit of a task; one that reaches it is queued again", ge=1)
    cpus: int = param(1, "of a task, and how many threads its libraries use", ge=1)
    requeues: int = param(20, "how often a task that reaches its time limit is queued again; preempted ones always are", ge=0)
    slurm: dict[str, str | int | list[str]] = param({}, "more for sbatch, as submitit names it: partition, account, mem, setup, ...")
    losses: int = param(10, _LOSSES, ge=1)
    cluster: Literal["slurm", "local"] = param("slurm", "local: processes of this machine that go on by themselves, to try it out")


LOCAL = LocalParams.spec
DASK = DaskParams.spec
SUBMITIT = SubmititParams.spec
