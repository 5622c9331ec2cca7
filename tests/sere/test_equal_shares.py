"""`tric_balanced` against loops: (B1) itself, and what it makes of it in equations 7 and 8 and in what the classifier learns."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sere_core.functional import equal_shares
from sere_plugins.losses.tric import Tric
from sere_plugins.losses.tric_balanced import TricBalanced
from sere_plugins.specs.losses import TricBalancedParams, TricParams
from sere_registry import Progress, Views
from tests.sere import reference
from tests.sere.batches import CONTEXT, LABELS, batch, gradients, terms, utterances
from tests.sere.situations import PRECISIONS, SITUATIONS, assert_equal, check_tric, streams
from tests.sere.test_section_4 import irf

PROGRESS = Progress(step=0, epoch=0, fraction=0.0)


@pytest.mark.parametrize("rounds", [1, 3, 50])
@pytest.mark.parametrize(("count", "classes"), [(1, 3), (6, 3), (7, 2), (5, 1), (2, 4)])
def test_columns_and_rows_are_scaled_in_turn(count: int, classes: int, rounds: int) -> None:
    logits = 2 * torch.randn(count, classes, generator=torch.Generator().manual_seed(count)).double()
    want = reference.equal_shares(logits, rounds)
    for dtype, tolerance in PRECISIONS:
        found = equal_shares(logits.to(dtype), rounds).posteriors
        assert found.dtype == dtype
        assert_equal([found], [want], tolerance)


def loss_of(target: Any, **params: Any) -> Any:
    """The loss at the end of an epoch, after which the whole of T_u stands in one batch."""
    made = TricBalanced(TricBalancedParams(**{"prototype_weight": 1.0, "dual_weight": 1.0, **params}), CONTEXT)
    made.after_epoch(PROGRESS, SimpleNamespace(encoded={"target": target}.__getitem__))
    return made


def shares(target: Any, p: TricBalancedParams) -> Tensor:
    """Q in loops."""
    logits = target.logits.detach().double() / p.temperature
    return reference.equal_shares(logits, p.rounds if p.balance else 0)


@pytest.mark.parametrize("reading", [{}, {"anchors_from": "chain", "mix": "resonance"}, {"prototype_loss": "contrastive"}], ids=str)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_equations_7_to_9_with_assigned_pseudo_labels(situation: str, reading: dict[str, Any]) -> None:
    """(B2): anchors of T_u come from the assigned class; those of S_u, and the pairs of equation 9, are free as before."""
    parts = streams(situation, 4, 2, 3)
    alone = situation == "one utterance"  # whose equal shares say nothing, and whose S_l has sadness alone

    def make(target: Any) -> Any:
        logits = torch.tensor([[9.0, 2.0, 0.0], [1.0, 0.0, 0.5], [3.0, 1.0, 4.0]])[: len(target)].to(target.logits.dtype)
        target = replace(target, logits=logits.flip(1) if alone else logits)
        loss = loss_of(target, balance=not alone, **reading)
        return loss, target, shares(target, loss.params).argmax(dim=1).tolist()

    check_tric(make, irf(highlight="all"), parts, LABELS[: len(parts[0])], situation)


@pytest.mark.parametrize("view", ["none", "weak", "strong"])
@pytest.mark.parametrize("balance", [True, False])
@pytest.mark.parametrize(("soft", "temperature", "rounds"), [(False, 1.0, 50), (True, 1.0, 50), (True, 0.3, 2), (False, 4.0, 1)])
def test_what_is_taught(soft: bool, temperature: float, rounds: int, balance: bool, view: Any) -> None:
    """(B3): cross-entropy of the logits, or those of a view, with the assigned classes or with the shares; the shares are constants."""
    *_, target = (batch(part) for part in streams("lengths", 1, 1, 5))
    logits = [(factor * target.logits.detach().roll(by, 1)).requires_grad_() for factor, by in ((1.0, 0), (0.5, 1), (2.0, 2))]
    target = replace(target, logits=logits[0])
    loss = loss_of(target, teach_weight=0.7, soft=soft, balance=balance, temperature=temperature, rounds=rounds, view=view)
    given = shares(target, loss.params)
    assert_equal([loss.assigned], [given], 1e-6, "Q")
    assert loss.diagnostics()["assigned_confidence"] == pytest.approx(float(given.amax(dim=1).mean()), rel=1e-6)
    assert not loss.assigned.requires_grad
    picked = [3, 0, 4]
    read = {"none": 0, "weak": 1, "strong": 2}[view]
    want = torch.zeros((), dtype=torch.float64)
    for row in picked:
        log = torch.log(torch.exp(logits[read][row]) / sum(torch.exp(score) for score in logits[read][row]))
        want = want - 0.7 * ((given[row] * log).sum() if soft else log[given[row].argmax()]) / len(picked)
    views = Views(weak=replace(target, logits=logits[1]).take(picked), strong=replace(target, logits=logits[2]).take(picked))
    given_batch = replace(target.take(picked), views=views if loss.views else None)
    found = terms(loss, *_rest(), given_batch, irf())["teach"]
    assert_equal([found], [want], 1e-6, "teach")
    assert_equal(gradients(found, logits), gradients(want, logits), 1e-6, "gradient of teach")


def _rest() -> tuple[Any, Any]:
    support, source = streams("lengths", 4, 2)
    return batch(support, LABELS), batch(source)


@pytest.mark.parametrize("balance", [True, False])
@pytest.mark.parametrize("temperature", [0.25, 4.0])
def test_pseudo_labels_of_utterances_that_took_no_part(temperature: float, balance: bool) -> None:
    """Equal shares among themselves, or each one's most likely class."""
    support, asked = (batch(part, y) for part, y in zip(streams("lengths", 4, 5), (LABELS, None), strict=True))
    asked = replace(asked, logits=asked.logits + torch.tensor([3.0, 0.0, 0.0]))
    loss = TricBalanced(TricBalancedParams(balance=balance, temperature=temperature, rounds=7), CONTEXT)
    found = loss.pseudo_labels(asked, support, irf())
    assert found.tolist() == shares(asked, loss.params).argmax(dim=1).tolist()
    assert (len(set(found.tolist())) > 1) is balance


def variant(**params: Any) -> Any:
    return TricBalanced(TricBalancedParams(**params), CONTEXT).double()


def test_before_the_first_epochs_end_it_is_tric() -> None:
    given = (*_rest(), batch(streams("lengths", 1, 1, 5)[2]), irf())
    found, expected = terms(variant(), *given), terms(Tric(TricParams(), CONTEXT), *given)
    assert float(found.pop("teach")) == 0
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_class_without_labelled_utterances_leaves_its_items_their_most_resonant_anchor() -> None:
    target = batch(utterances([6, 3, 5, 4, 6, 5], seed=3))
    support, field, loss = batch(utterances([5, 4, 6, 3], seed=1), labels=[0, 1, 0, 1]), irf(), loss_of(target)
    pairs, classes = loss._anchored(support, target, field)
    orphans = loss.assigned.argmax(dim=1) == 2
    assert orphans.any()
    assert pairs.picks[orphans].tolist() == field.similarity(target, support).argmax(dim=1)[orphans].tolist()
    assert pairs.picks[orphans].tolist() != [0] * int(orphans.sum()), "not simply the first"
    assert classes.tolist() == support.labels[pairs.picks].tolist()


def test_what_was_assigned_is_kept_in_a_checkpoint_and_views_are_asked_for_only_where_they_teach() -> None:
    target = batch(streams("lengths", 1, 1, 5)[2])
    loss, other = loss_of(target), variant()
    other.load_state_dict(loss.state_dict())
    torch.testing.assert_close(other.assigned, loss.assigned, rtol=0, atol=0)
    assert variant(view="strong").views == {"target"} and not variant(view="strong", teach_weight=0).views


@pytest.mark.parametrize("without_source", [False, True])
def test_a_teacher_on_vectors_assigns_once_and_asks_for_what_is_read(without_source: bool) -> None:
    torch.manual_seed(0)
    labels, centres, truth = torch.arange(6) % 3, 3 * torch.eye(3, 4), torch.arange(30) % 3
    vectors = {"labelled": centres[labels], "target": centres[truth] + 1 + 0.3 * torch.randn(30, 4), "source": centres[truth]}
    seen: list[str] = []

    def stream(name: str) -> Tensor:
        seen.append(name)
        return vectors[name]

    loss = variant(teacher="logistic", teacher_C=1.0, dual_weight=0.0 if without_source else 1.0)
    for _ in range(2):
        loss.after_epoch(PROGRESS, SimpleNamespace(vectors=stream, labels=lambda: labels))
    assert sorted(seen) == ["labelled", *([] if without_source else ["source"]), "target"], "once, and not the classifier's posteriors"
    assert loss.assigned.argmax(dim=1).tolist() == truth.tolist()
    torch.testing.assert_close(loss.assigned.sum(dim=0), torch.full((3,), 10.0, dtype=torch.float64), atol=1e-2, rtol=0)
