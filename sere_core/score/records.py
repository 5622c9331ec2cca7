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
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from sere_core.score.shapes import Done, Folds, HistoryLine, Manifest, Scores, Timing
from sere_core.untrusted import MOST, MOST_ARRAYS, json_of, read_stored, unusable, yaml_of
from sere_registry.cells import csv_line, inert, meant
from sere_registry.errors import SereError, error
from sere_registry.files import FolderLock, append, atomic_path, check_file, write_atomically, writing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: the files that every reader checks against the digests in `done`
RECORD_FILES = ("config.yaml", "manifest.json", "folds.json", "history.jsonl", "predictions.csv", "scores.json")
#: further files whose digests it holds; they are checked when they are read
FURTHER_FILES = ("embeddings/*.npz", "checkpoints/*.safetensors")
_ANEW = "run again with --fresh"
_NAMED = "name the folder of a run: `sere-run`, `sere train` and `sere compare` say where theirs is"

#: who opens labels of the target to choose an epoch by them
ORACLE = "oracle"

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

    def record(self) -> Record:
        """The finished run.

        Raises:
            SereError: T505 as `Record.read`, and for the record of another job that was put here.
        """
        found = Record.read(self.path)
        if found.manifest["job"] != self.path.name:
            raise unusable(self.path, f"it is the record of job {found.manifest['job']}", _ANEW)
        return found

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
        times = read_timing(self.path)
        times |= {name: times.get(name, 0.0) + value for name, value in seconds.items()}
        times |= {name: max(times.get(name, 0.0), round(value, 1)) for name, value in peaks.items()}
        self.write_json("timing.json", times)

    def finish(self) -> None:
        """Write `done`, with the digests of the record's files.  None of them may be written afterwards.

        Raises:
            SereError: T505 if a record file is missing (a bug of the caller).
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
    """File below a record's folder -> sha256; T505 if one cannot be read."""
    further = sorted(path.relative_to(folder).as_posix() for pattern in FURTHER_FILES for path in folder.glob(pattern))
    return {name: _digest(folder / name) for name in (*RECORD_FILES, *further)}


def _digest(path: Path) -> str:
    try:
        check_file(path)
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as cause:
        raise unusable(path, cause, _ANEW) from cause


def read_done(folder: Path) -> Mapping[str, str]:
    """The digests of a record's files.

    Raises:
        SereError: T505 if the run is not finished, or `done` is damaged.
    """
    path = folder / "done"
    if (folder / "model.json").exists():
        raise error("T505", f"{folder} is a model, not the record of a run", _NAMED)
    if not path.exists():
        what = "is not finished" if any((folder / name).exists() for name in RECORD_FILES) else "holds no record"
        raise error("T505", f"{folder} {what}", "--resume finishes an unfinished run")
    found: Mapping[str, str] = json_of(read_stored(path, _ANEW), path, _ANEW, Done)["sha256"]
    return found


def read_verified(folder: Path, names: Sequence[str] = RECORD_FILES, most: int = MOST) -> dict[str, bytes]:
    """The contents of a record's files, which are those whose digests its `done` holds.

    Raises:
        SereError: T505 if the run is not finished, or a file is missing, damaged or was changed afterwards.
    """
    done = read_done(folder)
    contents = {name: read_stored(folder / name, _ANEW, most) for name in names}
    for name, content in contents.items():
        _check(folder / name, hashlib.sha256(content).hexdigest(), done.get(name))
    return contents


def checkpoint_of(folder: Path, fold: int) -> Path:
    """The checkpoint of a fold; of a finished run, the one whose digest its `done` holds (else T505)."""
    path = folder / "checkpoints" / f"fold-{fold}.safetensors"
    if (folder / "done").exists():
        _check(path, _digest(path), read_done(folder).get(path.relative_to(folder).as_posix()))
    return path


def _check(path: Path, digest: str, expected: str | None) -> None:
    if digest != expected:
        raise error("T505", f"{path} is not the file that the run finished with", _ANEW)


def read_arrays(folder: Path, name: str) -> dict[str, NDArray[Any]] | None:
    """The arrays of a finished record's file below `embeddings`; None where the run left none.

    Args:
        name: "picture", or "fold-0" and so on.

    Raises:
        SereError: T505 if it is missing, damaged or was changed.
    """
    file = f"embeddings/{name}.npz"
    if file not in read_done(folder) and not os.path.lexists(folder / file):
        return None
    import numpy as np

    return dict(np.load(io.BytesIO(read_verified(folder, [file], MOST_ARRAYS)[file])))


def read_history(folder: Path) -> list[Data]:
    """The lines of a finished record's history; T505 if it is damaged or was changed."""
    lines = read_verified(folder, ["history.jsonl"])["history.jsonl"].splitlines()
    return [json_of(line, folder / "history.jsonl", _ANEW, HistoryLine) for line in lines]


def read_timing(folder: Path) -> dict[str, float]:
    """The numbers in timing.json; none where there is no such file, or another one: nothing vouches for it."""
    path = folder / "timing.json"
    try:
        return dict(json_of(read_stored(path, _ANEW), path, _ANEW, Timing))
    except SereError:
        return {}


def read_predictions(path: Path, data: bytes | None = None) -> list[Prediction]:
    """What `RunFolder.write_predictions` wrote.

    Args:
        data: its content, where it was read already.

    Raises:
        SereError: T505.
    """
    text = read_stored(path, _ANEW) if data is None else data
    try:
        header, *lines = csv.reader(io.StringIO(text.decode(), newline=""))
        known = header[:2] == ["id", "fold"] and header[-2:] == ["prediction", "truth"]
        if not known or any(len(line) != len(header) for line in lines):
            raise ValueError("not the columns of a predictions file")
        rows = [Prediction(meant(line[0]), int(line[1]), tuple(map(float, line[2:-2])), *map(meant, line[-2:])) for line in lines]
        classes = {"", *map(meant, header[2:-2])}
        for row in rows:
            if not all(0 <= value < 1.001 for value in row.posteriors) or not {row.prediction, row.truth} <= classes:
                raise ValueError(f"the row of {row.id} is no prediction")
    except (ValueError, csv.Error) as cause:
        raise unusable(path, cause, _ANEW) from cause
    return rows


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
        """Read a record (`find_record`) and check it against its `done`.  Nothing is written and no plugin imported.

        Raises:
            SereError: T505 if the run is not finished, or a file is missing, damaged or was changed afterwards.
        """
        found = find_record(folder)
        return cls.of(found, read_verified(found))

    @classmethod
    def of(cls, folder: Path, contents: Mapping[str, bytes]) -> Self:
        """From the contents of its files; T505 if they are not of the shape that sere writes."""
        parts = {name: contents[name] for name in ("manifest.json", "folds.json", "scores.json")}
        shapes = {"manifest.json": Manifest, "folds.json": Folds, "scores.json": Scores}
        manifest, folds, scores = (json_of(data, folder / name, _ANEW, shapes[name]) for name, data in parts.items())
        return cls(folder, yaml_of(contents["config.yaml"], folder / "config.yaml", _ANEW), manifest, folds, scores)

    @cached_property
    def history(self) -> list[Data]:
        return read_history(self.path)

    @cached_property
    def predictions(self) -> list[Prediction]:
        path = self.path / "predictions.csv"
        rows = read_predictions(path, read_verified(self.path, [path.name])[path.name])
        classes, members = self.folds["classes"], [sorted(fold["test"]) for fold in self.folds["folds"]]
        found = [sorted(row.id for row in rows if row.fold == fold) for fold in range(len(members))]
        if found != members or any(len(row.posteriors) != len(classes) or row.prediction not in classes for row in rows):
            raise unusable(path, "it does not hold the utterances and classes of folds.json", _ANEW)
        return rows

    @property
    def label_use(self) -> tuple[str, ...]:
        """What labels of the target were used for beside scoring: "trained" of a ceiling, "chosen" of an oracle."""
        chosen = any(each["opener"] == ORACLE for each in self.scores["openings"])
        trained = self.folds["uses_target_labels"] and (not chosen or self.folds["source"] == self.folds["target"])
        return tuple(word for word, used in {"trained": trained, "chosen": chosen}.items() if used)

    @cached_property
    def timing(self) -> dict[str, float]:
        """Seconds by name; empty where there is no timing.json, which `done` does not vouch for."""
        return read_timing(self.path)


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
    hint = f"name one of {', '.join(map(str, inside))}" if inside else _NAMED
    raise error("T505", f"{folder} holds {'several records' if inside else 'no record'}", hint)
