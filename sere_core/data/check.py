"""What is in a corpus, file by file: counts, durations, duplicates, and files that no run could use."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sere_registry.errors import Place, Problem, SereError
from sere_registry.protocols import Corpus
from sere_registry.utterances import Finding, Recording, Utterance

if TYPE_CHECKING:
    from sere_core.features.audio import Facts

#: shares of the utterances that are at most this long
QUANTILES = {"min": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "max": 1.0}


@dataclass(frozen=True)
class Duplicates:
    """Ids of utterances with the same samples, and which of their labels `differ`: "emotion", "speaker"."""

    ids: tuple[str, ...]
    differ: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What a corpus holds.

    Args:
        digest: SHA-256 of the list of files: sorted paths below their common folder, and sizes.
        files: how many; fewer than utterances where some are parts of one file.
        languages: of the utterances.
        counts: speaker -> emotion, or "unlabelled" -> number of utterances.
        genders: speaker -> "female", "male", or None.
        texts: how many different sentences; 0 where the corpus does not say.
        seconds: durations of the usable utterances in s: quantiles, and their sum as "total".
        duplicates: utterances with the same samples.
        unusable: one problem for each row that cannot be read, and for each utterance whose audio no run could use (D603 to
            D606, P108), at the row that lists it where rows do.
        findings: what the corpus says of its folder.
    """

    digest: str
    files: int
    languages: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    genders: Mapping[str, str | None]
    texts: int
    seconds: Mapping[str, float]
    duplicates: tuple[Duplicates, ...]
    unusable: tuple[Problem, ...]
    findings: tuple[Finding, ...]

    @property
    def utterances(self) -> int:
        """How many, the unusable ones too."""
        return sum(self.emotions.values())

    @property
    def emotions(self) -> Mapping[str, int]:
        return dict(sorted(sum(map(Counter, self.counts.values()), Counter[str]()).items()))

    def data(self) -> dict[str, object]:
        problems = [{"code": one.code, "file": str(one.place), "message": one.message, "hint": one.hint} for one in self.unusable]
        return {"utterances": self.utterances, "emotions": self.emotions, **asdict(self), "unusable": problems}


def check(corpus: Corpus, progress: Callable[[int, int], None] = lambda done, total: None) -> Report:
    """List a corpus, make its audio if it is one that is made, and read every file.

    Args:
        corpus: any corpus.
        progress: called with (done, total), while files are made and again while they are read.

    Raises:
        SereError: what listing or preparing raises (D601, D602, D610, P108) where nothing can be read; an unusable file is not
            raised but reported, and so are wrong rows beside readable ones.
    """
    rows, wrong = _listed(corpus)
    utterances = sorted(rows, key=lambda each: each.speaker)
    recordings = [each.recording for each in utterances]
    findings = tuple(corpus.findings())
    corpus.prepare(progress)
    seconds: list[float] = []
    alike: dict[str, list[Utterance]] = defaultdict(list)
    unusable = list(wrong)
    for done, (utterance, found) in enumerate(zip(utterances, _read_all(recordings), strict=True), start=1):
        if isinstance(found, SereError):
            place = rows[utterance] or Place()
            named = [replace(p, message=f"{p.place.file}: {p.message}", place=place) for p in found.problems]
            unusable += named if place.line else found.problems
        else:
            seconds.append(found.seconds)
            alike[found.digest].append(utterance)
        progress(done, len(utterances))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for each in utterances:
        counts[each.speaker][each.emotion or "unlabelled"] += 1
    return Report(
        digest=file_list_digest(utterances),
        files=len({each.path for each in recordings}),
        languages=tuple(sorted({each.language for each in recordings})),
        counts={speaker: dict(sorted(number.items())) for speaker, number in counts.items()},
        genders={each.speaker: each.gender for each in recordings},
        texts=len({each.text for each in recordings} - {None}),
        seconds=_quantiles(seconds),
        duplicates=tuple(_duplicates(same) for same in alike.values() if len(same) > 1),
        unusable=tuple(unusable),
        findings=findings,
    )


def _listed(corpus: Corpus) -> tuple[Mapping[Utterance, Place | None], Sequence[Problem]]:
    """The utterances with the rows that list them, and what is wrong with other rows."""
    readable = getattr(corpus, "readable", None)
    if readable is None:
        return dict.fromkeys(corpus.utterances()), ()
    rows, problems = readable()
    return (rows, problems) if rows else (dict.fromkeys(corpus.utterances()), ())


def file_list_digest(utterances: Sequence[Utterance]) -> str:
    """SHA-256 of the sorted list of files: path below the files' common folder, tab, size in bytes, newline.

    It does not depend on where the corpus lies; a corpus whose releases differ is named by it.
    """
    paths = sorted({Path(os.path.abspath(utterance.recording.path)) for utterance in utterances})
    common = os.path.commonpath([path.parent for path in paths]) if paths else ""
    lines = sorted(f"{path.relative_to(common).as_posix()}\t{_size(path)}\n" for path in paths)
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # reading it will say so
        return -1


def _read_all(recordings: Sequence[Recording]) -> Iterator[Facts | SereError]:
    """What there is to know of each waveform, or what is wrong with its audio; several files at once."""
    from sere_core.config.model import Features
    from sere_core.features.audio import read

    whole = Features(trim=False, max_seconds=1e6)

    def facts(recording: Recording) -> Facts | SereError:
        try:
            return read(recording, whole).facts
        except SereError as cause:
            return cause

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        yield from pool.map(facts, recordings)


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    found = {name: ordered[round(share * (len(ordered) - 1))] for name, share in QUANTILES.items()}
    return {name: round(value, 3) for name, value in (*found.items(), ("total", sum(ordered)))}


def _duplicates(same: Sequence[Utterance]) -> Duplicates:
    differ = (name for name in ("emotion", "speaker") if len({getattr(utterance, name) for utterance in same}) > 1)
    return Duplicates(tuple(utterance.id for utterance in same), tuple(differ))
