"""TCA: its constraint and its optimum, the public code's numbers, and domains that are degenerate."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sere_core.functional import distances, unit_rows
from sere_plugins.methods.projected import Given
from sere_plugins.methods.tca import Space, Tca, components, contrasts
from sere_plugins.specs.closed_form import TcaParams
from sere_registry.guard import running
from tests.probes import golden
from tests.probes.driver import CLASSES, Toy, accuracy, posteriors, solved

KERNELS = pytest.mark.parametrize("kernel", ["primal", "linear", "rbf"])


def given(source: Tensor, target: Tensor) -> Given:
    return Given(source, torch.zeros(len(source), dtype=torch.long), target)


def space(data: Given, kernel: Any) -> Space:
    return Space.of(unit_rows(torch.cat([data.source, data.target])), kernel, 1.0)


def domains(width: int = 5, shift: float = 1.0) -> Given:
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randn(count, width, generator=generator, dtype=torch.float64) for count in (30, 40))
    return given(source, target + shift)


def gap(data: Given, kernel: str, **more: Any) -> float:
    """The squared distance of the means, per unit of variance."""
    k = space(data, kernel).k
    w = components(k, contrasts(data), **{"mu": 1.0, "dim": 3, **more})
    return float((w.T @ k @ contrasts(data)).square().sum())


def made(toy: Toy, classes: tuple[str, ...] = CLASSES, **params: Any) -> tuple[Tca, dict[str, list[float]]]:
    return solved(lambda context: Tca(TcaParams(**params), context), toy, classes)


@KERNELS
def test_the_public_code_finds_the_same_components(kernel: str) -> None:
    data = given(golden.det(8, 6, 0.0), golden.det(9, 6, 1.0))
    k, e = space(data, kernel).k, contrasts(data)
    values, (*near, norm) = golden.TCA[kernel]
    w = components(k, e, mu=1.0, dim=3)
    centred, gaps = k - k.mean(dim=1, keepdim=True), k @ e
    left = gaps @ gaps.T / e.square().sum() + torch.eye(len(k), dtype=k.dtype)
    torch.testing.assert_close((w.T @ left @ w).diagonal(), torch.tensor(values, dtype=torch.float64), rtol=1e-9, atol=0)
    torch.testing.assert_close(w.T @ centred @ centred.T @ w, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-8)
    z = unit_rows((components(k, e, mu=1.0, dim=3, scale="unit").T @ k).T)
    across = distances(z[:8], z[8:])
    torch.testing.assert_close(across[0, :3], torch.tensor(near, dtype=torch.float64), rtol=1e-7, atol=0)
    assert across.norm().item() == pytest.approx(norm, rel=1e-8)


def test_primal_is_the_same_in_the_span_of_few_vectors_and_in_all_features() -> None:
    data = domains(width=200)
    vectors = unit_rows(torch.cat([data.source, data.target]))
    small, whole = space(data, "primal"), vectors.T
    assert small.basis is not None and small.k.shape == (70, 70)
    torch.testing.assert_close(small.basis @ small.k, whole)
    first, second = (components(k, contrasts(data), 1.0, 5) for k in (small.k, whole))
    torch.testing.assert_close(
        distances((first.T @ small.k).T, (first.T @ small.k).T), distances((second.T @ whole).T, (second.T @ whole).T)
    )


@KERNELS
def test_the_gap_falls_with_mu_and_is_0_for_equal_domains(kernel: str) -> None:
    data = domains()
    found = [gap(data, kernel, mu=mu) for mu in (10.0, 1.0, 0.1, 1e-4)]
    assert found == sorted(found, reverse=True) and found[-1] < 1e-3 * found[0]
    assert gap(given(data.source, data.source), kernel) < 1e-20


def test_contrasts_sum_to_0_and_make_the_matrix_of_the_paper() -> None:
    data = Given(domains().source, torch.tensor([0, 1, 2] * 8 + [-1] * 6), domains().target)
    e = contrasts(data, torch.tensor([0, 2] * 20))
    assert e.shape == (70, 3)  # no target utterance is of class 1
    torch.testing.assert_close(e.sum(dim=0), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(e[:, 0], torch.tensor([1 / 30] * 30 + [-1 / 40] * 40, dtype=torch.float64))
    torch.testing.assert_close(e[:, 1].unique(), torch.tensor([-1 / 20, 0.0, 1 / 8], dtype=torch.float64))


@KERNELS
@pytest.mark.parametrize("scale", ["constraint", "unit"])
def test_the_toy_and_the_order_of_the_target(kernel: str, scale: str) -> None:
    toy = Toy.make(shots=10)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    shuffled = Toy({**toy.vectors, "target": toy.vectors["target"][order]}, toy.labels, toy.truth[order])
    (method, trace), (other, _) = (made(each, kernel=kernel, scale=scale, dim=6) for each in (toy, shuffled))
    assert accuracy(method, toy) > 0.8 and trace["components"][0] >= 4
    torch.testing.assert_close(posteriors(other, toy.vectors["target"]), posteriors(method, toy.vectors["target"]), rtol=1e-3, atol=1e-4)


def test_an_unseen_vector_is_mapped_as_a_training_vector_was() -> None:
    """By kernel values against the vectors that are kept: the map of T_u is that of its rows when they come again, alone."""
    toy = Toy.make(width=30)
    for kernel in ("primal", "linear", "rbf"):
        method, _ = made(toy, kernel=kernel)
        mapped = method.embed(toy.vectors["target"])
        torch.testing.assert_close(torch.cat([method.embed(row[None]) for row in toy.vectors["target"]]), mapped, rtol=1e-3, atol=1e-4)
        assert (len(method.rows) > 0) == (kernel == "rbf")


@KERNELS
def test_duplicates_one_target_equal_vectors_zeros_and_a_class_without_labels(kernel: str) -> None:
    toy = Toy.make(width=12)
    one = toy.vectors["target"][:1]
    cases = [
        {"target": one},
        {"target": one.repeat(9, 1)},
        {"target": torch.zeros(3, 12)},
        {"labelled": toy.vectors["labelled"][:1].repeat(15, 1)},
    ]
    for case in cases:
        for use_source in (False, True):
            method, _ = made(Toy({**toy.vectors, **case}, toy.labels, toy.truth), (*CLASSES, "fear"), kernel=kernel, use_source=use_source)
            found = posteriors(method, toy.vectors["target"])
            assert found.isfinite().all() and not found[:, 3].any()


@KERNELS
def test_where_nothing_varies_there_is_no_component_and_it_says_so(kernel: str) -> None:
    ones = {name: torch.ones(len(rows), 4) for name, rows in Toy.make().vectors.items()}
    said: list[str] = []
    with running(said.append):
        method, trace = made(Toy(ones, Toy.make().labels, Toy.make().truth), kernel=kernel)
    assert trace["components"] == [0.0] and len(said) == 1 and "tca" in said[0]
    torch.testing.assert_close(posteriors(method, ones["target"]), torch.full((60, 3), 1 / 3))
