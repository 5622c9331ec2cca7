"""`tric_pooled`: two experts that assign pseudo-labels together, both learn them, and predict together."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sere_plugins.losses.tric import Tric
from sere_plugins.losses.tric_pooled import TricPooled
from sere_plugins.methods.balanced_self_training import self_taught
from sere_plugins.methods.logistic import Linear
from sere_plugins.resonance.irf import Irf
from sere_plugins.specs.losses import TricParams, TricPooledParams
from sere_plugins.specs.resonance import IrfParams
from sere_plugins.specs.transductive import LogisticBalancedParams
from sere_registry import BuildContext, Progress
from tests.sere.batches import BURSTS, WIDTH, batch, terms, utterances

CLASSES = ("anger", "fear", "neutral")
FEATURES = 5
CONTEXT = BuildContext(id="adapt", classes=CLASSES, dim=WIDTH - BURSTS, dynamics_dim=BURSTS, input_dim=FEATURES)
PROGRESS = Progress(step=0, epoch=0, fraction=0.0)
C = 0.1


def variant(**params: Any) -> Any:
    return TricPooled(TricPooledParams(C=C, **params), CONTEXT).double()


def field() -> Irf:
    return Irf(IrfParams(), CONTEXT).double()


def streams(seed: int = 0) -> dict[str, Any]:
    """Three classes in the vectors, shifted in the target; logits that know something of it, too."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, count, shift in (("support", 6, 0.0), ("source", 9, 0.0), ("target", 12, 1.5)):
        truth = torch.arange(count) % 3
        vectors = 2 * torch.eye(3, FEATURES)[truth] + torch.randn(count, FEATURES, generator=generator) + shift
        logits = torch.eye(3)[truth] + torch.randn(count, 3, generator=generator) + torch.tensor([1.0, 0.0, -1.0])
        plain = batch(
            utterances([3 + index % 3 for index in range(count)], seed=count), labels=truth.tolist() if name == "support" else None
        )
        made[name] = replace(plain, vectors=vectors.double(), logits=logits.double())
    return made


def data(given: dict[str, Any]) -> Any:
    """What a stage sees of them."""
    vectors = {"labelled": given["support"].vectors, "source": given["source"].vectors, "target": given["target"].vectors}
    return SimpleNamespace(vectors=vectors.__getitem__, encoded=given.__getitem__, labels=lambda: given["support"].labels)


def in_equal_shares(posteriors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(B1) by hand, and the product of all factors that each column was scaled by."""
    shares, factors = posteriors.copy(), np.ones(posteriors.shape[1])
    for _ in range(50):
        for c in range(shares.shape[1]):
            factor = len(shares) / shares.shape[1] / shares[:, c].sum()
            shares[:, c] *= factor
            factors[c] *= factor
        shares /= shares.sum(axis=1, keepdims=True)
    return shares, factors


def pool(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(C1) by hand."""
    product = np.sqrt(first * second)
    return product / product.sum(axis=1, keepdims=True)


def network_of(logits: torch.Tensor, temperature: float) -> np.ndarray:
    return np.asarray((logits / temperature).softmax(dim=1))


def by_hand(given: dict[str, Any], epochs: int, temperature: float) -> tuple[np.ndarray, np.ndarray, Any]:
    """Q and v of T_u after some epochs, and the logistic regression, written as the equations stand."""
    arrays = {name: each.vectors.numpy() for name, each in given.items()}
    labels = given["support"].labels.numpy()
    network = {name: network_of(given[name].logits, temperature) for name in ("target", "source")}
    alone = self_taught(LogisticBalancedParams(C=C), 3, arrays["support"], labels, [[arrays["target"], arrays["source"]]]).linear
    linear = {name: alone.logits(torch.as_tensor(arrays[name])).softmax(dim=1).numpy() for name in network}
    for _ in range(epochs):
        shares = {name: in_equal_shares(pool(network[name], linear[name])) for name in network}
        guesses = np.concatenate([shares[name][0].argmax(axis=1) for name in ("target", "source")])
        weights = np.concatenate([np.ones(6), np.full(len(guesses), 6 / len(guesses))])
        model = LogisticRegression(C=C, max_iter=1000)
        model.fit(
            np.concatenate([arrays["support"], arrays["target"], arrays["source"]]),
            np.concatenate([labels, guesses]),
            sample_weight=weights,
        )
        linear = {name: model.predict_proba(arrays[name]) for name in network}
    return *shares["target"], model


@pytest.mark.parametrize(("epochs", "temperature"), [(1, 1.0), (3, 1.0), (1, 0.4)])
def test_shares_weights_and_predictions_are_the_equations(epochs: int, temperature: float) -> None:
    given = streams()
    loss = variant(temperature=temperature)
    for _ in range(epochs):
        loss.after_epoch(PROGRESS, data(given))
    shares, factors, model = by_hand(given, epochs, temperature)
    np.testing.assert_allclose(loss.assigned.numpy(), shares, atol=1e-6)
    np.testing.assert_allclose(loss.offsets.numpy(), np.log(factors), atol=1e-6)
    np.testing.assert_allclose(loss.weight.numpy(), model.coef_, atol=1e-6)
    target = given["target"]
    pooled = pool(network_of(target.logits, temperature), model.predict_proba(target.vectors.numpy()))
    answers = pooled * factors / (pooled * factors).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(loss.predict(target, given["support"]).numpy(), answers, atol=1e-6)
    np.testing.assert_array_equal(loss.pseudo_labels(target, given["support"], field()).numpy(), answers.argmax(axis=1))
    plain = variant(correct=False, temperature=temperature)
    plain.load_state_dict(loss.state_dict())
    np.testing.assert_allclose(plain.predict(target, given["support"]).numpy(), pooled, atol=1e-6)


@pytest.mark.parametrize("predict", ["classifier", "prototype"])
def test_who_predicts_may_be_chosen_as_of_tric(predict: str) -> None:
    given, params = streams(), {"predict": predict}
    loss, plain = variant(**params), Tric(TricParams(**params), CONTEXT).double()
    loss.after_epoch(PROGRESS, data(given))
    found, wanted = (each.predict(given["target"], given["support"]) for each in (loss, plain))
    assert (found is None) == (wanted is None) == (predict == "classifier")
    if wanted is not None:
        torch.testing.assert_close(found, wanted)


def test_the_network_is_taught_what_was_assigned() -> None:
    given = streams()
    loss = variant(teach_weight=0.5)
    loss.after_epoch(PROGRESS, data(given))
    found = terms(loss, *given.values(), field())["teach"]
    expected = 0.5 * torch.nn.functional.cross_entropy(given["target"].logits, loss.assigned.argmax(dim=1))
    torch.testing.assert_close(found, expected, check_dtype=False, rtol=1e-6, atol=1e-6)


def test_before_the_first_epochs_end_it_is_tric_and_the_classifier_predicts() -> None:
    given = streams()
    mine, plain = variant(), Tric(TricParams(), CONTEXT)
    found, expected = (terms(each, *given.values(), field()) for each in (mine, plain))
    assert float(found.pop("teach")) == 0
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(mine.predict(given["target"], given["support"]), given["target"].logits.softmax(dim=1))


def test_one_may_be_right_where_the_other_is_wrong() -> None:
    """Each expert alone errs on another half of T_u, surely where it is right and faintly where it is wrong: the pool errs nowhere."""
    given = streams()
    truth = torch.arange(12) % 3
    sure, faint = 3.0 * torch.eye(3)[truth], torch.eye(3)[(truth + 1) % 3]
    half = (torch.arange(12) < 6).unsqueeze(1)
    network, vectors = torch.where(half, sure, faint).double(), torch.where(half, faint, sure).double()
    loss = variant(correct=False)
    loss.weight, loss.bias, loss.seen = 2 * torch.eye(3, FEATURES).double(), torch.zeros(3).double(), torch.ones(3, dtype=torch.bool)
    target = replace(given["target"], logits=network, vectors=torch.nn.functional.pad(vectors, (0, FEATURES - 3)))
    alone = [network.argmax(dim=1), Linear(loss.weight, loss.bias, loss.seen).logits(target.vectors).argmax(dim=1)]
    assert [int((each == truth).sum()) for each in alone] == [6, 6]
    assert loss.predict(target, given["support"]).argmax(dim=1).tolist() == truth.tolist()


def test_a_class_without_labels_is_never_assigned() -> None:
    given = streams()
    given["support"] = replace(given["support"], labels=torch.tensor([0, 1, 0, 1, 0, 1]))
    loss = variant()
    loss.after_epoch(PROGRESS, data(given))
    assert torch.isfinite(loss.assigned).all() and float(loss.assigned[:, 2].sum()) == 0
    torch.testing.assert_close(loss.assigned.sum(dim=0)[:2], torch.tensor([6.0, 6.0]).double(), atol=1e-3, rtol=0)
    answers = loss.predict(given["target"], given["support"])
    assert torch.isfinite(answers).all() and float(answers[:, 2].sum()) == 0


def test_without_the_source_it_is_not_asked_for() -> None:
    given = streams()
    del given["source"]
    loss = variant(dual_weight=0)
    seen = SimpleNamespace(
        vectors={"labelled": given["support"].vectors, "target": given["target"].vectors}.__getitem__,
        encoded=given.__getitem__,
        labels=lambda: given["support"].labels,
    )
    loss.after_epoch(PROGRESS, seen)
    assert len(loss.assigned) == 12 and "teach" in terms(loss, given["support"], None, given["target"], field())


def test_both_experts_are_kept_in_a_checkpoint() -> None:
    given = streams()
    loss, other = variant(), variant()
    loss.after_epoch(PROGRESS, data(given))
    other.load_state_dict(loss.state_dict())
    for name, value in loss.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, rtol=0, atol=0)
    torch.testing.assert_close(other.predict(given["target"], given["support"]), loss.predict(given["target"], given["support"]))
