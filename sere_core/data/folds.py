"""Which target utterances are scored together: folds, speaker-disjoint or stratified at random.

Every draw ranks names by a hash of (purpose, seed, name).  That is uniform over the names, the same on every machine
and Python version, and does not depend on the order in which a corpus lists its files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

#: above this number of speakers, pairs are no longer tried: the greedy assignment is balanced enough, and fast
_MOST_SWAPPED = 64
_PASSES = 20


def rank(purpose: str, seed: int, name: str) -> bytes:
    """The place of `name` in the random order of `(purpose, seed)`: a sort key.

    >>> sorted("abc", key=lambda name: rank("shots", 0, name)) == sorted("cba", key=lambda name: rank("shots", 0, name))
    True
    """
    return hashlib.sha256(f"sere:{purpose}:{seed}:{name}".encode()).digest()


def speaker_folds(counts: Mapping[str, Mapping[str, int]], folds: int, seed: int) -> list[list[str]]:
    """Speakers dealt to `folds` groups so that each class is spread evenly; none is empty.

    Speakers come in a random order, each goes where it helps the balance most, then single moves and swaps are made as
    long as one helps.  The balance is the sum over folds and classes of (count - ideal)^2 / ideal.  It is a local
    optimum, not the best of all partitions.

    Args:
        counts: speaker -> class -> number of utterances; at least `folds` speakers.
    """
    assert 2 <= folds <= len(counts)
    classes = sorted({name for each in counts.values() for name in each})
    order = sorted(counts, key=lambda speaker: rank("folds", seed, speaker))
    tables = {speaker: [counts[speaker].get(name, 0) for name in classes] for speaker in order}
    balance = _Balance(tables, folds, len(classes))
    for position, speaker in enumerate(order):
        empty = [fold for fold in range(folds) if not balance.members[fold]]
        choices = empty if len(empty) >= len(order) - position else list(range(folds))
        balance.put(speaker, min(choices, key=lambda fold, speaker=speaker: balance.gain(fold, tables[speaker])))  # type: ignore[misc]
    _improve(balance, order)
    return [sorted(members) for members in balance.members]


def random_folds(emotions: Mapping[str, str], folds: int, seed: int) -> list[list[str]]:
    """Utterances dealt to `folds` groups at random, class by class, so that sizes of folds and of classes differ by one at most.

    Args:
        emotions: id -> class; at least `folds` ids.
    """
    assert 2 <= folds <= len(emotions)
    order = sorted(emotions, key=lambda id: (emotions[id], rank("folds", seed, id)))
    return [sorted(order[start::folds]) for start in range(folds)]


def check_partition(parts: Sequence[Iterable[str]], names: Iterable[str]) -> None:
    """Assert that `parts` are disjoint, not empty and cover `names`."""
    sets = [set(part) for part in parts]
    assert all(sets), "a fold is empty"
    assert sum(map(len, sets)) == len(set().union(*sets)), "two folds overlap"
    assert set().union(*sets) == set(names), "the folds do not cover the corpus"


class _Balance:
    """Class counts of folds under construction."""

    def __init__(self, tables: Mapping[str, Sequence[int]], folds: int, width: int) -> None:
        self.tables = tables
        self.members: list[list[str]] = [[] for _ in range(folds)]
        self.home: dict[str, int] = {}
        self.sums = [[0] * width for _ in range(folds)]
        self.ideal = [sum(table[c] for table in tables.values()) / folds for c in range(width)]

    def gain(self, fold: int, change: Sequence[int]) -> float:
        """By how much the imbalance grows if `change` is added to `fold`."""
        pairs = zip(self.sums[fold], change, self.ideal, strict=True)
        return sum(((now + more - ideal) ** 2 - (now - ideal) ** 2) / ideal for now, more, ideal in pairs if ideal)

    def put(self, speaker: str, fold: int) -> None:
        if speaker in self.home:
            self._add(speaker, self.home[speaker], -1)
            self.members[self.home[speaker]].remove(speaker)
        self._add(speaker, fold, 1)
        self.members[fold].append(speaker)
        self.home[speaker] = fold

    def _add(self, speaker: str, fold: int, sign: int) -> None:
        self.sums[fold] = [now + sign * more for now, more in zip(self.sums[fold], self.tables[speaker], strict=True)]


def _improve(balance: _Balance, order: Sequence[str]) -> None:
    """Move and swap speakers as long as that helps."""
    for _ in range(_PASSES):
        before = dict(balance.home)
        for speaker in order:
            _move(balance, speaker)
        if len(order) <= _MOST_SWAPPED:
            for position, speaker in enumerate(order):
                for other in order[position + 1 :]:
                    _swap(balance, speaker, other)
        if balance.home == before:
            return


def _move(balance: _Balance, speaker: str) -> None:
    here, table = balance.home[speaker], balance.tables[speaker]
    if len(balance.members[here]) == 1:
        return
    leaving = balance.gain(here, [-count for count in table])
    there = min((fold for fold in range(len(balance.members)) if fold != here), key=lambda fold: balance.gain(fold, table))
    if leaving + balance.gain(there, table) < -1e-9:
        balance.put(speaker, there)


def _swap(balance: _Balance, one: str, other: str) -> None:
    here, there = balance.home[one], balance.home[other]
    if here == there:
        return
    change = [b - a for a, b in zip(balance.tables[one], balance.tables[other], strict=True)]
    if balance.gain(here, change) + balance.gain(there, [-each for each in change]) < -1e-9:
        balance.put(one, there)
        balance.put(other, here)
