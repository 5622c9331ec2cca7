"""The scorer opens labels once per fold, and takes up the count of an interrupted run."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from sere_core.data.labels import Opening, Seal
from sere_core.data.task import TaskPlan
from sere_core.score.scorer import Scorer
from sere_registry.errors import SereError


def uniform(plan: TaskPlan, fold: int) -> np.ndarray:
    return np.full((len(plan.folds[fold].test), len(plan.classes)), 1 / len(plan.classes))


def test_one_opening_per_fold_is_written_down(plan: TaskPlan, seal: Seal) -> None:
    scorer = Scorer(plan, seal)
    for fold in plan.folds:
        scores = scorer.score(fold, uniform(plan, fold.index))
        assert scores.uar == scores.chance == 1 / 7, "ties go to the first class: one recall of 1, six of 0"
    data = scorer.as_json()
    assert data["openings"] == [{"opener": "scorer", "count": 21}] * 3
    assert data["complete"] and data["mean"]["uar"] == pytest.approx(1 / 7)


def test_speakers_are_counted_at_the_same_opening(plan: TaskPlan, seal: Seal) -> None:
    scorer = Scorer(plan, seal)
    for fold in plan.folds:
        scorer.score(fold, np.eye(7)[np.arange(len(fold.test)) % 7])
        (written,) = [each for each in scorer.as_json()["folds"] if each["fold"] == fold.index]
        assert [each["speaker"] for each in written["speakers"]] == sorted({each.speaker for each in fold.test})
        assert all(each["gender"] is None for each in written["speakers"]), "nobody said"
        assert np.sum([each["confusion"] for each in written["speakers"]], axis=0).tolist() == [list(row) for row in written["confusion"]]
    assert [each.count for each in plan.sealed.openings] == [21] * 3


def test_a_corpus_without_speakers_has_none_to_count(plan: TaskPlan, seal: Seal) -> None:
    fold = replace(plan.folds[0], test=tuple(replace(each, speaker="") for each in plan.folds[0].test))
    known = replace(fold, index=1, test=tuple(replace(each, gender="female", speaker="a") for each in fold.test))
    scorer = Scorer(plan, seal)
    scorer.score(fold, uniform(plan, 0))
    scores = scorer.score(known, uniform(plan, 0))
    nobody, somebody = scorer.as_json()["folds"]
    assert nobody["speakers"] == []
    assert somebody["speakers"] == [{"speaker": "a", "gender": "female", "confusion": [list(row) for row in scores.confusion]}]


def test_posteriors_that_cannot_be_scored_open_nothing(plan: TaskPlan, seal: Seal) -> None:
    with pytest.raises(SereError, match="B403"):
        Scorer(plan, seal).score(plan.folds[0], uniform(plan, 0) * np.nan)
    assert plan.sealed.openings == ()


def test_a_scorer_without_the_seal_scores_nothing(plan: TaskPlan) -> None:
    with pytest.raises(SereError, match="D611"):
        Scorer(plan, Seal()).score(plan.folds[0], uniform(plan, 0))


def test_an_interrupted_run_ends_with_the_scores_of_an_unbroken_one(plan: TaskPlan, seal: Seal) -> None:
    first = Scorer(plan, seal)
    first.score(plan.folds[0], uniform(plan, 0))
    kept = json.loads(json.dumps(first.as_json()))
    assert not kept["complete"]
    for fold in plan.folds[1:]:
        first.score(fold, uniform(plan, fold.index))

    plan.sealed._openings.clear()  # as in a new process
    second = Scorer(plan, seal)
    second.load(kept)
    assert second.scored == {0} and plan.sealed.openings == (Opening("scorer", 21),)
    for fold in plan.folds[1:]:
        second.score(fold, uniform(plan, fold.index))
    assert second.as_json() == first.as_json()


@pytest.mark.parametrize("damage", [{}, {"classes": ["anger"], "folds": [], "openings": []}, {"classes": None}])
def test_scores_of_another_task_are_refused(plan: TaskPlan, seal: Seal, damage: dict[str, object]) -> None:
    with pytest.raises(SereError, match="T505"):
        Scorer(plan, seal).load(damage)
