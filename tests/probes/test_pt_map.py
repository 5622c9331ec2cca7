"""PT-MAP: the transform, one round in plain loops, and what shares do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sere_plugins.methods.pt_map import PtMap, transformed
from sere_plugins.specs.transductive import PtMapParams
from tests.probes.driver import Toy, accuracy, posteriors, solved


def made(toy: Toy, **params: Any) -> tuple[Any, dict[str, list[float]]]:
    return solved(lambda context: PtMap(PtMapParams(**params), context), toy)


def unit(rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def test_the_transform_by_hand() -> None:
    found = transformed(torch.tensor([[4.0, -9.0, 0.0]]), 0.5)
    torch.testing.assert_close(found, torch.tensor([[2.0, -3.0, 0.0]]) / 13**0.5)


@pytest.mark.parametrize("use_labelled", [True, False])
def test_rounds_in_plain_loops(use_labelled: bool) -> None:
    toy = Toy.make(count=30)
    shares = np.array([0.5, 0.3, 0.2])
    source, target = (toy.vectors[name].double().numpy() for name in ("labelled", "target"))
    source, target = (unit(np.sign(rows) * np.sqrt(np.abs(rows))) for rows in (source, target))
    source, target = unit(source - source.mean(axis=0)), unit(target - target.mean(axis=0))
    labels = np.eye(3)[toy.labels.numpy()]
    means = np.stack([source[toy.labels.numpy() == c].mean(axis=0) for c in range(3)])
    for _ in range(3):
        plan = np.exp(-10 * ((target[:, None] - means) ** 2).sum(axis=2))
        for _ in range(500):
            plan *= 30 * shares / plan.sum(axis=0)
            plan /= plan.sum(axis=1, keepdims=True)
        whole = np.concatenate([labels, plan]) if use_labelled else plan
        rows = np.concatenate([source, target]) if use_labelled else target
        means += 0.2 * (whole.T @ rows / whole.sum(axis=0)[:, None] - means)
    method, _ = made(toy, rounds=3, use_labelled=use_labelled, shares=tuple(shares.tolist()))
    np.testing.assert_allclose(method.means.numpy(), means, atol=1e-4)


def test_t_u_is_predicted_in_the_shares_that_were_given() -> None:
    toy = Toy.make()
    for shares, wanted in (("equal", (1 / 3, 1 / 3, 1 / 3)), ((0.6, 0.3, 0.1), (0.6, 0.3, 0.1))):
        found = posteriors(made(toy, shares=shares)[0], toy.vectors["target"])
        torch.testing.assert_close(found.mean(dim=0), torch.tensor(wanted), rtol=0, atol=1e-3)


def test_a_class_of_share_zero_is_not_predicted() -> None:
    toy = Toy.make()
    assert not posteriors(made(toy, shares=(1.0, 0.0, 1.0))[0], toy.vectors["target"])[:, 1].any()


def test_equal_shares_hurt_where_the_target_has_others_and_listed_ones_do_not() -> None:
    """What the paper's assumption costs; the list is the toy's own, as somebody's knowledge."""
    gaps = []
    for seed in range(3):
        toy = Toy.make(seed, count=90, spread=1.0)
        kept = torch.cat([(toy.truth == c).nonzero().flatten()[:many] for c, many in enumerate((30, 6, 6))])
        skewed = Toy({**toy.vectors, "target": toy.vectors["target"][kept]}, toy.labels, toy.truth[kept])
        gaps.append(accuracy(made(skewed, shares=(30, 6, 6))[0], skewed) - accuracy(made(skewed)[0], skewed))
    assert min(gaps) > 0.1, gaps
