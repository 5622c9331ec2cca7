"""The labels of the target, where only the scorer can read them, and where every reading is counted.

What this protects from: a method, loss, selector or hook that comes upon target labels by accident or by convenience.
`SealedLabels` does not hold the labels at all, only their sum with a keystream; the key is a `Seal`, which the engine
makes and hands to the scorer alone.  What it cannot protect from is code in the same process that searches
the interpreter's objects (`gc`, frames) for the `Seal`, or that reads the corpus's folder itself: most of that is noticed by
`sere_core.train.guard`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from sere_registry.errors import error
from sere_registry.utterances import Recording

_MODULUS = 2**64


class Seal:
    """The key to sealed labels.  Whoever holds it can open them, so the engine gives it to the scorer and to nobody else."""

    __slots__ = ("_secret",)

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def pad(self, key: str) -> int:
        """The keystream for one recording."""
        return int.from_bytes(hmac.digest(self._secret, key.encode(), "sha256")[:8], "big")

    def mark(self) -> bytes:
        """What identifies the key without telling it."""
        return hashlib.sha256(b"sere seal" + self._secret).digest()

    def __repr__(self) -> str:
        return "Seal()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Seal is neither copied nor pickled")


@dataclass(frozen=True)
class Opening:
    """Who opened how many labels."""

    opener: str
    count: int


class SealedLabels:
    """Labels that only the holder of `seal` can read.

    Args:
        labels: `Recording.key` -> the class's position.
        seal: the key.

    >>> from pathlib import Path
    >>> recording, seal = Recording("b1", Path("b1.wav"), "emovo", "it", "f1"), Seal()
    >>> sealed = SealedLabels({"emovo/b1": 4}, seal)
    >>> sealed.open([recording], "scorer", seal), sealed
    ((4,), SealedLabels(1 label, opened 1 time))
    """

    __slots__ = ("_mark", "_masked", "_openings")

    def __init__(self, labels: Mapping[str, int], seal: Seal) -> None:
        self._mark = seal.mark()
        self._masked = {key: (label + seal.pad(key)) % _MODULUS for key, label in labels.items()}
        self._openings: list[Opening] = []

    def open(self, recordings: Sequence[Recording], opener: str, seal: Seal) -> tuple[int, ...]:
        """The labels of `recordings`, in that order.  The opening is counted.

        Raises:
            SereError: D611 if `seal` is not the key, or if a recording has no label here.
        """
        if not isinstance(seal, Seal) or not hmac.compare_digest(seal.mark(), self._mark):
            what = f"{opener} asked for {len(recordings)} sealed labels without their seal"
            raise error("D611", what, "target labels are for the scorer only")
        unknown = [recording.key for recording in recordings if recording.key not in self._masked]
        if unknown:
            raise error("D611", f"{opener} asked for labels that are not among the sealed ones: {', '.join(unknown[:3])}")
        self._openings.append(Opening(opener, len(recordings)))
        return tuple((self._masked[recording.key] - seal.pad(recording.key)) % _MODULUS for recording in recordings)

    @property
    def openings(self) -> tuple[Opening, ...]:
        """Every opening so far, in order."""
        return tuple(self._openings)

    def remember(self, openings: Sequence[Opening]) -> None:
        """Put the openings of an interrupted run in front, when it goes on."""
        self._openings[:0] = openings

    def __len__(self) -> int:
        return len(self._masked)

    def __repr__(self) -> str:
        held, opened = len(self), len(self._openings)
        return f"SealedLabels({held} label{'s' * (held != 1)}, opened {opened} time{'s' * (opened != 1)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("sealed labels are neither copied nor pickled: every opening must be counted in one place")
