"""What is in a corpus, file by file: counts, durations, duplicates, and files that no run could use."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sere_core.data.leakage import confounded_speakers, few_utterances
from sere_registry.errors import Place, Problem, SereError, counted
from sere_registry.files import cache_folder, write_atomically
from sere_registry.processes import cores
from sere_registry.protocols import Corpus
from sere_registry.utterances import Finding, Recording, Utterance

if TYPE_CHECKING:
    from sere_core.config.model import Features
    from sere_core.content import Contents
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
        audio: "1 channel", "16000 Hz", ... -> how many of the usable utterances are of such a file.
        duplicates: utterances with the same samples.
        odd: file -> what is odd about the audio of a usable utterance.
        unusable: one problem for each row that cannot be read, and for each utterance whose audio no run could use (D603 to
            D606, D612, P108), at the row that lists it where rows do.
        findings: what the corpus says of its folder.
    """

    digest: str
    files: int
    languages: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    genders: Mapping[str, str | None]
    texts: int
    seconds: Mapping[str, float]
    audio: Mapping[str, int]
    duplicates: tuple[Duplicates, ...]
    odd: tuple[tuple[str, str], ...]
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
    against = (*confounded_speakers(utterances), *few_utterances(recordings))
    findings = (*corpus.findings(), *(Finding("warning", message) for message in against))
    corpus.prepare(progress)
    seconds: list[float] = []
    alike: dict[tuple[str, float], list[Utterance]] = defaultdict(list)
    audio: Counter[str] = Counter()
    odd: list[tuple[str, str]] = []
    unusable = list(wrong)
    read = read_all(recordings, progress=progress)
    for utterance in utterances:
        found = read[utterance.recording.key]
        if isinstance(found, SereError):
            place = rows[utterance] or Place()
            named = [replace(p, message=f"{p.place}: {p.message}", place=place) for p in found.problems]
            unusable += named if place.line else found.problems
            continue
        seconds.append(found.seconds + found.trimmed_seconds + found.cut_seconds)
        alike[found.digest, seconds[-1]].append(utterance)
        audio.update((counted(found.channels, "channel"), f"{found.rate} Hz"))
        odd += [(str(utterance.recording.path), remark) for remark in found.remarks]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for each in utterances:
        counts[each.speaker][each.emotion or "unlabelled"] += 1
    return Report(
        digest=file_list_digest(utterances),
        files=len({os.path.abspath(each.path) for each in recordings}),
        languages=tuple(sorted({each.language for each in recordings})),
        counts={speaker: dict(sorted(number.items())) for speaker, number in counts.items()},
        genders={each.speaker: each.gender for each in recordings},
        texts=len({each.text for each in recordings} - {None}),
        seconds=_quantiles(seconds),
        audio=dict(sorted(audio.items())),
        duplicates=tuple(_duplicates(same) for same in alike.values() if len(same) > 1),
        odd=tuple(dict.fromkeys(odd)),
        unusable=tuple(sorted(unusable, key=lambda each: (each.place.file or "", each.place.line or 0))),
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


def read_all(
    recordings: Sequence[Recording],
    options: Features | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Facts | SereError]:
    """By key, what there is to know of each waveform, or what is wrong with its audio; several files at once, each once."""
    from sere_core.config.model import Features
    from sere_core.features.audio import read_parts

    files: dict[Path, list[Recording]] = defaultdict(list)
    for each in recordings:
        files[each.path].append(each)
    options = options or Features(max_seconds=60.0)

    def facts(parts: list[Recording]) -> dict[str, Facts | SereError]:
        read = read_parts(parts, options)
        return {part.key: found if isinstance(found, SereError) else found.facts for part, found in read}

    known: dict[str, Facts | SereError] = {}
    with ThreadPoolExecutor(max_workers=min(4, cores())) as pool:
        for some in pool.map(facts, files.values()):
            known |= some
            progress(len(known), len(recordings))
    return known


def damaged(recordings: Sequence[Recording], options: Features, contents: Contents) -> dict[str, Problem]:
    """By key, what is wrong with audio that cannot be used; kept in the cache under the content of the files.

    Raises:
        SereError: P108 (a file that only PyAV decodes, without PyAV).
    """
    from sere_core.features.origin import engine_origin

    contents.recall({each.path for each in recordings})
    asked: list[list[object]] = [[each.key, str(each.path), each.start, each.end, _content(each.path, contents)] for each in recordings]
    asked.append([options.trim, options.channel, engine_origin(contents)])
    name = hashlib.blake2b(json.dumps(sorted(map(str, asked))).encode(), digest_size=20).hexdigest()
    path = cache_folder(options.cache) / "damaged" / f"{name}.json"
    with suppress(OSError, ValueError, TypeError, AttributeError):
        return {key: Problem(*words) for key, words in json.loads(path.read_bytes()).items()}
    found = {key: each.problems[0] for key, each in read_all(recordings, options).items() if isinstance(each, SereError)}
    for problem in found.values():
        if not problem.code.startswith("D"):
            raise SereError(problem)
    kept = {key: [each.code, each.message, each.hint] for key, each in found.items()}
    write_atomically(path, json.dumps(kept).encode())
    return found


def _content(path: Path, contents: Contents) -> str:
    try:
        return contents.digest(path)
    except (OSError, SereError):
        return ""  # reading it says why


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    found = {name: ordered[round(share * (len(ordered) - 1))] for name, share in QUANTILES.items()}
    return {name: round(value, 3) for name, value in (*found.items(), ("total", sum(ordered)))}


def _duplicates(same: Sequence[Utterance]) -> Duplicates:
    differ = (name for name in ("emotion", "speaker") if len({getattr(utterance, name) for utterance in same}) > 1)
    return Duplicates(tuple(utterance.id for utterance in same), tuple(differ))
