"""Notices plugin code that reaches for sealed labels by ways that Python reports, refuses it, and ends the run.

The seal leaves nothing to find among the objects that a plugin is given.  What is left are the interpreter itself (its list
of objects, the frames of the callers, raw memory) and the disk (corpora, records).  CPython reports these to audit hooks;
the hook of this module raises inside the plugin's own call, so that the call yields nothing, and remembers it, so that a
plugin that swallows the error is stopped all the same.

It is no sandbox.  Code that sets its mind to it gets past: native code, a changed engine, a signal handler, a debugger, a
label list that a package brings along.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Literal

import sere_core
import sere_registry
from sere_core.train.zones import Zones, libraries, within
from sere_registry.errors import SereError, error

Owner = Literal["engine", "plugin", "other"]

#: which caller counts: anyone above ("stack"), who called ("caller"), who called the standard library ("library")
_RULES: dict[str, Literal["stack", "caller", "library"]] = {
    **dict.fromkeys(("gc.get_objects", "gc.get_referrers", "gc.get_referents"), "stack"),
    **dict.fromkeys(("open", "os.listdir", "os.scandir", "os.rename", "os.link", "os.symlink", "sqlite3.connect"), "stack"),
    **dict.fromkeys(("sere.utterance", "sere.guard"), "stack"),
    **dict.fromkeys(("sys._getframe", "sys._current_frames", "sys._current_exceptions", "object.__getattr__"), "caller"),
    **dict.fromkeys(("sys.settrace", "sys.setprofile", "sys.addaudithook"), "caller"),
    **dict.fromkeys(("subprocess.Popen", "os.system", "os.fork", "os.forkpty", "os.exec", "os.spawn", "os.posix_spawn"), "library"),
    **dict.fromkeys(("ctypes.cdata", "ctypes.string_at", "ctypes.wstring_at", "ctypes.PyObj_FromPtr", "ctypes.dlsym"), "library"),
}
_PATHS = frozenset({"open", "os.listdir", "os.scandir", "os.rename", "os.link", "os.symlink", "sqlite3.connect"})
#: the engine's packages, which are no component's
_ENGINE = frozenset(module.__name__ for module in (sere_core, sere_registry))
_FRAMES = frozenset({"tb_frame", "gi_frame", "cr_frame", "ag_frame"})
#: functions of the standard library that hand a frame to their caller, by module; None: all of the module's
_HANDS_ON: Mapping[str, frozenset[str] | None] = {
    "inspect": None,
    "traceback": frozenset({"walk_stack", "walk_tb"}),
    "logging": frozenset({"<lambda>", "currentframe"}),
}


@dataclass(frozen=True)
class Probe:
    """An attempt: by which component, at which file and line, and which way.  As text it does not tell where the file lies."""

    component: str
    file: str
    line: int
    route: str

    def __str__(self) -> str:
        return f"{self.component} ({os.path.basename(self.file)}:{self.line}): {self.route}"


class Guard:
    """Watches the plugin code of one run.

    Args:
        components: place in the config, e.g. "losses.adapt" -> the factory, as `module:attribute`.
        zones: what may not be opened.
        boundary: code of the engine's that is called by nobody but the command; what called it is not looked at.
        told: called with all probes whenever there is a new one.
    """

    def __init__(
        self, components: Mapping[str, str], zones: Zones, boundary: CodeType, told: Callable[[tuple[Probe, ...]], None] | None = None
    ) -> None:
        self.probes: tuple[Probe, ...] = ()
        self._zones, self._boundary, self._told = zones, boundary, told
        self._homes = tuple(_homes(components))
        self._blamable = frozenset(place for place in components if not place.startswith("corpora."))
        self._engine = tuple(os.path.realpath(path) for module in (sere_core, sere_registry) for path in module.__path__)
        self._libraries = libraries()
        self._owners: dict[str, Owner] = {}
        self._busy = threading.local()
        self._on = self._awake = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While this is open, plugin code is watched.

        Raises:
            SereError: D613 at the end, if something was noticed and nobody said so.
        """
        _watch(self)
        self._on = True
        try:
            yield
            self.check()
        finally:
            self._on = False
            _watch(None)

    def check(self) -> None:
        """Say what was noticed so far; between the plugin's turns, because a plugin may swallow what it is told.

        Raises:
            SereError: D613.
        """
        self._awake = False
        sys.audit("sere.guard")
        if self._on and not self._awake:
            self._caught(Probe("code of this process", "?", 0, "the guard switched off"))
        if self.probes:
            raise _error(self.probes[0])

    def notice(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Told of an audit event that has a rule.

        Raises:
            SereError: D613.
        """
        if getattr(self._busy, "now", False) or (event == "object.__getattr__" and arguments[1] not in _FRAMES):
            return
        if event == "ctypes.dlsym" and not str(arguments[1]).startswith(("Py", "_Py")):
            return
        self._busy.now = True
        try:
            if event == "sere.guard":
                self._awake = True
                return
            file, line = self._blamed(sys._getframe(2), _RULES[event])
            route = self._route(event, arguments) if file else ""
            if route:
                self._caught(Probe(self._component(file), file, line, route))
        finally:
            self._busy.now = False

    def _caught(self, probe: Probe) -> None:
        if probe not in self.probes:
            self.probes = (*self.probes, probe)
            if self._told is not None:
                self._told(self.probes)
        raise _error(probe)

    def _route(self, event: str, arguments: tuple[Any, ...]) -> str:
        """What is told of the event; "" if it is harmless."""
        if event in _PATHS:
            what = self._zones.closed(arguments[0], event != "open" or _writes(arguments))
            return f"{event} of {what}" if what else ""
        if event == "object.__getattr__":
            return f"the frame of a caller ({arguments[1]})"
        return {"sere.utterance": "a corpus listed"}.get(event, event)

    def _blamed(self, frame: FrameType | None, rule: str) -> tuple[str, int]:
        """The plugin's file and line that an event is laid to; "" if it is laid to none."""
        engine = False
        plugins: list[tuple[str, int]] = []
        while frame is not None and frame.f_code is not self._boundary:
            code, module = frame.f_code, frame.f_globals.get("__name__", "")
            owner = self._owner(code.co_filename)
            if owner == "plugin":
                plugins.append((code.co_filename, frame.f_lineno))
                if rule != "stack":
                    break
            if rule == "caller" and not _hands_on(module, code.co_name) and not code.co_filename.startswith("<"):
                return "", 0
            if rule == "library" and not _standard(module) and not code.co_filename.startswith("<"):
                return "", 0
            engine = engine or owner == "engine"
            frame = frame.f_back
        if plugins:  # the component that was at work, not the library or the corpus that it called
            return next((each for each in plugins if self._component(each[0]) in self._blamable), plugins[0])
        known = engine or frame is not None or rule != "stack"
        return ("" if known else "a thread of its own"), 0

    def _owner(self, file: str) -> Owner:
        if file not in self._owners:
            self._owners[file] = self._found_owner(file)
        return self._owners[file]

    def _found_owner(self, file: str) -> Owner:
        if file.startswith("<"):  # frozen, or made by exec: whoever called it counts
            return "other"
        path = os.path.realpath(file)
        if any(within(path, home) for home, _ in self._homes):
            return "plugin"
        if any(within(path, folder) for folder in self._engine):
            return "engine"
        return "other" if any(within(path, folder) for folder in self._libraries) else "plugin"

    def _component(self, file: str) -> str:
        path = os.path.realpath(file)
        own = [title for home, title in self._homes if path == home]
        return own[0] if own else next((title for home, title in self._homes if within(path, home)), "code beside the components")


def _error(probe: Probe) -> SereError:
    message = f"plugin code reached for sealed labels: {probe.route}, at {probe.file}:{probe.line}"
    return error("D613", message, "target labels are for the scorer only; the run is stopped and its record says so", probe.component)


def _writes(opened: tuple[Any, ...]) -> bool:
    """Is a file opened for writing?"""
    _, mode, flags = opened
    return bool(flags & (os.O_WRONLY | os.O_RDWR) if isinstance(flags, int) else set(mode or "") & set("wax+"))


def _hands_on(module: str, function: str) -> bool:
    if module not in _HANDS_ON:
        return False
    functions = _HANDS_ON[module]
    return functions is None or function in functions


def _standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def _homes(components: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """(file of the factory's module, place), and after those (folder of its package, the package's name).

    A component that the engine itself brings along (the kit's plain encoder) is that one file: its package is the engine.
    """
    packages: dict[str, str] = {}
    for place, factory in components.items():
        module = factory.partition(":")[0]
        top = module.partition(".")[0]
        for name in dict.fromkeys((module, top)):
            try:
                found = importlib.util.find_spec(name)
            except (ImportError, ValueError):
                continue
            if found is None:
                continue
            if name == module and found.origin and Path(found.origin).is_file():
                yield os.path.realpath(found.origin), place
            for folder in (found.submodule_search_locations or ()) if name == top and top not in _ENGINE else ():
                packages[os.path.realpath(folder)] = top
    yield from packages.items()


def _installed() -> Callable[[Guard | None], None]:
    """Add the hook to the interpreter, once and for good; it does nothing until a guard is put into its hands."""
    now: Guard | None = None

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if now is not None and event in _RULES:
            now.notice(event, arguments)

    def watch(guard: Guard | None) -> None:
        nonlocal now
        now = guard

    sys.addaudithook(hook)
    return watch


_watch = _installed()
