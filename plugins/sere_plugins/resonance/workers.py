"""Threads that each work alone, where one operation after the other would make all threads wait for each other.

Within a block of the search an operation takes a fraction of a millisecond.  Splitting each among threads means a barrier
after each, and on a machine with other work every barrier may cost a time slice.  Whole blocks have no barriers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Task = TypeVar("Task")


def taken(tasks: deque[Task]) -> Iterator[Task]:
    """Tasks until none is left; several threads may take from the same ones."""
    while True:
        try:
            task = tasks.popleft()
        except IndexError:
            return
        yield task


def run_everywhere(work: Callable[[], None], enough: bool) -> None:
    """Call `work` once in each of torch's CPU threads, or once here if there is not `enough` to do; without gradient.

    The calls share what is to be done among themselves.  Each runs its own operations single-threaded.
    """
    threads = torch.get_num_threads()
    if not enough or threads == 1:
        with torch.no_grad():
            work()
        return
    try:
        with ThreadPoolExecutor(threads, thread_name_prefix="resonance") as pool:
            for done in [pool.submit(_alone, work) for _ in range(threads)]:
                done.result()
    finally:
        torch.set_num_threads(threads)  # the setting is partly the process's


def _alone(work: Callable[[], None]) -> None:
    torch.set_num_threads(1)
    with torch.no_grad():  # a new thread begins with gradients on
        work()
