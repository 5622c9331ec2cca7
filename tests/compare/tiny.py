"""Comparisons small enough to be run: two made-up languages, two folds, one epoch."""

from __future__ import annotations

from pathlib import Path

from sere_core.compare.grammar import Flags
from sere_core.compare.plan import ComparePlan
from sere_core.compare.planning import Planned, plan_comparison
from sere_core.compare.work import pull, read_work
from sere_registry import WorkOrder
from sere_registry.processes import Children

BASE = """\
sere: 1
name: tiny
corpora:
  xa: {use: synthetic, params: {language: xa, speakers: 3, per_class: 2, emotions: [anger, sadness], seconds: 0.4}}
  xb: {use: synthetic, params: {language: xb, speakers: 3, per_class: 2, emotions: [anger, sadness], seconds: 0.4}}
  xc: {use: synthetic, params: {language: xc, speakers: 3, per_class: 2, emotions: [anger, sadness], seconds: 0.4}}
task: {source: xa, target: xb, shots: 1, folds: 2}
encoders: {small: {use: logmel, params: {bands: 16, dim: 8, layers: 1}}}
paths: {labelled: small, unlabelled: small}
network: {dim: 16}
dynamics: {use: idfe}
resonance: {use: irf}
losses:
  classify: {use: cross_entropy}
  adapt: {use: tric}
train: {epochs: 1, batch: {source: 4, target: 4}, device: cpu}
"""

COMPARISON = """\
sere: 1
compare: little
base: base.yaml
rows:
  floor: {losses: {adapt: null}}
  ours: {}
  ceiling: {losses: {adapt: null}}
floor: floor
ceiling: ceiling
reference: ours
"""

#: a loss with a bug, hooks that kill their process once and that make a machine slow
PARTS = """\
import os, pathlib, signal, time
from sere_registry import ComponentSpec, Params, param
from sere_registry.hookspecs import hookimpl

class Where(Params):
    once: pathlib.Path = param("", "a file that is made before")

def broken(params, context):
    import torch
    class Broken(torch.nn.Module):
        def forward(self, labelled):
            raise RuntimeError("a bug of the plugin")
    return Broken()

class Killer:
    def __init__(self, params, context):
        self.once = params.once

    @hookimpl
    def sere_step_end(self):
        if not self.once.exists():
            self.once.write_text("")
            os.kill(os.getpid(), signal.SIGKILL)

class Sleeper:
    def __init__(self, params, context):
        pass

    @hookimpl
    def sere_step_end(self):
        time.sleep(0.15)

BROKEN = ComponentSpec(kind="loss", name="broken", factory=f"{__name__}:broken", summary="has a bug")
KILL = ComponentSpec(kind="hook", name="kill", factory=f"{__name__}:Killer", params=Where, summary="kills its process, once")
SLOW = ComponentSpec(kind="hook", name="slow", factory=f"{__name__}:Sleeper", summary="sleeps after each step")
"""


class Here:
    """An executor that runs jobs in this process, one after the other."""

    workers, detached = 1, False

    def __init__(self) -> None:
        self.seen: list[str] = []

    def start(self, order: WorkOrder) -> Children:
        self.seen += [outcome.job for outcome in pull(order.folder, read_work(order.folder).jobs, 1, trust=True)]
        return Children([])


def planned(text: str = COMPARISON, **flags: object) -> Planned:
    """A comparison in the working directory, planned."""
    Path("comparison.yaml").write_text(text)
    return plan_comparison("comparison.yaml", Flags(**flags))  # type: ignore[arg-type]


def made(text: str = COMPARISON, **flags: object) -> tuple[ComparePlan, Path]:
    """The plan of a comparison in the working directory, written."""
    found = planned(text, **flags)
    found.write()
    return found.plan, found.folder
