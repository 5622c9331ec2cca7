"""Shares by EM: where the posteriors are right it finds them, where they are overconfident calibration mends them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sere_plugins.methods.label_shift import calibration, held_out, label_shift, target_shares
from sere_plugins.specs.methods import LogisticParams
from sere_plugins.specs.transductive import SharesParams
from sere_registry import SereError
from sere_registry.guard import running
from tests.probes.driver import Toy

SOURCE, TARGET = torch.tensor([0.25, 0.25, 0.5]).double(), torch.tensor([0.6, 0.3, 0.1]).double()
CENTRES = 2.0 * torch.eye(3, 4).double()


def drawn(shares: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Logits log s_c + log N(x; c) of utterances whose classes have the given shares, and their classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(shares, count, replacement=True, generator=generator)
    vectors = CENTRES[labels] + torch.randn(count, 4, generator=generator, dtype=torch.float64)
    return SOURCE.log() - (vectors[:, None] - CENTRES).square().sum(dim=2) / 2, labels


def test_the_shares_are_found_where_the_posteriors_are_right() -> None:
    logits, labels = drawn(TARGET, 3000, 1)
    found = label_shift(logits.softmax(dim=1), SOURCE, damping=0.0)
    torch.testing.assert_close(found, labels.bincount().double() / 3000, rtol=0, atol=0.02)


def test_it_is_a_fixed_point_and_damping_pulls_it_to_the_source() -> None:
    posteriors = drawn(TARGET, 500, 2)[0].softmax(dim=1)
    shares = [label_shift(posteriors, SOURCE, damping) for damping in (0.0, 0.3, 1.0)]
    for found, damping in zip(shares, (0.0, 0.3, 1.0), strict=True):
        joint = posteriors * found / SOURCE
        again = (1 - damping) * (joint / joint.sum(dim=1, keepdim=True)).mean(dim=0) + damping * SOURCE
        torch.testing.assert_close(again, found, rtol=0, atol=1e-6)
    gaps = [float((found - SOURCE).abs().sum()) for found in shares]
    assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < 1e-12


def test_calibration_undoes_a_temperature_and_a_bias() -> None:
    logits, labels = drawn(SOURCE, 4000, 3)
    bias = torch.tensor([1.0, -0.5, -0.5]).double()
    found = calibration(3 * (logits - bias), labels)
    right = logits.softmax(dim=1)
    assert (found.posteriors(3 * (logits - bias)) - right).abs().mean() < 0.01
    assert found.scale == pytest.approx(1 / 3, rel=0.1) and found.number == 4000
    torch.testing.assert_close(
        found.posteriors(3 * (logits - bias)).mean(dim=0), labels.bincount() / 4000.0, rtol=0, atol=1e-3, check_dtype=False
    )


def test_overconfident_posteriors_mislead_em_and_calibrated_ones_do_not() -> None:
    logits, labels = drawn(TARGET, 3000, 4)
    known, classes = drawn(SOURCE, 3000, 5)
    truth = labels.bincount().double() / 3000
    wrong = torch.tensor([0.0, 0.0, 3.0]).double()
    raw = label_shift((logits + wrong).softmax(dim=1), SOURCE, 0.0)
    mended = label_shift(calibration(known + wrong, classes).posteriors(logits + wrong), SOURCE, 0.0)
    assert (mended - truth).abs().sum() < 0.06 < 0.15 < (raw - truth).abs().sum()


def test_held_out_is_one_of_each_class_at_a_time() -> None:
    toy = Toy.make(shots=3, spread=2.0)
    vectors, labels = toy.vectors["labelled"].double().numpy(), toy.labels.numpy()
    logits, kept = held_out(LogisticParams(), 3, vectors, labels)
    assert sorted(kept.tolist()) == sorted(labels.tolist())
    single, none = held_out(LogisticParams(), 3, vectors[::3], labels[::3])
    assert single.shape == (0, 3) and not len(none) and calibration(single, none).scale == 1.0
    logits, kept = held_out(LogisticParams(), 3, vectors[:4], labels[:4])  # one class with a single utterance, one with none
    found = calibration(logits, kept)
    assert kept.tolist() == [0, 0, 0] and found.bias[1:].tolist() == [0.0, 0.0] and found.posteriors(logits).isfinite().all()


def test_listed_shares_are_those_of_classes_with_labels() -> None:
    vectors, labels = np.eye(4), np.array([0, 0, 1, 1])
    given = target_shares(SharesParams(shares=(1.0, 3.0, 4.0)), "x", vectors, labels, vectors, 3)
    assert given is not None and given.tolist() == [0.25, 0.75, 0.0]
    for wrong in ((0.5, 0.5), (0.0, 0.0, 1.0)):
        with pytest.raises(SereError) as caught:
            target_shares(SharesParams(shares=wrong), "x", vectors, labels, vectors, 3)
        assert caught.value.problems[0].code == "C302"
    assert target_shares(SharesParams(), "x", vectors, labels, vectors, 3) is None


def test_shares_of_classes_with_a_single_utterance_come_with_a_warning() -> None:
    toy, said = Toy.make(shots=1), list[str]()
    labelled, target = (toy.vectors[stream].double().numpy() for stream in ("labelled", "target"))
    with running(said.append):
        found = target_shares(SharesParams(shares="estimated"), "x", labelled, toy.labels.numpy(), target, 3)
    assert found is not None and float(found.sum()) == pytest.approx(1.0)
    assert len(said) == 1 and said[0].startswith("x: 3 of 3")
