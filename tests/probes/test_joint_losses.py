"""Losses beside cross-entropy without views, adversaries or banks: the golden numbers, and what each is least and greatest for."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sere_core.functional import bandwidths, gaussian_kernel, mmd
from sere_plugins.losses.center import Center
from sere_plugins.losses.dan import Dan, mk_mmd
from sere_plugins.losses.entropy import EntropyMin, InformationMax
from sere_plugins.losses.mcc import Mcc, class_confusion
from sere_plugins.losses.pseudo_label import PseudoLabel
from sere_plugins.losses.supcon import SupCon
from sere_plugins.specs.alignment import (
    CenterParams,
    DanParams,
    EntropyMinParams,
    InformationMaxParams,
    MccParams,
    PseudoLabelParams,
    SupConParams,
)
from sere_registry import BuildContext, Progress
from sere_registry.guard import running
from tests.probes.driver import CLASSES, START, batch
from tests.probes.golden import MMD_GAUSSIAN, MMD_TLL, SUPCON, det

S, T = det(8, 6, 0.0), det(8, 6, 1.0)
CONTEXT = BuildContext("loss", classes=CLASSES, dim=6)
LOGITS = det(8, 3, 0.4)


def unlabelled(logits: Tensor) -> Any:
    return batch(det(len(logits), 6, 0.2), logits)


def labelled(rows: Tensor, labels: Tensor) -> Any:
    return batch(rows, det(len(rows), 3, 0.1), labels=labels)


def total(loss: nn.Module, **given: Any) -> Tensor:
    return torch.stack(list(loss(**given).values())).sum()


def test_mk_mmd_is_the_public_codes_number() -> None:
    assert mk_mmd(S, T).item() == pytest.approx(MMD_GAUSSIAN, rel=1e-12)


def test_transfer_learning_library_has_the_u_statistic_a_constant_and_bandwidths_over_all_pairs() -> None:
    widths = [width * 15 / 16 for width in bandwidths(torch.cat([S, T]))]
    found = mmd(*(gaussian_kernel(a, b, widths) for a, b in ((S, S), (T, T), (S, T))), unbiased=True)
    assert found.item() + 2 / 7 == pytest.approx(MMD_TLL, rel=1e-12)


def test_mk_mmd_is_a_distance_of_samples() -> None:
    turn, _ = torch.linalg.qr(det(6, 6, 0.7))
    for moved in ((T, S), (S[torch.randperm(8)], T), (S @ turn + 2.0, T @ turn + 2.0)):
        assert mk_mmd(*moved).item() == pytest.approx(mk_mmd(S, T).item(), rel=1e-9)
    assert mk_mmd(S, S).item() == 0.0 and mk_mmd(S, T[:3]) > 0


def test_one_very_wide_kernel_sees_the_means_alone() -> None:
    width = 1e8
    found = mmd(*(gaussian_kernel(a, b, [width]) for a, b in ((S, S), (T, T), (S, T))))
    assert found.item() == pytest.approx((S.mean(0) - T.mean(0)).square().sum().item() * 2 / width, rel=1e-4)


def test_unbiased_mk_mmd_leaves_pairs_of_a_row_with_itself_out() -> None:
    assert mk_mmd(S, S, unbiased=True) < 0
    assert mk_mmd(S[:1], T, unbiased=True) == 0


@pytest.mark.parametrize("rows", [torch.ones(3, 2), torch.ones(1, 2)], ids=["equal rows", "one row"])
def test_mk_mmd_of_rows_that_do_not_differ_is_0(rows: Tensor) -> None:
    rows = rows.clone().requires_grad_()
    mk_mmd(rows, torch.ones(1, 2)).backward()
    assert rows.grad is not None and not rows.grad.any()


def test_where_an_unbiased_estimate_lacks_a_second_row_the_record_says_so() -> None:
    said: list[str] = []
    loss = Dan(DanParams(estimate="unbiased", use_source=False), CONTEXT)
    with running(said.append):
        assert total(loss, labelled=labelled(S[:1], torch.tensor([0])), target=unlabelled(LOGITS)) == 0
    assert [line.partition(":")[0] for line in said] == ["dan"]


def test_dan_aligns_s_l_and_s_u_with_t_u_and_the_logits_if_asked() -> None:
    given = {"labelled": labelled(S[:3], torch.tensor([0, 1, 2])), "source": unlabelled(LOGITS[:5]), "target": unlabelled(LOGITS)}
    found = Dan(DanParams(layers="both"), CONTEXT)(**given)
    rows = torch.cat([given["labelled"].embedding, given["source"].embedding])
    assert found["embedding"] == mk_mmd(rows, given["target"].embedding) and set(found) == {"embedding", "logits"}
    assert Dan(DanParams(use_source=False), CONTEXT).reads == {"labelled", "target"}


def test_class_confusion_by_hand() -> None:
    """Equations 2 and 5 to 8, in loops."""
    posteriors = (LOGITS / 2.5).softmax(dim=1)
    entropies = [-sum(float(p) * math.log(p) for p in row) for row in posteriors]
    weights = [len(LOGITS) * (1 + math.exp(-h)) / sum(1 + math.exp(-other) for other in entropies) for h in entropies]
    confusion = torch.zeros(3, 3, dtype=torch.float64)
    for weight, row in zip(weights, posteriors, strict=True):
        confusion += weight * torch.outer(row, row)
    confusion /= confusion.sum(dim=1, keepdim=True)
    assert class_confusion(LOGITS, 2.5).item() == pytest.approx(float(confusion.sum() - confusion.trace()) / 3, rel=1e-12)


def test_class_confusion_is_0_for_sure_predictions_of_all_classes_and_largest_for_uniform_ones() -> None:
    assert class_confusion(1e4 * torch.eye(3), 1.0).item() == pytest.approx(0.0, abs=1e-7)
    assert class_confusion(torch.zeros(5, 4), 2.5).item() == pytest.approx(1 - 1 / 4)
    for rows in (torch.zeros(1, 3), torch.tensor([[80.0, 0.0, 0.0]] * 4)):  # one row; classes that nobody predicts
        rows = rows.clone().requires_grad_()
        class_confusion(rows, 1.0).backward()
        assert rows.grad is not None and rows.grad.isfinite().all()


def test_a_class_that_nobody_predicts_costs_its_share_also_where_its_probability_is_0() -> None:
    for scale in (1e2, 1e3, 1e5):
        assert class_confusion(scale * torch.eye(5)[[0, 0, 1]].double(), 2.5).item() == pytest.approx(3 / 5)


@pytest.mark.parametrize("scale", [1.0, 1e2, 1e4])
@pytest.mark.parametrize("rows", [[0], [0, 0, 0], list(range(8))], ids=["one", "equal", "eight"])
def test_losses_on_predictions_are_finite_where_a_probability_is_0(scale: float, rows: list[int]) -> None:
    for loss in (
        EntropyMin(EntropyMinParams(), CONTEXT),
        InformationMax(InformationMaxParams(), CONTEXT),
        Mcc(MccParams(), CONTEXT),
    ):
        logits = (scale * LOGITS[rows]).float().requires_grad_()
        found = total(loss, target=unlabelled(logits))
        found.backward()  # type: ignore[no-untyped-call]
        assert found.isfinite() and logits.grad is not None and logits.grad.isfinite().all()


def test_information_is_that_of_shot_and_least_for_sure_and_even_predictions() -> None:
    loss = InformationMax(InformationMaxParams(), CONTEXT)
    assert total(loss, target=unlabelled(1e4 * torch.eye(3).double())).item() == pytest.approx(-math.log(3), abs=1e-4)
    assert total(loss, target=unlabelled(torch.zeros(4, 3))).item() == pytest.approx(0.0, abs=1e-4)
    assert loss.diagnostics()["spread"] == pytest.approx(1.0)
    wide = InformationMax(InformationMaxParams(), BuildContext("loss", classes=tuple("abcde"), dim=6))
    assert total(wide, target=unlabelled(2 * det(20, 5, 0.35))).item() == pytest.approx(SHOT_IM, rel=1e-9)


#: of the posteriors of 2 det(20, 5, 0.35): L_IM of SHOT, with its eps of 1e-5
SHOT_IM = -0.5768717545


def test_entropy_alone_is_content_with_one_class() -> None:
    loss = EntropyMin(EntropyMinParams(), CONTEXT)
    assert total(loss, target=unlabelled(torch.tensor([[1e3, 0.0, 0.0]] * 4))).item() == pytest.approx(0.0, abs=1e-6)
    assert total(loss, target=unlabelled(torch.zeros(2, 3))).item() == pytest.approx(math.log(3))


def test_pseudo_labels_without_a_threshold_have_the_gradient_of_their_own_class() -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = PseudoLabel(PseudoLabelParams(threshold=0.0, ramp=0.0), CONTEXT)
    total(loss, progress=START, target=unlabelled(logits)).backward()
    posteriors = LOGITS.softmax(dim=1)
    wanted = (posteriors - functional.one_hot(posteriors.argmax(dim=1), 3)) / len(LOGITS)
    torch.testing.assert_close(logits.grad, wanted)


def test_no_pseudo_label_is_above_1_and_the_ramp_begins_at_0() -> None:
    given = {"target": unlabelled(LOGITS), "source": unlabelled(LOGITS)}
    assert total(PseudoLabel(PseudoLabelParams(threshold=1.1), CONTEXT), progress=Progress(9, 9, 0.9), **given) == 0
    early = PseudoLabel(PseudoLabelParams(threshold=0.0), CONTEXT)
    assert [early.ramp(t) for t in (0.0, 0.2, 0.4, 0.9)] == [0.0, pytest.approx(0.5), 1.0, 1.0]


@pytest.mark.parametrize("tau", SUPCON)
def test_supcon_is_the_authors_number(tau: float) -> None:
    params = SupConParams(temperature=tau, base_temperature=tau, projection=0)
    loss = SupCon(params, BuildContext("loss", classes=CLASSES, dim=5))
    found = total(loss, labelled=labelled(det(6, 5, 0.3), torch.tensor([0, 0, 1, 1, 2, 0])))
    assert found.item() == pytest.approx(SUPCON[tau], rel=1e-12)


def test_supcon_needs_two_of_a_class_and_knows_no_length() -> None:
    loss = SupCon(SupConParams(projection=0), CONTEXT)
    assert total(loss, labelled=labelled(S[:3], torch.tensor([0, 1, 2]))) == 0
    assert total(loss, labelled=labelled(S[:1], torch.tensor([0]))) == 0
    labels = torch.tensor([0, 0, 1, 1, 2, 0, 1, 2])
    torch.testing.assert_close(total(loss, labelled=labelled(S, labels)), total(loss, labelled=labelled(3 * S, labels)))


def test_centres_move_towards_their_class_and_a_class_at_its_centre_costs_nothing() -> None:
    loss = Center(CenterParams(rate=1.0), CONTEXT)
    rows, labels = torch.ones(4, 6), torch.tensor([0, 0, 0, 2])
    before = total(loss, labelled=labelled(rows, labels)).item()
    assert before == pytest.approx(3.0)  # half the squared length of six ones
    loss.after_step(START)
    assert loss.centres[:, 0].tolist() == pytest.approx([3 / 4, 0.0, 1 / 2])
    loss.after_step(START)  # without a batch in between nothing moves
    assert total(loss, labelled=labelled(rows, labels)).item() < before
    loss.centres.fill_(1.0)
    assert total(loss, labelled=labelled(rows, labels)) == 0
