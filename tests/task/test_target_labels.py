"""A few labels of the target: trained on beside S_l, never scored, never in a fold that scores their speaker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sere_core.config.model import Task
from sere_core.data.labels import labels_of
from sere_core.data.task import TaskPlan, make_task
from sere_registry.errors import SereError
from sere_registry.utterances import Utterance
from tests.task.conftest import corpus

EMOTIONS = ("anger", "neutral", "sadness")


@pytest.fixture
def sides() -> tuple[list[Utterance], list[Utterance]]:
    return corpus("emodb", ["03", "08"], EMOTIONS), corpus("urdu", ["a", "b", "c", "d"], EMOTIONS, language="ur")


def annotated(target: list[Utterance], *wanted: int, emotion: str | None = None) -> list[Utterance]:
    """What `sere annotate` writes of some utterances: the same files in a corpus of another name."""
    rows = [target[index] for index in wanted]
    return [
        Utterance(replace(each.recording, corpus="mine", id=f"x/{each.id}", speaker=""), each.emotion if emotion is None else emotion)
        for each in rows
    ]


def planned(sides: tuple[list[Utterance], list[Utterance]], given: list[Utterance], **settings: object) -> TaskPlan:
    task = Task.model_validate({"source": "emodb", "target": "urdu", "target_labels": "mine", "shots": 2, "folds": 2, **settings})
    return make_task(task, *sides, 0, given=given)


@pytest.mark.parametrize("setting", ["inductive", "transductive"])
@pytest.mark.parametrize("known", [True, False])
def test_they_are_trained_on_and_not_scored(sides: tuple[list[Utterance], list[Utterance]], setting: str, known: bool) -> None:
    source, target = sides
    given = annotated(target, 0, 20, 47)
    if not known:
        target = [replace(each, emotion="") for each in target]
    plan = planned((source, target), given, setting=setting)
    taught = {target[index].id for index in (0, 20, 47)}
    labels = {target[index].id: EMOTIONS.index(each.emotion) for index, each in zip((0, 20, 47), given, strict=True)}
    assert plan.protocol.endswith("+3 target labels" + ("" if known else " 45 unlabelled, not scored"))
    notes = "\n".join(plan.notes)
    assert "3 of 48 utterances came with a label" in notes and ("45 of 48 utterances are unlabelled" in notes) != known
    for fold in plan.folds:
        extra = {each.id: label for each, label in zip(fold.labelled, fold.labels, strict=True) if each.corpus == "urdu"}
        tested = {each.speaker for each in fold.test}
        expected = {each.id for each in target if each.id in taught and (plan.setting == "transductive" or each.speaker not in tested)}
        assert extra == {id: labels[id] for id in expected}
        assert not taught & {each.id for each in (*fold.target, *fold.test)}
        assert len(labels_of(fold, plan, target)) == (len(fold.test) if known else 0)
    assert {each.id for fold in plan.folds for each in fold.test} == {each.id for each in target} - taught


def test_a_label_of_what_is_not_there_is_refused(sides: tuple[list[Utterance], list[Utterance]]) -> None:
    _, target = sides
    stranger = annotated(corpus("else", ["z"], EMOTIONS), 0)
    parts = [
        replace(each, recording=replace(each.recording, start=time, end=time + 1)) for each in annotated(target, 0) for time in (0.0, 1.0)
    ]
    for given, words in (
        (stranger, "not in corpus 'urdu'"),
        (parts, "not in corpus 'urdu'"),
        (annotated(target, 1, emotion="boredom"), "boredom"),
    ):
        with pytest.raises(SereError) as caught:
            planned(sides, given)
        assert [(each.code, each.place.path) for each in caught.value.problems] == [("D610", "task.target_labels")]
        assert words in str(caught.value)
    with pytest.raises(SereError) as caught:
        planned(sides, annotated(target, 1, emotion=""))
    assert [(each.code, each.place.path) for each in caught.value.problems] == [("D610", "task.target_labels")], "no label at all"
    with pytest.raises(SereError, match="C311"):
        planned((target, target), annotated(target, 0), source="urdu")
