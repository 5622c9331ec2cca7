"""What was made from records and is kept beside them: good for as long as plan and records are as they were."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sere_core.compare.places import read_json, record_of, write_json
from sere_core.score.reading import RECORD_FILES

_FILES = ("done", *RECORD_FILES, "timing.json")


def state_of(folder: Path, jobs: Collection[str]) -> str:
    """A digest of the plan and of the identity (times, size, inode) of every file of these records."""
    digest = hashlib.sha256((folder / "plan.json").read_bytes())
    for job in jobs:
        record = str(record_of(folder, job))
        for name in _FILES:
            try:
                seen = os.stat(f"{record}/{name}")
                line = f"{job} {name} {seen.st_mtime_ns} {seen.st_ctime_ns} {seen.st_size} {seen.st_ino}\n"
            except OSError:
                line = f"{job} {name} missing\n"
            digest.update(line.encode())
    return digest.hexdigest()


def kept(folder: Path, name: str, state: str) -> Any:
    """What was kept under this name for this state; None if there is nothing, or it is of another."""
    data = read_json(folder / name)
    return data.get("what") if isinstance(data, dict) and data.get("of") == state else None


def keep(folder: Path, name: str, state: str, what: Any) -> None:
    """Keep JSON data for a state.

    Raises:
        SereError: X704 or X705.
    """
    write_json(folder / name, {"of": state, "what": what})
