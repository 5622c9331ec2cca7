"""Of all tests: one cache for all processes, no waiting for disks, and garbage collection that leaves imports alone."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: as many tests as cores run at once, and children are forked


@pytest.fixture(scope="session", autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that `SERE_CACHE` names, whatever it names outside."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared-cache"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def no_power_cut() -> Iterator[None]:
    """Processes are killed in tests, machines are not: what is written need not reach the disk, which takes milliseconds a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def pytest_collection_finish() -> None:
    """What is imported and collected lives to the end: no collection need walk through it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
