"""Whose fault is an exception that nobody foresaw?  A bug keeps its traceback; a plugin's or the environment's is named."""

from __future__ import annotations

import importlib.metadata
import traceback
from pathlib import Path

from sere_registry.catalog import Catalog
from sere_registry.errors import SereError, error
from sere_registry.kinds import FIRST_PARTY


def damaged_metadata(problem: BaseException, catalog: Catalog) -> SereError | None:
    """The coded line for an exception that some library met while it read the metadata of all distributions; None for others.

    torch and pydantic look through all of them when they are imported, and stop at the first that cannot be read.
    """
    reader = str(Path(importlib.metadata.__file__).parent)
    if not any(frame.f_code.co_filename.startswith(reader) for frame, _ in traceback.walk_tb(problem.__traceback__)):
        return None
    if not catalog.entries or not catalog.notes:
        return None
    message = "a library that runs need cannot read the distributions of this environment"
    return error("X701", message, f"install these again, or uninstall them: {'; '.join(catalog.notes)}")


def name_the_plugin(problem: BaseException, catalog: Catalog) -> None:
    """Add a note to an exception that passed through plugin code: the distribution or file, and the line."""
    owners = {
        entry.value.partition(":")[0].partition(".")[0]: (entry.owner, f"SERE_DISABLE={entry.distribution}")
        for entry in catalog.entries
        if entry.distribution != FIRST_PARTY
    }
    for frame, line in reversed(list(traceback.walk_tb(problem.__traceback__))):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        file = frame.f_code.co_filename
        if package.startswith("sere_local_"):
            problem.add_note(f"{file}:{line} is plugin code: this is for its author, not a bug of sere")
            return
        if package in owners:
            owner, way_out = owners[package]
            problem.add_note(f"{file}:{line} is code of {owner}: update it, tell its author, or leave it out: {way_out}")
            return
