"""Section 5, TRIC: equations 7 to 9 in values and gradients, for every reading, in every situation, in both precisions."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from sere_plugins.losses.tric import Tric
from sere_plugins.specs.losses import TricParams
from tests.sere import reference
from tests.sere.batches import CLASSES, CONTEXT, LABELS, batch, gradients, leaves, terms, utterances
from tests.sere.situations import PRECISIONS, SITUATIONS, assert_equal, cast, check_tric, padded, streams
from tests.sere.test_section_4 import irf

CHOICES: dict[str, list[Any]] = {
    "anchors_from": ["target", "chain", "relay"],
    "mix": ["mean", "resonance"],
    "prototype_loss": ["euclidean", "contrastive"],
    "distance": ["cosine", "euclidean"],
    "squared": [True, False],
    "normalise": ["none", "l2"],
}
READINGS = [dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())]
#: beside the situations of the utterances, those of the classes
OF_CLASSES = ["a class without pseudo-labels", "a class without any item"]
#: in every situation some readings that have every choice among them, and more where nothing is special
CELLS = [
    (situation, number)
    for situation in [*SITUATIONS, *OF_CLASSES]
    for number in range(0, len(READINGS), 5 if situation == "hidden frames" else 13)
]
FIELDS: list[dict[str, Any]] = [
    {},
    {"combine": "sum", "sync": "exp_square"},
    {"burst": "signed", "highlight": "all"},
    {"alpha": "softplus", "highlight": "top_quantile"},
    {"temperature": 0.1},
]


def title(value: Any) -> str:
    return value if isinstance(value, str) else "-".join(str(choice) for choice in READINGS[value].values())


def of_streams(situation: str) -> tuple[list[Any], list[int]]:
    """(S_l, S_u, T_u) and the labels of S_l."""
    if situation == "a class without any item":
        return streams("lengths", 4, 2, 3), [2, 0, 2, 0]
    if situation != "a class without pseudo-labels":
        found = streams(situation, 4, 2, 3)
        return found, LABELS[: len(found[0])]
    support, *_ = streams("lengths", 4)
    near = [[(z.detach() + 0.01 * (1 + copy), d.detach() + 0.01) for copy, (z, d) in enumerate([support[2]] * count)] for count in (2, 3)]
    rounded = [[tuple(part.float().double().requires_grad_() for part in u) for u in stream] for stream in near]
    return [support, *rounded], LABELS


@pytest.mark.parametrize(("situation", "number"), CELLS, ids=title)
def test_equations_7_to_9(situation: str, number: int) -> None:
    params = TricParams(**READINGS[number], prototype_weight=1.0, dual_weight=1.0, contrast_temperature=0.3)
    field, loss = irf(**FIELDS[number % len(FIELDS)]), Tric(params, CONTEXT)
    check_tric(lambda target: (loss, target, None), field, *of_streams(situation), situation)
    if situation == "a class without pseudo-labels":
        shares = loss.diagnostics()
        assert (shares["pseudo_share/fear"], shares["pseudo_share/anger"], shares["pseudo_share/sadness"]) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("number", [5, 46], ids=title)
def test_the_gradient_of_equations_7_to_9_is_that_of_finite_differences(number: int) -> None:
    field = irf(**FIELDS[number % len(FIELDS)])
    loss = Tric(TricParams(**READINGS[number], prototype_weight=1.0, dual_weight=1.0), CONTEXT)
    sides = [utterances(lengths, 11 + place) for place, lengths in enumerate(([3, 2, 1], [2, 4], [3, 1]))]

    def total(*parts: Tensor) -> Tensor:
        rows = list(zip(parts[::2], parts[1::2], strict=True))
        found = terms(loss, batch(rows[:3], [1, 0, 2]), batch(rows[3:5]), batch(rows[5:]), field)
        return found["prototype"] + 2 * found["dual"]

    assert torch.autograd.gradcheck(total, tuple(leaves(*sides)), fast_mode=True)


@pytest.mark.parametrize("fields", [{"combine": "product"}, {"combine": "sum", "sync": "exp_square"}], ids=lambda each: each["combine"])
@pytest.mark.parametrize("normalise", ["none", "l2"])
@pytest.mark.parametrize("predict", ["prototype", "resonance"])
@pytest.mark.parametrize("situation", ["hidden frames", "one frame", "silence", "a class without any item"])
def test_prediction(situation: str, predict: Any, normalise: Any, fields: dict[str, Any]) -> None:
    """The nearest labelled class mean, or each class's most resonant labelled utterance, as posteriors."""
    params = TricParams(predict=predict, normalise=normalise, predict_temperature=0.6)
    (support, _, target), labels = of_streams(situation)
    field = irf(**fields)
    want = torch.stack(
        [torch.stack(reference.predict(u, support, labels, field.alpha, field.params, params, len(CLASSES))) for u in target]
    ).detach()
    for dtype, tolerance in PRECISIONS:
        given, known = padded(cast(target, dtype), situation), padded(cast(support, dtype), situation, labels)
        found = Tric(params, CONTEXT).predict(given, known, field.to(dtype))
        assert found is not None
        assert_equal([found], [want], tolerance)
        field.to(torch.float64)


@pytest.mark.parametrize("anchors_from", ["target", "chain", "relay"])
@pytest.mark.parametrize(("alone", "weight"), [("prototype", "dual_weight"), ("dual", "prototype_weight")])
def test_a_term_says_the_same_without_the_other(alone: str, weight: str, anchors_from: Any) -> None:
    """U of equation 7 has S_u in it where `anchors_from` says so, whether or not equation 9 reads S_u too."""
    support, source, target = (batch(part, y) for part, y in zip(streams("lengths", 4, 2, 3), (LABELS, None, None), strict=True))
    params = {"prototype_weight": 1.0, "dual_weight": 1.0, "anchors_from": anchors_from}
    both, found = (terms(Tric(TricParams(**p), CONTEXT), support, source, target, irf()) for p in (params, {**params, weight: 0.0}))
    assert_equal([found[alone]], [both[alone]], 1e-12)
    assert float(both[alone].detach()) > 0 and not any(float(term.detach()) for name, term in found.items() if name != alone)


def test_an_aligned_representation_of_zero_has_no_direction_and_no_pull() -> None:
    """A representation of length 0 is at cosine 0 with everything, and its gradient is 0: not one over some eps."""
    support, source, target = streams("lengths", 2, 2, 2)
    with torch.no_grad():
        for z, _ in source:
            z.zero_()
    for more in ({}, {"normalise": "l2"}, {"prototype_loss": "contrastive", "anchors_from": "chain"}):
        loss = Tric(TricParams(prototype_weight=1.0, **more), CONTEXT)  # type: ignore[arg-type]
        found = terms(loss, batch(support, [0, 1]), batch(source), batch(target), irf())
        assert max(float(grad.abs().max()) for grad in gradients(sum(found.values()), leaves(support, source, target))) < 1e3
