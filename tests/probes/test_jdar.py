"""JDAR: the solver against an oracle of another kind, the checks of its objective, and the alternation with pseudo-labels."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sere_plugins.methods.base import class_gaps
from sere_plugins.methods.jdar import Jdar, Problem
from sere_plugins.methods.regression import with_constant
from sere_plugins.specs.closed_form import JdarParams
from tests.probes.driver import CLASSES, Toy, accuracy, posteriors, rearranged, solved

Axis = Literal["rows", "columns"]


def problem(alignment: float = 1.0, sparsity: float = 1.0, axis: Axis = "rows", width: int = 40, count: int = 15) -> Problem:
    """A random one: three classes, features of which the first six matter, target classes shifted."""
    generator = torch.Generator().manual_seed(0)
    labels, guesses = torch.arange(count) % 3, torch.arange(30) % 3
    centres = torch.zeros(width, 3, dtype=torch.float64)
    centres[:6] = 2 * torch.randn(6, 3, generator=generator, dtype=torch.float64)
    x = centres[:, labels] + 0.3 * torch.randn(width, count, generator=generator, dtype=torch.float64)
    target = centres[:, guesses] + 0.5 + 0.3 * torch.randn(width, 30, generator=generator, dtype=torch.float64)
    return Problem(x, functional.one_hot(labels, 3).double().T, class_gaps(x, labels, target, guesses), alignment, sparsity, axis)


def solve(given: Problem) -> tuple[Tensor, list[float]]:
    return given.solve(iterations=2000, tolerance=1e-13)


def admm(given: Problem, rho: float = 1.0, steps: int = 3000) -> Tensor:
    """The same minimum by splitting P = Q: a ridge step for P, a soft threshold of the norms for Q; returns Q."""
    x, gap = given.x, given.gaps
    left = 2 * (x @ x.T + given.alignment * gap @ gap.T) + rho * torch.eye(len(x), dtype=x.dtype)
    q = torch.zeros(len(x), len(given.labels), dtype=x.dtype)
    dual, factor = torch.zeros_like(q), torch.linalg.cholesky(left)
    for _ in range(steps):
        p = torch.cholesky_solve(2 * x @ given.labels.T + rho * (q - dual), factor)
        norms = (p + dual).norm(dim=1 if given.axis == "rows" else 0, keepdim=True)
        q = (p + dual) * (1 - given.sparsity / rho / norms.clamp_min(1e-30)).clamp_min(0)
        dual = dual + p - q
    return q


@pytest.mark.parametrize("axis", ["rows", "columns"])
@pytest.mark.parametrize("sparsity", [0.3, 2.0])
def test_the_oracle_finds_the_same_optimum(axis: Axis, sparsity: float) -> None:
    given = problem(sparsity=sparsity, axis=axis)
    p, trace = solve(given)
    q = admm(given)
    assert trace[-1] == pytest.approx(given.objective(q), rel=1e-4)
    torch.testing.assert_close(p, q, rtol=0, atol=1e-3)


def test_whole_rows_vanish() -> None:
    given = problem(sparsity=2.0)
    rows = admm(given).norm(dim=1)
    small = solve(given)[0].norm(dim=1) < 1e-4
    assert (rows == 0).sum() > 5 and torch.equal(rows == 0, small)


@pytest.mark.parametrize("axis", ["rows", "columns"])
@pytest.mark.parametrize("width, count", [(40, 15), (8, 60)])
def test_the_objective_never_rises(axis: Axis, width: int, count: int) -> None:
    """60 steps with fixed pseudo-labels, at both sides of d = n."""
    _, trace = problem(axis=axis, width=width, count=count).solve(iterations=60, tolerance=-1.0)
    assert len(trace) == 61 and all(after <= before * (1 + 1e-12) for before, after in pairwise(trace))


@pytest.mark.parametrize("axis", ["rows", "columns"])
@pytest.mark.parametrize("width, count", [(40, 15), (8, 60)])
def test_a_step_solves_the_normal_equations(axis: Axis, width: int, count: int) -> None:
    """`(X X^T + lambda Delta Delta^T + mu D) P = X L^T`, whichever side it was solved at."""
    given = problem(0.7, 1.3, axis, width, count)
    old = torch.randn(width, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    new = given.step(old)
    quadratic = given.x @ given.x.T + 0.7 * given.gaps @ given.gaps.T
    right = given.x @ given.labels.T
    for c in range(3):
        norms = old.norm(dim=1) if axis == "rows" else old[:, c].norm().expand(width)
        torch.testing.assert_close((quadratic + 1.3 * torch.diag(1 / (2 * norms))) @ new[:, c], right[:, c], rtol=1e-8, atol=1e-8)


def test_alignment_pulls_the_means_together() -> None:
    free, strong = solve(problem(alignment=0.0))[0], solve(problem(alignment=1e6))[0]
    given = problem()
    assert given.misalignment(free) > 1e-2 and given.misalignment(strong) < 1e-6


def test_without_alignment_the_target_does_not_matter() -> None:
    one, other = problem(alignment=0.0), problem(alignment=0.0)
    torch.testing.assert_close(solve(one)[0], solve(Problem(other.x, other.labels, 5 * other.gaps, 0.0, 1.0))[0])


def test_identical_domains_with_true_labels_are_aligned() -> None:
    given = problem()
    labels = given.labels.argmax(dim=0)
    delta = class_gaps(given.x, labels, given.x, labels)
    assert not delta.any() and Problem(given.x, given.labels, delta, 1.0, 1.0).misalignment(solve(given)[0]) == 0.0


def test_gaps_are_the_differences_of_means() -> None:
    source, target = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    labels, guesses = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 0, 2, 2, 2])  # no one is 1
    delta = class_gaps(source, labels, target, guesses)
    assert delta.shape == (4, 3)
    torch.testing.assert_close(delta[:, 0], source.mean(dim=1) - target.mean(dim=1))
    torch.testing.assert_close(delta[:, 1], source[:, :2].mean(dim=1) - target[:, :2].mean(dim=1))
    torch.testing.assert_close(delta[:, 2], source[:, 4:].mean(dim=1) - target[:, 2:].mean(dim=1))


def made(toy: Toy, classes: tuple[str, ...] = CLASSES, **params: Any) -> tuple[Jdar, dict[str, list[float]]]:
    return solved(lambda context: Jdar(JdarParams(**params), context), toy, classes)


@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_solves_a_toy_and_settles(axis: str) -> None:
    toy = Toy.make()
    method, trace = made(toy, axis=axis)
    assert trace["changed"][-1] == 0 and len({len(series) for series in trace.values()}) == 1
    assert accuracy(method, toy) > 0.9


def test_rounds_may_run_out_and_vectors_may_be_wider_than_utterances_are_many() -> None:
    assert made(Toy.make(), rounds=1)[1]["changed"] == [60.0]
    toy = Toy.make(width=384)
    assert accuracy(made(toy)[0], toy) > 0.8


def test_neither_the_order_of_the_target_nor_the_names_of_classes_matter() -> None:
    toy = Toy.make()
    for other, columns in rearranged(toy):
        found = made(other)[0].projection[:, columns]
        torch.testing.assert_close(found, made(toy)[0].projection, rtol=1e-5, atol=1e-6)


def test_helps_where_the_domains_differ() -> None:
    gains = []
    for seed in range(5):
        toy = Toy.make(seed, shift=1.5, width=12)
        gains.append(accuracy(made(toy, alignment=100.0)[0], toy) - accuracy(made(toy, alignment=0.0)[0], toy))
    assert sum(gains) > 0, gains


def test_duplicates_a_single_target_and_missing_pseudo_labels() -> None:
    toy = Toy.make()
    one = toy.vectors["target"][:1]
    for target in (one, one.repeat(7, 1), toy.vectors["target"][toy.truth == 0]):
        found, _ = made(Toy({**toy.vectors, "target": target}, toy.labels, toy.truth))
        assert found.projection.isfinite().all() and found.projection.any()


def test_a_class_without_labels_is_skipped() -> None:
    toy = Toy.make()
    found, _ = made(toy, classes=(*CLASSES, "fear"))
    assert found.projection.isfinite().all()
    assert posteriors(found, toy.vectors["target"]).argmax(dim=1).max() < 3


def test_prediction_is_the_softmax_of_the_affine_map() -> None:
    method, _ = made(Toy.make())
    vectors = torch.tensor([[1.0, -2.0, 0.5, 3.0]])
    torch.testing.assert_close(posteriors(method, vectors), (vectors @ method.projection[:4] + method.projection[4]).softmax(dim=1))
    assert torch.equal(with_constant(vectors), torch.tensor([[1.0], [-2.0], [0.5], [3.0], [1.0]]))
