"""Components that look through everything they are given, and through the engine's modules, for anything of the target's labels."""

from __future__ import annotations

import contextlib
import re
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from sere_registry import BuildContext, ComponentSpec
from sere_registry.hookspecs import hookimpl

#: a target utterance of the tiny config by its name, which tells the emotion
TARGET = re.compile(r"\bxb\d\d/(anger|sadness)-t\d\d")
GUARDED = ("Seal", "SealedLabels", "Scorer", "TaskPlan", "Plan", "Fold", "Run", "Utterance")
LOOT = "loot.txt"
COUNT = "walked.txt"


def inside(thing: Any) -> Iterator[Any]:
    """Whatever can be had from a thing without the interpreter's help."""
    yield getattr(thing, "__dict__", None)
    if isinstance(thing, Mapping):
        yield from list(thing.keys())
        yield from list(thing.values())
    elif isinstance(thing, (list, tuple, set, frozenset, deque)):
        yield from list(thing)
    elif isinstance(thing, MethodType):
        yield from (thing.__self__, thing.__func__)
    elif isinstance(thing, partial):
        yield from (thing.func, thing.args, thing.keywords)
    elif isinstance(thing, CellType):
        try:
            yield thing.cell_contents
        except ValueError:
            return
    elif isinstance(thing, FunctionType):
        yield from (thing.__closure__, thing.__defaults__, thing.__kwdefaults__, thing.__dict__, thing.__globals__)
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            yield getattr(thing, name, None)


def walk(*starts: Any) -> None:
    """Everything reachable from `starts`; what is loot goes into a file."""
    seen: dict[int, Any] = {}
    queue = deque(starts)
    while queue:
        thing = queue.popleft()
        if thing is None or id(thing) in seen or isinstance(thing, (int, float, bytes, Tensor, re.Pattern)):
            continue
        if isinstance(thing, ModuleType) and not thing.__name__.startswith("sere"):
            continue
        if isinstance(thing, (type, FunctionType)) and not (thing.__module__ or "").startswith(("sere", "tests.")):
            continue  # the code of other libraries
        seen[id(thing)] = thing
        if isinstance(thing, str):
            if TARGET.search(thing):
                note(LOOT, f"the name {thing}")
            continue
        if type(thing).__name__ in GUARDED and type(thing).__module__.startswith("sere_"):
            note(LOOT, f"a {type(thing).__name__}")
        with contextlib.suppress(Exception):  # whatever a foreign object answers to being looked at
            queue.extend(inside(thing))
    note(COUNT, str(len(seen)))


def note(name: str, line: str) -> None:
    with open(name, "a") as file:
        file.write(line + "\n")


def engine() -> list[Any]:
    return [vars(module) for name, module in list(sys.modules.items()) if name.startswith("sere_")] + [vars(sys.modules["__main__"])]


class WalkingLoss(nn.Module):
    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__()
        self.context = context

    def forward(self, labelled: Any, support: Any, source: Any, target: Any, field: Any, progress: Any) -> Mapping[str, Tensor]:
        walk(self, labelled, support, source, target, field, progress)
        return {"nothing": torch.zeros(())}

    def after_epoch(self, progress: Any, data: Any) -> None:
        walk(self, progress, data, data.encoded("target"), engine())


class WalkingHook:
    def __init__(self, params: Any, context: BuildContext) -> None:
        self.context = context

    @hookimpl
    def sere_run_start(self, run: Any) -> None:
        walk(self, run)

    @hookimpl
    def sere_step_end(self, run: Any, fold: int, stage: str, epoch: int, step: int, losses: Any) -> None:
        walk(self, run, stage, losses)

    @hookimpl
    def sere_checkpoint_saved(self, run: Any, path: Any) -> None:
        walk(self, run, torch.load if path is None else path)

    @hookimpl
    def sere_fold_scored(self, run: Any, scores: Any, confusion: Any, embeddings: Any) -> None:
        walk(self, run, scores, confusion, embeddings, engine())


class WalkingSelector:
    def __init__(self, params: Any, context: BuildContext) -> None:
        self.context = context

    def score(self, target: Tensor, embedding: Tensor, epoch: int) -> float:
        walk(self, target.__dict__, embedding.__dict__, engine())
        return 0.0


LOSS = ComponentSpec(kind="loss", name="walk", factory=f"{__name__}:WalkingLoss", summary="looks around")
HOOK = ComponentSpec(kind="hook", name="walk", factory=f"{__name__}:WalkingHook", summary="looks around")
SELECTOR = ComponentSpec(kind="selector", name="walk", factory=f"{__name__}:WalkingSelector", summary="looks around")
