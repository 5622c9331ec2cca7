"""The features of one recording: from the cache where they are there, extracted and stored where they are not."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sere_core.features import audio, contours, index
from sere_core.features.cache import Cache, key
from sere_core.features.index import Index, Known
from sere_registry import Encoder, Recording, error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sere_core.config.model import Features
    from sere_registry.protocols import ContourName

#: an encoder, the name and the version of what it is made of
NamedEncoder = tuple[Encoder, str, str]


@dataclass
class Extracted:
    """One recording's arrays: `frames` by encoder id, `contours` by name, the `keys` of all; was any `made` just now?"""

    known: Known
    keys: tuple[str, ...]
    frames: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    contours: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    made: bool = False


@dataclass(frozen=True)
class Extractor:
    """What is wanted of recordings, and where it is kept.

    Args:
        encoders: id -> (encoder, name, version).
        contour_names: the contours to return; encoders get theirs besides.
        options: the config's `features`.
        cache, index: where arrays and the digests of files are kept.
    """

    encoders: Mapping[str, NamedEncoder]
    contour_names: frozenset[ContourName]
    options: Features
    cache: Cache
    index: Index

    def cached(self, recording: Recording, ids: tuple[str, ...]) -> Extracted | None:
        """A recording's features if its file is unchanged and all are in the cache; no audio is decoded."""
        known = self.index.find(recording, self.options)
        if known is None:
            return None
        result = Extracted(known, self._keys(known.digest, ids))
        for group in self._groups():
            array = self.cache.load(self._contour_key(known.digest, group))
            if array is None:
                return None
            self._keep(result, group, array)
        for id in ids:
            array = self.cache.load(self._frames_key(known.digest, id))
            if array is None:
                return None
            result.frames[id] = array
        return result

    def extract(self, recording: Recording, ids: tuple[str, ...]) -> Extracted:
        """A recording's features; what the cache lacks, or holds damaged, is made from the audio and stored.

        Raises:
            SereError: what `audio.read` raises; D612 (too short for an encoder), B403 (an encoder breaks its contract), X704, X705.
        """
        before = index.now()
        waveform = audio.read(recording, self.options)
        self.index.remember(recording, self.options, waveform, before)
        known = Known(waveform.digest, waveform.seconds, waveform.trimmed_seconds, waveform.cut_seconds)
        result = Extracted(known, self._keys(known.digest, ids))
        groups: dict[str, NDArray[np.float32]] = {}
        for group in self._groups():
            self._keep(result, group, self._group(group, waveform, groups, result))
        for id in ids:
            name = self._frames_key(known.digest, id)
            array = self.cache.load(name)
            if array is None:
                array = self._encode(recording, id, waveform, groups, result)
                self.cache.store(name, array)
                result.made = True
            result.frames[id] = array
        return result

    def _groups(self) -> list[str]:
        return [group for group, names in contours.GROUPS.items() if self.contour_names.intersection(names)]

    def _keep(self, result: Extracted, group: str, array: NDArray[np.float32]) -> None:
        rows = zip(contours.GROUPS[group], array, strict=True)
        result.contours.update({name: row for name, row in rows if name in self.contour_names})

    def _group(
        self, group: str, waveform: audio.Waveform, groups: dict[str, NDArray[np.float32]], result: Extracted
    ) -> NDArray[np.float32]:
        """A group of contours, made at most once for all encoders that want it."""
        if group not in groups:
            name = self._contour_key(waveform.digest, group)
            array = self.cache.load(name)
            if array is None:
                array = contours.compute(group, waveform.samples, self.options)
                self.cache.store(name, array)
                result.made = True
            groups[group] = array
        return groups[group]

    def _encode(
        self, recording: Recording, id: str, waveform: audio.Waveform, groups: dict[str, NDArray[np.float32]], result: Extracted
    ) -> NDArray[np.float32]:
        encoder, name, _ = self.encoders[id]
        given: dict[str, NDArray[np.float32]] = {}
        for group, names in contours.GROUPS.items():
            if set(names).intersection(encoder.contours):
                rows = zip(names, self._group(group, waveform, groups, result), strict=True)
                given.update({contour: row for contour, row in rows if contour in encoder.contours})
        frames = np.asarray(encoder.extract(waveform.samples, given, self.options.hop))
        place = str(recording.path)
        if frames.ndim != 2 or frames.shape[1] != encoder.input_dim:
            shape = list(frames.shape)
            raise error("B403", f"encoder '{id}' ({name}) extracted an array {shape}, not [T, {encoder.input_dim}]", place=place)
        if not len(frames):
            raise error("D612", f"{waveform.seconds:.3f} s are too short for the encoder '{id}' ({name})", place=place)
        if not np.isfinite(frames).all():
            raise error("B403", f"encoder '{id}' ({name}) extracted values that are not finite", place=place)
        return np.ascontiguousarray(frames, dtype=np.float32)

    def _contour_key(self, digest: str, group: str) -> str:
        return key(digest, self.prints[group])

    def _frames_key(self, digest: str, id: str) -> str:
        return key(digest, self.prints[f"encoder {id}"])

    def _keys(self, digest: str, ids: tuple[str, ...]) -> tuple[str, ...]:
        return (*(self._contour_key(digest, group) for group in self._groups()), *(self._frames_key(digest, id) for id in ids))

    @functools.cached_property
    def prints(self) -> dict[str, dict[str, Any]]:
        """What the arrays of each contour group and each encoder depend on beside the audio."""
        groups = {group: contours.fingerprint(group, self.options) for group in contours.GROUPS}
        result: dict[str, dict[str, Any]] = dict(groups)
        for id, (encoder, name, version) in self.encoders.items():
            given = [groups[group] for group, names in contours.GROUPS.items() if set(names).intersection(encoder.contours)]
            result[f"encoder {id}"] = {"encoder": name, "version": version, "fingerprint": dict(encoder.fingerprint()), "contours": given}
        return result
