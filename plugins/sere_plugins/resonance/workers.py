"""Threads that each work alone, where one operation after the other would make all threads wait for each other.

Within a block of the search an operation takes a fraction of a millisecond.  Splitting each among threads means a barrier
after each, and on a machine with other work every barrier may cost a time slice.  Whole blocks have no barriers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Task = TypeVar("Task")


def share(tasks: Iterable[Task], work: Callable[[Task], None], enough: bool) -> None:
    """Call `work` with every task, in no order, on all of torch's CPU threads if there is `enough` to do."""
    left = deque(tasks)

    def some() -> None:
        while True:
            try:
                task = left.popleft()
            except IndexError:
                return
            work(task)

    run_everywhere(some, enough)


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
