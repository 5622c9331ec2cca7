"""`task.validation`: labelled source utterances that are held out for the choice of an epoch, and nothing else that changes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sere_core.config.model import Task
from sere_core.data.task import make_task
from sere_registry.errors import Place, SereError
from tests.task.conftest import Make, corpus

EMOTIONS = ["anger", "fear", "neutral"]
SOURCE = corpus("emodb", ["03", "08", "09"], EMOTIONS, each=4, language="de")
TARGET = corpus("emovo", ["f1", "f2", "f3", "m1"], EMOTIONS)


def task(**settings: Any) -> Task:
    return Task(**{"source": "emodb", "target": "emovo", "shots": 2, "folds": 2, **settings})


def test_they_are_labelled_and_in_no_other_stream() -> None:
    emotions = {each.id: each.emotion for each in SOURCE}
    plan = make_task(task(validation=3), SOURCE, TARGET, 0)
    for fold in plan.folds:
        held = {each.id for each in fold.validation}
        assert Counter(emotions[id] for id in held) == dict.fromkeys(EMOTIONS, 3)
        assert [EMOTIONS.index(emotions[each.id]) for each in fold.validation] == list(fold.validation_labels)
        assert not held & {each.id for each in (*fold.labelled, *fold.source, *fold.target, *fold.test)}
        assert len(held) + len(fold.labelled) + len(fold.source) == len(SOURCE)
        assert fold.as_json()["validation"] == {each.id: EMOTIONS.index(emotions[each.id]) for each in fold.validation}
    assert "+3 source labels per class for selection" in plan.protocol and " 2-shot " in plan.protocol


def test_the_shots_and_the_folds_stay_and_without_it_nothing_changes() -> None:
    plain, held = (make_task(task(validation=count), SOURCE, TARGET, 0) for count in (0, 2))
    for one, other in zip(plain.folds, held.folds, strict=True):
        assert (one.labelled, one.labels, one.target, one.test) == (other.labelled, other.labels, other.target, other.test)
        assert set(one.source) == {*other.source, *other.validation}
        assert not one.validation and "validation" not in one.as_json()
    more = make_task(task(shots=4), SOURCE, TARGET, 0).folds[0]
    assert {each.id for each in held.folds[0].validation} <= {each.id for each in more.labelled}, "the next shots"


def test_of_all_shots_they_are_taken_out() -> None:
    fold = make_task(task(shots="all", validation=5), SOURCE, TARGET, 0).folds[0]
    assert len(fold.validation) == 15 and len(fold.labelled) == len(SOURCE) - 15 and not fold.source


def test_a_ceiling_holds_out_of_the_folds_that_are_not_scored() -> None:
    for fold in make_task(task(source="emovo", validation=1), TARGET, TARGET, 0).folds:
        assert len(fold.validation) == 3 and not set(fold.validation) & {*fold.test, *fold.labelled, *fold.source}


def test_too_few_utterances_are_refused_with_what_works(make: Make) -> None:
    few = make("emodb", ["03"], EMOTIONS, each=4)
    with pytest.raises(SereError) as caught:
        make_task(task(validation=3), few, TARGET, 0, lambda path: Place("run.yaml", 7, 3, path))
    problem = caught.value.problems[0]
    assert problem.code == "D607" and problem.place.path == "task.shots" and "5" in problem.message
    assert "`shots: 1`" in problem.hint and "`validation: 1`" in problem.hint
