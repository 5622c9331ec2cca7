"""Features of whole corpora: found in the cache, extracted where they are missing, and read from there when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sere_core.config.model import Features
from sere_core.content import Contents
from sere_core.features.extract import Arrays, Extracted, Extractor, Keys, NamedEncoder, Wanted, work
from sere_registry import Problem, Recording, SereError
from sere_registry.errors import counted
from sere_registry.protocols import ContourName

Progress = Callable[[int, int], None]

#: files that a warning names
_NAMED = 5


@dataclass(frozen=True)
class Report:
    """What extraction found and did: numbers of recordings, and their seconds after trimming and cutting."""

    recordings: int
    seconds: float
    trimmed: int
    cut: int
    cached: int
    extracted: int


@dataclass(frozen=True)
class FeatureSet:
    """Frames, their means and contours of recordings, in the cache: each is read when it is asked for.

    Args:
        digest: of all arrays used, by recording.
        report: what extraction found and did.
    """

    digest: str
    report: Report
    _found: Mapping[str, Extracted] = field(repr=False)
    _extractor: Extractor = field(repr=False)

    def frames(self, recording: Recording, encoder: str) -> NDArray[np.float32] | NDArray[np.float16]:
        """What the encoder of this id extracted, `[T, F]`; not to be written to."""
        return self._found[recording.key].array(f"encoder {encoder}", "frames")

    def mean(self, recording: Recording, encoder: str) -> NDArray[np.float32]:
        """Of `frames`, `[F]`, without reading them."""
        return self._found[recording.key].array(f"encoder {encoder}", "mean")

    def lengths(self, recording: Recording, encoder: str) -> tuple[int, int]:
        """How many frames the encoder extracted, and how many it puts out of them."""
        frames = self._found[recording.key].length(f"encoder {encoder}", "frames")
        return frames, self._extractor.count(frames, encoder)

    def audio_digest(self, recording: Recording) -> str:
        """Of the recording's samples: equal for identical audio."""
        return self._found[recording.key].facts.digest

    def seconds(self, recording: Recording) -> float:
        """How long a recording is after trimming and cutting."""
        return self._found[recording.key].facts.seconds

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the audio, by corpus and kind, with the files."""
        kinds: dict[str, list[str]] = {}
        for _, one in sorted(self._found.items()):
            for remark in one.facts.remarks:
                kind, _, detail = remark.partition(": ")
                kinds.setdefault(f"corpus {one.recording.corpus}: {kind}", []).append(f"{one.recording.path.name} ({detail})")
        return tuple(f"{kind}: {counted(len(said), 'utterance')}: {', '.join(said[:_NAMED])}" for kind, said in sorted(kinds.items()))

    def contours(self, recording: Recording, encoder: str) -> Arrays:
        """The contours at the frame times of the encoder's output, each `[T']`."""
        found = self._found[recording.key]
        return self._extractor.on_grid(found.rows(), found.length(f"encoder {encoder}", "frames"), encoder)


def extract_all(
    wanted: Sequence[Wanted],
    encoders: Mapping[str, NamedEncoder],
    contour_names: frozenset[ContourName],
    options: Features,
    contents: Contents,
    *,
    progress: Progress | None = None,
) -> FeatureSet:
    """The features of recordings: from the cache, or made now and stored at once, so that an interrupted call loses nothing.

    Args:
        wanted: recordings, each once, with the ids of the encoders that it needs.
        contour_names: the contours that are wanted on the frame grid.
        contents: digests of files.
        progress: called with the recordings done and the recordings in all.

    Raises:
        SereError: the problems of all files together (D603 to D606, D612, P108, B403); X704 or X705 at once.
    """
    extractor, keys = Extractor(encoders, contour_names, options), Keys(encoders, options, contents)
    extractor.cache.refresh()
    found: dict[str, Extracted] = {}
    problems: list[Problem] = []
    for recording, result in work(extractor, keys, wanted):
        if isinstance(result, SereError):
            problems.extend(result.problems)
            continue
        found[recording.key] = result
        if progress is not None:
            progress(len(found), len(wanted))
    if problems:
        raise SereError(*_in_order(problems))
    facts, made = [found[name].facts for name in sorted(found)], sum(each.made for each in found.values())
    trimmed, cut = sum(each.trimmed_seconds > 0 for each in facts), sum(each.cut_seconds > 0 for each in facts)
    report = Report(len(wanted), sum(each.seconds for each in facts), trimmed, cut, len(wanted) - made, made)
    text = "\n".join(f"{name} {' '.join(found[name].digests)}" for name in sorted(found))
    contents.save()
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return FeatureSet(digest, report, found, extractor)


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    """By file; what is missing in the environment (P108) once, not once for each file."""
    unique = {(each.code, each.message, "" if each.code[0] == "P" else str(each.place)): each for each in problems}
    return sorted(unique.values(), key=lambda each: (str(each.place), each.code))
