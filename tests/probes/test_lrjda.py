"""LRJDA, reconstructed: the solver against other solvers, and what the nuclear norm does at its ends."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sere_plugins.methods.base import class_gaps
from sere_plugins.methods.lrjda import LowRank, Lrjda, shrunk
from sere_plugins.methods.regression import with_constant
from sere_plugins.specs.closed_form import LrjdaParams
from tests.probes.driver import CLASSES, Toy, accuracy, posteriors, rearranged, solved


def parts(width: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    """X, L and Delta of a toy with its true labels."""
    toy = Toy.make(width=width)
    x, target = (with_constant(toy.vectors[name].double()) for name in ("labelled", "target"))
    return x, functional.one_hot(toy.labels, 3).double().T, class_gaps(x, toy.labels, target, toy.truth)


def problem(alignment: float = 1.0, mu: float = 1.0, width: int = 12) -> LowRank:
    return LowRank.of(*parts(width), alignment, mu)


def solve(given: LowRank) -> Tensor:
    return given.solve(iterations=3000, tolerance=1e-10)[0]


def value(p: Tensor, alignment: float, mu: float, width: int) -> float:
    """The objective as it is written, of P `[d, C]`."""
    x, labels, delta = parts(width)
    misalignment = torch.trace(p.T @ delta @ delta.T @ p)
    return float((labels - p.T @ x).square().sum() + alignment * misalignment + mu * torch.linalg.matrix_norm(p, ord="nuc"))


def proximal(alignment: float, mu: float, width: int, steps: int = 4000) -> Tensor:
    """The minimum by proximal gradient steps on all of P."""
    x, labels, delta = parts(width)
    quadratic, right = x @ x.T + alignment * delta @ delta.T, x @ labels.T
    size = 1 / (2 * float(torch.linalg.matrix_norm(quadratic, ord=2)))
    p = torch.zeros_like(right)
    for _ in range(steps):
        p = shrunk(p - size * 2 * (quadratic @ p - right), size * mu)
    return p


def reweighted(alignment: float, mu: float, width: int, steps: int = 60, eps: float = 1e-6) -> Tensor:
    """By `tr(P^T (P P^T + eps^2)^{-1/2} P) / 2` in place of the norm."""
    x, labels, delta = parts(width)
    quadratic, eye = x @ x.T + alignment * delta @ delta.T, torch.eye(width + 1, dtype=x.dtype)
    p = torch.linalg.solve(quadratic + mu * eye, x @ labels.T)
    for _ in range(steps):
        values, vectors = torch.linalg.eigh(p @ p.T + eps**2 * eye)
        p = torch.linalg.solve(quadratic + mu / 2 * (vectors * values.clamp_min(eps**2) ** -0.5) @ vectors.T, x @ labels.T)
    return p


@pytest.mark.parametrize(("alignment", "mu", "width"), [(1.0, 1.0, 12), (0.0, 3.0, 12), (10.0, 5.0, 3)])
def test_other_solvers_find_no_lower_value(alignment: float, mu: float, width: int) -> None:
    given = problem(alignment, mu, width)
    q = solve(given)
    p = given.axes @ q
    assert given.objective(q) == pytest.approx(value(p, alignment, mu, width), rel=1e-9)
    assert value(p, alignment, mu, width) <= value(reweighted(alignment, mu, width), alignment, mu, width) + 1e-9
    torch.testing.assert_close(p, proximal(alignment, mu, width), rtol=0, atol=1e-4)


def test_the_span_of_few_utterances_is_enough() -> None:
    given = problem(width=80)
    assert given.axes.shape == (81, 15 + 4)
    torch.testing.assert_close(given.axes @ solve(given), proximal(1.0, 1.0, 80, steps=2000), rtol=0, atol=2e-3)


def test_the_rank_falls_to_0_as_mu_grows() -> None:
    ranks = [int((torch.linalg.svdvals(solve(problem(mu=mu))) > 1e-9).sum()) for mu in (1e-3, 30.0, 60.0, 1e4)]
    assert ranks == sorted(ranks, reverse=True) and ranks[0] == 3 and ranks[-1] == 0 and len(set(ranks)) > 2


def test_without_the_norm_it_is_least_squares() -> None:
    x, labels, delta = parts(4)
    given = problem(alignment=2.0, mu=0.0, width=4)
    expected = torch.linalg.lstsq(x @ x.T + 2.0 * delta @ delta.T, x @ labels.T).solution
    torch.testing.assert_close(given.axes @ solve(given), expected, rtol=1e-5, atol=1e-7)


def test_alignment_pulls_the_means_together() -> None:
    _, _, delta = parts()
    apart = [float(((given.axes @ solve(given)).T @ delta).square().sum()) for given in (problem(0.0), problem(1.0), problem(1e5))]
    assert apart == sorted(apart, reverse=True) and apart[2] < 1e-4 * apart[0]


def test_shrinking_does_not_see_rotations() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix, left, right = (torch.randn(*size, generator=generator, dtype=torch.float64) for size in ((6, 3), (6, 6), (3, 3)))
    left, right = torch.linalg.qr(left)[0], torch.linalg.qr(right)[0]
    torch.testing.assert_close(shrunk(left @ matrix @ right, 0.7), left @ shrunk(matrix, 0.7) @ right)
    torch.testing.assert_close(torch.linalg.svdvals(shrunk(matrix, 0.7)), (torch.linalg.svdvals(matrix) - 0.7).clamp_min(0))


def made(toy: Toy, classes: tuple[str, ...] = CLASSES, **params: Any) -> tuple[Lrjda, dict[str, list[float]]]:
    return solved(lambda context: Lrjda(LrjdaParams(**params), context), toy, classes)


@pytest.mark.parametrize("width", [4, 200])
def test_solves_a_toy_and_settles(width: int) -> None:
    toy = Toy.make(width=width)
    method, trace = made(toy)
    assert trace["changed"][-1] == 0 and max(trace["steps"]) < 1000 and trace["rank"][-1] <= 3
    assert accuracy(method, toy) > 0.8


def test_neither_the_order_of_the_target_nor_the_names_of_classes_matter() -> None:
    toy = Toy.make()
    for other, chosen in rearranged(toy):
        torch.testing.assert_close(made(other)[0].projection[:, chosen], made(toy)[0].projection, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [4, 60])
def test_one_target_duplicates_a_class_without_labels_and_a_map_that_vanishes(width: int) -> None:
    toy = Toy.make(width=width)
    one = toy.vectors["target"][:1]
    cases = [{"target": one}, {"target": one.repeat(7, 1)}, {"target": torch.zeros(2, width)}]
    for case in [*cases, {"labelled": toy.vectors["labelled"][:1].repeat(15, 1)}]:
        method, trace = made(Toy({**toy.vectors, **case}, toy.labels, toy.truth), (*CLASSES, "fear"))
        assert posteriors(method, toy.vectors["target"]).isfinite().all() and method.projection.any()
        assert "labelled" in case or trace["missing"][-1] == 2
    vanished, trace = made(toy, low_rank=1e6)
    assert trace["rank"] == [0.0, 0.0] and max(trace["steps"]) < 1000 and torch.equal(posteriors(vanished, one), torch.full((1, 3), 1 / 3))
