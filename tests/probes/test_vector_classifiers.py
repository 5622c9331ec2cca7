"""`logistic` and `svm`: the predictions of the scikit-learn estimators they come from, from tensors alone; and what all share."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from torch import Tensor

from sere_plugins.methods.coral_classical import CoralClassical
from sere_plugins.methods.jda import Bda, Jda, Wbda
from sere_plugins.methods.linear_ot import LinearOt
from sere_plugins.methods.logistic import Logistic
from sere_plugins.methods.subspace_alignment import SubspaceAlignment
from sere_plugins.methods.svm import Svm
from sere_plugins.methods.tca import Tca
from sere_plugins.specs.bridge import LinearOtParams, SubspaceAlignmentParams
from sere_plugins.specs.closed_form import BdaParams, CoralClassicalParams, JdaParams, TcaParams, WbdaParams
from sere_plugins.specs.methods import LogisticParams, SvmParams
from sere_registry import SereError
from tests.probes.driver import SIX, Seen, TinyBackbone, Toy, accuracy, context, posteriors, solved

MADE: dict[str, Any] = {
    "logistic": lambda c: Logistic(LogisticParams(), c),
    "svm-linear": lambda c: Svm(SvmParams(), c),
    "svm-rbf": lambda c: Svm(SvmParams(kernel="rbf"), c),
    "linear_ot": lambda c: LinearOt(LinearOtParams(use_source=False), c),
    "coral_classical": lambda c: CoralClassical(CoralClassicalParams(use_source=False), c),
    "coral_classical-logistic": lambda c: CoralClassical(CoralClassicalParams(use_source=False, classifier="logistic"), c),
    **{
        f"tca-{kernel}": partial(lambda kernel, c: Tca(TcaParams(use_source=False, kernel=kernel), c), kernel)
        for kernel in ("primal", "rbf")
    },
    "jda": lambda c: Jda(JdaParams(use_source=False), c),
    "bda": lambda c: Bda(BdaParams(use_source=False, balance="estimated", classifier="logistic"), c),
    "wbda": lambda c: Wbda(WbdaParams(use_source=False), c),
    "subspace_alignment": lambda c: SubspaceAlignment(SubspaceAlignmentParams(use_source=False), c),
}


def toy(classes: int = 3, width: int = 4, count: int = 90, seed: int = 0) -> Toy:
    """Overlapping classes, so that every machine has vectors on the wrong side of its margin."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    centres = 1.5 * torch.randn(classes, width, generator=generator)
    vectors = {name: centres[labels] + torch.randn(count, width, generator=generator) for name in ("labelled", "target")}
    return Toy(vectors, labels, labels)


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("class_weight", ["none", "balanced"])
def test_logistic_has_scikit_learns_posteriors(classes: int, class_weight: Any) -> None:
    given = toy(classes)
    method, trace = solved(lambda c: Logistic(LogisticParams(C=0.1, class_weight=class_weight), c), given, SIX[:classes])
    oracle = LogisticRegression(C=0.1, max_iter=1000, class_weight=None if class_weight == "none" else "balanced")
    oracle.fit(given.vectors["labelled"].double().numpy(), given.labels.numpy())
    expected = oracle.predict_proba(given.vectors["target"].double().numpy())
    np.testing.assert_allclose(posteriors(method, given.vectors["target"]).numpy(), expected, atol=1e-5)
    assert trace["error"] == [pytest.approx(1 - oracle.score(given.vectors["labelled"].numpy(), given.labels.numpy()))]


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize(("kernel", "gamma"), [("linear", "scale"), ("rbf", "scale"), ("rbf", 0.3)])
def test_svm_has_scikit_learns_decisions_and_predictions(classes: int, kernel: Any, gamma: Any) -> None:
    given = toy(classes)
    method, trace = solved(lambda c: Svm(SvmParams(C=0.7, kernel=kernel, gamma=gamma), c), given, SIX[:classes])
    oracle = SVC(C=0.7, kernel=kernel, gamma=gamma, decision_function_shape="ovo", break_ties=False)
    oracle.fit(given.vectors["labelled"].double().numpy(), given.labels.numpy())
    target = given.vectors["target"].double().numpy()
    expected = oracle.decision_function(target).reshape(len(target), -1) * (-1 if classes == 2 else 1)
    np.testing.assert_allclose(method.decisions(given.vectors["target"]).numpy(), expected, atol=1e-4)
    oracle.set_params(decision_function_shape="ovr", break_ties=classes > 2)
    found = posteriors(method, given.vectors["target"])
    assert found.argmax(dim=1).tolist() == oracle.predict(target).tolist()
    torch.testing.assert_close(found.sum(dim=1), torch.ones(len(found)))
    assert trace["support_vectors"] == [len(oracle.support_)]


def test_more_pairs_won_is_a_higher_posterior() -> None:
    given = toy(6)
    method, _ = solved(MADE["svm-linear"], given, SIX)
    wins = torch.zeros(90, 6)
    for column, (i, j) in enumerate(method.pairs):
        first = method.decisions(given.vectors["target"])[:, column] > 0
        wins[:, i] += first
        wins[:, j] += ~first
    found = posteriors(method, given.vectors["target"])
    for a, b in method.pairs:
        more = wins[:, a] > wins[:, b]
        assert bool((found[more, a] > found[more, b]).all())


@pytest.mark.parametrize("name", MADE)
class TestEvery:
    def test_learns_the_toy(self, name: str) -> None:
        given = Toy.make(shots=20)
        assert accuracy(solved(MADE[name], given)[0], given) > 0.8

    def test_state_is_tensors_that_a_new_instance_takes_over(self, name: str) -> None:
        given = toy(6)
        method, _ = solved(MADE[name], given, SIX)
        state = method.state_dict()
        assert all(isinstance(value, Tensor) for value in state.values())
        again = MADE[name](context(TinyBackbone(4, 6, 6), classes=SIX))
        again.load_state_dict({key: value.clone() for key, value in state.items()})
        assert torch.equal(posteriors(method, given.vectors["target"]), posteriors(again, given.vectors["target"]))
        fewer, _ = solved(MADE[name], toy(6, count=30), SIX)
        again.load_state_dict(fewer.state_dict())
        assert torch.equal(posteriors(fewer, given.vectors["target"]), posteriors(again, given.vectors["target"]))

    def test_a_state_of_another_width_is_refused(self, name: str) -> None:
        method, _ = solved(MADE[name], toy(width=5))
        other = MADE[name](context(TinyBackbone(5), width=4))
        with pytest.raises(RuntimeError, match=r"size mismatch for (weight|support|mean|projection|rows)"):
            other.load_state_dict(method.state_dict())

    def test_a_class_without_labels_is_never_predicted(self, name: str) -> None:
        given = toy()
        kept = given.labels != 1
        given = Toy({"labelled": given.vectors["labelled"][kept], "target": given.vectors["target"]}, given.labels[kept], given.truth)
        method, _ = solved(MADE[name], given)
        found = posteriors(method, given.vectors["target"])
        assert not found[:, 1].any() and {0, 2} == set(found.argmax(dim=1).tolist())

    def test_a_single_class_is_always_predicted(self, name: str) -> None:
        given = Toy({"labelled": torch.randn(4, 4), "target": torch.randn(7, 4)}, torch.tensor([2, 2, 2, 2]), torch.zeros(7))
        assert posteriors(solved(MADE[name], given)[0], given.vectors["target"])[:, 2].eq(1).all()

    def test_posteriors_do_not_depend_on_the_batch(self, name: str) -> None:
        given = toy()
        method, _ = solved(MADE[name], given)
        vectors = given.vectors["target"]
        alone = torch.cat([posteriors(method, vectors[[row]]) for row in range(len(vectors))])
        torch.testing.assert_close(alone, posteriors(method, vectors))

    def test_two_feature_spaces_are_refused(self, name: str) -> None:
        given = toy()
        method = MADE[name](context())
        given.vectors["labelled"] = given.vectors["labelled"][:, :3]
        with pytest.raises(SereError, match=r"paths: \[B402\].*width 3.*4"):
            method.stages()[0].solve(Seen(given, method.backbone, frozenset({"labelled"})))


def test_balanced_weights_help_the_rare_class() -> None:
    given = toy(3, width=1, count=180)
    kept = torch.cat([torch.where(given.labels != 0)[0], torch.where(given.labels == 0)[0][:6]])
    rare = Toy({"labelled": given.vectors["labelled"][kept], "target": given.vectors["target"]}, given.labels[kept], given.truth)

    def answers(kind: Any, params: Any) -> int:
        return int((posteriors(solved(partial(kind, params), rare)[0], given.vectors["target"]).argmax(dim=1) == 0).sum())

    pairs: list[tuple[Any, Any]] = [(Logistic, LogisticParams), (Svm, SvmParams)]
    for kind, params in pairs:
        plain, balanced = (answers(kind, params(class_weight=w)) for w in ("none", "balanced"))
        assert balanced > plain
