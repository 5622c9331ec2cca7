"""Extraction: what the parts of one recording are made of and their keys in the cache; the loop over many recordings."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import BoundedSemaphore, Event

import numpy as np
import torch
from numpy.typing import NDArray

from sere_core.config.model import Features
from sere_core.content import Contents, digest_of
from sere_core.features import audio, contours
from sere_core.features.cache import Cache, Entry, key
from sere_core.features.decoding import decoding
from sere_core.features.origin import engine_origin
from sere_registry import Encoder, Recording, SereError, error
from sere_registry.files import cache_folder
from sere_registry.protocols import ContourName

#: an encoder, its name, and what its code was made of (`encoder_origin`; nothing where the cache is not used)
NamedEncoder = tuple[Encoder, str, Sequence[str]]
Wanted = tuple[Recording, tuple[str, ...]]
Arrays = dict[str, NDArray[np.float32]]


class Extractor:
    """What is wanted of recordings; see `store.extract_all`.  Threads share it."""

    def __init__(self, encoders: Mapping[str, NamedEncoder], contour_names: frozenset[ContourName], options: Features) -> None:
        self.encoders, self.contour_names, self.options = encoders, contour_names, options
        self.cache = Cache(cache_folder(options.cache))
        self.groups = _groups_of(contour_names)

    def contours(self, entries: Mapping[str, Entry], id: str) -> Arrays:
        """The wanted contours at the frame times of an encoder's output, each `[T']`."""
        encoder, hop = self.encoders[id][0], self.options.hop
        count = int(encoder.lengths(torch.tensor([len(entries[f"encoder {id}"].arrays["frames"])]))[0])
        found = _rows(entries, self.contour_names)
        return {name: contours.on_grid(each, hop, encoder.rate, encoder.offset, count) for name, each in found.items()}

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
        return Entry({"frames": np.ascontiguousarray(frames, dtype=np.float32)}, waveform.facts)


class Keys:
    """Where the cache holds the parts of recordings: under a digest of all that they are made of.

    Args:
        contents: digests of audio, code and weights.
    """

    def __init__(self, encoders: Mapping[str, NamedEncoder], options: Features, contents: Contents) -> None:
        self._contents = contents
        self._reading = [engine_origin(contents), options.trim, options.max_seconds, options.channel]
        #: what each part depends on beside the samples
        self._made: dict[str, object] = {}
        for group in contours.GROUPS:
            self._made[group] = [group, options.hop, self._files(contours.weights(group, options))]
        for id, (encoder, name, code) in encoders.items():
            self._made[f"encoder {id}"] = {
                "encoder": name,
                "code": code,
                "fingerprint": dict(encoder.fingerprint()),
                "files": self._files(getattr(encoder, "files", ())),
                "contours": [self._made[group] for group in _groups_of(encoder.contours)],
            }

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
    """One recording's features: what the cache has, and what is made from the audio and stored.

    Attributes:
        recording: whose.
        entries: by part: a contour group, or `encoder <id>`.
        complete: has the cache all of it?
        made: was anything not in the cache?

    Raises:
        SereError: D603 (no such file), X704, X705.
    """

    def __init__(self, extractor: Extractor, keys: Keys, recording: Recording, ids: Sequence[str]) -> None:
        self._from, self._keys, self.recording = extractor, keys, recording
        self._audio = keys.audio(recording)
        self.entries: dict[str, Entry] = {}
        self._wanted = (*extractor.groups, *(f"encoder {id}" for id in ids))
        for part in self._wanted:
            if (found := extractor.cache.load(self._key(part))) is not None:
                self.entries[part] = found
        self.complete = len(self.entries) == len(self._wanted) > 0
        self.made = not self.complete
        self._facts = self.entries[self._wanted[0]].facts if self.complete else None

    @property
    def digests(self) -> list[str]:
        """Of those that are wanted, each with the name of its part."""
        return [f"{part}={self.entries[part].digest}" for part in self._wanted]

    @property
    def facts(self) -> audio.Facts:
        """Of the waveform."""
        assert self._facts is not None, "it was not made"
        return self._facts

    def make(self, waveform: audio.Waveform) -> None:
        """All that is missing.

        Raises:
            SereError: D603 (the file was changed meanwhile), D612 (too short for an encoder), B403 (an encoder breaks its
                contract), X704, X705.
        """
        if self._keys.audio(self.recording) != self._audio:
            raise error("D603", "the file was changed while features were extracted", "run again", str(self.recording.path))
        for part in self._wanted:
            self._entry(part, waveform)
        self._facts = waveform.facts

    def _key(self, part: str) -> str:
        return self._keys(self.recording, self._audio, part)

    def _entry(self, part: str, waveform: audio.Waveform) -> Entry:
        """From the cache, or made: at most once for all encoders that want a group of contours."""
        if part not in self.entries:
            name = self._key(part)
            found = self._from.cache.load(name)
            if found is None:
                encoder = None if part in contours.GROUPS else self._from.encoders[part.removeprefix("encoder ")][0]
                reads = () if encoder is None else _groups_of(encoder.contours)
                given = {group: self._entry(group, waveform) for group in reads}
                found = self._from.made(part, waveform, given, str(self.recording.path))
                self._from.cache.store(name, found)
            self.entries[part] = found
        return self.entries[part]


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
    threads, count = torch.get_num_threads(), os.cpu_count() or 1
    files: dict[Path, list[Wanted]] = {}
    for each in wanted:
        files.setdefault(each[0].path, []).append(each)
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

    def file(own: list[Wanted]) -> None:
        try:
            parts(own)
        except BaseException as problem:
            results.put((own[0][0], problem))

    def parts(own: list[Wanted]) -> None:
        missing: dict[str, Extracted] = {}
        for recording, ids in own:
            try:
                one = Extracted(extractor, keys, recording, ids)
            except SereError as problem:
                results.put((recording, problem))
                continue
            if one.complete:
                results.put((recording, one))
            else:
                missing[recording.key] = one
        for recording, waveform in audio.read_parts([one.recording for one in missing.values()], extractor.options):
            if stopped.is_set():
                return
            if len(missing) > 1 and room.acquire(blocking=False):
                pool.submit(finish, missing[recording.key], waveform, room.release)
            else:
                finish(missing[recording.key], waveform)

    try:
        for own in files.values():
            pool.submit(file, own)
        for _ in wanted:
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
