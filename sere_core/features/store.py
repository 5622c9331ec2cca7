"""Features of whole corpora: read from the cache, extracted where they are missing, kept in memory for training."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from sere_core.features import cache, contours, index
from sere_core.features.extraction import Extracted, Extractor, NamedEncoder
from sere_registry import Problem, Recording, SereError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sere_core.config.model import Features
    from sere_registry.protocols import ContourName

Wanted = tuple[Recording, tuple[str, ...]]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Report:
    """What extraction found and did: numbers of recordings, and their seconds after trimming and cutting.

    A file whose time has changed is read again; where its samples are what they were, its arrays are `cached` all the same.
    """

    recordings: int
    seconds: float
    trimmed: int
    cut: int
    cached: int
    extracted: int


@dataclass(frozen=True)
class FeatureSet:
    """Frames and contours of recordings, in memory.

    Args:
        digest: over the keys of all arrays used: which audio, extractors, versions, parameters and weights.
        report: what extraction found and did.
    """

    digest: str
    report: Report
    _found: Mapping[str, Extracted] = field(repr=False)
    _encoders: Mapping[str, NamedEncoder] = field(repr=False)
    _hop: float = field(repr=False)

    def frames(self, recording: Recording, encoder: str) -> NDArray[np.float32]:
        """What the encoder of this id extracted, `[T, F]`; not to be written to."""
        return self._found[recording.key].frames[encoder]

    def audio_digest(self, recording: Recording) -> str:
        """The digest of the recording's samples: equal for identical audio."""
        return self._found[recording.key].known.digest

    def contours(self, recording: Recording, encoder: str) -> dict[str, NDArray[np.float32]]:
        """The contours at the frame times of the encoder's output, each `[T']`."""
        part = self._encoders[encoder][0]
        count = int(part.lengths(torch.tensor([len(self.frames(recording, encoder))]))[0])
        found = self._found[recording.key].contours
        return {name: contours.on_grid(values, self._hop, part.rate, part.offset, count) for name, values in found.items()}


def extract_all(
    wanted: Sequence[Wanted],
    encoders: Mapping[str, NamedEncoder],
    contour_names: frozenset[ContourName],
    options: Features,
    *,
    progress: Progress | None = None,
    workers: int | None = None,
) -> FeatureSet:
    """The features of recordings: from the cache, or made now and stored at once, so that an interrupted call loses nothing.

    Args:
        wanted: recordings, each with the ids of the encoders that it needs.
        encoders: id -> (encoder, name, version).
        contour_names: the contours that someone wants on the frame grid.
        options: the config's `features`.
        progress: called with the recordings done, the recordings in all, and the key of the last one.
        workers: how many recordings are worked on at a time; default: as many as there are cores.

    Raises:
        SereError: the problems of all files together (D603 to D606, D612, P108, B403); X704 or X705 at once.
    """
    root = cache.folder(options)
    extractor = Extractor(encoders, contour_names, options, cache.Cache(root), index.Index(root))
    jobs = _merged(wanted)
    found: dict[str, Extracted] = {}
    problems: list[Problem] = []
    missing: list[Wanted] = []

    def tell(recording: Recording) -> None:
        if progress is not None:
            progress(len(found), len(jobs), recording.key)

    for recording, ids in jobs:
        cached = extractor.cached(recording, ids)
        if cached is None:
            missing.append((recording, ids))
        else:
            found[recording.key] = cached
            tell(recording)
    for recording, result in _work(extractor, missing, workers or os.cpu_count() or 1):
        if isinstance(result, SereError):
            problems.extend(result.problems)
        else:
            found[recording.key] = result
            tell(recording)
    if problems:
        raise SereError(*_in_order(problems))
    known, made = [each.known for each in found.values()], sum(each.made for each in found.values())
    report = Report(
        recordings=len(jobs),
        seconds=sum(item.seconds for item in known),
        trimmed=sum(item.trimmed_seconds > 0 for item in known),
        cut=sum(item.cut_seconds > 0 for item in known),
        cached=len(jobs) - made,
        extracted=made,
    )
    text = "\n".join(f"{name} {' '.join(found[name].keys)}" for name in sorted(found))
    return FeatureSet(hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), report, found, dict(encoders), options.hop)


def _merged(wanted: Sequence[Wanted]) -> list[Wanted]:
    """Each recording once, with all encoders that any of its mentions needs."""
    merged: dict[str, tuple[Recording, dict[str, None]]] = {}
    for recording, ids in wanted:
        merged.setdefault(recording.key, (recording, {}))[1].update(dict.fromkeys(ids))
    return [(recording, tuple(sorted(ids))) for recording, ids in merged.values()]


def _work(extractor: Extractor, jobs: Sequence[Wanted], workers: int) -> Iterator[tuple[Recording, Extracted | SereError]]:
    """The jobs' results as they come.  What ends the whole run (a cache that cannot be written, Ctrl-C) is raised.

    Threads, each with one torch thread: most of the time is spent in torch and numpy outside Python's lock; they start at
    once, share the encoders' weights, and cannot be orphaned by a killed run.
    """
    if not jobs:
        return
    _ = extractor.prints  # weights may be hashed for it: once, not by each thread
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(min(workers, len(jobs)), thread_name_prefix="extract", initializer=torch.set_num_threads, initargs=(1,))
    try:
        futures = {pool.submit(extractor.extract, *job): job[0] for job in jobs}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except SereError as problem:
                if problem.problems[0].code.startswith("X"):
                    raise
                yield futures[future], problem
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    """By file; what is missing in the environment (P108) once, not once for each file."""
    unique = {(problem.code, problem.message, "" if problem.code[0] == "P" else str(problem.place)): problem for problem in problems}
    return sorted(unique.values(), key=lambda problem: (str(problem.place), problem.code))
