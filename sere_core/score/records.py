"""The record of a run: `runs/<name>/<job>/`, written whole file by whole file, with `done` last.

Every file but `timing.json`, the checkpoints and what hooks leave behind is a function of the resolved config, the data
and the machine, so that the records of an unbroken and of a resumed run can be compared byte by byte.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import yaml

from sere_core.data.plan import TaskPlan
from sere_core.score.manifest import manifest
from sere_core.score.reading import Prediction, Record, digest_files, format_predictions, parse_predictions
from sere_registry.errors import error
from sere_registry.files import FolderLock, append, atomic_path, write_atomically, writing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Prediction", "Record", "RunFolder", "manifest"]

Mode = Literal["new", "resume", "fresh"]


class RunFolder:
    """The folder of one job, and everything that is written into it.  Use as a context manager: the lock ends with it.

    Args:
        root: `runs/<name>`.
        job: the job's name, the hash of its resolved config.

    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> with RunFolder(root, "1f3a").claim("new") as run:
    ...     run.append_history({"epoch": 0, "losses": {"classify": 0.5}})
    ...     run.history_position()
    38
    """

    def __init__(self, root: Path, job: str) -> None:
        self.path = root / job
        self._lock: FolderLock | None = None

    # who may write

    @property
    def done(self) -> bool:
        """Is there a finished record?"""
        return (self.path / "done").exists()

    @property
    def started(self) -> bool:
        """Is there anything of a run that took training, finished or not?  What a run writes before costs nothing to write again."""
        trained = ("history.jsonl", "predictions.csv", "scores.json", "done")
        return any((self.path / name).exists() for name in trained) or any(self.checkpoints.glob("*"))

    def claim(self, mode: Mode = "new") -> RunFolder:
        """Lock the folder and make it ready to be written.

        Args:
            mode: "new" wants no run here; "resume" goes on with what is here, or starts if there is nothing; "fresh"
                removes what is here.

        Raises:
            SereError: T504 (another process is at work), T503 (a run is in the way), X704.
        """
        self._lock = FolderLock(self.path)
        try:
            if mode == "new" and self.started:
                what = "a finished" if self.done else "an unfinished"
                hint = "--fresh does it anew" if self.done else "--resume goes on with it, --fresh does it anew"
                raise error("T503", f"{what} run is in {self.path}", hint)
            if mode != "resume":
                self._clear()  # where nothing was trained too: what is left there may be of other data
            with writing(self.checkpoints):
                self.checkpoints.mkdir(exist_ok=True)
        except BaseException:
            self.release()
            raise
        return self

    def release(self) -> None:
        """Let other processes in."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> RunFolder:
        if self._lock is None:
            self.claim()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def _clear(self) -> None:
        with writing(self.path):
            (self.path / "done").unlink(missing_ok=True)  # first: a half-removed record must not look finished
            for entry in sorted(self.path.iterdir()):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                elif entry.name != ".lock":
                    entry.unlink()

    # what is written

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @contextlib.contextmanager
    def atomic(self, relative: str) -> Iterator[Path]:
        """A temporary path for a writer that wants a name: `with run.atomic("checkpoints/fold0.safetensors") as path: ...`."""
        with atomic_path(self.path / relative) as temporary:
            yield temporary

    def write(self, relative: str, data: bytes) -> None:
        """Any file, atomically."""
        write_atomically(self.path / relative, data)

    def checkpoint(self, fold: int) -> Path:
        """The checkpoint file of a fold."""
        return self.checkpoints / f"fold-{fold}.safetensors"

    def write_arrays(self, relative: str, arrays: Mapping[str, NDArray[Any]]) -> Path:
        """An .npz file, atomically."""
        import numpy as np

        with self.atomic(relative) as path, open(path, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        return self.path / relative

    def write_json(self, relative: str, data: Any) -> None:
        """Any JSON file: UTF-8, keys in the given order, non-finite numbers as null."""
        self.write(relative, json.dumps(_plain(data), indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")

    def read_json(self, relative: str) -> Any:
        """A JSON file of this run, or None if there is none yet.

        Raises:
            SereError: T505 if it is damaged.
        """
        path = self.path / relative
        try:
            return json.loads(path.read_bytes()) if path.exists() else None
        except ValueError as cause:
            raise error("T505", f"{path} is damaged: {cause}", "start again with --fresh") from cause

    def write_config(self, resolved: Mapping[str, Any]) -> None:
        """`config.yaml`: the resolved config."""
        self.write("config.yaml", yaml.safe_dump(dict(resolved), sort_keys=False, allow_unicode=True, width=140).encode())

    def write_manifest(self, data: Mapping[str, Any]) -> None:
        """`manifest.json`; see `sere_core.score.manifest`."""
        self.write_json("manifest.json", data)

    def write_folds(self, plan: TaskPlan) -> None:
        """`folds.json`."""
        plan.write(self.path)

    def write_scores(self, data: Mapping[str, Any]) -> None:
        """`scores.json`; see `Scorer.as_json`.  Written after every fold, so that a resumed run need not score again."""
        self.write_json("scores.json", data)

    def write_predictions(self, fold: int, ids: Sequence[str], posteriors: NDArray[np.floating[Any]], classes: Sequence[str]) -> None:
        """Put a fold's posteriors into `predictions.csv`, in place of what it held of that fold; true labels are not written.

        Numbers are written so that they read back to the same bits; rows are sorted by fold and id.

        Args:
            posteriors: `[N, C]`, in the order of `ids`.
        """
        rows = [row for row in self.predictions() if row.fold != fold]
        for id, row in zip(ids, posteriors.astype("float64").tolist(), strict=True):
            rows.append(Prediction(id, fold, tuple(row), classes[max(range(len(row)), key=row.__getitem__)]))
        self.write("predictions.csv", format_predictions(rows, classes))

    def predictions(self) -> list[Prediction]:
        """The rows of `predictions.csv` so far.

        Raises:
            SereError: T505 if it is damaged.
        """
        path = self.path / "predictions.csv"
        return parse_predictions(path) if path.exists() else []

    def append_history(self, entry: Mapping[str, Any]) -> None:
        """Add one line to `history.jsonl` and wait until it is on the disk.  No wall-clock in here: see `add_time`."""
        line = json.dumps(_plain(entry), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        append(self.path / "history.jsonl", line.encode() + b"\n")

    def history_position(self) -> int:
        """How many bytes of history there are: a checkpoint remembers it."""
        path = self.path / "history.jsonl"
        return path.stat().st_size if path.exists() else 0

    def truncate_history(self, position: int) -> None:
        """Forget what was written after a checkpoint that remembered `position`.

        Raises:
            SereError: T505 if the history is shorter than that, or `position` is not the end of a line.
        """
        path, size = self.path / "history.jsonl", self.history_position()
        kept = path.read_bytes()[:position] if size else b""
        if size < position or (kept and not kept.endswith(b"\n")):
            raise error("T505", f"{path} does not reach to the checkpoint ({size} of {position} bytes)", "start again with --fresh")
        if size > position:
            self.write("history.jsonl", kept)

    def add_time(self, name: str, seconds: float) -> None:
        """Add to one of the sums of `timing.json`, the only file that knows of wall-clock."""
        times = self.read_json("timing.json") or {}
        times[name] = times.get(name, 0.0) + seconds
        self.write_json("timing.json", times)

    def note_peak(self, name: str, mebibytes: float) -> None:
        """Put the most memory held so far, in MiB, into `timing.json`: the larger of what stands there and this."""
        times = self.read_json("timing.json") or {}
        times[name] = max(times.get(name, 0.0), round(mebibytes, 1))
        self.write_json("timing.json", times)

    def finish(self) -> None:
        """Write `done`, with the digest of every record file.  Nothing may be written afterwards.

        Raises:
            FileNotFoundError: a record file is missing (a bug of the caller).
        """
        self.write_json("done", {"sha256": digest_files(self.path)})


def _plain(data: Any) -> Any:
    """JSON data: tuples as lists, non-finite numbers as None, paths as text, numpy scalars as numbers."""
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_plain(value) for value in data]
    if isinstance(data, Path):
        return str(data)
    if hasattr(data, "item") and not isinstance(data, (str, bytes)):
        data = data.item()
    return None if isinstance(data, float) and not math.isfinite(data) else data
