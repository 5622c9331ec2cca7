"""The scorer opens labels once per fold, and counts it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sere_core.config.checks import OWN_SCORES
from sere_core.config.model import Task
from sere_core.data.task import TaskPlan, make_task
from sere_core.score.calibration import MEASURES, confidence
from sere_core.score.evidence import agreement
from sere_core.score.records import Prediction, _plain
from sere_core.score.scorer import Scorer
from sere_registry.errors import SereError
from sere_registry.utterances import Utterance
from tests.score.conftest import posteriors, target, utterances


def uniform(plan: TaskPlan, fold: int) -> np.ndarray:
    return np.full((len(plan.folds[fold].test), len(plan.classes)), 1 / len(plan.classes))


def predicted(plan: TaskPlan) -> list[Prediction]:
    """Rows of predictions.csv, all folds."""
    found = []
    for fold in plan.folds:
        for recording, row in zip(fold.test, posteriors(len(fold.test), len(plan.classes), fold.index).tolist(), strict=True):
            found.append(Prediction(recording.id, fold.index, tuple(row), plan.classes[int(np.argmax(row))]))
    return sorted(found, key=lambda row: (row.fold, row.id))


def test_the_scorer_chooses_the_best_epoch_and_of_equals_the_last(plan: TaskPlan) -> None:
    fold, labels = plan.folds[0], {each.recording.key: plan.classes.index(each.emotion) for each in target()}
    right = np.eye(len(plan.classes))[[labels[each.key] for each in fold.test]]
    wrong = np.roll(right, 1, axis=1)
    scorer = Scorer(plan, target)
    assert scorer.choose(fold, {0: wrong, 1: right, 2: right, 3: wrong}) == 2
    scorer.score(fold, right)
    data = scorer.as_json()
    assert data["openings"] == [{"opener": "oracle", "count": len(fold.test)}, {"opener": "scorer", "count": len(fold.test)}]
    assert data["folds"][0]["oracle"] == {"epoch": 2, "uar": [0.0, 1.0, 1.0, 0.0]}


def test_one_opening_per_fold_is_written_down(plan: TaskPlan) -> None:
    scorer = Scorer(plan, target)
    for fold in plan.folds:
        scores = scorer.score(fold, uniform(plan, fold.index))
        assert scores.uar == scores.chance == 1 / 7, "ties go to the first class: one recall of 1, six of 0"
    data = scorer.as_json()
    assert data["openings"] == [{"opener": "scorer", "count": 21}] * 3
    assert data["complete"] and data["mean"]["uar"] == pytest.approx(1 / 7)


def test_speakers_are_counted_at_the_same_opening(plan: TaskPlan) -> None:
    scorer = Scorer(plan, target)
    for fold in plan.folds:
        scorer.score(fold, np.eye(7)[np.arange(len(fold.test)) % 7])
        (written,) = [each for each in scorer.as_json()["folds"] if each["fold"] == fold.index]
        assert [each["speaker"] for each in written["speakers"]] == sorted({each.speaker for each in fold.test})
        assert all(each["gender"] is None for each in written["speakers"]), "nobody said"
        assert np.sum([each["confusion"] for each in written["speakers"]], axis=0).tolist() == [list(row) for row in written["confusion"]]
    assert [each["count"] for each in scorer.as_json()["openings"]] == [21] * 3


def test_a_corpus_without_speakers_has_none_to_count(plan: TaskPlan) -> None:
    fold = replace(plan.folds[0], test=tuple(replace(each, speaker="") for each in plan.folds[0].test))
    known = replace(fold, index=1, test=tuple(replace(each, gender="female", speaker="a") for each in fold.test))
    scorer = Scorer(plan, target)
    scorer.score(fold, uniform(plan, 0))
    scores = scorer.score(known, uniform(plan, 0))
    nobody, somebody = scorer.as_json()["folds"]
    assert nobody["speakers"] == []
    assert somebody["speakers"] == [{"speaker": "a", "gender": "female", "confusion": [list(row) for row in scores.confusion]}]


def test_posteriors_that_cannot_be_scored_open_nothing(plan: TaskPlan) -> None:
    scorer = Scorer(plan, target)
    with pytest.raises(SereError, match="B403"):
        scorer.score(plan.folds[0], uniform(plan, 0) * np.nan)
    assert scorer.as_json()["openings"] == []


def test_labels_that_are_not_those_of_the_plan_score_nothing(plan: TaskPlan) -> None:
    def swapped() -> list[Utterance]:
        first, second, *rest = target()
        last = rest.pop()
        return [replace(first, emotion=last.emotion), second, *rest, replace(last, emotion=first.emotion)]

    scorer = Scorer(plan, swapped)
    with pytest.raises(SereError, match="T505"):
        scorer.score(plan.folds[0], uniform(plan, 0))
    assert scorer.as_json()["openings"] == [] and not scorer.scored


def test_labels_of_all_folds_are_opened_once_more_when_they_are_pooled(plan: TaskPlan) -> None:
    scorer = Scorer(plan, target)
    scorer.score(plan.folds[0], uniform(plan, 0))
    assert not scorer.as_json()["complete"] and scorer.as_json()["openings"] == [{"opener": "scorer", "count": 21}]
    for fold in plan.folds[1:]:
        scorer.score(fold, uniform(plan, fold.index))
    rows = predicted(plan)
    assert scorer.pool(rows) == [row.id.split("-")[1] for row in rows]
    assert [each["count"] for each in scorer.as_json()["openings"]] == [21, 21, 21, 63]  # type: ignore[attr-defined]


def test_confidence_is_in_every_fold_in_the_means_and_over_all_utterances(plan: TaskPlan) -> None:
    scorer, rows = Scorer(plan, target), predicted(plan)
    for fold in plan.folds:
        scorer.score(fold, np.array([row.posteriors for row in rows if row.fold == fold.index]))
    between = scorer.as_json()
    assert "confidence" not in between["pooled"], "no label is kept between folds"
    labels = [plan.classes.index(label) for label in scorer.pool(rows)]
    data = scorer.as_json()
    assert data["pooled"]["confidence"] == confidence(np.array([row.posteriors for row in rows]), labels)
    for name in MEASURES:
        values = [fold["confidence"][name] for fold in data["folds"]]
        assert data["values"][name] == tuple(values) and data["mean"][name] == pytest.approx(np.mean(values))
        assert scorer.numbers(0)[name] == values[0]
    assert set(scorer.numbers(0)) == set(OWN_SCORES), "no metric of a config may have such an id"
    kept = ("folds", "mean", "std", "values", "classes", "complete")
    assert {name: data[name] for name in kept} == {name: between[name] for name in kept}


def test_a_metric_without_a_value_in_one_fold_has_no_mean_and_ends_no_run(plan: TaskPlan) -> None:
    values = iter((0.5, np.nan, 0.25))
    scorer = Scorer(plan, target, lambda *_: {"kappa": next(values)})
    for fold in plan.folds:
        scorer.score(fold, uniform(plan, fold.index))
    data = _plain(scorer.as_json())
    assert isinstance(data, dict) and data["values"]["kappa"] == [0.5, None, 0.25]
    assert data["mean"]["kappa"] is None and data["std"]["kappa"] is None and data["std"]["ece"] is not None


@pytest.mark.parametrize("change", [slice(1, None), slice(None, None, -1)])
def test_predictions_of_another_task_are_not_pooled(plan: TaskPlan, change: slice) -> None:
    with pytest.raises(SereError, match="T505"):
        Scorer(plan, target).pool(predicted(plan)[change])


def test_the_scorer_opens_labels_once_for_all_of_it(plan: TaskPlan) -> None:
    scorer, fold = Scorer(plan, target), plan.folds[0]
    random = np.random.default_rng(0)
    posteriors = np.full((21, 7), 1 / 7)
    scorer.score(fold, posteriors, random.normal(size=(21, 3)), [0] * 21)
    (written,) = scorer.as_json()["folds"]
    assert set(written["clustering"]) == {"silhouette", "knn_purity", "purity_chance", "k"}
    assert written["pseudo_accuracy"] == pytest.approx(1 / 7)
    assert scorer.as_json()["openings"] == [{"opener": "scorer", "count": 21}]


def test_unlabelled_utterances_are_not_scored(plan: TaskPlan) -> None:
    def partly() -> list[Utterance]:
        return [replace(each, emotion="") if each.id.endswith("2") else each for each in target()]

    config = Task(source="emodb", target="emovo", shots=2, folds=3)
    part = make_task(config, utterances("emodb", "de"), partly(), 0)
    scorer = Scorer(part, partly)
    for fold in part.folds:
        rows = np.random.default_rng(fold.index).dirichlet(np.ones(7), size=len(fold.test))
        scores = scorer.score(fold, rows, rows, rows.argmax(axis=1).tolist())
        labelled = [row for row, each in enumerate(fold.test) if not each.id.endswith("2")]
        right = [part.classes[rows[row].argmax()] == fold.test[row].id.split("-")[1] for row in labelled]
        assert (scores.n, scores.war) == (14, pytest.approx(np.mean(right)))
        written = scorer.as_json()["folds"][-1]
        assert written["pseudo_accuracy"] == pytest.approx(scores.war)
        assert sum(np.sum(each["confusion"]) for each in written["speakers"]) == 14
    assert [each["count"] for each in scorer.as_json()["openings"]] == [14] * 3


def test_without_any_label_nothing_is_opened_and_posteriors_speak_for_themselves() -> None:
    def opened() -> list[Utterance]:
        raise AssertionError("nothing may be opened")

    silent = [replace(each, emotion="") for each in target()]
    plan = make_task(Task(source="emodb", target="emovo", shots=2), utterances("emodb", "de"), silent, 0)
    scorer = Scorer(plan, opened)
    assert not scorer.as_json()["complete"]
    scorer.describe(np.eye(7)[np.arange(63) % 7])
    data = scorer.as_json()
    assert (data["scored"], data["complete"], data["openings"]) == (False, True, [])
    assert data["evidence"]["shares"] == dict.fromkeys(plan.classes, 1 / 7) and data["evidence"]["confidence"] == 1
    assert (data["evidence"]["entropy"], data["evidence"]["information_max"]) == (0, pytest.approx(np.log(7)))
    with pytest.raises(SereError, match="B403"):
        scorer.describe(np.full((63, 7), 0.5))
    assert not scorer.scored


def test_agreement_is_over_pairs_of_runs() -> None:
    assert agreement([["a", "b", "c"]]) is None
    assert agreement([["a", "b"], ["a", "c"], ["d", "c"]]) == pytest.approx((0.5 + 0.0 + 0.5) / 3)
