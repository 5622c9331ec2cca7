"""A run's process is left, and its end waited for, by nobody but the engine: `os._exit` and threads of components."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sere_registry.replaced import LEAVING, defined
from sere_registry.snapshot import short

#: seconds that threads of components get to end when a run has ended
PATIENCE = 5.0
#: modules by whose functions a process can be left
_LEFT_BY = (os, *([sys.modules["posix"]] if "posix" in sys.modules else []))


@contextmanager
def staying(begun: list[threading.Thread]) -> Iterator[None]:
    """No function ends the process, and threads that this one begins do not keep it alive when all else has ended."""
    me, process, start = threading.current_thread(), os.getpid(), threading.Thread.start
    leave = {(module, name): getattr(module, name) for module in _LEFT_BY for name in LEAVING}

    def instead(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def no_exit(*args: Any, **kwargs: Any) -> object:
            if os.getpid() != process:  # a child of a fork
                return real(*args, **kwargs)
            raise SystemExit(f"os.{name}({', '.join(map(short, args))})")

        return no_exit

    def start_daemon(thread: threading.Thread) -> None:
        if threading.current_thread() is me and not thread.daemon:
            thread.daemon = True
            begun.append(thread)
        start(thread)

    for (module, name), real in leave.items():
        setattr(module, name, instead(name, real))
    threading.Thread.start = start_daemon  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        for (module, name), real in leave.items():
            setattr(module, name, real)
        threading.Thread.start = start  # type: ignore[method-assign]


def still_at_work(threads: Iterable[threading.Thread]) -> Iterator[tuple[str, str]]:
    """Let what components began come to its end: names of threads that do not, and where these come from."""
    until = time.monotonic() + PATIENCE
    for thread in threads:
        target = getattr(thread, "_target", None)
        if thread.is_alive() and getattr(target, "__module__", "") != "concurrent.futures.thread":  # a pool's wait idly
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                yield thread.name, f" ({defined(target)})" if target else ""
