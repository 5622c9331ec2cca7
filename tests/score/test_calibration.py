"""Calibration and selective prediction: against definitions written as loops in float64, scikit-learn and torchmetrics."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, log_loss, recall_score
from torchmetrics.functional.classification import multiclass_calibration_error

from sere_core.score.calibration import BINS, COVERAGES, LEAST, calibration, confidence, reliability, risk_coverage, selective_uar


def drawn(n: int, classes: int, seed: int, sharp: float = 1.0) -> tuple[np.ndarray, list[int]]:
    draw = np.random.default_rng(seed)
    return draw.dirichlet(np.full(classes, sharp), size=n), draw.integers(classes, size=n).tolist()


CASES = [(1, 2, 0), (40, 5, 1), (257, 4, 2), (1000, 7, 3)]


@pytest.mark.parametrize(("n", "classes", "seed"), CASES)
def test_calibration_is_its_definition_and_that_of_the_libraries(n: int, classes: int, seed: int) -> None:
    rows, labels = drawn(n, classes, seed)
    found = calibration(rows, labels)
    bins: dict[int, list[tuple[float, bool]]] = {}
    for row, label in zip(rows.tolist(), labels, strict=True):
        bins.setdefault(math.ceil(max(row) * BINS), []).append((max(row), row.index(max(row)) == label))
    gaps = (abs(sum(sure for sure, _ in each) - sum(right for _, right in each)) for each in bins.values())
    assert found.ece == pytest.approx(sum(gaps) / n, abs=1e-12)
    squares = (sum((p - (c == label)) ** 2 for c, p in enumerate(row)) for row, label in zip(rows.tolist(), labels, strict=True))
    assert found.brier == pytest.approx(sum(squares) / n, abs=1e-12)
    theirs = multiclass_calibration_error(torch.from_numpy(rows), torch.tensor(labels), num_classes=classes, n_bins=BINS)
    assert found.ece == pytest.approx(float(theirs), abs=1e-6), "theirs is summed in float32"
    if classes > 2:
        every = list(range(classes))
        assert found.brier == pytest.approx(brier_score_loss(labels, rows, labels=every, scale_by_half=False), abs=1e-12)
        assert found.nll == pytest.approx(log_loss(labels, rows, labels=every), abs=1e-9)


def test_perfect_and_hopeless_posteriors_have_the_values_of_the_papers() -> None:
    perfect, wrong = np.eye(3), np.eye(3)[[1, 2, 0]]
    assert vars(calibration(perfect, [0, 1, 2])) == {"ece": 0.0, "brier": 0.0, "nll": 0.0}
    found = calibration(wrong, [0, 1, 2])
    assert (found.ece, found.brier) == (1.0, 2.0) and found.nll == pytest.approx(-math.log(LEAST)), "finite, however sure"
    guess = calibration(np.full((4, 4), 0.25), [0, 1, 2, 3])
    assert guess.ece == 0.0 and guess.brier == pytest.approx(0.75) and guess.nll == pytest.approx(math.log(4))
    half = calibration(np.array([[1.0, 0.0], [0.96, 0.04]]), [0, 1])
    assert half.ece == pytest.approx(abs(0.98 - 0.5)), "a confidence of exactly 1 is in the last bin, not in one of its own"


def test_the_bins_of_a_diagram_hold_what_the_error_is_made_of() -> None:
    rows, labels = drawn(500, 3, 4)
    found = reliability(rows, labels, bins=10)
    assert found.count.sum() == 500 and found.count[:3].sum() == 0, "of three classes the largest posterior is above 1/3"
    filled = found.count > 0
    assert np.isnan(found.accuracy[~filled]).all() and np.isnan(found.confidence[~filled]).all()
    inside = (found.edges[:-1] < found.confidence) & (found.confidence <= found.edges[1:])
    assert inside[filled].all() and found.edges.tolist() == np.linspace(0, 1, 11).tolist()
    assert (found.accuracy * found.count)[filled].sum() == pytest.approx((rows.argmax(axis=1) == labels).sum())
    assert reliability(rows, labels).ece == calibration(rows, labels).ece


@pytest.mark.parametrize(("n", "classes", "seed"), CASES)
def test_risk_is_the_share_of_errors_among_the_most_confident(n: int, classes: int, seed: int) -> None:
    rows, labels = drawn(n, classes, seed)
    order = sorted(range(n), key=lambda i: -max(rows[i]))
    errors, risks = 0, []
    for k, i in enumerate(order, 1):
        errors += int(rows[i].argmax()) != labels[i]
        risks.append(Fraction(errors, k))
    curve = risk_coverage(rows, labels)
    assert curve.risk.tolist() == [float(risk) for risk in risks]
    assert curve.coverage.tolist() == [k / n for k in range(1, n + 1)]
    assert curve.aurc == pytest.approx(float(sum(risks) / n), abs=1e-12)


def test_ties_of_confidence_do_not_depend_on_the_order_of_the_utterances() -> None:
    rows, labels = np.array([[0.8, 0.2]] * 4 + [[0.4, 0.6]]), [0, 1, 0, 1, 1]
    curve = risk_coverage(rows, labels)
    assert curve.risk.tolist() == pytest.approx([0.5, 0.5, 0.5, 0.5, 0.4])
    for order in ([4, 1, 3, 0, 2], [1, 3, 4, 2, 0]):
        again = rows[order], [labels[i] for i in order]
        assert risk_coverage(*again).risk.tolist() == curve.risk.tolist() and selective_uar(*again) == selective_uar(rows, labels)
    assert [each.n for each in selective_uar(rows, labels)] == [5, 5, 4, 4, 4, 4], "who ties is kept"


def test_uar_of_the_most_confident_is_that_of_scikit_learn_and_says_which_classes_are_left() -> None:
    rows, labels = drawn(203, 5, 5, sharp=0.3)
    unsure = np.array(labels) == 4
    rows[unsure] = 0.2 + 0.01 * rows[unsure] - 0.002  # a class of which nothing is sure
    order = np.argsort(-rows.max(axis=1), kind="stable")
    found = selective_uar(rows, labels)
    assert tuple(each.coverage for each in found) == COVERAGES and found[0].n == 203 and found[0].classes == 5
    assert found[-1].classes == 4
    for each in found:
        kept = order[: each.n]
        assert each.n == math.ceil(Fraction(round(100 * each.coverage), 100) * 203)
        true = np.array(labels)[kept]
        recalls = recall_score(true, rows[kept].argmax(axis=1), labels=np.unique(true), average="macro")
        assert each.uar == pytest.approx(recalls, abs=1e-12) and each.classes == len(np.unique(true))


def test_a_record_holds_a_curve_of_twenty_points_that_ends_in_the_error_rate() -> None:
    rows, labels = drawn(64, 4, 6)
    found = confidence(rows, labels)
    curve = found["risk_coverage"]
    assert isinstance(curve, dict) and len(curve["coverage"]) == len(curve["risk"]) == 20 and curve["coverage"][-1] == 1.0
    assert curve["risk"][-1] == pytest.approx(float((rows.argmax(axis=1) != labels).mean()))
    assert all(share >= point / 20 for point, share in enumerate(curve["coverage"], 1))
    assert confidence(rows[:1], labels[:1])["risk_coverage"] == {
        "coverage": [1.0] * 20,
        "risk": [float(rows[0].argmax() != labels[0])] * 20,
    }


@pytest.mark.parametrize(
    ("rows", "labels"),
    [(np.zeros((0, 2)), []), (np.full((2, 2), 0.5), [0]), (np.full((1, 2), 0.5), [2]), (np.full((1, 2), 0.5), [-1]), (np.zeros(2), [0, 1])],
)
def test_what_is_no_posteriors_with_labels_is_refused(rows: np.ndarray, labels: list[int]) -> None:
    for function in (calibration, reliability, risk_coverage, selective_uar):
        with pytest.raises(ValueError, match="positions of classes"):
            function(rows, labels)
