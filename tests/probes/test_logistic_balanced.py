"""`logistic_balanced`: what its equations say, in plain loops over scikit-learn; and what it may see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sere_plugins.methods.balanced_self_training import LogisticBalanced
from sere_plugins.methods.logistic import Logistic
from sere_plugins.specs.methods import LogisticParams
from sere_plugins.specs.transductive import LogisticBalancedParams
from tests.probes.driver import SIX, TinyBackbone, Toy, context, posteriors, solved


def moved(classes: int = 6, width: int = 8, count: int = 120, shots: int = 2, shift: float = 3.0, seed: int = 0) -> Toy:
    """The target lies elsewhere: what was learnt on the source takes most of it for one class."""
    generator = torch.Generator().manual_seed(seed)
    centres = 2.5 * torch.randn(classes, width, generator=generator)
    labels = torch.arange(count) % classes
    away = shift * torch.randn(width, generator=generator)
    few = torch.arange(classes * shots) % classes
    vectors = {
        "labelled": centres[few] + torch.randn(len(few), width, generator=generator),
        "source": centres[labels] + torch.randn(count, width, generator=generator),
        "target": centres[labels] + torch.randn(count, width, generator=generator) + away,
    }
    return Toy(vectors, few, labels)


def balanced(given: Toy, **params: Any) -> tuple[Any, dict[str, list[float]]]:
    return solved(lambda context: LogisticBalanced(LogisticBalancedParams(**params), context), given, SIX)


def plain(given: Toy) -> Any:
    return solved(lambda context: Logistic(LogisticParams(), context), given, SIX)[0]


def recall(method: Any, given: Toy) -> float:
    found = posteriors(method, given.vectors["target"]).argmax(dim=1)
    return float(np.mean([(found[given.truth == c] == c).double().mean() for c in range(6)]))


def in_equal_shares(posteriors: np.ndarray) -> np.ndarray:
    """(B1) by hand: scale columns to n / C, rows to 1, in turn."""
    shares = posteriors.copy()
    for _ in range(50):
        for c in range(shares.shape[1]):
            shares[:, c] *= len(shares) / shares.shape[1] / shares[:, c].sum()
        for j in range(len(shares)):
            shares[j] /= shares[j].sum()
    return shares


@pytest.mark.parametrize("use_source", [True, False])
def test_each_round_is_the_equations_round(use_source: bool) -> None:
    given = moved()
    labelled, labels = given.vectors["labelled"].double().numpy(), given.labels.numpy()
    streams = [given.vectors[name].double().numpy() for name in (("target", "source") if use_source else ("target",))]
    model = LogisticRegression(C=0.1, max_iter=1000).fit(labelled, labels)
    for _ in range(3):
        guesses = np.concatenate([in_equal_shares(model.predict_proba(stream)).argmax(axis=1) for stream in streams])
        weights = np.concatenate([np.ones(len(labels)), np.full(len(guesses), 2.0 * len(labels) / len(guesses))])
        model = LogisticRegression(C=0.1, max_iter=1000)
        model.fit(np.concatenate([labelled, *streams]), np.concatenate([labels, guesses]), sample_weight=weights)
    method, trace = balanced(given, C=0.1, teach_weight=2.0, rounds=3, flow="both" if use_source else "target")
    np.testing.assert_allclose(method.weight.numpy(), model.coef_, atol=2e-3)
    assert trace["changed"][0] == 1.0 and len(trace["steps"]) == 1 + sum(share > 0 for share in trace["changed"])


def test_it_mends_what_a_shift_breaks() -> None:
    given = moved()
    before, after = recall(plain(given), given), recall(balanced(given)[0], given)
    assert after > before + 0.1, (before, after)


def test_without_unlabelled_weight_it_is_logistic_regression() -> None:
    given = moved()
    torch.testing.assert_close(balanced(given, teach_weight=0)[0].weight, plain(given).weight, atol=1e-3, rtol=1e-3)


def test_the_rounds_end_when_nothing_changes() -> None:
    trace = balanced(moved(), rounds=100)[1]
    assert trace["changed"][-1] == 0 and len(trace["changed"]) < 100


def test_a_class_without_labels_is_never_assigned() -> None:
    given = moved()
    kept = given.labels != 2
    fewer = Toy({**given.vectors, "labelled": given.vectors["labelled"][kept]}, given.labels[kept], given.truth)
    found = posteriors(balanced(fewer)[0], given.vectors["target"])
    assert bool((found[:, 2] == 0).all()) and sorted(set(found.argmax(dim=1).tolist())) == [0, 1, 3, 4, 5]


@pytest.mark.parametrize(("use_source", "sees"), [(True, {"labelled", "target", "source"}), (False, {"labelled", "target"})])
def test_it_sees_what_it_says(use_source: bool, sees: set[str]) -> None:
    method = LogisticBalanced(
        LogisticBalancedParams(flow="both" if use_source else "target"), context(TinyBackbone(4, 6, 6), 4, classes=SIX)
    )
    assert method.stages()[0].sees == sees


def test_corrected_predictions_assign_the_target_in_equal_shares() -> None:
    """The offsets are of T_u: there, and on no other set, the mean posterior of every class is 1 / C."""
    given = moved()
    as_they_are, corrected = (balanced(given, correct=correct, rounds=1)[0] for correct in (False, True))
    torch.testing.assert_close(corrected.weight, as_they_are.weight, rtol=0, atol=0)
    means = [posteriors(method, given.vectors["target"]).mean(dim=0) for method in (as_they_are, corrected)]
    torch.testing.assert_close(means[1], torch.full((6,), 1 / 6), atol=1e-3, rtol=0)
    assert (means[0] - 1 / 6).abs().max() > 1e-2
