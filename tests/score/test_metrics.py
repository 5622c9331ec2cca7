"""Scores against numbers worked out by hand and scikit-learn, clustering against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score, recall_score

from sere_core.score.metrics import clustering, from_confusion, score, summarise, uar
from sere_registry.errors import SereError

CLASSES = ("anger", "fear", "neutral", "sadness")


def one_hot(predicted: list[int], classes: int = 4) -> NDArray[np.float32]:
    """Posteriors whose highest is at `predicted`."""
    posteriors = np.full((len(predicted), classes), 0.1, dtype=np.float32)
    posteriors[range(len(predicted)), predicted] = 1.0 - 0.1 * (classes - 1)
    return posteriors


def test_by_hand() -> None:
    """Anger 2 of 4, fear 1 of 1, neutral 0 of 3; nobody is sad, though sadness is predicted once."""
    scores = score(one_hot([0, 0, 1, 3, 1, 0, 1, 1]), [0, 0, 0, 0, 1, 2, 2, 2], CLASSES)
    assert scores.confusion == ((2, 1, 0, 1), (0, 1, 0, 0), (1, 2, 0, 0), (0, 0, 0, 0))
    assert scores.recall == (0.5, 1.0, 0.0, None)
    assert scores.absent == ("sadness",)
    assert scores.uar == (0.5 + 1.0 + 0.0) / 3, "the class without utterances is left out of the mean"
    assert scores.war == 3 / 8
    assert scores.f1 == pytest.approx((2 * 2 / (4 + 3) + 2 * 1 / (1 + 4) + 0) / 3)
    assert (scores.chance, scores.majority, scores.n) == (0.25, 0.5, 8)


def test_always_the_majority_scores_what_the_record_says_it_would() -> None:
    scores = score(one_hot([0] * 6), [0, 0, 0, 1, 2, 3], CLASSES)
    assert scores.war == scores.majority == 0.5 and scores.uar == scores.chance == 0.25


pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(pairs)
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
def test_as_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = [list(side) for side in zip(*pairs, strict=True)]
    scores, present = score(one_hot(predicted), labels, CLASSES), sorted(set(labels))
    assert scores.uar == pytest.approx(recall_score(labels, predicted, labels=present, average="macro"), abs=1e-12)
    assert scores.uar == pytest.approx(balanced_accuracy_score(labels, predicted), abs=1e-12)
    assert scores.f1 == pytest.approx(f1_score(labels, predicted, labels=present, average="macro"), abs=1e-12)
    assert scores.war == pytest.approx(accuracy_score(labels, predicted), abs=1e-12)
    assert np.array_equal(scores.confusion, confusion_matrix(labels, predicted, labels=range(4)))
    each = recall_score(labels, predicted, labels=present, average=None, zero_division=0)
    assert [scores.recall[c] for c in present] == pytest.approx(each.tolist(), abs=1e-12)


def test_over_folds_every_fold_weighs_the_same_and_confusions_add_up() -> None:
    folds = [score(one_hot([0, 1]), [0, 1], CLASSES), score(one_hot([0, 0, 0, 0]), [0, 0, 1, 1], CLASSES)]
    summary = summarise(folds, CLASSES)
    assert summary.values["uar"] == (1.0, 0.5)
    assert summary.mean["uar"] == 0.75
    assert summary.std["uar"] == pytest.approx(0.5 / 2**0.5), "n - 1"
    assert summary.pooled.confusion[0][:2] == (3, 0) and summary.pooled.confusion[1][:2] == (2, 1)
    assert summary.pooled.war == 4 / 6 != summary.mean["war"]
    assert summarise(folds[:1], CLASSES).std["uar"] is None, "one fold has no deviation"


def test_many_confusions_at_once_score_as_each_alone_and_in_any_order_of_classes() -> None:
    counts = np.random.default_rng(0).integers(0, 30, size=(5, 3, 6, 6))
    counts[0, 0, 2] = 0
    found = uar(counts)
    assert found.tolist() == [[from_confusion(each, "abcdef").uar for each in row] for row in counts]
    assert (uar(counts[..., ::-1, ::-1]) == found).all() and np.isnan(uar(np.zeros((2, 2), dtype=np.int64)))


def test_equal_posteriors_go_to_the_first_class() -> None:
    assert score(np.full((3, 4), 0.25), [0, 1, 1], CLASSES).confusion[1][0] == 2


@pytest.mark.parametrize(
    ("posteriors", "what"),
    [
        (one_hot([0, 1]), "shape"),
        (one_hot([0, 1, 1], classes=3), "shape"),
        (np.array([[np.nan, 1, 0, 0]] * 3), "not finite"),
        (np.array([[-0.5, 1.5, 0, 0]] * 3), "negative"),
        (np.array([[3.0, 1.0, 0, 0]] * 3), "sum to 1"),
    ],
)
def test_what_are_no_posteriors(posteriors: NDArray[np.floating], what: str) -> None:
    with pytest.raises(SereError, match=rf"\[B403\].*{what}"):
        score(posteriors, [0, 1, 2], CLASSES)


def test_a_label_outside_of_the_classes_is_a_bug() -> None:
    with pytest.raises(ValueError, match="positions"):
        score(one_hot([0]), [4], CLASSES)


def in_loops(points: np.ndarray, labels: list[int], k: int) -> tuple[float, float]:
    """Silhouette and k-NN purity."""
    n = len(points)
    far = [[math.dist(a, b) for b in points] for a in points]
    widths, shares = [], []
    for i in range(n):
        mean = {c: np.mean([far[i][j] for j in range(n) if labels[j] == c and j != i] or [0.0]) for c in set(labels)}
        near = min(value for c, value in mean.items() if c != labels[i])
        widths.append(0.0 if labels.count(labels[i]) == 1 else (near - mean[labels[i]]) / max(near, mean[labels[i]]))
        others = sorted((j for j in range(n) if j != i), key=lambda j: far[i][j])[:k]
        shares.append(sum(labels[j] == labels[i] for j in others) / k)
    return float(np.mean(widths)), float(np.mean(shares))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_in_loops(k: int) -> None:
    random = np.random.default_rng(k)
    labels = [0, 1, 2, 0, 1, 2, 0, 1, 0, 2, 1, 0]
    points = random.normal(size=(12, 4)) + np.eye(4)[labels]
    found = clustering(points, labels, k)
    silhouette, purity = in_loops(points, labels, k)
    assert found["silhouette"] == pytest.approx(silhouette, abs=1e-8) and found["knn_purity"] == pytest.approx(purity, abs=1e-8)
    assert found["k"] == k


def test_chance_is_what_noise_gets() -> None:
    random = np.random.default_rng(0)
    labels = [0] * 60 + [1] * 30 + [2] * 10
    noise = [clustering(random.normal(size=(100, 8)), random.permutation(labels).tolist()) for _ in range(40)]
    assert np.mean([each["knn_purity"] for each in noise]) == pytest.approx(noise[0]["purity_chance"], abs=0.02)
    assert np.mean([each["silhouette"] for each in noise]) == pytest.approx(0, abs=0.03)


def test_what_cannot_be_told_is_not_made_up() -> None:
    points = np.arange(4.0)[:, None]
    assert clustering(points, [1, 1, 1, 1])["silhouette"] is None, "one class lies apart from nothing"
    assert clustering(points, [0, 1, 2, 3])["silhouette"] is None, "and so does everyone alone"
    assert clustering(points, [0, 0, 1, 1])["k"] == 3, "there are no five others"
    assert clustering(points[:1], [0]) == {"silhouette": None, "knn_purity": None, "purity_chance": None, "k": 0}
    assert clustering(points * np.nan, [0, 0, 1, 1])["knn_purity"] is None
