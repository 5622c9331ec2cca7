"""The loop of `sere predict`: pieces in, rows out in the same order; nothing that a file does ends it.

While it works there is a folder `OUTPUT.part`: the rows so far, and in `state.json` how many of them count.  A killed call
goes on behind these, if the model, the options and the inputs are those of then.  A row depends on its piece, the model and the
statistics of its speaker only, so that the bytes are those of an unbroken call.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sere_core.predict.inputs import How, Source
from sere_core.predict.outputs import Row, Writer
from sere_core.predict.pieces import Cutting, Part, cut, hear
from sere_core.predict.speakers import Standardiser
from sere_core.untrusted import json_of, read_stored
from sere_registry.errors import SereError, counted, error
from sere_registry.files import FolderLock, check_file, write_atomically, writing
from sere_registry.processes import cores

if TYPE_CHECKING:
    from sere_core.model import Clip, Model

T = TypeVar("T")
R = TypeVar("R")

#: seconds between two moments at which what is written is counted
_BLOCK = 1.0
#: the hint where an interrupted call cannot be taken up
_ANEW = "--fresh begins anew"
#: and where nothing is written, since every row is an error
_ALL = "name files, folders, or a table with a column `path`; `-o -` prints what is wrong with each"


@dataclass(frozen=True)
class Options:
    """What a row depends on beside its piece and the model.

    Args:
        cutting: how long files are cut.
        speakers: whose statistics standardise; see `speakers.Standardiser`.
        abstain: below this confidence there is no prediction.
    """

    cutting: Cutting = field(default_factory=Cutting)
    speakers: How = "auto"
    abstain: float = 0.0


@dataclass
class Tally:
    """What has been written.

    Args:
        rows, failed, abstained: rows, those that say what is wrong with a file, and those below the wanted confidence.
        odd: rows with a warning.
        predicted: class -> rows.
        last: digest of the last piece.
        size: bytes of the output.
        cut: files whose end was not read, since they are longer than the model takes.
        wrong: the first row's path and error, where it has one.
    """

    rows: int = 0
    failed: int = 0
    abstained: int = 0
    odd: int = 0
    predicted: dict[str, int] = field(default_factory=dict)
    last: str = ""
    size: int = 0
    cut: int = 0
    wrong: str = ""

    def add(self, piece: Piece, row: Row, size: int, cut: bool) -> None:
        """Count one more row."""
        if not self.rows and row.error:
            self.wrong = f"{row.source.path}: {row.error}"
        self.rows += 1
        self.failed += bool(row.error)
        self.odd += bool(row.warning)
        self.abstained += not row.error and not row.prediction
        if row.prediction:
            self.predicted[row.prediction] = self.predicted.get(row.prediction, 0) + 1
        self.last, self.size, self.cut = piece.digest, self.size + size, self.cut + cut

    def unusable(self) -> SereError | None:
        """What is wrong where every row is an error."""
        if not self.rows or self.failed < self.rows:
            return None
        return error("D602", f"nothing could be predicted; {counted(self.rows, 'row')} with an error, the first: {self.wrong}", _ALL)


@dataclass(frozen=True)
class Piece:
    """What becomes a row.

    Args:
        index: its place among all.
        part: which part of which file.
        of: the place of its input among all.
        digest: of the model, the options, and all pieces up to it with size and time of their files.
    """

    index: int
    part: Part
    of: int
    digest: str


@dataclass(frozen=True)
class Heard:
    """A piece and its features, or what is wrong with it; was the file longer than the model takes?"""

    piece: Piece
    clip: Clip | SereError
    cut: bool = False


class Job:
    """Everything that is to be predicted, in order.

    Args:
        model: predicts.
        identity: tells this model from another.
        sources: what is predicted.
        options: of the rows.
        progress: called with the steps done and the steps in all.
    """

    def __init__(
        self,
        model: Model,
        identity: str,
        sources: Sequence[Source],
        options: Options,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._model, self._sources, self._options, self._progress = model, sources, options, progress
        self.key = {"model": identity, "device": str(model.device), "options": asdict(options)}
        self.classes = model.classes
        self._standardiser = Standardiser(model, options.speakers, sources)
        self._windowed: set[int] = set()
        self._threads = cores()

    def notes(self, tally: Tally) -> list[str]:
        """What the user should know of what was written."""
        longer = f"of {len(self._sources)} files are longer than the {self._options.cutting.longest:g} s that the model takes"
        windowed, cut = len(self._windowed), tally.cut
        told = [f"{windowed} {longer}: they were cut into windows"] if windowed else []
        told += [f"{cut} {longer}: their ends were not heard"] if cut else []
        return self._standardiser.notes + told

    def pieces(self) -> Iterator[Piece]:
        """What becomes rows."""
        cutting, index = self._options.cutting, itertools.count()
        digest = hashlib.sha256(json.dumps(self.key).encode())
        for number, source in enumerate(self._sources):
            digest.update(_stamp(source.path))
            for part in cut(source, cutting):
                if part.windowed:
                    self._windowed.add(number)
                digest.update(repr(part.source).encode(errors="surrogateescape"))
                yield Piece(next(index), part, number, digest.hexdigest())

    def rows(self, done: Tally, store: Path) -> Iterator[tuple[Heard, Row]]:
        """The rows behind those that are done.

        Args:
            done: what is written.
            store: a folder for features, where all pieces must be seen before the first is predicted.

        Raises:
            SereError: T505 (what is done is of other inputs).
        """
        import torch

        torch.set_num_threads(1)  # pieces run side by side
        twice = self._standardiser.looks_ahead
        steps = len(self._sources) * (1 + twice)

        def heard(piece: Piece) -> Heard:
            if not twice:
                return self._hear(piece)
            path = store / piece.digest[:2] / piece.digest
            if (kept := _load(path)) is not None:
                return Heard(piece, *kept)
            found = self._hear(piece)
            _keep(path, found)
            return found

        def passed(pieces: Iterable[Piece], before: int) -> Iterator[Heard]:
            for each in in_order(heard, pieces, self._threads):
                self._progress(before + each.piece.of, steps)
                yield each

        if twice:
            everything = passed(self.pieces(), 0)
            clips = ((each.piece.part.source, None if isinstance(each.clip, SereError) else each.clip) for each in everything)
            self._standardiser.look(clips)
        waiting = self.pieces()
        skipped = deque(itertools.islice(waiting, done.rows), maxlen=1)
        if done.rows and [piece.digest for piece in skipped] != [done.last]:
            raise error("T505", "the inputs are not those that were predicted so far", _ANEW)
        for each in passed(waiting, len(self._sources) * twice):
            yield each, self._row(each)
        self._progress(steps, steps)

    def _hear(self, piece: Piece) -> Heard:
        return Heard(piece, *hear(self._model, piece.part, self._options.cutting))

    def _row(self, heard: Heard) -> Row:
        source, clip = heard.piece.part.source, heard.clip
        if isinstance(clip, SereError):
            return Row(source, error=f"{clip.problems[0].code} {clip.problems[0].message}")
        name, statistics = self._standardiser.of(heard.piece.index, source, clip)
        posteriors = self._model.posteriors([clip], [statistics])
        if not np.isfinite(posteriors).all():
            return Row(source, name, error="D606 its samples give features that are not finite")
        best = int(posteriors[0].argmax())
        sure = float(self._model.tempered(posteriors)[0, best])
        label = self.classes[best] if sure >= self._options.abstain else ""
        return Row(source, name, tuple(posteriors[0].tolist()), label, sure, warning="; ".join(clip.remarks))


def predict_files(job: Job, out: Path, writer: Writer, *, fresh: bool = False) -> Tally:
    """Predict everything and write it, or go on with what an interrupted call has written.

    Args:
        job: what is predicted.
        out: the file, or the folder of formats that have a file for each recording; `-` is standard output.
        writer: of the format.
        fresh: write anew what is there.

    Raises:
        SereError: T503 (the output is there), T504 (another call writes it), T505 (what is there is of another model, other
            options or inputs), X704, X705; D602 where every row is an error: then no file is left, and the next call begins anew.
    """
    if out == Path("-"):
        return _print(job, writer)
    check_free(out, writer.name, fresh)
    work = out.with_name(f"{out.name}.part")
    with contextlib.ExitStack() as held:
        held.callback(FolderLock(work).release)
        held.enter_context(writing(work))
        if fresh:
            _clear(work)
        key = job.key | {"format": writer.name}
        tally = _resumed(work, key)
        with open(work / "rows", "r+b" if tally.size else "wb") as file:
            file.truncate(tally.size)
            file.seek(tally.size)
            counted = -_BLOCK  # so that the first row is there at once
            if not tally.size:
                tally.size = file.write(writer.header)
            for heard, row in job.rows(tally, work / "features"):
                tally.add(heard.piece, row, file.write(writer.line(row)), heard.cut)
                if time.monotonic() - counted > _BLOCK:
                    file.flush()
                    os.fsync(file.fileno())
                    write_atomically(work / "state.json", json.dumps({"key": key, "tally": asdict(tally)}).encode())
                    counted = time.monotonic()
            file.flush()
            os.fsync(file.fileno())
        if (wrong := tally.unusable()) is not None:
            shutil.rmtree(work)
            raise wrong
        shutil.rmtree(work / "made", ignore_errors=True)
        made = writer.finish(work / "rows", work / "made")
        if out.is_dir():
            for path in [each for each in made.rglob("*") if each.is_file()]:
                place = out / path.relative_to(made)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, place)
        else:
            os.replace(made, out)
        shutil.rmtree(work)
    return tally


def check_free(out: Path, form: str, fresh: bool) -> None:
    """May the output be written?

    Raises:
        SereError: T503; X704 for a file where a folder must be, or a folder where a file must be.
    """
    if out == Path("-") or not out.exists():
        return
    if not fresh:
        raise error("T503", f"{out} is there", "--fresh writes it anew; -o names another")
    if out.is_dir() == (form in ("csv", "jsonl")):
        raise error("X704", f"{out} is {'a folder' if out.is_dir() else 'no folder'}", "-o names another")


def _print(job: Job, writer: Writer) -> Tally:
    tally = Tally()
    sys.stdout.buffer.write(writer.header)
    with tempfile.TemporaryDirectory(prefix="sere-") as store:
        for heard, row in job.rows(Tally(), Path(store)):
            tally.add(heard.piece, row, sys.stdout.buffer.write(writer.line(row)), heard.cut)
            sys.stdout.buffer.flush()
    if (wrong := tally.unusable()) is not None:
        raise wrong
    return tally


def _clear(work: Path) -> None:
    for path in work.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink()


def _resumed(work: Path, key: object) -> Tally:
    """How far an interrupted call came; from nothing where there was none.

    Raises:
        SereError: T505.
    """
    if not (work / "state.json").exists() or not (work / "rows").exists():
        return Tally()
    try:
        data = json_of(read_stored(work / "state.json", _ANEW), work / "state.json", _ANEW)
        tally, same = Tally(**data["tally"]), data["key"] == json.loads(json.dumps(key))
        check_file(work / "rows")
        if (work / "rows").stat().st_size < tally.size:
            raise ValueError("rows are missing")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as cause:
        raise error("T505", f"{work} cannot be taken up: {cause}", _ANEW) from cause
    if not same:
        raise error("T505", f"{work} was written with another model or other options", _ANEW)
    return tally


def _keep(path: Path, found: Heard) -> None:
    """Store what was made of a piece: arrays and JSON, which run no code when they are read."""
    about: dict[str, object] = {"cut": found.cut, "piece": path.name}
    if isinstance(found.clip, SereError):
        arrays = {}
        about["error"] = [found.clip.problems[0].code, found.clip.problems[0].message]
    else:
        arrays = {"frames": found.clip.frames, "static": found.clip.static, "mean": found.clip.mean}
        about |= {"path": found.clip.path, "seconds": found.clip.seconds, "remarks": found.clip.remarks}
    write_atomically(path, save(arrays, metadata={"about": json.dumps(about)}), sync=False)


def _load(path: Path) -> tuple[Clip | SereError, bool] | None:
    """What an earlier pass, or an interrupted call, made of a piece; None if there is nothing whole."""
    from sere_core.model import Clip

    try:
        check_file(path)
        with safe_open(path, framework="numpy") as file:
            about = json.loads(file.metadata()["about"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
        if about["piece"] != path.name:
            return None
        if "error" in about:
            return error(*about["error"]), about["cut"]
        clip = Clip(about["path"], arrays["frames"], arrays["static"], about["seconds"], arrays["mean"], tuple(about["remarks"]))
        return clip, about["cut"]
    except (OSError, LookupError, TypeError, ValueError, RecursionError, SafetensorError):
        return None


def _stamp(path: Path) -> bytes:
    """What changes with a file."""
    try:
        about = os.stat(path)
        return f"{about.st_size} {about.st_mtime_ns}".encode()
    except (OSError, ValueError):
        return b""


def in_order(work: Callable[[T], R], given: Iterable[T], threads: int) -> Iterator[R]:
    """`map` over threads that runs at most a few items ahead of who reads it: memory does not grow with the number."""
    with ThreadPoolExecutor(threads, "predict") as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in given:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
