"""The contract of resonance fields, run on every one in each of its variants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sere_registry import UnlabelledBatch
from tests.contracts.batches import SHAPES, Shape, encoded, leaves
from tests.contracts.components import Case, cases
from tests.sere.batches import every_pair

CASES = cases("resonance")
#: a cosine, and whatever factor of at most 1 it meets
BOUNDS = (-1.0, 1.0)
#: (field, value of `combine`) -> bounds of a similarity that adds a synchrony in (0, 1]
WIDER = {("sere.irf", "sum"): (-1.0, 2.0), ("sere.irf_adaptive", "sum"): (-1.0, 2.0)}
SMALL = Shape(frames=4, bursts=2)


def build(case: Case, shape: Shape) -> Any:
    return case.build(shape.context).to(shape.dtype)


def sides(shape: Shape, *, same: bool = False, **more: Any) -> tuple[UnlabelledBatch, UnlabelledBatch]:
    return encoded(shape.source, shape, 1, **more), encoded(shape.source if same else shape.target, shape, 2, **more)


def assert_close(shape: Shape, found: Tensor, expected: Tensor) -> None:
    size = 1e-10 if shape.dtype == torch.float64 else 1e-5
    torch.testing.assert_close(found, expected, rtol=size, atol=size)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_shapes_bounds_and_finite_gradients(case: Case, shape: Shape) -> None:
    field = build(case, shape)
    assert isinstance(field.directed, bool)
    assert all(isinstance(value, float) for value in field.diagnostics().values())
    a, b = sides(shape)
    similarity = field.similarity(a, b)
    assert similarity.shape == (len(a), len(b)) and not similarity.requires_grad
    low, high = WIDER.get((case.name, case.values.get("combine", "")), BOUNDS)
    assert (similarity >= low - 1e-6).all() and (similarity <= high + 1e-6).all()
    found = field.aligned(a, b, similarity.argmax(dim=1), both=True)
    assert found.similarity.shape == (len(a),)
    assert found.aligned.shape == found.reverse.shape == (len(a), a.embedding.shape[1])
    assert torch.isfinite(found.aligned).all() and torch.isfinite(found.reverse).all()
    inputs = [leaf for side in (a, b) for leaf in leaves(side).values()]
    total = found.similarity.sum() + found.aligned.square().sum() + found.reverse.square().sum()
    for grad in torch.autograd.grad(total, inputs, allow_unused=True):
        assert grad is None or torch.isfinite(grad).all()
    assert all(isinstance(value, float) and value == value for value in field.diagnostics().values())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_search_and_alignment_agree(case: Case, shape: Shape) -> None:
    """With picks and without, in both directions, with and without gradient."""
    field = build(case, shape)
    a, b = sides(shape)
    picks = torch.arange(len(a)) % len(b)
    partners, similarity = b.take(picks), field.similarity(a, b)[torch.arange(len(a)), picks]
    found, plain, turned = field.aligned(a, b, picks, both=True), field.aligned(a, partners), field.aligned(partners, a)
    with torch.no_grad():
        quiet = field.aligned(a, b, picks, both=True)
    assert plain.reverse is None
    for other in (found.similarity, quiet.similarity, plain.similarity):
        assert_close(shape, other, similarity)
    for aligned in (found.aligned, quiet.aligned):
        assert_close(shape, aligned, plain.aligned)
    for reverse in (found.reverse, quiet.reverse):
        assert_close(shape, reverse, turned.aligned)


@pytest.mark.parametrize("case", CASES)
def test_an_aligned_representation_lies_among_the_partner_s_frames(case: Case) -> None:
    """zt is a mean of frames of b: in each dimension between their least and their largest value."""
    shape = SHAPES[0]
    a, b = sides(shape)
    found = every_pair(build(case, shape), a, b).aligned
    outside = ~b.frames.mask.unsqueeze(-1)
    low, high = b.frames.values.masked_fill(outside, torch.inf).amin(1), b.frames.values.masked_fill(outside, -torch.inf).amax(1)
    assert (found >= low - 1e-9).all() and (found <= high + 1e-9).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_padding_and_company_change_nothing(case: Case, shape: Shape) -> None:
    field = build(case, shape)
    clean, dirty = (sides(shape, padding=padding, extra=extra) for padding, extra in ((0.0, 0), (1e3, 3)))
    similarity, found = field.similarity(*clean), every_pair(field, *clean)
    assert_close(shape, similarity, field.similarity(*dirty))
    for name in ("similarity", "aligned"):
        assert_close(shape, getattr(found, name), getattr(every_pair(field, *dirty), name))
    a, b = sides(shape)
    for row in range(len(a)):
        alone = every_pair(field, a.take([row]), b)
        assert_close(shape, field.similarity(a.take([row]), b)[0], similarity[row])
        assert_close(shape, alone.aligned[0], found.aligned[row])


@pytest.mark.parametrize("case", CASES)
def test_an_undirected_field_is_symmetric(case: Case) -> None:
    """And a directed one is not: the flag says something."""
    field = build(case, SHAPES[0])
    a, b = sides(SHAPES[0])
    there, back = field.similarity(a, b), field.similarity(b, a).T
    assert torch.allclose(there, back, atol=1e-9) != field.directed


class _Aligned(torch.nn.Module):
    def __init__(self, field: Any) -> None:
        super().__init__()
        self.field = field

    def forward(self, a: Any, b: Any) -> tuple[Tensor, Tensor, Tensor]:
        found = self.field.aligned(a, b, torch.tensor([1, 1]), both=True)
        return found.similarity, found.aligned.square(), found.reverse.square()


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_the_function(case: Case) -> None:
    """Finite differences in float64: S and both representations, of both sides and of the field's parameters."""
    field = _Aligned(build(case, SMALL))
    a, b = encoded(2, SMALL, 1, padding=0.0), encoded(2, SMALL, 2, padding=0.0)
    names = list(dict(field.named_parameters()))

    def found(za: Tensor, zb: Tensor, da: Tensor, db: Tensor, ga: Tensor, gb: Tensor, *weights: Tensor) -> Any:
        left = replace(a, frames=replace(a.frames, values=za), bursts=da, embedding=ga)
        right = replace(b, frames=replace(b.frames, values=zb), bursts=db, embedding=gb)
        return torch.func.functional_call(field, dict(zip(names, weights, strict=True)), (left, right))

    inputs = [leaf for pair in zip(*(list(leaves(side).values())[:3] for side in (a, b)), strict=True) for leaf in pair]
    assert torch.autograd.gradcheck(found, (*inputs, *field.parameters()), fast_mode=True)


@pytest.mark.parametrize("case", CASES)
def test_the_state_is_all_there_is(case: Case) -> None:
    shape = SHAPES[0]
    field, other = build(case, shape), build(case, shape)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.add_(0.1 * torch.rand(parameter.shape, dtype=parameter.dtype))
    other.load_state_dict(field.state_dict())
    a, b = sides(shape)
    assert torch.equal(field.similarity(a, b), other.similarity(a, b))
