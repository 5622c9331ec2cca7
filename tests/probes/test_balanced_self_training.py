"""`balanced_self_training`: who joins with what weight, in what order and shares; the loop itself stands in test_logistic_balanced."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sere_plugins.methods.balanced_self_training import FLOWS, BalancedSelfTraining, LogisticBalanced, pooled, taught
from sere_plugins.methods.logistic import fitted
from sere_plugins.specs.methods import LogisticParams
from sere_plugins.specs.transductive import LogisticBalancedParams, SelfTrainingParams
from tests.probes.driver import SIX, context, posteriors, solved
from tests.probes.test_logistic_balanced import in_equal_shares, moved, plain, recall


def made(given: Any, **params: Any) -> tuple[Any, dict[str, list[float]]]:
    return solved(lambda context: BalancedSelfTraining(SelfTrainingParams(**params), context), given, SIX)


def test_the_surest_of_each_class_join_and_weigh_as_they_are_sure() -> None:
    given = moved()
    vectors, labels = given.vectors["labelled"].double().numpy(), given.labels.numpy()
    others, guesses = given.vectors["target"].double().numpy()[:10], np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
    sure = np.array([0.9, 0.2, 0.8, 0.3, 0.7, 0.5, 0.6, 0.4, 0.1, 0.1])
    linear, pool = taught(SelfTrainingParams(teach_weight=2.0), 6, pooled(vectors, labels), others, guesses, sure, part=0.5)
    kept = [0, 2, 4, 5, 6, 8]
    assert pool.labels[12:].tolist() == guesses[kept].tolist() and pool.labelled == 12
    np.testing.assert_allclose(pool.weights, [1.0] * 12 + [2 * 12 / 10 * share for share in sure[kept]])
    np.testing.assert_allclose(pool.vectors[12:], others[kept])
    by_hand = fitted(LogisticParams(), 6, *pool[:3])
    torch.testing.assert_close(linear.weight, by_hand.weight)


def test_source_first_by_hand() -> None:
    """S_u in three rounds, its last pseudo-labels stay, then T_u in three."""
    given = moved()
    vectors, labels = given.vectors["labelled"].double().numpy(), given.labels.numpy()
    pool = pooled(vectors, labels)
    params = SelfTrainingParams(rounds=3)
    linear = fitted(params, 6, vectors, labels)
    for stream in ("source", "target"):
        rows, larger = given.vectors[stream].double().numpy(), pool
        for part in (1 / 3, 2 / 3, 1.0):
            shares = in_equal_shares(linear.logits(torch.as_tensor(rows)).softmax(dim=1).numpy())
            linear, larger = taught(params, 6, pool, rows, shares.argmax(axis=1), shares.max(axis=1), part)
        pool = larger
    method, trace = made(given, rounds=3)
    np.testing.assert_allclose(method.weight.numpy(), linear.weight.numpy(), atol=1e-4)
    assert len(trace["steps"]) == 7 and len(pool.labels) == 12 + 240


def test_with_the_other_defaults_it_is_logistic_balanced() -> None:
    given = moved()
    same = made(given, flow="both", join="all", confidence=False)[0]
    other, _ = solved(lambda context: LogisticBalanced(LogisticBalancedParams(), context), given, SIX)
    assert torch.equal(same.weight, other.weight) and torch.equal(same.bias, other.bias)


@pytest.mark.parametrize("flow", FLOWS)
def test_it_mends_what_a_shift_breaks_and_sees_what_it_says(flow: Any) -> None:
    given = moved()
    assert recall(made(given, flow=flow)[0], given) > recall(plain(given), given) + 0.05
    method = BalancedSelfTraining(SelfTrainingParams(flow=flow), context(classes=SIX))
    assert method.stages()[0].sees == {"labelled", "target", *([] if flow == "target" else ["source"])}


def test_listed_and_estimated_shares_are_those_of_the_target() -> None:
    given = moved(shift=0.5)
    kept = torch.cat([(given.truth == c).nonzero().flatten()[:many] for c, many in enumerate((20, 20, 4, 4, 4, 4))])
    skewed = type(given)({**given.vectors, "target": given.vectors["target"][kept]}, given.labels, given.truth[kept])
    recalls = {name: made(skewed, correct=True, shares=name) for name in ("equal", "estimated", (20, 20, 4, 4, 4, 4))}
    found = {name: posteriors(method, skewed.vectors["target"]) for name, (method, _) in recalls.items()}
    truth = skewed.truth.bincount() / 56.0
    joint = found[(20, 20, 4, 4, 4, 4)] * truth  # the prediction is divided by the shares
    assert torch.allclose((joint / joint.sum(dim=1, keepdim=True)).mean(dim=0).float(), truth, atol=0.002)
    hits = {name: each.argmax(dim=1) == skewed.truth for name, each in found.items()}
    uar = {name: sum(float(hit[skewed.truth == c].float().mean()) for c in range(6)) / 6 for name, hit in hits.items()}
    assert uar[(20, 20, 4, 4, 4, 4)] >= uar["equal"]
    assert recalls["estimated"][1]["largest_share"][0] > 0.2 and "largest_share" not in recalls["equal"][1]


def test_gamma_sharpens_what_is_balanced() -> None:
    given = moved()
    assert not torch.equal(made(given, gamma=3.0, rounds=1)[0].weight, made(given, rounds=1)[0].weight)
