"""Prototypes: a nearest-class-mean classifier as a special case, their update by hand, who teaches whom, odd batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sere_core.functional import unit_rows
from sere_core.testing.data import Shape, streams
from sere_core.train.checkpoint import Checkpoint
from sere_core.train.fold import Listener
from sere_plugins.losses.prototype_consistency import PrototypeConsistency, farthest_first
from sere_plugins.specs.consistency import PROTOTYPE_CONSISTENCY, PrototypeConsistencyParams
from sere_registry import Progress
from tests.probes.driver import context
from tests.probes.golden import det
from tests.train.recipes import made, toy

ROWS, LABELS = unit_rows(det(12, 6, 0.3)), torch.arange(12) % 3
START = Progress(0, 0, 0.0)


def loss_of(**params: Any) -> PrototypeConsistency:
    loss = PrototypeConsistency(PrototypeConsistencyParams(**params), context()).double()
    loss.start(ROWS, LABELS)
    return loss


def test_one_prototype_without_memory_is_the_nearest_class_mean_by_cosine() -> None:
    loss = loss_of(prototypes=1, decay=0.0, temperature=0.5)
    loss.follow(ROWS, LABELS)
    means = torch.stack([ROWS[c == LABELS].mean(dim=0) for c in range(3)])
    expected = torch.cosine_similarity(ROWS[:, None], means[None], dim=2) / 0.5
    torch.testing.assert_close(loss.scores(ROWS), expected)


def test_a_prototype_moves_to_those_of_its_class_that_are_nearest_to_it_and_otherwise_stays() -> None:
    loss = loss_of(prototypes=3, decay=0.7)
    before = loss.prototypes.clone()
    seen, labels = unit_rows(det(5, 6, 0.9)), torch.tensor([0, 0, 0, 1, 1])
    loss.follow(seen, labels)
    for c in range(3):
        rows = seen[labels == c]
        own = (rows @ before[c].T).argmax(dim=1)
        for m in range(3):
            mine = rows[own == m]
            expected = unit_rows(0.7 * before[c, m] + 0.3 * mine.mean(dim=0)) if len(mine) else before[c, m]
            torch.testing.assert_close(loss.prototypes[c, m], expected)


def test_the_order_of_prototypes_within_a_class_changes_nothing() -> None:
    loss = loss_of(prototypes=3)
    scores = loss.scores(ROWS)
    loss.prototypes.copy_(loss.prototypes[:, [2, 0, 1]])
    torch.testing.assert_close(loss.scores(ROWS), scores)


def test_prototypes_start_apart_and_fewer_utterances_than_prototypes_are_enough() -> None:
    found = farthest_first(ROWS, 4)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4).double())
    assert len(found.round(decimals=6).unique(dim=0)) == 4
    assert farthest_first(ROWS[:1], 3).shape == (3, 6)
    loss = loss_of()
    kept = loss.prototypes.clone()
    loss.start(-ROWS, LABELS)
    assert torch.equal(loss.prototypes, kept), "prototypes that are there start anew"


def batches() -> dict[str, Any]:
    made = streams(Shape(), views=frozenset({"target"}))
    return {name: made[name] for name in ("labelled", "target")}


def test_the_terms_are_the_formula_and_only_confident_guesses_teach() -> None:
    loss = PrototypeConsistency(PrototypeConsistencyParams(threshold=0.4, unlabelled_weight=3.0), Shape().context()).double()
    given = batches()
    found = loss(**given)
    views = given["target"].views
    confidence, guess = loss.teacher.encode(views.weak).logits.softmax(dim=1).max(dim=1)
    kept = confidence >= 0.4
    assert 0 < kept.sum() < len(kept)
    ce = torch.nn.functional.cross_entropy
    scores = (unit_rows(views.strong.embedding) @ loss.prototypes.flatten(0, 1).T).unflatten(1, (3, 2)).amax(dim=2) / 0.1
    assert found["linear"].item() == pytest.approx(3 * ce(views.strong.logits[kept], guess[kept], reduction="sum").item() / len(kept))
    assert found["prototype"].item() == pytest.approx(3 * ce(scores[kept], guess[kept], reduction="sum").item() / len(kept))
    assert found["labelled"].item() == pytest.approx(
        ce(loss.scores(unit_rows(given["labelled"].embedding)), given["labelled"].labels).item()
    )
    assert loss.diagnostics() == {"mask": pytest.approx(kept.double().mean().item()), "started": 1.0}
    sum(found.values()).backward()
    assert given["labelled"].embedding.grad.any() and views.strong.embedding.grad.any() and views.weak.embedding.grad is None
    before = loss.prototypes.clone()
    loss.after_step(START)
    assert not torch.equal(loss.prototypes, before)
    before = loss.prototypes.clone()
    loss.after_step(START)
    assert torch.equal(loss.prototypes, before), "what was seen once moves the prototypes twice"


def test_a_class_without_labels_has_no_prototype_and_its_guesses_do_not_teach_prototypes() -> None:
    loss = PrototypeConsistency(PrototypeConsistencyParams(threshold=0.01), Shape().context()).double()
    given = batches()
    object.__setattr__(given["labelled"], "labels", given["labelled"].labels % 2)
    with torch.no_grad():
        loss.teacher.network.classifier.bias.copy_(torch.tensor([0.0, 0.0, 50.0]))  # type: ignore[operator, union-attr]
    found = loss(**given)
    assert loss.started.tolist() == [True, True, False] and loss.diagnostics()["started"] == pytest.approx(2 / 3)
    assert found["prototype"].item() == 0 and found["linear"].item() > 0 and found["labelled"].isfinite()
    loss.after_step(START)
    assert not loss.prototypes[2].any()


def test_weight_zero_is_source_only_to_the_bit_and_a_threshold_that_no_one_reaches_teaches_s_l_alone(tmp_path: Path) -> None:
    only = toy().trainer(tmp_path / "only").run().posteriors
    for name, weight, params, same in (
        ("zero", 0.0, {}, True),
        ("some", 1.0, {"threshold": 0.5}, False),
        ("one", 1.0, {"threshold": 2.0}, False),
    ):
        found = toy(adapt=made(PROTOTYPE_CONSISTENCY, predict="student", **params), weight=weight).trainer(tmp_path / name).run()  # type: ignore[arg-type]
        assert torch.equal(found.posteriors, only) is same, name


def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    recipe = toy(adapt=made(PROTOTYPE_CONSISTENCY, threshold=0.4, ema=0.9))
    whole = recipe.trainer(tmp_path / "whole").run().posteriors

    def stop(stage: str, epoch: int, step: int, losses: object) -> None:
        if step == 7:
            raise InterruptedError

    killed = recipe.trainer(tmp_path / "killed", listener=Listener(step_end=stop))
    with pytest.raises(InterruptedError):
        killed.run()
    assert torch.equal(recipe.trainer(tmp_path / "killed").run(Checkpoint.load(killed.path)).posteriors, whole)
