"""The scorer opens labels once per fold, and takes up the count of an interrupted run."""

from __future__ import annotations

import json

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
