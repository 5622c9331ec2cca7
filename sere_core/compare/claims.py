"""What several processes would do alike, each taking what no other has: parts of a work, claimed in a file that they share.

A claim is a lock of one byte (POSIX record locks, which network file systems pass on), at a place that follows from the part's
name.  The system drops it when the process ends, however it ends.  Where there are no such locks every claim succeeds: then work
is done twice, and nothing worse; who claims must be able to bear that.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def shared(path: Path, parts: Iterable[T], name: Callable[[T], str]) -> Iterator[T]:
    """Every part, each while no other process has it: those that are free first, in their order, then those that others took.

    Args:
        path: the file; made where it is not.
        name: of a part, for all processes the same.
    """
    left = {_place(name(part)): part for part in parts}
    descriptor = -1
    with suppress(OSError):  # whoever writes there says what is wrong
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        while left:
            place = next((place for place in left if _claimed(descriptor, place)), None)
            if place is None:
                place = next(iter(left))
                _claimed(descriptor, place, wait=True)
            try:
                yield left.pop(place)
            finally:
                with suppress(OSError):
                    fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, place)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _claimed(descriptor: int, place: int, wait: bool = False) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, place)
    except (BlockingIOError, PermissionError):  # what systems say of a lock that another has
        return False
    except OSError:
        return True
    return True


def _place(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 2
