"""The contract of losses, run on every one in each of its variants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sere_registry import Encoded
from sere_registry.training import READABLE, reads
from tests.contracts.batches import SHAPES, Shape, leaves, streams
from tests.contracts.components import Case, cases, entries

CASES = cases("loss")
#: (loss, stream) -> variants ("" is the defaults) in which nothing of the stream that the loss reads gets a gradient, and why
UNMOVED: dict[tuple[str, str], tuple[set[str], str]] = {
    ("sere.tric", "support"): ({"dual_weight=0.0,prototype_weight=0.0"}, "both terms are switched off"),
    ("sere.tric", "target"): ({"dual_weight=0.0,prototype_weight=0.0"}, "both terms are switched off"),
}
#: (loss, parameter) -> variants in which the parameter does get a gradient, and why in others it does not
UNTRAINED: dict[tuple[str, str], tuple[set[str], str]] = {
    ("sere.tric", "field.weights"): ({"mix=resonance"}, "equations 8 and 9 read what is told, which alpha moves through an argmax alone"),
    ("sere.tric_balanced", "field.weights"): ({"mix=resonance"}, "as of tric"),
    ("sere.tric_pooled", "field.weights"): ({"mix=resonance"}, "as of tric"),
}


def irf(shape: Shape) -> Any:
    """The field for losses that read one: a field with parameters, so that it shows what reaches them."""
    (entry,) = (entry for entry in entries("resonance") if entry.short_name == "irf")
    return Case(entry, {}).build(shape.context).to(shape.dtype)


def given(loss: Any, shape: Shape, **more: Any) -> dict[str, Any]:
    """What the loss reads."""
    everything = {**streams(shape, views=tuple(getattr(loss, "views", ())), **more), "field": irf(shape)}
    return {name: everything[name] for name in reads(loss)}


def build(case: Case, shape: Shape, seed: int = 0) -> Any:
    """The loss, in the shape's type of numbers."""
    return case.build(shape.context, seed=seed).to(shape.dtype)


def total(terms: Any) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def batches(parts: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in parts.items() if name in ("labelled", "support", "source", "target")}


def gradients(value: Tensor, batch: Encoded) -> Sequence[Tensor | None]:
    """With respect to all that a gradient may reach in the batch."""
    return torch.autograd.grad(value, list(leaves(batch).values()), retain_graph=True, allow_unused=True)


@pytest.mark.parametrize("case", CASES)
def test_signature_and_views(case: Case) -> None:
    loss: Any = build(case, SHAPES[0])
    assert issubclass(type(loss), nn.Module)
    names = reads(loss)
    assert names and names <= READABLE
    assert set(getattr(loss, "views", frozenset())) <= names & {"labelled", "source", "target"}
    assert "labelled" not in names or "support" not in names, "the whole of S_l holds the batch of it"
    if hasattr(loss, "parameters_by_group"):
        grouped = [id(parameter) for group in loss.parameters_by_group().values() for parameter in group.parameters]
        assert len(set(grouped)) == len(grouped) and set(grouped) <= {id(parameter) for parameter in loss.parameters()}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_terms_are_finite_scalars_and_so_are_their_gradients(case: Case, shape: Shape) -> None:
    """With NaN in every padded frame."""
    loss = build(case, shape)
    parts = given(loss, shape)
    terms = loss(**parts)
    assert terms and all(name and isinstance(name, str) for name in terms)
    for name, term in terms.items():
        assert term.dim() == 0 and term.is_floating_point() and torch.isfinite(term), name
        assert term.dtype in (shape.dtype, torch.float32), f"{name} lost digits"
    value = total(terms)
    if not value.requires_grad:
        assert case.variant in UNMOVED.get((case.name, "target"), ((), ""))[0]
        return
    for stream, batch in batches(parts).items():
        assert all(grad is None or torch.isfinite(grad).all() for grad in gradients(value, batch)), stream
    if hasattr(loss, "diagnostics"):
        assert all(isinstance(number, float) and number == number for number in loss.diagnostics().values())


@pytest.mark.parametrize("case", CASES)
def test_a_gradient_reaches_every_stream_it_reads(case: Case) -> None:
    """A stream that is encoded for nothing costs a pass through the encoder; exceptions stand in `UNMOVED`."""
    loss = build(case, SHAPES[0])
    parts = given(loss, SHAPES[0])
    value = total(loss(**parts))
    for stream, batch in batches(parts).items():
        found = gradients(value, batch) if value.requires_grad else ()
        moved = any(grad is not None and bool((grad != 0).any()) for grad in found)
        assert moved == (case.variant not in UNMOVED.get((case.name, stream), ((), ""))[0]), stream


@pytest.mark.parametrize("case", CASES)
def test_a_gradient_reaches_every_parameter(case: Case) -> None:
    """Of the loss and of the field that it reads; exceptions stand in `UNTRAINED`."""
    loss = build(case, SHAPES[0])
    parts = given(loss, SHAPES[0])
    value = total(loss(**parts))
    owners = {"": loss, "field.": parts["field"]} if "field" in parts else {"": loss}
    named = {prefix + name: p for prefix, owner in owners.items() for name, p in owner.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(value, list(named.values()), allow_unused=True) if named and value.requires_grad else [None] * len(named)
    for name, grad in zip(named, found, strict=True):
        reached = grad is not None and bool((grad != 0).any())
        excused = UNTRAINED.get((case.name, name))
        assert reached == (excused is None or case.variant in excused[0]), name


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_padding_changes_nothing(case: Case, shape: Shape) -> None:
    loss = build(case, shape)
    clean, dirty = (loss(**given(loss, shape, **more)) for more in ({"padding": 0.0, "extra": 0}, {"padding": 1e3, "extra": 3}))
    assert clean.keys() == dirty.keys()
    tolerance = 1e-10 if shape.dtype == torch.float64 else 1e-5
    for name in clean:
        torch.testing.assert_close(clean[name], dirty[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", CASES)
def test_the_order_of_utterances_does_not_matter(case: Case) -> None:
    loss = build(case, SHAPES[0])
    parts = given(loss, SHAPES[0])
    before = loss(**parts)
    for name, batch in batches(parts).items():
        order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(1))
        parts[name] = batch.take(order)
    torch.testing.assert_close(dict(loss(**parts)), dict(before), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_the_same_state_gives_the_same_terms(case: Case) -> None:
    """Twice, and in a second instance that starts from other draws and takes over the state."""
    loss, other = build(case, SHAPES[0], seed=1), build(case, SHAPES[0], seed=2)
    parts = given(loss, SHAPES[0])
    state = torch.get_rng_state()
    kept = {name: value.clone() for name, value in loss.state_dict().items()}
    first = loss(**parts)
    assert torch.equal(torch.get_rng_state(), state), "a loss that draws must bring a generator of its own"
    loss.load_state_dict(kept)
    other.load_state_dict(kept)
    for again in (loss(**parts), other(**parts)):
        assert again.keys() == first.keys() and all(torch.equal(again[name], first[name]) for name in first)


def test_the_declared_exceptions_exist() -> None:
    known = {(case.values[0].name, case.values[0].variant) for case in CASES}
    for table in (UNMOVED, UNTRAINED):
        for (name, _), (variants, reason) in table.items():
            assert reason and all((name, variant) in known for variant in variants)
