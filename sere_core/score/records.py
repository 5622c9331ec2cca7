"""The record of a run: `runs/<name>/<job>/`, written whole file by whole file, with `done` last, and read back.

Every file but `timing.json`, the checkpoints and what hooks leave behind is a function of the resolved config, the data
and the machine, so that the records of an unbroken and of a resumed run can be compared byte by byte.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import yaml

from sere_registry.cells import csv_line, inert, meant
from sere_registry.errors import error
from sere_registry.files import FolderLock, append, atomic_path, write_atomically, writing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: the files whose digests `done` holds
RECORD_FILES = ("config.yaml", "manifest.json", "folds.json", "history.jsonl", "predictions.csv", "scores.json")
_ANEW = "run again with --fresh"

Mode = Literal["new", "resume", "fresh"]
#: what a JSON or YAML file holds
Data = Mapping[str, Any]


@dataclass(frozen=True)
class Prediction:
    """One utterance: its id in the target corpus, its fold, the posteriors in the order of the classes, and the class.

    `truth` is its label: empty until all folds are trained, and where the utterance has none.
    """

    id: str
    fold: int
    posteriors: tuple[float, ...]
    prediction: str
    truth: str = ""

    @property
    def confidence(self) -> float:
        """The posterior of the class that is predicted."""
        return max(self.posteriors)


class RunFolder:
    """The folder of one job, and everything that is written into it.

    Args:
        root: `runs/<name>`.
        job: the job's name, the hash of its resolved config.

    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> with RunFolder(root, "1f3a").claim("new") as run:
    ...     run.append_history(json_line({"epoch": 0, "losses": {"classify": 0.5}}))
    """

    def __init__(self, root: Path, job: str) -> None:
        self.path = root / job

    @property
    def done(self) -> bool:
        return (self.path / "done").exists()

    @contextlib.contextmanager
    def claim(self, mode: Mode = "new") -> Iterator[RunFolder]:
        """Lock the folder for the block, and make it ready to be written.

        Args:
            mode: "new" wants no run here; "resume" goes on with what is here, or starts if there is nothing; "fresh"
                removes what is here.

        Raises:
            SereError: T504 (another process is at work), T503 (a run is in the way), X704.
        """
        lock = FolderLock(self.path)
        try:
            if mode == "new" and self.started:
                what = "a finished" if self.done else "an unfinished"
                hint = "--fresh does it anew" if self.done else "--resume goes on with it, --fresh does it anew"
                raise error("T503", f"{what} run is in {self.path}", hint)
            if mode != "resume":
                self._clear()  # where nothing was trained too: what is left there may be of other data
            yield self
        finally:
            lock.release()

    @property
    def started(self) -> bool:
        """Is there anything of a run that took training?  What a run writes before costs nothing to write again."""
        trained = ("history.jsonl", "predictions.csv", "scores.json", "done")
        return any((self.path / name).exists() for name in trained) or any(self.path.glob("checkpoints/*"))

    def _clear(self) -> None:
        with writing(self.path):
            (self.path / "done").unlink(missing_ok=True)  # first: a half-removed record must not look finished
            for entry in sorted(self.path.iterdir()):
                if entry.name != ".lock":
                    _remove(entry)

    def checkpoint(self, fold: int) -> Path:
        return self.path / "checkpoints" / f"fold-{fold}.safetensors"

    def write(self, relative: str, data: bytes) -> None:
        write_atomically(self.path / relative, data)

    def write_arrays(self, relative: str, arrays: Mapping[str, NDArray[np.generic]]) -> Path:
        import numpy as np

        with atomic_path(self.path / relative) as path, open(path, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        return self.path / relative

    def write_json(self, relative: str, data: object) -> Any:
        """Any JSON file: UTF-8, keys in the given order, non-finite numbers as null; returns the data as they are read back."""
        plain = _plain(data)
        self.write(relative, json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        return plain

    def read_json(self, relative: str) -> Any:
        """A JSON file of this run, or None if there is none yet.

        Raises:
            SereError: T505 if it is damaged.
        """
        path = self.path / relative
        try:
            return json.loads(path.read_bytes()) if path.exists() else None
        except ValueError as cause:
            raise error("T505", f"{path} is damaged: {cause}", _ANEW) from cause

    def write_predictions(self, fold: int, ids: Sequence[str], posteriors: NDArray[np.floating], classes: Sequence[str]) -> None:
        """Put a fold's posteriors into `predictions.csv`, in place of what it held of that fold; true labels are not written.

        Columns are `id, fold, <one per class>, prediction, truth`.  Numbers are written as their shortest exact decimal, so
        that they read back to the same bits; rows are sorted by fold and id.

        Args:
            fold: its index.
            ids: of the utterances.
            posteriors: `[N, C]`, in the order of `ids`.
            classes: C names.
        """
        rows = [row for row in self.predictions() if row.fold != fold]
        for id, row in zip(ids, posteriors.astype("float64").tolist(), strict=True):
            rows.append(Prediction(id, fold, tuple(row), classes[max(range(len(row)), key=row.__getitem__)]))
        self._write_rows(rows, classes)

    def write_truth(self, truth: Sequence[str], classes: Sequence[str]) -> None:
        """Put labels into `predictions.csv`, in the order of its rows: when no fold is left to train, which could read them."""
        rows = [replace(row, truth=label) for row, label in zip(self.predictions(), truth, strict=True)]
        self._write_rows(rows, classes)

    def _write_rows(self, rows: Iterable[Prediction], classes: Sequence[str]) -> None:
        lines = [csv_line(["id", "fold", *map(inert, classes), "prediction", "truth"])]
        for each in sorted(rows, key=lambda each: (each.fold, each.id)):
            words = map(inert, (each.prediction, each.truth))
            lines.append(csv_line([inert(each.id), each.fold, *map(repr, each.posteriors), *words]))
        self.write("predictions.csv", "".join(lines).encode())

    def predictions(self) -> list[Prediction]:
        """The rows of `predictions.csv` so far.

        Raises:
            SereError: T505 if it is damaged.
        """
        path = self.path / "predictions.csv"
        return read_predictions(path) if path.exists() else []

    def append_history(self, lines: str) -> None:
        """Add to `history.jsonl` and wait until it is on the disk.  No wall-clock in here: see `add_timing`."""
        append(self.path / "history.jsonl", lines.encode())

    def forget_results(self) -> None:
        """Remove what an interrupted run wrote beside its checkpoints, from which all of it is made again."""
        with writing(self.path):
            for name in ("history.jsonl", "predictions.csv", "scores.json"):
                _remove(self.path / name)

    def add_timing(self, seconds: Mapping[str, float], peaks: Mapping[str, float]) -> None:
        """Add to `timing.json`, the only file that knows of wall-clock.

        Args:
            seconds: are added to the sums that stand there.
            peaks: the most memory held, in MiB; the larger of what stands there and this is kept.
        """
        times = self.read_json("timing.json") or {}
        times |= {name: times.get(name, 0.0) + value for name, value in seconds.items()}
        times |= {name: max(times.get(name, 0.0), round(value, 1)) for name, value in peaks.items()}
        self.write_json("timing.json", times)

    def finish(self) -> None:
        """Write `done`, with the digest of every record file.  Nothing may be written afterwards.

        Raises:
            FileNotFoundError: a record file is missing (a bug of the caller).
        """
        self.write_json("done", {"sha256": digest_files(self.path)})


def json_line(data: Mapping[str, object]) -> str:
    """A line of a JSONL file, with its end; non-finite numbers as null."""
    return json.dumps(_plain(data), ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _plain(data: object) -> object:
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


def digest_files(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in RECORD_FILES}


def read_verified(folder: Path) -> dict[str, bytes]:
    """The contents of a record's files, which are those whose digests its `done` holds.

    Raises:
        SereError: T505 if the run is not finished, or a file is missing, damaged or was changed afterwards.
    """
    try:
        done = dict(json.loads((folder / "done").read_bytes())["sha256"])
    except FileNotFoundError as cause:
        what = "is not finished" if any((folder / name).exists() for name in RECORD_FILES) else "holds no record"
        raise error("T505", f"{folder} {what}", "--resume finishes an unfinished run") from cause
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise error("T505", f"{folder / 'done'} is damaged: {cause}", _ANEW) from cause
    contents = {}
    for name in RECORD_FILES:
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as cause:
            raise error("T505", f"{folder / name} is missing: {cause.strerror}", _ANEW) from cause
        if hashlib.sha256(contents[name]).hexdigest() != done.get(name):
            raise error("T505", f"{folder / name} was changed after the run was finished", _ANEW)
    return contents


def load_yaml(data: bytes) -> Any:
    """YAML by libyaml where it is there, ten times as fast."""
    return yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def read_predictions(path: Path) -> list[Prediction]:
    """What `RunFolder.write_predictions` wrote.

    Raises:
        SereError: T505.
    """
    try:
        header, *lines = csv.reader(io.StringIO(path.read_bytes().decode("utf-8"), newline=""))
        known = header[:2] == ["id", "fold"] and header[-2:] == ["prediction", "truth"]
        if not known or any(len(line) != len(header) for line in lines):
            raise ValueError("not the columns of a predictions file")
        return [Prediction(meant(line[0]), int(line[1]), tuple(map(float, line[2:-2])), *map(meant, line[-2:])) for line in lines]
    except (ValueError, OSError) as cause:
        raise error("T505", f"{path} is damaged: {cause}", _ANEW) from cause


@dataclass(frozen=True)
class Record:
    """A finished run, read from its folder.

    Args:
        path: the folder.
        config: the resolved config.
        manifest: versions, components, digests, seeds, machine.
        folds: what `TaskPlan.as_json` gave.
        scores: what `Scorer.as_json` gave.
    """

    path: Path
    config: Data
    manifest: Data
    folds: Data
    scores: Data

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a record and check it against its `done`.  Nothing is written and no plugin imported.

        Raises:
            SereError: T505 if the run is not finished, or a file is missing, damaged or was changed afterwards.
        """
        contents = read_verified(folder)
        parts = {name: json.loads(contents[f"{name}.json"]) for name in ("manifest", "folds", "scores")}
        return cls(path=folder, config=load_yaml(contents["config.yaml"]), **parts)

    @cached_property
    def history(self) -> list[Data]:
        return [json.loads(line) for line in (self.path / "history.jsonl").read_text(encoding="utf-8").splitlines()]

    @cached_property
    def predictions(self) -> list[Prediction]:
        return read_predictions(self.path / "predictions.csv")

    @cached_property
    def timing(self) -> dict[str, float]:
        """Seconds by name; empty where there is no timing.json, which `done` does not vouch for."""
        path = self.path / "timing.json"
        return json.loads(path.read_bytes()) if path.exists() else {}


def find_record(folder: Path) -> Path:
    """A record's folder: this one, or the only one in it.

    Raises:
        SereError: T505.
    """
    if (folder / "done").exists() or (folder / "config.yaml").exists():
        return folder
    inside = sorted(path.parent for path in folder.glob("*/done"))
    if len(inside) == 1:
        return inside[0]
    hint = f"name one of {', '.join(map(str, inside))}" if inside else "`sere compare` and `sere-run` make what has a report"
    raise error("T505", f"{folder} holds {'several records' if inside else 'no comparison and no record'}", hint)
