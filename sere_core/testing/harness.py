"""Runs the checks of a component's kind, in order, each in a guard."""

from __future__ import annotations

import functools
import gc
import importlib
import random
import re
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, get_args

from sere_core.testing.subject import EVERYTHING, Check, Noted, NotRun, Result, Subject
from sere_registry import Kind, SereError, error, suggest
from sere_registry.catalog import Catalog
from sere_registry.entries import Entry, noun
from sere_registry.errors import Place
from sere_registry.guard import of_user
from sere_registry.scan import local_entry

AFTER = "not run after "
#: seconds that a check may take
LIMIT = 120.0
#: kind -> where its checks stand: a file, and the name of the list in it
KINDS = {kind: ("trained_kinds", kind.upper()) for kind in ("loss", "resonance", "encoder", "dynamics")}
KINDS |= {"method": ("methods", "CHECKS"), "executor": ("executors", "CHECKS")}


def checks(kind: str) -> tuple[Check, ...]:
    """The checks of a kind, in the order in which they run.

    >>> [check.id for check in checks("hook") if check.id.startswith("hook")]
    ['hook.known', 'hook.lives']
    """
    if kind not in get_args(Kind):
        raise error("R201", f"there is no kind '{kind}'", suggest(kind, get_args(Kind), "kinds"))
    places = [("declared", "CHECKS"), KINDS.get(kind, ("untrained_kinds", kind.upper()))]
    if kind != "executor":  # which no run knows
        places.append(("integration", "CHECKS"))
    lists = [getattr(importlib.import_module(f"sere_core.testing.{file}"), name) for file, name in places]
    return tuple(check for each in lists for check in each)


def run_checks(
    kind: str,
    name: str,
    *,
    catalog: Catalog | None = None,
    params: Mapping[str, object] | None = None,
    skip: tuple[str, ...] = (),
) -> list[Result]:
    """Run all checks of a component.

    Args:
        kind: "loss", "encoder", ...
        name: its full or short name, or `file:PATH:ATTRIBUTE`.
        catalog: where it is announced; default: what is installed.
        params: values for its parameters; those without a default need one.
        skip: beginnings of the ids of checks that are not wanted, as `integration.`; what comes after them is run.

    Raises:
        SereError: R201 where no component has this name.
    """
    catalog = Catalog(imports="files") if catalog is None else catalog
    return run_entry(entry_of(kind, name, catalog), catalog, params, skip)


def run_entry(
    entry: Entry,
    catalog: Catalog,
    params: Mapping[str, object] | None = None,
    skip: tuple[str, ...] = (),
    expected: Collection[str] = (),
) -> list[Result]:
    """`run_checks` of an entry of the catalog; those that are expected to fail hold back no run of the engine."""
    if skip:
        entry.load(Place())  # which is what the first checks do
    subject = Subject(entry, catalog, dict(params or {}))
    results: dict[str, Result] = {}
    for check in checks(entry.kind):
        if skip and check.id.startswith(skip):
            continue
        wanted = results if EVERYTHING in check.after else [id for id in check.after if not (skip and id.startswith(skip))]
        unfit = [name for name in wanted if results[name].passed is not True]
        blocked = [name for name in unfit if not (name in expected and check.id.startswith("integration."))]
        results[check.id] = _blocked(check, results[blocked[0]]) if blocked else _run(check, subject)
    return list(results.values())


def _blocked(check: Check, first: Result) -> Result:
    """Not run, because of the check at the root of it all."""
    root = first.message.removeprefix(AFTER) if first.passed is None and first.message.startswith(AFTER) else first.id
    return Result(check.id, None, AFTER + root)


def check_component(
    kind: str,
    name: str,
    *,
    catalog: Catalog | None = None,
    params: Mapping[str, object] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    skip: tuple[str, ...] = (),
) -> None:
    """Assert that a component keeps all that its kind promises.

    Args:
        kind, name, catalog, params, skip: as for `run_checks`.
        expected_failures: check id -> why the component fails it; one that passes is reported too.

    Raises:
        AssertionError: one line for each check that failed or could not be run, by id.
    """
    expected = dict(expected_failures or {})
    catalog = Catalog(imports="files") if catalog is None else catalog
    results = {result.id: result for result in run_entry(entry_of(kind, name, catalog), catalog, params, skip, expected)}
    unknown = [f"{id}: there is no such check for {noun(kind)}s" for id in expected if id not in results]  # type: ignore[arg-type]
    wrong = [str(result) for result in results.values() if result.passed is not True and not _excused(result, expected)]
    stale = [f"{id}: expected to fail ({why}), and passes" for id, why in expected.items() if id in results and results[id].passed]
    problems = unknown + wrong + stale
    if problems:
        raise AssertionError("\n".join([f"{kind} {name} does not conform:", *(f"  {line}" for line in problems)]))


def _excused(result: Result, expected: Mapping[str, str]) -> bool:
    """Expected to fail, or not run because of such a one."""
    return result.id in expected or (result.passed is None and result.message.removeprefix(AFTER) in expected)


def entry_of(kind: str, name: str, catalog: Catalog) -> Entry:
    """The entry of that name, not yet loaded."""
    checks(kind)
    if name.startswith("file:"):
        return local_entry(kind, name, Place())  # type: ignore[arg-type]
    found = [entry for entry in catalog.entries if entry.kind == kind and name in (entry.full_name, entry.short_name)]
    exact = [entry for entry in found if entry.full_name == name] or found
    if len({entry.full_name for entry in exact}) != 1:
        catalog.find(kind, name)  # type: ignore[arg-type]
        raise error("R201", f"no {noun(kind)} named '{name}'")  # type: ignore[arg-type]
    return exact[0]


def _run(check: Check, subject: Subject) -> Result:
    """One check.  Whatever else comes of it, a component that opens a connection has failed it."""
    with _quietly(), blocked() as tried, _in_time():
        result = _tried(check, subject)
    if not tried or check.id.startswith("static."):  # what importing its spec opens is for hygiene.no_network to say
        return result
    return Result(check.id, False, f"it uses the network ({tried[0]}); a component gets what it needs from files and its context")


def _tried(check: Check, subject: Subject) -> Result:
    try:
        check.test(subject)
    except NotRun as reason:
        return Result(check.id, None, str(reason))
    except Noted as note:
        return Result(check.id, True, str(note))
    except AssertionError as wrong:
        return Result(check.id, False, _line(wrong) or check.claim)
    except SereError as problem:
        return Result(check.id, False, "; ".join(f"[{one.code}] {one.message}" for one in problem.problems))
    except BaseException as wrong:  # whatever a plugin raises is the plugin's
        if of_user(wrong):
            raise
        return Result(check.id, False, f"{type(wrong).__name__}: {_line(wrong)}")
    return Result(check.id, True)


@contextmanager
def _in_time() -> Iterator[None]:
    """What does not end raises `TimeoutError` where it is; a timer of the caller goes on afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"it is not done after {LIMIT:.0f} s")

    began, before = time.monotonic(), signal.signal(signal.SIGALRM, late)
    left, _ = signal.setitimer(signal.ITIMER_REAL, LIMIT, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, max(0.1, left - time.monotonic() + began) if left else 0)


def _line(wrong: BaseException) -> str:
    """The exception as one line."""
    return re.sub(r"\s*\n\s*", " ", str(wrong)).strip()[:400]


@contextmanager
def _quietly() -> Iterator[None]:
    """The random numbers, the threads and the garbage collection of the caller are as they were."""
    import numpy as np
    import torch

    kept = torch.get_rng_state(), np.random.get_state(), random.getstate(), torch.get_num_threads(), gc.get_threshold()
    torch.set_num_threads(1)  # many small runs
    gc.set_threshold(50_000)  # the first run imports thousands of modules: a fifth of its time would go into collections
    try:
        yield
    finally:
        torch.set_rng_state(kept[0])
        np.random.set_state(kept[1])
        random.setstate(kept[2])
        torch.set_num_threads(kept[3])
        gc.set_threshold(*kept[4])


# -- no network while a component is checked ----------------------------------------------------------------------------

#: Python's audit events that mean the network; those of the first group only where the address is a host's
TO_AN_ADDRESS = ("socket.connect", "socket.sendto", "socket.sendmsg")
OF_A_NAME = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")

_watching: list[list[str]] = []


@contextmanager
def blocked() -> Iterator[list[str]]:
    """Refuse the network, in all threads; gives the list of what was tried.  Sockets of this machine's own processes are let be."""
    _install()
    tried: list[str] = []
    _watching.append(tried)
    try:
        yield tried
    finally:
        _watching.remove(tried)


@functools.cache
def _install() -> None:
    """Once for each process: an audit hook cannot be taken out again."""
    sys.addaudithook(_watch)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event in OF_A_NAME:
        where = str(arguments[0])
    elif event in TO_AN_ADDRESS and isinstance(arguments[1], tuple):
        where = ":".join(map(str, arguments[1][:2]))
    else:
        return
    for tried in _watching:
        tried.append(f"{event} to {where}")
    raise OSError(f"the network is blocked while a component is checked ({event} to {where})")
