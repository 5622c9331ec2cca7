"""A loss and a hook that try to get at target labels, each by one way: what a careless or dishonest plugin might do."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import inspect
import json
import os
import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sere_registry import BuildContext, ComponentSpec, Params, param
from sere_registry.hookspecs import hookimpl

#: where a probe leaves what it found, and the test looks
LOOT: list[Any] = []
FOLDER: list[Path] = []


def frame_of_a_traceback() -> Any:
    try:
        raise RuntimeError
    except RuntimeError as caught:
        assert caught.__traceback__ is not None
        return caught.__traceback__.tb_frame.f_back


def running_generator() -> Any:
    def one() -> Any:
        yield made.gi_frame.f_back

    made = one()
    return next(made)


def run_folder() -> Path:
    return FOLDER[-1]


def corpus_of_the_config() -> Any:
    from sere_plugins.corpora.synthetic import Synthetic
    from sere_plugins.specs.corpora import SyntheticParams

    params = SyntheticParams(language="xb", speakers=3, per_class=2, emotions=("anger", "sadness"), seconds=0.4)
    return Synthetic(params, BuildContext("xb")).utterances()


def corpus_folder() -> Path:
    from sere_plugins.corpora.synthetic import _default_cache

    return _default_cache() / "synthetic"


def audio() -> Path:
    with open("corpus.txt") as file:  # a note that the test left: stands for a path that a plugin knows
        return Path(file.read())


def linked() -> bytes:
    os.symlink(audio().parent, "elsewhere")
    return Path("elsewhere", audio().name).read_bytes()


def hard_linked() -> bytes:
    os.link(audio(), "another-name.wav")
    return Path("another-name.wav").read_bytes()


def moved() -> None:
    os.rename(audio(), "mine.wav")


def record_of(thing: str) -> Callable[[], Any]:
    return lambda: (run_folder() / thing).read_text()


def swallowed() -> None:
    with contextlib.suppress(Exception):
        LOOT.append(gc.get_objects())


def in_a_thread() -> None:
    def look() -> None:
        with contextlib.suppress(Exception):
            LOOT.append([each for each in gc.get_objects() if type(each).__name__ == "Seal"])

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()


def memory_at(address: int) -> Any:
    return (ctypes.c_char * 64).from_address(address).raw


def reread_config() -> Any:
    return json.loads((run_folder() / "folds.json").read_bytes())["folds"][0]["test"]


#: name -> (what is tried, how the refusal names it)
ROUTES: Mapping[str, tuple[Callable[[], Any], str]] = {
    "every object": (gc.get_objects, "gc.get_objects"),
    "every object, in a wrapper": (lambda: sorted([0], key=lambda _: len(gc.get_objects())), "gc.get_objects"),
    "every object, by exec": (lambda: exec("import gc; gc.get_objects()"), "gc.get_objects"),
    "every object, in a pool": (lambda: ThreadPoolExecutor(1).submit(gc.get_objects).result(), "gc.get_objects"),
    "every object, in a thread": (in_a_thread, "gc.get_objects"),
    "every object, swallowed": (swallowed, "gc.get_objects"),
    "referrers": (lambda: gc.get_referrers(LOOT), "gc.get_referrers"),
    "referents": (lambda: gc.get_referents(LOOT), "gc.get_referents"),
    "frames": (lambda: sys._getframe(1).f_back, "sys._getframe"),
    "inspect.stack": (inspect.stack, "sys._getframe"),
    "inspect.currentframe": (inspect.currentframe, "sys._getframe"),
    "walk_stack": (lambda: list(traceback.walk_stack(None)), "sys._getframe"),
    "all threads' frames": (sys._current_frames, "sys._current_frames"),
    "a traceback's frame": (frame_of_a_traceback, "tb_frame"),
    "a generator's frame": (running_generator, "gi_frame"),
    "all threads' exceptions": (sys._current_exceptions, "sys._current_exceptions"),
    "an audit hook": (lambda: sys.addaudithook(lambda *_: None), "sys.addaudithook"),
    "a trace function": (lambda: sys.settrace(lambda *_: None), "sys.settrace"),
    "a profile function": (lambda: sys.setprofile(lambda *_: None), "sys.setprofile"),
    "the folds": (record_of("folds.json"), "open of this run's record"),
    "the test ids": (reread_config, "open of this run's record"),
    "the scores": (record_of("scores.json"), "open of this run's record"),
    "the predictions": (record_of("predictions.csv"), "open of this run's record"),
    "the record's files": (lambda: os.listdir(run_folder()), "os.listdir of this run's record"),
    "the record's files, scanned": (lambda: list(os.scandir(run_folder())), "os.scandir of this run's record"),
    "another record": (lambda: (Path("older") / "folds.json").read_text(), "open of another run's record"),
    "another record's files": (lambda: list(Path("older").iterdir()), "another run's record"),
    "a corpus listed": (corpus_of_the_config, "a corpus listed"),
    "the corpus's folder": (lambda: sorted(audio().parent.iterdir()), "os.listdir of a corpus"),
    "the corpus's folder, walked": (lambda: list(os.walk(audio().parent.parent)), "os.scandir of a corpus"),
    "the corpus's files": (lambda: audio().read_bytes(), "open of a corpus"),
    "the corpus's files, by a link": (linked, "of a corpus"),
    "the corpus's files, by a hard link": (hard_linked, "os.link of a corpus"),
    "the corpus's files, moved": (moved, "os.rename of a corpus"),
    "the list of audio files": (lambda: Path(Path("index.txt").read_text()).read_bytes(), "open of the index of audio files"),
    "a database": (lambda: sqlite3.connect(run_folder() / "folds.json"), "sqlite3.connect of this run's record"),
    "memory": (lambda: memory_at(id(LOOT)), "ctypes.cdata"),
    "memory as a string": (lambda: ctypes.string_at(id(LOOT), 16), "ctypes.string_at"),
    "memory as wide characters": (lambda: ctypes.wstring_at(id(LOOT), 4), "ctypes.wstring_at"),
    "the interpreter's C functions": (lambda: ctypes.pythonapi.PyList_Size, "ctypes.dlsym"),
    "memory as a file": (lambda: os.open("/proc/self/mem", os.O_RDONLY), "open of the process's memory"),
    "another process": (lambda: subprocess.run(["cat", str(run_folder() / "folds.json")], capture_output=True), "subprocess.Popen"),
    "a shell": (lambda: os.system("true"), "os.system"),
    "a child": (os.fork, "os.fork"),
    "a spawned child": (lambda: os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}), "os.posix_spawn"),
}


class ProbeParams(Params):
    """Which way, and when."""

    route: str = param("every object", "a key of ROUTES")
    when: str = param("forward", "build, forward or predict")


def attempt(name: str) -> None:
    LOOT.append(ROUTES[name][0]())


class ProbingLoss(nn.Module):
    """Adds nothing, and tries its way once for each call."""

    def __init__(self, params: ProbeParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params

    def forward(self, target: Any) -> Mapping[str, Tensor]:
        attempt(self.params.route)
        return {"nothing": torch.zeros(())}


class ProbingHook:
    """Knows the run's folder, and tries its way after each step of fold 1, when fold 0 is scored."""

    def __init__(self, params: ProbeParams, context: BuildContext) -> None:
        self.params = params

    @hookimpl
    def sere_run_start(self, run: Any) -> None:
        FOLDER.append(run.folder)

    @hookimpl
    def sere_step_end(self, fold: int) -> None:
        if fold == 1 and self.params.when == "forward":
            attempt(self.params.route)


class ProbingSelector:
    """Tries its way while an epoch is scored."""

    def __init__(self, params: ProbeParams, context: BuildContext) -> None:
        self.params = params

    def score(self, target: Tensor) -> float:
        attempt(self.params.route)
        return 0.0


LOSS = ComponentSpec(kind="loss", name="probe", factory=f"{__name__}:ProbingLoss", params=ProbeParams, summary="tries a way")
HOOK = ComponentSpec(kind="hook", name="probe", factory=f"{__name__}:ProbingHook", params=ProbeParams, summary="tries a way")
SELECTOR = ComponentSpec(kind="selector", name="probe", factory=f"{__name__}:ProbingSelector", params=ProbeParams, summary="tries a way")
