"""`linear_ot` and `subspace_alignment`: what their equations say, against other libraries, and domains that are degenerate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sere_plugins.methods.aligned import Aligned
from sere_plugins.methods.linear_ot import LinearOt, bures_map, covariance, power
from sere_plugins.methods.logistic import Logistic
from sere_plugins.methods.subspace_alignment import SubspaceAlignment, principal
from sere_plugins.specs.bridge import LinearOtParams, SubspaceAlignmentParams
from sere_plugins.specs.methods import LogisticParams
from tests.probes.driver import Toy, accuracy, context, posteriors, solved

KINDS: dict[str, tuple[type[Aligned], Any]] = {
    "linear_ot": (LinearOt, LinearOtParams),
    "subspace_alignment": (SubspaceAlignment, SubspaceAlignmentParams),
}
EVERY = pytest.mark.parametrize("name", KINDS)


def made(name: str, toy: Toy, **params: Any) -> tuple[Aligned, dict[str, list[float]]]:
    kind, its = KINDS[name]
    method, trace = solved(lambda context: kind(its(**params), context), toy)
    return method, trace


def centred(seed: int, count: int, width: int) -> Any:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, width)) @ random.normal(size=(width, width))
    return rows - rows.mean(axis=0)


def logistic(toy: Toy) -> Tensor:
    return posteriors(solved(lambda context: Logistic(LogisticParams(), context), toy)[0], toy.vectors["target"])


def test_the_map_takes_one_covariance_to_the_other_and_is_symmetric_and_positive() -> None:
    source, target = centred(0, 50, 6), centred(1, 40, 6)
    (its, _), (theirs, _) = covariance(source, 0.0), covariance(target, 0.0)
    found = bures_map(its, theirs)
    np.testing.assert_allclose(covariance(source @ found, 0.0)[0], theirs, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found, found.T, atol=1e-10)
    assert np.linalg.eigvalsh(found).min() > 0
    np.testing.assert_allclose(bures_map(its, its), np.eye(6), atol=1e-9)
    np.testing.assert_allclose(bures_map(theirs, its) @ found, np.eye(6), atol=1e-8)
    np.testing.assert_allclose(bures_map(np.diag([1.0, 4.0]), np.diag([9.0, 1.0])), np.diag([3.0, 0.5]), atol=1e-12)


def test_the_map_is_that_of_pot() -> None:
    gaussian = pytest.importorskip("ot").gaussian
    (its, _), (theirs, _) = covariance(centred(2, 30, 5), 0.3), covariance(centred(3, 30, 5), 0.3)
    expected, _ = gaussian.bures_wasserstein_mapping(np.zeros(5), np.zeros(5), its, theirs)
    np.testing.assert_allclose(bures_map(its, theirs), expected, rtol=1e-9)


def test_shrinkage_keeps_the_trace_and_ends_at_the_identity() -> None:
    rows = centred(0, 4, 30)
    plain, half, whole, (auto, rho) = (
        covariance(rows, 0.0)[0],
        covariance(rows, 0.5)[0],
        covariance(rows, 1.0)[0],
        covariance(rows, "auto"),
    )
    assert 0 < rho < 1 and np.trace(plain) == pytest.approx(np.trace(auto)) == pytest.approx(np.trace(half))
    np.testing.assert_allclose(whole, np.trace(plain) / 30 * np.eye(30))
    assert np.linalg.matrix_rank(plain) == 3 and np.linalg.matrix_rank(power(plain, -0.5)) == 3


def test_the_rotation_of_subspaces_is_the_closest_and_that_of_skada() -> None:
    source, target = centred(0, 30, 8), centred(1, 40, 8)
    kind, params = KINDS["subspace_alignment"]
    maps = kind(params(components=3), context(width=8)).align(source, target)
    ours, theirs = principal(source)[:, :3], principal(target)[:, :3]
    best = np.linalg.lstsq(ours, theirs, rcond=None)[0]
    np.testing.assert_allclose(maps.source, ours @ best, atol=1e-12)
    np.testing.assert_allclose(maps.target.T @ maps.target, np.eye(3), atol=1e-12)
    skada = pytest.importorskip("skada")
    domains = np.array([1] * 30 + [-2] * 40)
    adapter = skada.SubspaceAlignmentAdapter(n_components=3)
    expected = adapter.fit_transform(np.concatenate([source, target]), sample_domain=domains)
    found = np.concatenate([source @ maps.source, target @ maps.target])
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-8)  # the signs of components are free


def test_no_more_components_than_both_domains_have() -> None:
    toy = Toy.make(width=12)
    assert made("subspace_alignment", toy, components=5)[1]["components"] == [5]
    assert made("subspace_alignment", toy)[1]["components"] == [12]
    few = Toy({**toy.vectors, "target": toy.vectors["target"][:4]}, toy.labels, toy.truth[:4])
    assert made("subspace_alignment", few)[1]["components"] == [3]
    assert made("subspace_alignment", toy, components=40, use_source=False)[1]["components"] == [12]


@EVERY
class TestEvery:
    def test_equal_domains_leave_logistic_regression(self, name: str) -> None:
        toy = Toy.make()
        same = Toy({**toy.vectors, "target": torch.cat([toy.vectors["labelled"], toy.vectors["source"]])}, toy.labels, toy.truth)
        method, _ = made(name, same)
        torch.testing.assert_close(posteriors(method, same.vectors["target"]), logistic(same), atol=5e-3, rtol=0)  # the solver stops early

    def test_helps_where_the_target_is_shifted_and_stretched(self, name: str) -> None:
        toy = Toy.make(shots=20, shift=0.0)
        moved = torch.tensor([2.0, 0.5, 1.0, 1.0]) * toy.vectors["target"] + 3
        far = Toy({**toy.vectors, "target": moved}, toy.labels, toy.truth)
        before = (logistic(far).argmax(dim=1) == far.truth).double().mean().item()
        assert accuracy(made(name, far)[0], far) > max(0.9, before + 0.1)

    def test_neither_translations_nor_a_joint_rotation_nor_the_order_of_the_target_matter(self, name: str) -> None:
        toy = Toy.make()
        expected = posteriors(made(name, toy)[0], toy.vectors["target"])
        turn, _ = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))
        order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
        source = {key: toy.vectors[key] - 3.0 for key in ("labelled", "source")}
        changed = {
            "translated": {**source, "target": toy.vectors["target"] + 5.0},
            "rotated": {key: rows @ turn for key, rows in toy.vectors.items()},
            "reordered": {**toy.vectors, "target": toy.vectors["target"][order]},
        }
        for what, vectors in changed.items():
            found = posteriors(made(name, Toy(vectors, toy.labels, toy.truth))[0], vectors["target"])
            wanted = expected[order] if what == "reordered" else expected
            torch.testing.assert_close(found, wanted, atol=2e-3, rtol=0, msg=what)

    def test_names_of_classes_do_not_matter(self, name: str) -> None:
        toy, names = Toy.make(), torch.tensor([2, 0, 1])
        found = posteriors(made(name, Toy(toy.vectors, names[toy.labels], names[toy.truth]))[0], toy.vectors["target"])
        torch.testing.assert_close(found[:, names], posteriors(made(name, toy)[0], toy.vectors["target"]), atol=1e-4, rtol=0)

    @pytest.mark.parametrize("width", [4, 300])
    def test_degenerate_targets(self, name: str, width: int) -> None:
        """One utterance, one utterance many times, one class, two utterances."""
        toy = Toy.make(width=width)
        rows = toy.vectors["target"]
        for target in (rows[:1], rows[:1].repeat(7, 1), rows[toy.truth == 0], rows[:2]):
            for use_source in (True, False):
                given = Toy({**toy.vectors, "target": target}, toy.labels, toy.truth)
                method, trace = made(name, given, use_source=use_source)
                assert posteriors(method, rows).isfinite().all()
                if len(target.unique(dim=0)) == 1:  # the means alone are aligned
                    assert trace["error"][0] < 0.1 and not {"shrinkage", "components"} & set(trace)

    def test_a_source_of_one_point_and_no_shrinkage(self, name: str) -> None:
        toy = Toy.make(width=30)
        vectors = {**toy.vectors, "labelled": toy.vectors["labelled"][:1].repeat(15, 1)}
        plain = {"shrinkage": 0.0} if name == "linear_ot" else {}
        for use_source in (True, False):
            method, _ = made(name, Toy(vectors, toy.labels, toy.truth), use_source=use_source, **plain)
            assert posteriors(method, toy.vectors["target"]).isfinite().all()

    def test_the_error_is_that_of_aligned_vectors(self, name: str) -> None:
        toy = Toy.make()
        far = Toy({**toy.vectors, "target": -toy.vectors["target"] + 100}, toy.labels, toy.truth)
        assert made(name, far)[1]["error"] == [0.0]
