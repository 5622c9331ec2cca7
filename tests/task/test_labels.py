"""No route that a plugin would stumble into leads from sealed labels to labels.

Out of reach of any of this: code that searches the interpreter (`gc.get_objects`, frames) for the Seal or the corpus's
own utterances, or that reads the file names.  Sealing keeps honest code honest.
"""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest

from sere_core.data.labels import Opening, Seal, SealedLabels
from sere_registry.errors import SereError
from sere_registry.utterances import Recording

RECORDINGS = [Recording(str(number), Path(f"{number}.wav"), "emovo", "it", "f1") for number in range(40)]
LABELS = {each.key: int(each.id) % 7 for each in RECORDINGS}


def reachable(thing: Any, depth: int = 4) -> list[Any]:
    """Everything that attributes, containers, slots and closures lead to."""
    found = [thing]
    if depth == 0 or isinstance(thing, (int, str, bytes, type(None))):
        return found
    children: list[Any] = []
    if isinstance(thing, dict):
        children += [*thing.keys(), *thing.values()]
    elif isinstance(thing, (list, tuple, set, frozenset)):
        children += list(thing)
    children += [getattr(thing, name) for name in getattr(type(thing), "__slots__", ()) if hasattr(thing, name)]
    children += [getattr(thing, name) for name in dir(thing) if not name.startswith("__") and not callable(getattr(thing, name, None))]
    children += [cell.cell_contents for cell in getattr(thing, "__closure__", None) or ()]
    for child in children:
        found += reachable(child, depth - 1)
    return found


def test_the_seal_opens_and_every_opening_is_counted() -> None:
    seal = Seal()
    sealed = SealedLabels(LABELS, seal)
    assert list(sealed.openings) == []
    assert sealed.open(RECORDINGS[5:9], "scorer", seal) == (5, 6, 0, 1)
    assert sealed.open(RECORDINGS[::-1], "probe", seal) == tuple(int(each.id) % 7 for each in RECORDINGS[::-1])
    assert sealed.openings == (Opening("scorer", 4), Opening("probe", 40))
    sealed.remember([Opening("scorer", 9)])
    assert sealed.openings[0] == Opening("scorer", 9)


@pytest.mark.parametrize("key", [Seal(), None, "scorer", object()])
def test_no_other_key_opens(key: Any) -> None:
    sealed = SealedLabels(LABELS, Seal())
    with pytest.raises(SereError, match=r"\[D611\] nrc asked for 40 sealed labels without their seal"):
        sealed.open(RECORDINGS, "nrc", key)
    assert sealed.openings == (), "nothing was opened"


def test_attributes_slots_and_containers_hold_no_label() -> None:
    seal = Seal()
    sealed = SealedLabels(LABELS, seal)
    numbers = [thing for thing in reachable(sealed) if isinstance(thing, int) and not isinstance(thing, bool)]
    assert len(numbers) >= 40, "the walk got as far as the masked values"
    assert not any(0 <= number < 7 for number in numbers if number != len(sealed.openings))
    assert not any(isinstance(thing, Seal) for thing in reachable(sealed))
    with pytest.raises(TypeError):
        vars(sealed)


def test_equal_labels_do_not_look_equal() -> None:
    """Masked values of one class are as different as those of two, so that not even groups can be read off."""
    sealed = SealedLabels({each.key: 3 for each in RECORDINGS}, Seal())
    assert len(set(sealed._masked.values())) == 40


def test_repr_and_text_tell_only_how_many() -> None:
    seal = Seal()
    assert repr(SealedLabels(LABELS, seal)) == str(SealedLabels(LABELS, seal)) == "SealedLabels(40 labels, opened 0 times)"
    assert repr(seal) == "Seal()"


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy, pickle.dumps])
def test_neither_labels_nor_seal_are_copied(copier: Any) -> None:
    for thing in (Seal(), SealedLabels(LABELS, Seal())):
        with pytest.raises(TypeError, match="copied nor pickled"):
            copier(thing)


def test_an_unknown_recording_is_refused() -> None:
    seal = Seal()
    with pytest.raises(SereError, match="D611"):
        SealedLabels(LABELS, seal).open([dataclasses.replace(RECORDINGS[0], corpus="emodb")], "scorer", seal)
