"""The loop of `sere predict`: pieces in, rows out in the same order; nothing that a file does ends it.

Rows are written to `OUTPUT.part` as they come, and the file is renamed when all are there.  How far it is stands in
`OUTPUT.part.json`: a killed run goes on behind the rows that are counted there, if the model, the options and the inputs
are those of then.  A row depends on its piece, the model and the statistics of its speaker only, so that the bytes are
those of an unbroken run.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from sere_core.predict.inputs import Source
from sere_core.predict.outputs import Row, Writer
from sere_core.predict.pieces import Cutting, cut, load
from sere_core.predict.speakers import How, Spool, Standardiser
from sere_registry.errors import SereError, error, reason
from sere_registry.files import write_atomically, writing

if TYPE_CHECKING:
    from sere_core.config.model import Features
    from sere_core.model import Clip, Model

T, R = TypeVar("T"), TypeVar("R")
Progress = Callable[[int, int], None]

#: seconds between two moments at which what is written is counted
_BLOCK = 1.0


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
        predicted: class -> rows.
        inputs: digest of the pieces of these rows.
        size: bytes of the output.
        notes: what the user should know.
    """

    rows: int = 0
    failed: int = 0
    abstained: int = 0
    predicted: dict[str, int] = field(default_factory=dict)
    inputs: str = ""
    size: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Count one more row."""
        self.rows += 1
        self.failed += bool(row.error)
        self.abstained += not row.error and not row.prediction
        if row.prediction:
            self.predicted[row.prediction] = self.predicted.get(row.prediction, 0) + 1


def predict_files(
    model: Model,
    identity: str,
    sources: Sequence[Source],
    out: Path,
    writer: Writer,
    options: Options,
    *,
    fresh: bool = False,
    progress: Progress = lambda done, total: None,
) -> Tally:
    """Predict everything and write it, or go on with what an interrupted call has written.

    Args:
        model: predicts.
        identity: tells this model from another.
        sources: what is predicted, in the order of the rows.
        out: the file, or the folder of formats that have a file for each recording; `-` is standard output.
        writer: of the format.
        options: of the rows.
        fresh: write anew what is there.
        progress: called with the sources done and the sources in all.

    Raises:
        SereError: T503 (the output is there), T505 (what is there is of another model, other options or inputs), X704, X705.
    """
    if out == Path("-"):
        with Spool(None) as spool:
            tally = Tally()
            sys.stdout.buffer.write(writer.header)
            for _, row in _rows(model, sources, options, tally, spool, lambda done, total: None):
                sys.stdout.buffer.write(writer.line(row))
                sys.stdout.buffer.flush()
                tally.add(row)
            return tally
    if out.exists() and not fresh:
        raise error("T503", f"{out} is there", "--fresh writes it anew; -o names another")
    part, about = (out.with_name(f"{out.name}.part{end}") for end in ("", ".json"))
    key = {"model": identity, "format": writer.name, "options": asdict(options)}
    tally = Tally() if fresh else _read(part, about, key)
    with writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "r+b" if tally.size else "wb") as file, Spool(out.with_name(f"{out.name}.part.features")) as spool:
            file.truncate(tally.size)
            file.seek(tally.size)
            _write(file, writer, _rows(model, sources, options, tally, spool, progress), tally, about, key)
    if out.exists():
        shutil.rmtree(out) if out.is_dir() else out.unlink()
    writer.finish(part, out)
    about.unlink(missing_ok=True)
    return tally


def _write(file: BinaryIO, writer: Writer, rows: Iterable[tuple[str, Row]], tally: Tally, about: Path, key: object) -> None:
    """Write rows; every second what is on the disk is counted, and at the end."""
    counted = time.monotonic()

    def count() -> None:
        file.flush()
        os.fsync(file.fileno())
        tally.size = file.tell()
        write_atomically(about, json.dumps({"key": key, "tally": asdict(tally)}).encode())

    if not tally.size:
        file.write(writer.header)
    try:
        for digest, row in rows:
            file.write(writer.line(row))
            tally.add(row)
            tally.inputs = digest
            if time.monotonic() - counted > _BLOCK:
                count()
                counted = time.monotonic()
    finally:
        count()


def _read(part: Path, about: Path, key: object) -> Tally:
    """How far an interrupted call came; from nothing where there was none.

    Raises:
        SereError: T505.
    """
    if not about.exists() or not part.exists():
        return Tally()
    try:
        data = json.loads(about.read_bytes())
        tally, same = Tally(**data["tally"]), data["key"] == json.loads(json.dumps(key))
        if part.stat().st_size < tally.size:
            raise ValueError("it is shorter than it was")
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise error("T505", f"{part} cannot be taken up: {cause}", "--fresh begins anew") from cause
    if not same:
        raise error("T505", f"{part} was written with another model or other options", "--fresh begins anew")
    return tally


def _rows(
    model: Model, sources: Sequence[Source], options: Options, tally: Tally, spool: Spool, progress: Progress
) -> Iterator[tuple[str, Row]]:
    """The rows that are not written yet, each with the digest of all pieces up to it."""
    import torch

    torch.set_num_threads(1)  # pieces run side by side
    cutting, reading = options.cutting, model.resolved.config.features

    def pieces() -> Iterator[Piece]:
        cuts = ((number, piece) for number, source in enumerate(sources) for piece in cut(source, cutting))
        return (Piece(index, *each) for index, each in enumerate(cuts))

    def extracted(each: Piece) -> tuple[Piece, Clip | SereError]:
        found = spool.get(each.index) if standardiser.looks_ahead else None
        return each, found or _extract(model, each.source, cutting, reading)

    def clips(given: Iterable[Piece], done: int, total: int) -> Clips:
        for each, clip in in_order(extracted, given, os.cpu_count() or 1):
            progress(done + each.number, total)
            yield each, clip

    def looked() -> Clips:
        for each, clip in clips(pieces(), 0, 2 * len(sources)):
            spool.put(each.index, clip)
            yield each, clip

    standardiser = Standardiser(model, options.speakers, sources)
    if standardiser.looks_ahead:
        standardiser.look((each.source, clip) for each, clip in looked())
    tally.notes += [note for note in standardiser.notes if note not in tally.notes]
    digest, waiting = hashlib.sha256(), pieces()
    for each in itertools.islice(waiting, tally.rows):
        digest.update(each.name)
    if tally.rows and digest.hexdigest() != tally.inputs:
        raise error("T505", "the inputs are not those that were predicted so far", "--fresh begins anew")
    first = len(sources) if standardiser.looks_ahead else 0
    for each, clip in clips(waiting, first, first + len(sources)):
        digest.update(each.name)
        yield digest.hexdigest(), _row(model, each, clip, standardiser, options)
    progress(first + len(sources), first + len(sources))


@dataclass(frozen=True)
class Piece:
    """One row to be: its place among all, the number of its input, and what it is."""

    index: int
    number: int
    source: Source

    @property
    def name(self) -> bytes:
        """What the digest of the inputs takes in."""
        each = self.source
        return f"{each.path}\0{each.start}\0{each.end}\0{each.speaker}\n".encode(errors="surrogateescape")


Clips = Iterator["tuple[Piece, Clip | SereError]"]


def _extract(model: Model, piece: Source, cutting: Cutting, reading: Features) -> Clip | SereError:
    try:
        samples, rate = load(piece, cutting, reading)
        return model.extract(samples, rate, language=piece.language, place=str(piece.path))
    except SereError as problem:
        return problem
    except Exception as cause:  # whatever a file makes a decoder do: one row, and on with the next
        return error("D603", f"cannot be read: {reason(cause)}", place=str(piece.path))


def _row(model: Model, each: Piece, clip: Clip | SereError, standardiser: Standardiser, options: Options) -> Row:
    if isinstance(clip, SereError):
        problem = clip.problems[0]
        return Row(each.source, error=f"{problem.code} {problem.message}")
    name, statistics = standardiser.of(each.source, clip, each.index)
    posteriors = model.posteriors([clip], [statistics])
    confidences = model.tempered(posteriors)[0]
    best = int(posteriors[0].argmax())
    sure = float(confidences[best])
    label = model.classes[best] if sure >= options.abstain else ""
    return Row(each.source, name, tuple(posteriors[0].tolist()), label, sure)


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
