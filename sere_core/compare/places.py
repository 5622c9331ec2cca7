"""Where the parts of a comparison's folder are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sere_registry.files import write_atomically


def job_file(folder: Path, job: str) -> Path:
    """The complete config of a job."""
    return folder / "jobs" / f"{job}.yaml"


def record_of(folder: Path, job: str) -> Path:
    """The record of a job, finished or not."""
    return folder / "records" / job


def is_done(folder: Path, job: str) -> bool:
    """Is there a finished record?"""
    return (folder / "records" / job / "done").exists()


def failure_file(folder: Path, job: str) -> Path:
    """Why a job failed the last time."""
    return folder / "failures" / f"{job}.json"


def write_if_new(path: Path, data: bytes) -> None:
    """Write a file unless it holds just that: hundreds of configs cost hundreds of waits for the disk.

    Raises:
        SereError: X704 or X705.
    """
    try:
        if path.read_bytes() == data:
            return
    except OSError:
        pass
    write_atomically(path, data)


def write_json(path: Path, data: Any) -> None:
    """JSON, whole or not at all.

    Raises:
        SereError: X704 or X705.
    """
    write_atomically(path, json.dumps(data, indent=1, ensure_ascii=False).encode() + b"\n")


def read_json(path: Path) -> Any:
    """A JSON file, or None where there is none that can be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
