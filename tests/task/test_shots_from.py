"""`task.shots_from: speakers`: the same speakers for every class, as equally as can be, and said where it is not."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sere_core.config.model import Task
from sere_core.data.plan import Fold
from sere_core.data.task import make_task
from sere_registry.errors import Place, SereError
from sere_registry.utterances import Utterance
from tests.task.conftest import corpus

EMOTIONS = ["anger", "fear", "neutral"]
SOURCE = corpus("emodb", [f"s{number}" for number in range(8)], EMOTIONS, each=4, language="de")
TARGET = corpus("emovo", ["f1", "f2", "f3", "m1"], EMOTIONS)


def task(**settings: Any) -> Task:
    return Task(**{"source": "emodb", "target": "emovo", "shots": 5, "shots_from": "speakers", "folds": 2, **settings})


def by_class(fold: Fold) -> list[Counter[str]]:
    """Of each class, how many shots each speaker gives."""
    return [Counter(each.speaker for each, own in zip(fold.labelled, fold.labels, strict=True) if own == label) for label in range(3)]


def test_five_shots_are_of_the_same_five_speakers_for_every_class_and_of_others_with_another_seed() -> None:
    plans = [make_task(task(), SOURCE, TARGET, seed) for seed in range(6)]
    chosen = set()
    for plan in plans:
        first, *others = by_class(plan.folds[0])
        assert all(each == first for each in others) and len(first) == 5 and set(first.values()) == {1}
        assert " 5-shot from the same speakers inductive " in plan.protocol
        assert "emodb: shots of the same 5 speakers for every class" in plan.notes
        chosen.add(frozenset(first))
    assert len(chosen) > 2, "speakers are drawn by the seed"
    usual = [make_task(task(shots_from="any"), SOURCE, TARGET, seed) for seed in range(6)]
    assert any(len(set().union(*by_class(plan.folds[0]))) > 5 for plan in usual), "which draws at random do not do"
    assert not any("speakers for every class" in note or "same speakers" in plan.protocol for plan in usual for note in plan.notes)


def test_a_larger_draw_holds_the_smaller_and_order_of_files_does_not_matter() -> None:
    draws = [{each.id for each in make_task(task(shots=shots), SOURCE, TARGET, 0).folds[0].labelled} for shots in (1, 3, 5, 11, 20)]
    assert all(small < large for small, large in itertools.pairwise(draws))
    assert make_task(task(), SOURCE[::-1], TARGET[::-1], 0) == make_task(task(), SOURCE, TARGET, 0)


def test_fewer_speakers_than_shots_give_as_many_each_as_can_be() -> None:
    for shots, least, most in ((10, 1, 2), (16, 2, 2), (20, 2, 3)):
        first, *others = by_class(make_task(task(shots=shots), SOURCE, TARGET, 0).folds[0])
        assert all(each == first for each in others) and first.total() == shots
        assert (min(first.values()), max(first.values())) == (least, most)


def test_speakers_who_lack_a_class_come_last_and_the_note_says_so() -> None:
    lame = [each for each in SOURCE if each.speaker in ("s0", "s1", "s2") or each.emotion != "fear"]
    for seed in range(4):
        assert set().union(*by_class(make_task(task(shots=12), lame, TARGET, seed).folds[0])) == {"s0", "s1", "s2"}
    lame = [each for each in lame if each.speaker in ("s0", "s1") or each.emotion != "fear" or each.id.endswith("-0")]  # s2: once
    plan = make_task(task(shots=9), lame, TARGET, 0)
    anger, fear, neutral = by_class(plan.folds[0])
    assert anger == neutral == fear == Counter(s0=4, s1=4, s2=1)
    more = make_task(task(shots=9, classes=["anger", "neutral"]), lame, TARGET, 0)
    assert "emodb: shots of the same 8 speakers for every class" in more.notes
    whole = [each for each in SOURCE if each.emotion != "fear" or each.speaker in ("s0", "s1", "s2")]
    uneven = [each for each in whole if each.speaker != "s2" or each.emotion != "anger"]
    plan = make_task(task(shots=10), uneven, TARGET, 0)
    assert any(note.startswith("emodb: shots of ") and note.endswith(" speakers, 2 of them in every class") for note in plan.notes)
    assert [each.total() for each in by_class(plan.folds[0])] == [10, 10, 10]


def test_what_is_held_out_comes_next_and_all_labels_are_all() -> None:
    plan = make_task(task(validation=3), SOURCE, TARGET, 0).folds[0]
    eight = make_task(task(shots=8), SOURCE, TARGET, 0).folds[0]
    assert {each.id for each in (*plan.labelled, *plan.validation)} == {each.id for each in eight.labelled}
    assert {each.speaker for each in plan.labelled} & {each.speaker for each in plan.validation} == set()
    full, usual = (make_task(task(shots="all", shots_from=words), SOURCE, TARGET, 0) for words in ("speakers", "any"))
    assert full == usual and "same speakers" not in full.protocol


def test_a_ceilings_shots_are_of_the_same_speakers_of_the_folds_that_are_not_scored() -> None:
    for fold in make_task(task(source="emovo", shots=2), TARGET, TARGET, 0).folds:
        first, *others = by_class(fold)
        assert all(each == first for each in others) and len(first) == 2
        assert not {each.speaker for each in fold.test} & set(first)


@pytest.mark.parametrize("source", ["no speakers", "one emotion each"])
def test_what_is_impossible_is_refused_with_what_works(source: str) -> None:
    single = [each for index, name in enumerate(EMOTIONS) for each in corpus("emodb", [f"s{index}"], [name], each=6)]
    given = corpus("emodb", [""], EMOTIONS, each=6) if source == "no speakers" else single
    with pytest.raises(SereError) as caught:
        make_task(task(), given, TARGET, 0, lambda path: Place("run.yaml", 7, 3, path))
    (problem,) = caught.value.problems
    assert problem.code == "C311" and problem.place.path == "task.shots_from" and "`shots_from: any`" in problem.hint
    assert make_task(task(shots_from="any"), given, TARGET, 0).folds[0].labelled
    assert make_task(task(shots="all"), given, TARGET, 0).folds[0].labelled, "all labels need no speaker"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(0, 2), st.booleans())
def test_any_corpus_gives_every_class_its_shots_from_speakers_in_rounds(seed: int, shots: int, validation: int, unnamed: bool) -> None:
    """Of speakers who have all classes in a round, none is passed over in one class for a second utterance of another's."""
    draw = random.Random(seed)
    names = ["", "s0", "s1", "s2", "s3"] if unnamed else ["s0", "s1", "s2", "s3", "s4"]
    whole = corpus("emodb", names, EMOTIONS, each=5)
    source: list[Utterance] = [each for each in whole if draw.random() < 0.7]
    config = task(shots=shots, validation=validation)
    try:
        fold = make_task(config, source, TARGET, seed).folds[0]
    except SereError as error:
        assert {each.code for each in error.problems} <= {"D607", "D608", "C311"}
        return
    assert Counter(fold.labels) == dict.fromkeys(range(3), shots)
    had = Counter((each.speaker, each.emotion) for each in source)
    counts = {name: min(had[name, word] for word in EMOTIONS) for name in names if name}
    rounds = sum(counts.values())
    first, *others = by_class(fold)
    if shots <= rounds:
        assert all(each == first for each in others), "the same speakers, as often each"
        for one, other in ((a, b) for a in counts for b in counts):
            assert first[one] <= first[other] + 1 or first[other] == counts[other], "as equal as can be"
