"""TRIC: small streams, weights, prediction and what a run records; what each reading says is in `test_section_5`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sere_plugins.losses.tric import Tric
from sere_plugins.resonance.irf import Irf
from sere_plugins.resonance.neighbours import Cosine, Mean
from sere_plugins.specs.losses import TricParams
from sere_plugins.specs.resonance import IrfParams
from sere_registry import NoParams, Resonance, SereError
from tests.sere import reference
from tests.sere.batches import CLASSES, CONTEXT, LABELS, batch, gradients, leaves, terms, utterances
from tests.sere.situations import check_tric


def irf(dtype: torch.dtype = torch.float64, **params: Any) -> Irf:
    return Irf(IrfParams(**params), CONTEXT).to(dtype)


def tric(**params: Any) -> Tric:
    return Tric(TricParams(**{"prototype_weight": 1.0, "dual_weight": 1.0, **params}), CONTEXT)


class Streams:
    """S_l, S_u and T_u, as parts and as batches."""

    def __init__(
        self, source: int = 3, target: int = 4, dtype: torch.dtype = torch.float64, labels: Sequence[int] = LABELS, **options: Any
    ) -> None:
        self.labels = list(labels)
        lengths = [4, 1, 3, 2, 5]
        counts = (len(labels), source, target)
        self.parts = [utterances((lengths * 2)[seed : seed + count], seed, dtype) for seed, count in enumerate(counts, start=1)]
        support, *self.unlabelled = (batch(part, lab, **options) for part, lab in zip(self.parts, (labels, None, None), strict=True))
        self.support = support

    def leaves(self) -> list[Tensor]:
        return leaves(*self.parts)

    def __call__(self, loss: Tric, field: Any) -> Any:
        return terms(loss, self.support, *self.unlabelled, field)


def named(reading: dict[str, Any]) -> str:
    return "-".join(str(value) for value in reading.values()) or "default"


@pytest.mark.parametrize("reading", [{}, {"anchors_from": "chain"}, {"prototype_loss": "contrastive"}], ids=named)
@pytest.mark.parametrize(("source", "target"), [(1, 1), (0, 3), (3, 0), (0, 0)])
def test_small_and_empty_streams(source: int, target: int, reading: dict[str, Any]) -> None:
    loss = tric(**reading)
    check_tric(lambda batch: (loss, batch, None), irf(), Streams(source, target).parts, LABELS)


def test_relay_without_a_source_has_no_pseudo_labels() -> None:
    assert float(Streams(0, 3)(tric(anchors_from="relay"), irf())["prototype"]) == 0.0


@pytest.mark.parametrize("field", [Cosine(NoParams(), CONTEXT), Mean(NoParams(), CONTEXT)])
def test_it_works_with_other_fields(field: Any) -> None:
    found = Streams()(tric(anchors_from="chain"), field)
    sum(found.values()).backward()
    assert all(torch.isfinite(term) for term in found.values())


@pytest.mark.parametrize("reading", [{}, {"distance": "euclidean", "squared": False}])
def test_identical_streams_have_no_dual_loss_and_a_finite_gradient(reading: dict[str, Any]) -> None:
    parts = utterances([4, 2, 3], 1)
    support, other = batch(parts, [0, 1, 2]), batch(parts)
    term = terms(tric(**reading), support, other, other, irf())["dual"]
    assert float(term.detach()) == pytest.approx(0, abs=1e-12)
    assert all(torch.isfinite(grad).all() for grad in gradients(term, leaves(parts)))


class Counted(Irf):
    """Notes how often it is called."""

    def __init__(self) -> None:
        super().__init__(IrfParams(), CONTEXT)
        self.calls: list[tuple[str, bool]] = []
        self.double()

    def similarity(self, a: Any, b: Any) -> Tensor:
        self.calls.append(("similarity", False))
        return super().similarity(a, b)

    def aligned(self, a: Any, b: Any, picks: Tensor | None = None, *, both: bool = False) -> Resonance:
        self.calls.append(("aligned", both))
        return super().aligned(a, b, picks, both=both)


@pytest.mark.parametrize(("weights", "one", "both"), [((1.0, 1.0), 1, 2), ((1.0, 0.0), 1, 0), ((0.0, 1.0), 0, 2), ((0.0, 0.0), 0, 0)])
def test_each_search_is_for_one_alignment_and_a_weight_of_0_costs_nothing(weights: tuple[float, float], one: int, both: int) -> None:
    field = Counted()
    found = Streams()(tric(prototype_weight=weights[0], dual_weight=weights[1]), field)
    assert field.calls.count(("aligned", False)) == one
    assert field.calls.count(("aligned", True)) == both
    assert len(field.calls) == 2 * (one + both)
    assert [term.requires_grad for term in (found["prototype"], found["dual"])] == [weight > 0 for weight in weights]


@pytest.mark.parametrize(
    ("params", "reads_source"),
    [
        ({}, True),
        ({"dual_weight": 0}, False),
        ({"dual_weight": 0, "anchors_from": "chain"}, True),
        ({"dual_weight": 0, "anchors_from": "chain", "prototype_weight": 0}, False),
        ({"prototype_weight": 0}, True),
    ],
)
def test_the_source_is_named_only_where_something_reads_it(params: dict[str, Any], reads_source: bool) -> None:
    assert ("source" in tric(**params).reads) is reads_source


def test_the_weights_are_those_of_equation_10() -> None:
    once, weighted = Streams()(tric(), irf()), Streams()(tric(prototype_weight=0.25, dual_weight=3.0), irf())
    torch.testing.assert_close(weighted["prototype"], 0.25 * once["prototype"])
    torch.testing.assert_close(weighted["dual"], 3.0 * once["dual"])


def test_alpha_gets_a_gradient_only_where_similarity_is_mixed_in() -> None:
    for mix, reached in (("mean", False), ("resonance", True)):
        field = irf()
        assert bool(gradients(sum(Streams()(tric(mix=mix), field).values()), [field.weights])[0].any()) is reached


def test_equation_8_reaches_the_labelled_frames_and_the_unlabelled_ones_through_the_prototype() -> None:
    streams = Streams()
    grads = gradients(streams(tric(dual_weight=0), irf())["prototype"], [z for part in streams.parts for z, _ in part])
    support, source, target = grads[:4], grads[4:7], grads[7:]
    assert any(grad.any() for grad in support) and all(grad.any() for grad in target)
    assert not any(grad.any() for grad in source)


def test_shrinking_lowers_the_literal_prototype_loss_and_not_the_normalised_one() -> None:
    def value(scale: float, **params: Any) -> float:
        streams = Streams()
        streams.parts = [[((z * scale).detach(), d) for z, d in part] for part in streams.parts]
        support, source, target = (batch(part, lab) for part, lab in zip(streams.parts, (LABELS, None, None), strict=True))
        return float(terms(tric(**params), support, source, target, irf())["prototype"].detach())

    assert value(0.1) == pytest.approx(0.01 * value(1.0))
    assert value(0.1, normalise="l2") == pytest.approx(value(1.0, normalise="l2"))


def test_the_classifier_predicts_by_default_and_resonance_needs_a_field() -> None:
    """What prototypes and resonance predict is held against loops in `test_section_5`."""
    streams = Streams()
    given = (streams.unlabelled[1], streams.support)
    assert not tric().predicts and tric().predict(*given) is None
    assert tric(predict="prototype").predicts
    with pytest.raises(SereError, match="B402"):
        tric(predict="resonance").predict(*given)


# -- what a run records ---------------------------------------------------------------------------------------------


def test_diagnostics_tell_pseudo_labels_and_collapse() -> None:
    loss, streams = tric(), Streams()
    streams(loss, irf())
    found = loss.diagnostics()
    anchors = irf().similarity(streams.unlabelled[1], streams.support).argmax(dim=1).tolist()
    shares = [sum(LABELS[a] == c for a in anchors) / len(anchors) for c in range(3)]
    assert [found[f"pseudo_share/{name}"] for name in CLASSES] == shares
    assert found["pseudo_entropy"] == pytest.approx(-sum(s * math.log(s) for s in shares if s) / math.log(3))
    norms = torch.cat([streams.support.embedding, streams.unlabelled[1].embedding]).norm(dim=1)
    assert found["embedding_norm"] == pytest.approx(float(norms.mean().detach()))
    assert {"prototype_spread", "aligned_norm", "similarity"} <= found.keys()


@pytest.mark.parametrize("weights", [{}, {"prototype_weight": 0}, {"prototype_weight": 0, "dual_weight": 0}], ids=named)
def test_collapse_is_watched_whatever_the_weights_and_keeps_no_graph(weights: dict[str, Any]) -> None:
    loss, streams = tric(**weights), Streams()
    streams(loss, irf())
    assert not any(value.requires_grad for value in loss._seen.values())
    found, g = loss.diagnostics(), streams.support.embedding
    centres = torch.stack([g[[1, 3]].mean(0), g[2], g[0]])  # of equation 7 without U
    labelled = float((centres - centres.mean(0)).norm(dim=1).mean().detach())
    assert (found["prototype_spread"] == pytest.approx(labelled)) is bool(weights) and "embedding_norm" in found


def test_a_single_class_has_no_entropy() -> None:
    loss = Tric(TricParams(), replace(CONTEXT, classes=("anger",)))
    Streams(labels=[0, 0])(loss, irf())
    assert (loss.diagnostics()["pseudo_entropy"], loss.diagnostics()["pseudo_share/anger"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    "reading", [{}, {"prototype_loss": "contrastive", "normalise": "l2"}, {"distance": "euclidean", "squared": False}], ids=named
)
def test_autocast_takes_no_digits_off_the_terms(reading: dict[str, Any]) -> None:
    """Means and distances in bfloat16 would have two digits."""
    streams, field, loss = Streams(dtype=torch.float32), irf(torch.float32), tric(**reading)
    want = streams(loss, field)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = streams(loss, field)
    for name, value in want.items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-6)


def test_pseudo_labels_are_those_of_the_anchors() -> None:
    """Asked at scoring, with nothing of the target's labels at hand."""
    streams = Streams(target=5)
    field = irf()
    found = tric().pseudo_labels(streams.unlabelled[1], streams.support, field)
    closest = [
        max(
            range(len(LABELS)),
            key=lambda place: float(reference.resonate(u, streams.parts[0][place], field.alpha, field.params)[0].detach()),
        )
        for u in streams.parts[2]
    ]
    assert found.tolist() == [LABELS[place] for place in closest]


def test_the_anchors_of_an_epoch_are_counted() -> None:
    """Over all steps since the last reading; the next reading starts anew."""
    streams, loss, field = Streams(target=5), tric(prototype_weight=1.0, dual_weight=0.0), irf()
    assert not any(name.startswith("anchor") for name in loss.diagnostics())
    picks = field.similarity(streams.unlabelled[1], streams.support).argmax(dim=1).tolist()
    for _ in range(3):
        streams(loss, field)
    found = loss.diagnostics()
    for number, name in enumerate(CLASSES):
        own = [place for place, label in enumerate(LABELS) if label == number]
        assert found[f"anchor_share/{name}"] == pytest.approx(sum(pick in own for pick in picks) / 5)
        assert found[f"anchor_used/{name}"] == pytest.approx(len(set(picks) & set(own)) / len(own))
    assert found["anchor_top"] == pytest.approx(max(picks.count(pick) for pick in picks) / 5)
    assert loss.diagnostics() == found, "reading twice says the same"
    terms(loss, streams.support, None, streams.unlabelled[1].take([0]), field)
    assert loss.diagnostics()["anchor_top"] == 1.0
