"""Extraction: what the parts of one recording are made of and their keys in the cache; the loop over many recordings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import BoundedSemaphore, Event
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sere_core.config.model import Features
from sere_core.content import Contents, digest_of
from sere_core.features import audio, contours
from sere_core.features.cache import Cache, Entry, Held, key
from sere_core.features.decoding import decoding
from sere_core.features.origin import engine_origin
from sere_core.features.shards import Damaged
from sere_registry import Encoder, Recording, SereError, error
from sere_registry.files import cache_folder
from sere_registry.processes import cores
from sere_registry.protocols import ContourName

#: an encoder, its name, and what its code was made of (`encoder_origin`; nothing where the cache is not used)
NamedEncoder = tuple[Encoder, str, Sequence[str]]
Wanted = tuple[Recording, tuple[str, ...]]
Arrays = dict[str, NDArray[np.float32]]
#: parts of recordings whose place in the cache is kept in mind, of about a kilobyte each
_FOUND = 50_000


class Extractor:
    """What is wanted of recordings; see `store.extract_all`.  Threads share it."""

    def __init__(self, encoders: Mapping[str, NamedEncoder], contour_names: frozenset[ContourName], options: Features) -> None:
        self.encoders, self.contour_names, self.options = encoders, contour_names, options
        self.cache = Cache(cache_folder(options.cache))
        self.groups = _groups_of(contour_names)
        self._counts: dict[tuple[int, str], int] = {}
        self._found: dict[tuple[str, str], Held] = {}

    def count(self, frames: int, id: str) -> int:
        """How many frames an encoder puts out for so many extracted ones."""
        if (frames, id) not in self._counts:
            self._counts[frames, id] = int(self.encoders[id][0].lengths(torch.tensor([frames]))[0])
        return self._counts[frames, id]

    def found(self, one: Extracted, part: str) -> Held:
        """What `one` finds of a part; it is looked up again where it is not among the last `_FOUND`."""
        key = (one.recording.key, part)
        if (held := self._found.get(key)) is None:
            if len(self._found) >= _FOUND:
                self._found.clear()
            held = self._found[key] = one.find(part)
        return held

    def forget(self, one: Extracted, part: str) -> None:
        """It was damaged."""
        self._found.pop((one.recording.key, part), None)

    def on_grid(self, rows: Mapping[str, NDArray[np.float32]], frames: int, id: str) -> Arrays:
        """The wanted contours at the frame times of an encoder's output, each `[T']`, where it extracted so many frames."""
        encoder, hop, count = self.encoders[id][0], self.options.hop, self.count(frames, id)
        wanted = {name: row for name, row in rows.items() if name in self.contour_names}
        return {name: contours.on_grid(row, hop, encoder.rate, encoder.offset, count) for name, row in wanted.items()}

    def extract(self, waveform: audio.Waveform, ids: Sequence[str], place: str = "") -> dict[str, Entry]:
        """All parts of one waveform: contour groups and `encoder <id>`; the cache is neither read nor written.

        Raises:
            SereError: D612 (too short for an encoder), B403 (an encoder breaks its contract).
        """
        entries: dict[str, Entry] = {}
        read = {group for id in ids for group in _groups_of(self.encoders[id][0].contours)}
        groups = [group for group in contours.GROUPS if group in self.groups or group in read]
        for part in (*groups, *(f"encoder {id}" for id in ids)):
            entries[part] = self.made(part, waveform, entries, place)
        return entries

    def made(self, part: str, waveform: audio.Waveform, given: Mapping[str, Entry], place: str) -> Entry:
        """One part, from the samples and, for an encoder, from the contour groups that it reads."""
        if part in contours.GROUPS:
            return Entry(contours.compute(part, waveform.samples, self.options), waveform.facts)
        id = part.removeprefix("encoder ")
        encoder, name, _ = self.encoders[id]
        frames = np.asarray(encoder.extract(waveform.samples, _rows(given, encoder.contours), self.options.hop))
        who = f"encoder '{id}' ({name})"
        if frames.ndim != 2 or frames.shape[1] != encoder.input_dim:
            raise error("B403", f"{who} extracted an array {list(frames.shape)}, not [T, {encoder.input_dim}]", place=place)
        if not len(frames):
            raise error("D612", f"{waveform.facts.seconds:.3f} s are too short for the {who}", place=place)
        if not np.isfinite(frames).all():
            raise error("B403", f"{who} extracted values that are not finite", place=place)
        kept = np.ascontiguousarray(frames, dtype=np.float32)
        if self.options.precision == "float16":
            with np.errstate(over="ignore"):
                kept = kept.astype(np.float16)
            if not np.isfinite(kept).all():
                what = f"the {who} extracted {np.abs(frames).max():.4g}, and float16 ends at 65504"
                raise error("C311", what, "set `features.precision: float32`", place)
        return Entry({"frames": kept, "mean": kept.mean(axis=0, dtype=np.float64).astype(np.float32)}, waveform.facts)


class Keys:
    """Where the cache holds the parts of recordings: under a digest of all that they are made of.

    Args:
        contents: digests of audio, code and weights.
    """

    def __init__(self, encoders: Mapping[str, NamedEncoder], options: Features, contents: Contents) -> None:
        self._contents = contents
        self._reading = key(made_by=engine_origin(contents), options=[options.trim, options.max_seconds, options.channel])
        #: a digest of what each part depends on beside the samples
        self._made: dict[str, str] = {}
        for group in contours.GROUPS:
            self._made[group] = key(group=group, hop=options.hop, files=self._files(contours.weights(group, options)))
        for id, (encoder, name, code) in encoders.items():
            self._made[f"encoder {id}"] = key(
                encoder=name,
                code=code,
                fingerprint=dict(encoder.fingerprint()),
                files=self._files(getattr(encoder, "files", ())),
                contours=[self._made[group] for group in _groups_of(encoder.contours)],
                precision=options.precision,
            )

    def __call__(self, recording: Recording, audio: str, part: str) -> str:
        """The key of one part of a recording whose file has this digest."""
        return key(file=audio, segment=[recording.start, recording.end], reading=self._reading, made=self._made[part])

    def audio(self, recording: Recording) -> str:
        """The digest of a recording's file.

        Raises:
            SereError: D603.
        """
        with decoding(recording.path):
            return self._contents.digest(recording.path)

    def _files(self, paths: Iterable[str | Path]) -> str:
        return digest_of([(Path(path).name, Path(path)) for path in paths], self._contents)


class Extracted:
    """One recording's features: what the cache has, and what is made from the audio and stored.  It keeps no array.

    Attributes:
        recording: whose.
        complete: does the cache have all of it?
        made: was anything not in the cache?
        facts: of the waveform, once all of it is there.

    Raises:
        SereError: D603 (no such file), X704, X705.
    """

    __slots__ = ("_audio", "_digests", "_from", "_keys", "_wanted", "complete", "facts", "made", "recording")
    facts: audio.Facts

    def __init__(self, extractor: Extractor, keys: Keys, recording: Recording, ids: Sequence[str]) -> None:
        self._from, self._keys, self.recording = extractor, keys, recording
        self._audio = keys.audio(recording)
        self._wanted = (*extractor.groups, *(f"encoder {id}" for id in ids))
        found = [extractor.cache.load(self._key(part)) for part in self._wanted]
        self.complete = self.made = False
        self._take([each for each in found if each is not None])
        self.made = not self.complete

    def _take(self, found: Sequence[Held]) -> None:
        self.complete = len(found) == len(self._wanted) > 0
        if self.complete:
            self._digests, self.facts = tuple(each.digest for each in found), found[0].facts

    @property
    def digests(self) -> list[str]:
        """Of those that are wanted, each with the name of its part."""
        return [f"{part}={digest}" for part, digest in zip(self._wanted, self._digests, strict=True)]

    def make(self, waveform: audio.Waveform) -> None:
        """All that is missing.

        Raises:
            SereError: D603 (the file was changed meanwhile), D612 (too short for an encoder), B403 (an encoder breaks its
                contract), C311 (values beyond half precision), X704, X705.
        """
        if self._keys.audio(self.recording) != self._audio:
            raise error("D603", "the file was changed while features were extracted", "run again", str(self.recording.path))
        given: dict[str, Entry] = {}
        self._take([self._held(part, waveform, given) for part in self._wanted])

    def length(self, part: str, name: str) -> int:
        """How many rows an array of a part has."""
        return self._from.found(self, part).length(name)

    def array(self, part: str, name: str) -> NDArray[Any]:
        """An array of a part; not to be written to.  One that is damaged is made again.

        Raises:
            SereError: D603 (made again, it is another one), and what extraction raises.
        """
        while True:  # each turn has a record less, and in the end what was made again
            with suppress(Damaged):
                return self._from.found(self, part).array(name)
            self._from.forget(self, part)

    def rows(self) -> Arrays:
        """All contours of the wanted groups, by name, each `[Tc]`."""
        groups = [part for part in self._wanted if part in contours.GROUPS]
        return {name: self.array(part, name) for part in groups for name in contours.GROUPS[part]}

    def find(self, part: str) -> Held:
        """Where the cache has a part; made again if it is damaged."""
        digest = self._digests[self._wanted.index(part)]
        found = self._from.cache.load(self._key(part))
        if found is None or found.digest != digest:  # damaged, and if there is one left it is an older one of other bits
            ((_, waveform),) = audio.read_parts([self.recording], self._from.options)
            if isinstance(waveform, SereError):
                raise waveform
            found = self._held(part, waveform, {}, anew=True)
        if found.digest != digest:
            what = "its cached features were damaged, and are not the same when made again"
            raise error("D603", what, "run again", str(self.recording.path))
        return found

    def _key(self, part: str) -> str:
        return self._keys(self.recording, self._audio, part)

    def _held(self, part: str, waveform: audio.Waveform, given: dict[str, Entry], anew: bool = False) -> Held:
        """From the cache, or made and stored: at most once for all encoders that want a group of contours.

        Args:
            given: groups of contours that were read, or made.
            anew: made, whatever the cache has.
        """
        found = None if anew else self._from.cache.load(self._key(part))
        if found is not None:
            return found
        reads = () if part in contours.GROUPS else _groups_of(self._from.encoders[part.removeprefix("encoder ")][0].contours)
        for group in reads:
            if group not in given:
                given[group] = self._from.cache.sound(self._key(group)) or self._make(group, waveform, {})[0]
        made, held = self._make(part, waveform, {group: given[group] for group in reads})
        if part in contours.GROUPS:
            given[part] = made
        return held

    def _make(self, part: str, waveform: audio.Waveform, given: Mapping[str, Entry]) -> tuple[Entry, Held]:
        made = self._from.made(part, waveform, given, str(self.recording.path))
        return made, self._from.cache.store(self._key(part), made)


def _groups_of(names: Iterable[str]) -> list[str]:
    """The groups that contours of these names are in."""
    return [group for group, members in contours.GROUPS.items() if set(members).intersection(names)]


def _rows(entries: Mapping[str, Entry], names: Collection[str]) -> Arrays:
    """The contours of these names, in the order of the groups."""
    groups = [entry for part, entry in entries.items() if part in contours.GROUPS]
    return {name: row for entry in groups for name, row in entry.arrays.items() if name in names}


def work(extractor: Extractor, keys: Keys, wanted: Sequence[Wanted]) -> Iterator[tuple[Recording, Extracted | SereError]]:
    """The jobs' results as they come.  What ends the whole run (a cache that cannot be written, Ctrl-C) is raised.

    Threads, each with one torch thread: most of the time is spent in torch and numpy outside Python's lock; they start at
    once, share the encoders' weights, and cannot be orphaned by a killed run.  A file is decoded once, by one of them, which
    lets the others extract its parts, and extracts one itself where too many wait: memory does not grow with their number.
    """
    files: dict[Path, dict[str, Extracted]] = {}
    for recording, ids in wanted:
        try:
            one = Extracted(extractor, keys, recording, ids)
        except SereError as problem:
            yield recording, problem
            continue
        if one.complete:
            yield recording, one
        else:
            files.setdefault(recording.path, {})[recording.key] = one
    if files:
        yield from _made(extractor.options, files)


def _made(options: Features, files: Mapping[Path, Mapping[str, Extracted]]) -> Iterator[tuple[Recording, Extracted | SereError]]:
    """What is made of each file's recordings."""
    threads, count = torch.get_num_threads(), cores()
    pool = ThreadPoolExecutor(count, "extract", initializer=torch.set_num_threads, initargs=(1,))
    room, stopped = BoundedSemaphore(2 * count), Event()
    results: SimpleQueue[tuple[Recording, Extracted | BaseException]] = SimpleQueue()

    def finish(one: Extracted, waveform: audio.Waveform | SereError, release: Callable[[], None] = lambda: None) -> None:
        try:
            if isinstance(waveform, SereError):
                raise waveform
            one.make(waveform)
            results.put((one.recording, one))
        except BaseException as problem:
            results.put((one.recording, problem))
        finally:
            release()

    def file(missing: Mapping[str, Extracted]) -> None:
        try:
            for recording, waveform in audio.read_parts([one.recording for one in missing.values()], options):
                if stopped.is_set():
                    return
                if len(missing) > 1 and room.acquire(blocking=False):
                    pool.submit(finish, missing[recording.key], waveform, room.release)
                else:
                    finish(missing[recording.key], waveform)
        except BaseException as problem:
            results.put((next(iter(missing.values())).recording, problem))

    try:
        for own in files.values():
            pool.submit(file, own)
        for _ in range(sum(map(len, files.values()))):
            recording, result = results.get()
            if not isinstance(result, (Extracted, SereError)):
                raise result
            if isinstance(result, SereError) and result.problems[0].code.startswith("X"):
                raise result
            yield recording, result
    finally:
        stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)
