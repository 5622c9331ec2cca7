"""`tric_balanced`: equal shares, anchors within the class that was given out, and a classifier that is taught them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch.nn import functional

from sere_plugins.balancing import share_out
from sere_plugins.losses.tric import build as build_tric
from sere_plugins.losses.tric_balanced import balanced, build
from sere_plugins.resonance.irf import Irf
from sere_plugins.specs.losses import TricBalancedParams, TricParams
from sere_plugins.specs.resonance import IrfParams
from sere_registry import BuildContext, Progress, Views
from tests.sere.batches import BURSTS, WIDTH, batch, utterances

CLASSES = ("anger", "fear", "neutral")
CONTEXT = BuildContext(id="adapt", classes=CLASSES, dim=WIDTH - BURSTS, dynamics_dim=BURSTS)
PROGRESS = Progress(step=0, epoch=0, fraction=0.0)


def test_shares_are_equal_and_rows_are_posteriors() -> None:
    torch.manual_seed(0)
    logits = 3 * torch.randn(60, 4) + torch.tensor([4.0, 0.0, 0.0, -2.0])
    assert logits.argmax(dim=1).bincount(minlength=4).max() > 40, "the classifier would give one class nearly everything"
    shares = balanced(logits.double(), rounds=500)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(60, dtype=torch.float64))
    torch.testing.assert_close(shares.sum(dim=0), torch.full((4,), 15.0, dtype=torch.float64), rtol=1e-6, atol=1e-6)


def test_it_is_the_entropic_optimum() -> None:
    """(B1) says Q_jc = p_jc u_j v_c: log Q - log p is a sum of a row term and a column term."""
    torch.manual_seed(1)
    logits = torch.randn(12, 3, dtype=torch.float64)
    gap = balanced(logits, rounds=500).log() - logits
    gap = gap - gap[:1] - gap[:, :1] + gap[0, 0]
    torch.testing.assert_close(gap, torch.zeros_like(gap), atol=1e-9, rtol=0)


def test_its_offsets_make_the_shares() -> None:
    """Q_jc = softmax_c(log p_jc + v_c)."""
    torch.manual_seed(2)
    logits = 2 * torch.randn(40, 3, dtype=torch.float64) + torch.tensor([2.0, 0.0, -1.0])
    shares = share_out(logits, rounds=200)
    torch.testing.assert_close((logits + shares.offsets).softmax(dim=1), shares.given, rtol=1e-12, atol=1e-12)
    assert shares.offsets[0] < shares.offsets[1] < shares.offsets[2], "what was too frequent is held back"


def test_large_logits_do_not_overflow() -> None:
    assert torch.isfinite(balanced(torch.tensor([[900.0, -900.0], [800.0, -800.0]]), rounds=50)).all()


def field() -> Irf:
    return Irf(IrfParams(), CONTEXT).double()


def streams() -> tuple[Any, Any, Any]:
    support = batch(utterances([5, 4, 6, 3, 5, 4], seed=1), labels=[0, 1, 2, 0, 1, 2])
    return support, batch(utterances([4, 7, 5], seed=2)), batch(utterances([6, 3, 5, 4, 6, 5], seed=3))


def variant(**params: Any) -> Any:
    return build(TricBalancedParams(**params), CONTEXT).double()


def give(loss: Any, target: Any) -> None:
    """What the engine does at the end of an epoch, with the whole of T_u in one batch."""
    loss.after_epoch(PROGRESS, SimpleNamespace(encoded=lambda stream: {"target": target}[stream]))


def test_before_the_first_epochs_end_it_is_tric() -> None:
    mine, plain = variant(), build_tric(TricParams(), CONTEXT)
    found, expected = mine(*streams(), field()), plain(*streams(), field())
    assert found.keys() == {*expected, "teach"} and float(found["teach"]) == 0
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)


def test_the_classifier_is_taught_equal_shares() -> None:
    support, source, target = streams()
    loss = variant(teach_weight=0.5)
    give(loss, target)
    torch.testing.assert_close(loss.given.sum(dim=0), torch.full((3,), 2.0), check_dtype=False, rtol=1e-3, atol=1e-3)
    taught = loss.given.argmax(dim=1)
    found = loss(support, source, target, field())["teach"]
    torch.testing.assert_close(found, 0.5 * functional.cross_entropy(target.logits, taught), check_dtype=False, rtol=1e-6, atol=1e-6)


def test_anchors_are_sought_within_the_given_class() -> None:
    """Exhaustively: of all labelled utterances of the class, the one with the largest S; others may have a larger one."""
    support, _, target = streams()
    loss, resonance = variant(), field()
    give(loss, target)
    pairs, classes = loss._anchored(support, target, resonance)
    similarity = resonance.similarity(target, support).detach()
    for row, (pick, given) in enumerate(zip(pairs.picks.tolist(), loss.given.argmax(dim=1).tolist(), strict=True)):
        mates = [index for index, label in enumerate(support.labels.tolist()) if label == given]
        assert pick == max(mates, key=lambda index: float(similarity[row, index])) and int(classes[row]) == given
    assert pairs.picks.tolist() != similarity.argmax(dim=1).tolist(), "the classes that were given out made a difference"


def test_a_class_without_labelled_utterances_leaves_its_items_their_most_resonant_anchor() -> None:
    _, _, target = streams()
    support, loss, resonance = batch(utterances([5, 4, 6, 3], seed=1), labels=[0, 1, 0, 1]), variant(), field()
    give(loss, target)
    pairs, classes = loss._anchored(support, target, resonance)
    orphans = loss.given.argmax(dim=1) == 2
    assert orphans.any()
    assert pairs.picks[orphans].tolist() == resonance.similarity(target, support).argmax(dim=1)[orphans].tolist()
    assert pairs.picks[orphans].tolist() != [0] * int(orphans.sum()), "not simply the first"
    assert classes.tolist() == support.labels[pairs.picks].tolist()


def test_what_was_given_out_is_kept_in_a_checkpoint() -> None:
    _, _, target = streams()
    loss, other = variant(), variant()
    give(loss, target)
    other.load_state_dict(loss.state_dict())
    torch.testing.assert_close(other.given, loss.given, rtol=0, atol=0)


def test_the_control_without_balance_teaches_the_classifiers_own_guesses() -> None:
    _, _, target = streams()
    loss = variant(balance=False)
    give(loss, target)
    assert loss.given.argmax(dim=1).tolist() == target.logits.argmax(dim=1).tolist()


def test_a_view_may_be_what_is_taught() -> None:
    support, source, target = streams()
    altered = replace(target, logits=target.logits.flip(1))
    loss = variant(view="strong")
    assert loss.views == {"target"} and not variant(view="strong", teach_weight=0).views
    give(loss, target)
    found = loss(support, source, replace(target, views=Views(weak=target, strong=altered)), field())["teach"]
    expected = functional.cross_entropy(altered.logits, loss.given.argmax(dim=1))
    torch.testing.assert_close(found, expected, check_dtype=False, rtol=1e-6, atol=1e-6)


def test_a_teacher_on_vectors_gives_the_classes_out_once() -> None:
    torch.manual_seed(0)
    labels = torch.arange(6) % 3
    centres = 3 * torch.eye(3, 4)
    truth = torch.arange(30) % 3
    vectors = {"labelled": centres[labels], "target": centres[truth] + 1 + 0.3 * torch.randn(30, 4), "source": centres[truth]}
    seen = []

    def stream(name: str) -> Any:
        seen.append(name)
        return vectors[name]

    loss = variant(teacher="logistic", teacher_C=1.0)
    for _ in range(2):
        loss.after_epoch(PROGRESS, SimpleNamespace(vectors=stream, labels=lambda: labels))
    assert seen == ["target", "labelled", "source"], "asked once, and without the classifier's posteriors"
    assert loss.given.argmax(dim=1).tolist() == truth.tolist()
    torch.testing.assert_close(loss.given.sum(dim=0), torch.full((3,), 10.0, dtype=torch.float64), atol=1e-2, rtol=0)


def test_a_teacher_without_the_source_does_not_ask_for_it() -> None:
    labels = torch.arange(6) % 3
    vectors = {"labelled": torch.eye(3)[labels], "target": torch.eye(3)[labels]}
    loss = variant(teacher="logistic", dual_weight=0)
    loss.after_epoch(PROGRESS, SimpleNamespace(vectors=vectors.__getitem__, labels=lambda: labels))
    assert loss.given.argmax(dim=1).tolist() == labels.tolist()
