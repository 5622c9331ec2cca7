"""Do the scored utterances cluster by emotion?  Against plain loops, and at the one opening that scoring takes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from sere_core.data.task import TaskPlan
from sere_core.score.clustering import clustering
from sere_core.score.scorer import Scorer
from tests.score.conftest import target


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


def test_the_scorer_opens_labels_once_for_all_of_it(plan: TaskPlan) -> None:
    scorer, fold = Scorer(plan, target), plan.folds[0]
    random = np.random.default_rng(0)
    posteriors = np.full((21, 7), 1 / 7)
    scorer.score(fold, posteriors, random.normal(size=(21, 3)), [0] * 21)
    (written,) = scorer.as_json()["folds"]
    assert set(written["clustering"]) == {"silhouette", "knn_purity", "purity_chance", "k"}
    assert written["pseudo_accuracy"] == pytest.approx(1 / 7)
    assert scorer.as_json()["openings"] == [{"opener": "scorer", "count": 21}]


def test_a_resumed_run_keeps_it(plan: TaskPlan) -> None:
    before, after = Scorer(plan, target), Scorer(plan, target)
    before.score(plan.folds[0], np.full((21, 7), 1 / 7), np.random.default_rng(0).normal(size=(21, 3)), [0] * 21)
    before.score(plan.folds[1], np.full((21, 7), 1 / 7))
    data = json.loads(json.dumps(before.as_json()))
    after.load(data)
    assert json.loads(json.dumps(after.as_json()))["folds"] == data["folds"]
    assert "clustering" not in data["folds"][1] and "pseudo_accuracy" not in data["folds"][1]
