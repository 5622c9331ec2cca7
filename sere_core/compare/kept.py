"""What was made from records and is kept beside them: good for as long as plan and records are as they were."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sere_core.compare.identity import Identity, identity
from sere_core.compare.places import read_json, record_of, write_json


def state_of(folder: Path, jobs: Collection[str], seen: Mapping[str, Identity] | None = None) -> str:
    """A digest of the plan and of the identity (times, size, inode) of every file of these records.

    Args:
        folder: the comparison's.
        jobs: names of records.
        seen: identities of records that were looked at already, before they were read.
    """
    digest = hashlib.sha256((folder / "plan.json").read_bytes())
    known = seen or {}
    for job in jobs:
        digest.update(f"{job} {known.get(job) or identity(str(record_of(folder, job)))}\n".encode())
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
