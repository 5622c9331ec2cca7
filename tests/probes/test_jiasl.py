"""JIASL, reconstructed: the alternation never rises, what its weights do at their ends, and the trap of a large tau."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import pytest
import torch
from sklearn.linear_model import Lasso
from torch import Tensor

from sere_plugins.methods.jdar import Jdar
from sere_plugins.methods.jiasl import Jiasl, Rebuilding
from sere_plugins.methods.regression import with_constant
from sere_plugins.specs.closed_form import JdarParams, JiaslParams
from tests.probes.driver import CLASSES, Toy, accuracy, context, posteriors, rearranged, solved


def made(toy: Toy, classes: tuple[str, ...] = CLASSES, **params: Any) -> tuple[Jiasl, dict[str, list[float]]]:
    return solved(lambda context: Jiasl(JiaslParams(**params), context), toy, classes)


def columns(toy: Toy) -> tuple[Tensor, Tensor]:
    return with_constant(toy.vectors["labelled"].double()), with_constant(toy.vectors["target"].double())


@pytest.mark.parametrize("axis", ["rows", "columns"])
@pytest.mark.parametrize("width", [4, 100])
@pytest.mark.parametrize("tau", [0.0, 0.3])
def test_the_objective_never_rises(axis: Literal["rows", "columns"], width: int, tau: float) -> None:
    """30 turns with fixed pseudo-labels, at both sides of d = n."""
    toy = Toy.make(width=width)
    source, target = columns(toy)
    method = Jiasl(JiaslParams(axis=axis, tau=tau, iterations=30, tolerance=0.0), context(width=width))
    *_, objectives = method.alternate(Rebuilding.of(source, toy.labels, target, toy.truth), toy.labels, 60)
    assert len(objectives) > 5 and all(after <= before * (1 + 1e-12) for before, after in pairwise(objectives))
    assert objectives[-1] < 0.999 * objectives[0]


def test_a_target_that_is_the_source_is_rebuilt_by_itself() -> None:
    source, _ = columns(Toy.make(width=30))
    whole, eye = Rebuilding.of(source, Toy.make().labels, source, None), torch.eye(15, dtype=torch.float64)
    assert not whole.residual(eye).any()
    p = torch.randn(31, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert (p.T @ whole.residual(whole.weights(p, 0 * eye, tau=0.0, steps=1000))).square().sum() < 1e-6


def test_each_class_is_rebuilt_from_itself() -> None:
    """And not at all where one side lacks it: here no target utterance is of class 1, and no source utterance of class 3."""
    source, target = columns(Toy.make(count=6))
    guesses = torch.tensor([0, 2, 3, 0, 0, 3])
    found = Rebuilding.of(source, Toy.make().labels, target, guesses)
    assert found.allowed.shape == (15, 6 + 4) and found.allowed[:, :6].all()
    torch.testing.assert_close(found.targets, torch.cat([target, target[:, [0, 1, 3, 4]]], dim=1))
    for column, c in enumerate([0, 2, 0, 0], start=6):
        assert torch.equal(found.allowed[:, column], Toy.make().labels == c)
    w = found.weights(torch.randn(5, 3, dtype=torch.float64), torch.zeros(15, 10, dtype=torch.float64), 0.01, 20)
    assert w.any() and not w[~found.allowed].any()


def test_the_weights_are_those_of_scikit_learn() -> None:
    source, target = columns(Toy.make(width=8))
    p = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole = Rebuilding.of(source, Toy.make().labels, target, None)
    found = whole.weights(p, torch.zeros(15, 60, dtype=torch.float64), tau=0.5, steps=2000)
    a, b = (p.T @ source).numpy(), (p.T @ target).numpy()
    lasso = Lasso(alpha=0.5 / (2 * 3), fit_intercept=False, tol=1e-12, max_iter=100_000)  # its squares are divided by 2 x 3 rows
    expected = torch.as_tensor(lasso.fit(a, b).coef_.T)

    def value(w: Tensor) -> float:
        return float((torch.as_tensor(b) - torch.as_tensor(a) @ w).square().sum() + 0.5 * w.abs().sum())

    assert value(found) == pytest.approx(value(expected), rel=1e-5)


def test_without_alignment_it_is_jdar_without_alignment() -> None:
    toy = Toy.make(width=12)
    found, _ = made(toy, alignment=0.0, iterations=200, tolerance=1e-12)
    expected, _ = solved(lambda context: Jdar(JdarParams(alignment=0.0, tolerance=1e-12), context), toy)
    torch.testing.assert_close(found.projection, expected.projection, rtol=1e-4, atol=1e-5)


def test_a_large_tau_is_a_trap_that_shrinks_the_target() -> None:
    toy = Toy.make(width=12)
    _, target = columns(toy)
    free, caught = made(toy, tau=1e-3, alignment=100.0), made(toy, tau=1e6, alignment=100.0)
    assert free[1]["used"][-1] > 0 and caught[1]["used"][-1] == 0.0
    sizes = [float((method.projection.double().T @ target).norm()) for method, _ in (free, caught)]
    assert sizes[1] < 0.5 * sizes[0]


def test_solves_a_toy_and_settles() -> None:
    toy = Toy.make()
    method, trace = made(toy)
    assert trace["changed"][-1] == 0 and len({len(series) for series in trace.values()}) == 1
    assert accuracy(method, toy) > 0.9


def test_neither_the_order_of_the_target_nor_the_names_of_classes_matter() -> None:
    toy = Toy.make()
    for other, chosen in rearranged(toy):
        torch.testing.assert_close(made(other)[0].projection[:, chosen], made(toy)[0].projection, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [4, 60])
def test_one_target_duplicates_missing_pseudo_labels_and_a_class_without_labels(width: int) -> None:
    toy = Toy.make(width=width)
    one = toy.vectors["target"][:1]
    for target in (one, one.repeat(7, 1), torch.zeros(2, width), toy.vectors["target"][toy.truth == 0]):
        method, trace = made(Toy({**toy.vectors, "target": target}, toy.labels, toy.truth), (*CLASSES, "fear"), iterations=5, rounds=3)
        found = posteriors(method, toy.vectors["target"])
        assert found.isfinite().all() and method.projection.any()
        assert len(target.unique(dim=0)) > 1 or trace["missing"][-1] == 2
        assert found.argmax(dim=1).max() < 3
    same = {**toy.vectors, "labelled": toy.vectors["labelled"][:1].repeat(15, 1)}
    assert made(Toy(same, toy.labels, toy.truth), iterations=5, rounds=3)[0].projection.isfinite().all()
