"""No network while a component is checked: what it opens is refused, and the check in which it happens fails."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
