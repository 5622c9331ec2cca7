"""SHOT, AaD and ECAN, and what they share with NRC: golden numbers, a poisoned source, and targets that are odd."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sere_core.functional import nearest, supervised_contrastive, unit_rows
from sere_plugins.methods.aad import Aad, dispersal
from sere_plugins.methods.ecan import Ecan, neighbour_contrast
from sere_plugins.methods.nrc import Nrc
from sere_plugins.methods.shot import Shot, centroid_labels
from sere_plugins.specs.source_free import AadParams, EcanParams, NrcParams, ShotParams
from sere_registry import Progress
from sere_registry.guard import running
from tests.probes.driver import START, Driver, Seen, TinyBackbone, Toy, accuracy, batch, context, copy_of, same
from tests.probes.golden import AAD_GRADIENT_NORM, AAD_GRADIENT_ROW_0, AAD_VALUE, SHOT_LABELS, det

EMBEDDINGS, LOGITS = det(20, 6, 0.15), 2 * det(20, 5, 0.35)
SCORES, UNIT = LOGITS.softmax(dim=1), unit_rows(EMBEDDINGS)
INDEX, FIVE = torch.arange(8), tuple("abcde")
METHODS: dict[str, tuple[Any, Any]] = {
    "nrc": (Nrc, NrcParams), "shot": (Shot, ShotParams), "aad": (Aad, AadParams), "ecan": (Ecan, EcanParams)
}  # fmt: skip
EACH = pytest.mark.parametrize("name", METHODS)


def make(name: str, seed: int = 0, **params: Any) -> Any:
    method, of = METHODS[name]
    torch.manual_seed(seed)
    return method(of(**params), context(TinyBackbone()))


def golden(name: str, **params: Any) -> Any:
    method, of = METHODS[name]
    made = method(of(**params), context(classes=FIVE))
    made.bank.fill(EMBEDDINGS, SCORES)
    return made


def given(logits: Tensor, embeddings: Tensor = EMBEDDINGS[:8]) -> Any:
    return batch(embeddings, logits, index=torch.arange(len(logits)))


# -- what all four promise


@EACH
def test_a_poisoned_source_changes_no_bit_of_the_second_stage(name: str) -> None:
    """It starts from the network of the first and nothing else: NaN and wrong labels in place of the source are not noticed."""
    toy = Toy.make()
    first = make(name)
    source, _ = first.stages()
    Driver(first, source, toy).run(0, 5)
    poison = {stream: torch.full_like(rows, torch.nan) for stream, rows in toy.vectors.items() if stream != "target"}
    poisoned = replace(toy, vectors={**toy.vectors, **poison}, labels=toy.labels.flip(0))
    ends = []
    for data in (toy, poisoned):
        second = make(name, seed=1)
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        _, adapt = second.stages()
        assert adapt.sees == {"target"}
        terms = Driver(second, adapt, data).run(0, 5)
        if adapt.after_epoch is not None:
            adapt.after_epoch(START, Seen(data, second.backbone, adapt.sees))
        assert all(math.isfinite(value) for step in terms for value in step.values())
        ends.append(copy_of(second.state_dict().values()))
    assert same(*ends)


@EACH
def test_stages_budgets_and_rates(name: str) -> None:
    source, last = make(name, source_budget=0.25).stages()
    assert (source.sees, source.budget, last.budget) == ({"labelled"}, 0.25, 0.75)
    groups = make(name, features_scale=0.1, decay=True).parameters_by_group()
    assert [(key, group.scale) for key, group in groups.items()] == [("features", 0.1), ("classifier", 1.0)]
    assert all(group.schedule is not None for group in groups.values())


@pytest.mark.parametrize("name", ["shot", "aad"])
def test_adapting_helps_on_a_toy(name: str) -> None:
    gains = []
    for seed in range(2):
        toy, method = Toy.make(seed, shift=2.5), make(name)
        source, adapt = method.stages()
        Driver(method, source, toy, lr=0.5).run(0, 60)
        before = accuracy(method, toy)
        Driver(method, adapt, toy, lr=0.05).run(0, 60)
        gains.append(accuracy(method, toy) - before)
    assert sum(gains) > 0.1, gains


@EACH
@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("equal", [False, True])
def test_few_or_equal_target_utterances(name: str, rows: int, equal: bool) -> None:
    """Fewer than neighbours, a batch of one, and the same utterance again: finite terms and gradients, and a line in the record."""
    toy = Toy.make()
    target = toy.vectors["target"][:1].repeat(rows, 1) if equal else toy.vectors["target"][:rows]
    toy = replace(toy, vectors={**toy.vectors, "target": target})
    method, said = make(name), list[str]()
    with running(said.append):
        terms = Driver(method, method.stages()[1], toy).run(0, 3)
    assert all(math.isfinite(value) for step in terms for value in step.values())
    assert all(parameter.isfinite().all() for parameter in method.backbone.parameters())
    assert [name in line for line in said] == ([] if name == "shot" else [True])


# -- SHOT


def test_golden_pseudo_labels() -> None:
    assert centroid_labels(EMBEDDINGS, SCORES).tolist() == SHOT_LABELS
    assert (SCORES.argmax(dim=1) != torch.tensor(SHOT_LABELS)).sum() == 2


def test_pseudo_labels_follow_clusters() -> None:
    rows = 5 * torch.eye(3, 6, dtype=torch.float64)[torch.arange(12) % 3] + 0.1 * det(12, 6, 0.4)
    scores = (2 * torch.eye(3, dtype=torch.float64)[torch.arange(12) % 3]).softmax(dim=1)
    scores[4] = torch.tensor([0.4, 0.3, 0.3], dtype=torch.float64)  # in the middle of the second cluster
    assert centroid_labels(rows, scores).tolist() == (torch.arange(12) % 3).tolist()


def test_classes_that_are_not_predicted_get_no_pseudo_label() -> None:
    scores = SCORES.clone()
    scores[:, 4] = 0.0
    assert 4 not in centroid_labels(EMBEDDINGS, scores)
    counts = SCORES.argmax(dim=1).bincount(minlength=5)
    rare = set((counts <= 3).nonzero().flatten().tolist())
    assert rare and not rare & set(centroid_labels(EMBEDDINGS, SCORES, threshold=3).tolist())
    assert set(centroid_labels(EMBEDDINGS, SCORES, threshold=100).tolist()) == {int(counts.argmax())}
    one = torch.zeros(4, 3).softmax(dim=1)  # all tied: the first
    assert centroid_labels(torch.zeros(4, 2), one).tolist() == [0, 0, 0, 0]


def test_the_classifier_of_shot_stays_as_the_source_left_it() -> None:
    toy, method = Toy.make(), make("shot")
    before, features = copy_of(method.backbone.classifier.parameters()), copy_of(method.backbone.features())
    Driver(method, method.stages()[1], toy).run(0, 5)
    assert same(before, method.backbone.classifier.parameters()) and not same(features, method.backbone.features())


def test_terms_of_shot() -> None:
    method = Shot(ShotParams(pseudo_weight=0.5, diversity=2.0), context(classes=FIVE))
    method.assigned.labels, method.assigned.predicted = torch.tensor(SHOT_LABELS), SCORES.argmax(dim=1)
    terms = method.adapt(given(LOGITS[:8]))
    p, mean = SCORES[:8], SCORES[:8].mean(dim=0)
    assert terms["pseudo_label"].item() == pytest.approx(-0.5 * p[INDEX, SHOT_LABELS[:8]].log().mean().item())
    assert terms["entropy"].item() == pytest.approx(-(p * p.log()).sum(dim=1).mean().item(), abs=1e-4)
    assert terms["diversity"].item() == pytest.approx(2 * (mean * mean.log()).sum().item(), abs=1e-4)
    found = method.diagnostics()
    assert found["missing"] == 0.0 and found["corrected"] == pytest.approx(0.1) and 0 < found["spread"] <= 1


def test_pseudo_labels_are_assigned_at_the_beginning_and_after_epochs() -> None:
    method, toy = make("shot", every=2), Toy.make()
    data = Seen(toy, method.backbone, frozenset({"target"}))
    method.begin(data)
    assert len(method.assigned.labels) == 60
    method.assigned.labels[:] = 7
    method.begin(data)  # as after a resume
    method.after_epoch(START, data)
    assert (method.assigned.labels == 7).all()
    method.after_epoch(Progress(9, 1, 0.5), data)
    assert (method.assigned.labels < 3).all()
    fresh = make("shot")
    fresh.load_state_dict(method.state_dict())
    assert torch.equal(fresh.assigned.labels, method.assigned.labels)


# -- AaD


def test_golden_gradient_of_aad() -> None:
    logits = LOGITS[:8].clone().requires_grad_()
    total = torch.stack(list(golden("aad", neighbours=3).adapt(given(logits), START).values())).sum()
    total.backward()  # type: ignore[no-untyped-call]
    assert total.item() == pytest.approx(AAD_VALUE, rel=1e-12) and logits.grad is not None
    torch.testing.assert_close(logits.grad[0], torch.tensor(AAD_GRADIENT_ROW_0, dtype=torch.float64), rtol=1e-12, atol=1e-15)
    assert logits.grad.norm().item() == pytest.approx(AAD_GRADIENT_NORM, rel=1e-12)


def test_without_dispersal_aad_is_the_reduced_nrc() -> None:
    reduced = golden("nrc", affinity=1.0, expanded_affinity=0.0, diversity=0.0).adapt(given(LOGITS[:8]))
    terms = golden("aad", neighbours=3, dispersal=0.0).adapt(given(LOGITS[:8]), START)
    assert list(terms) == ["attraction"]
    torch.testing.assert_close(terms["attraction"], reduced["neighbours"])


def test_limits_of_aad() -> None:
    assert dispersal(SCORES[:1]).item() == 0.0
    certain = torch.zeros(8, 5, dtype=torch.float64)
    certain[:, 0] = 1000.0
    method = golden("aad", neighbours=3)
    method.bank.posteriors[:] = torch.eye(5, dtype=torch.float64)[0]
    terms = method.adapt(given(certain), START)
    assert terms["attraction"].item() == -3.0 and terms["dispersal"].item() == 7.0
    assert method.diagnostics()["spread"] == pytest.approx(0.0, abs=1e-12)
    falls = golden("aad", fall=2.0).adapt(given(LOGITS[:8]), Progress(0, 0, 0.5))["dispersal"]
    assert falls.item() == pytest.approx(dispersal(SCORES[:8]).item() / 36)


def test_both_sides_of_the_dispersal_have_a_gradient() -> None:
    both, one = SCORES[:8].clone().requires_grad_(), SCORES[:8].clone().requires_grad_()
    dispersal(both).backward()  # type: ignore[no-untyped-call]
    products = one @ one.detach().T
    ((products.sum() - products.diagonal().sum()) / 8).backward()  # type: ignore[no-untyped-call]
    assert both.grad is not None and one.grad is not None
    torch.testing.assert_close(both.grad, 2 * one.grad)


# -- ECAN


def test_contrast_with_neighbours_by_loops() -> None:
    near = nearest(UNIT, INDEX, 3)
    total = 0.0
    for i in range(8):
        below = sum(math.exp(float(UNIT[i] @ UNIT[a]) / 0.1) for a in range(20) if a != i)
        total -= sum(math.log(math.exp(float(UNIT[i] @ UNIT[k]) / 0.1) / below) for k in near[i].tolist()) / 24
    assert neighbour_contrast(UNIT[:8], UNIT, INDEX, near, 0.1).item() == pytest.approx(total, rel=1e-12)


def test_one_neighbour_in_a_bank_that_is_the_batch_is_infonce() -> None:
    near = nearest(UNIT[:8], INDEX, 1)
    scores = (UNIT[:8] @ UNIT[:8].T / 0.1).fill_diagonal_(-torch.inf)
    expected = torch.nn.functional.cross_entropy(scores, near[:, 0])
    torch.testing.assert_close(neighbour_contrast(UNIT[:8], UNIT[:8], INDEX, near, 0.1), expected)


def test_terms_of_ecan() -> None:
    method = golden("ecan")
    terms = method.adapt(given(LOGITS[:8]))
    near = nearest(UNIT, INDEX, 3)
    guesses = (SCORES[:8] + SCORES[near].sum(dim=1)).argmax(dim=1)
    assert not torch.equal(guesses, SCORES[:8].argmax(dim=1))
    torch.testing.assert_close(terms["classes"], 0.5 * supervised_contrastive(UNIT[:8], guesses, 0.1, 0.1))
    torch.testing.assert_close(terms["neighbours"], neighbour_contrast(UNIT[:8], UNIT, INDEX, near, 0.1))
    assert method.diagnostics()["classes"] == len(set(guesses.tolist()))


def test_only_diversity_is_left_of_ecan_without_its_weights() -> None:
    terms = golden("ecan", neighbour_weight=0.0, class_weight=0.0).adapt(given(LOGITS[:8]))
    mean = SCORES[:8].mean(dim=0)
    assert list(terms) == ["diversity"]
    assert terms["diversity"].item() == pytest.approx((mean * mean.log()).sum().item(), abs=1e-4)


def test_pseudo_labels_of_which_no_two_are_equal_have_no_contrast() -> None:
    method = golden("ecan", class_weight=1.0)
    method.guesses = lambda posteriors, near: torch.arange(8)
    assert method.adapt(given(LOGITS[:8]))["classes"].item() == 0.0
