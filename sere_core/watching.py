"""Who watches the plugin code of a run, what is closed to it, and where its attempts are written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

from sere_core.config import Resolved
from sere_core.features.cache import folder as cache_folder
from sere_core.plan import Plan
from sere_core.train.guard import Guard
from sere_core.train.zones import Zones


def guard_of(resolved: Resolved, plan: Plan, folder: Any, boundary: CodeType) -> Guard:
    """What notices plugin code that looks for target labels outside of what it is given.

    Args:
        resolved, plan: of the run.
        folder: its `RunFolder`.
        boundary: the engine's code above which nobody is blamed.
    """
    corpora = [bound.params for path, bound in resolved.components.items() if path.startswith("corpora.")]
    roots = [value.expanduser() for params in corpora for value in vars(params).values() if isinstance(value, Path)]
    recordings: dict[str, list[Path]] = {}
    for recording, _ in plan.recordings().values():
        recordings.setdefault(recording.corpus, []).append(recording.path)
    zones = Zones(folder.path, recordings.values(), roots, cache_folder(resolved.config.features) / "audio.index")
    factories = {path: bound.spec.factory for path, bound in resolved.components.items()}
    return Guard(factories, zones, boundary, _note_probes(folder))


def _note_probes(folder: Any) -> Callable[[Sequence[Any]], None]:
    """Writes into the record what plugin code tried.  It knows the folder alone: plugin code might get hold of it."""

    def note(probes: Sequence[Any]) -> None:
        lines = [*earlier, *(str(probe) for probe in probes)]
        folder.write_json("probes.json", lines)
        manifest = folder.read_json("manifest.json")
        if manifest is not None:
            manifest["notes"]["probes"] = lines
            folder.write_manifest(manifest)

    earlier = tuple(folder.read_json("probes.json") or ())
    return note
