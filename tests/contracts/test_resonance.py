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
    a, b = sides(shape)
    heard = field(a, b)
    assert heard.similarity.shape == (len(a), len(b))
    assert heard.told.shape == (len(a), len(b), a.embedding.shape[1])
    low, high = WIDER.get((case.name, case.values.get("combine", "")), BOUNDS)
    assert torch.isfinite(heard.told).all()
    assert (heard.similarity >= low - 1e-6).all() and (heard.similarity <= high + 1e-6).all()
    inputs = [leaf for side in (a, b) for leaf in leaves(side).values()]
    for grad in torch.autograd.grad(heard.similarity.sum() + heard.told.square().sum(), inputs, allow_unused=True):
        assert grad is None or torch.isfinite(grad).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_three_ways_to_ask_give_one_answer(case: Case, shape: Shape) -> None:
    """`forward`, `similarity` and `aligned`, with and without gradient."""
    field = build(case, shape)
    a, b = sides(shape, same=True)
    heard, pairs = field(a, b), field.aligned(a, b)
    with torch.no_grad():
        quiet, quiet_pairs = field(a, b), field.aligned(a, b)
        assert_close(shape, field.similarity(a, b), heard.similarity)
    assert_close(shape, field.similarity(a, b), heard.similarity)
    rows = torch.arange(len(a))
    for similarity, told in ((heard.similarity, heard.told), (quiet.similarity, quiet.told)):
        for other in (pairs, quiet_pairs):
            assert_close(shape, other.similarity, similarity[rows, rows])
            assert_close(shape, other.told, told[rows, rows])


@pytest.mark.parametrize("case", CASES)
def test_what_is_told_lies_among_the_teller_s_frames(case: Case) -> None:
    """zt is a mean of frames of b: in each dimension between their least and their largest value."""
    shape = SHAPES[0]
    a, b = sides(shape)
    told = build(case, shape)(a, b).told
    outside = ~b.frames.mask.unsqueeze(-1)
    low, high = b.frames.values.masked_fill(outside, torch.inf).amin(1), b.frames.values.masked_fill(outside, -torch.inf).amax(1)
    assert (told >= low - 1e-9).all() and (told <= high + 1e-9).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_padding_and_company_change_nothing(case: Case, shape: Shape) -> None:
    field = build(case, shape)
    clean, dirty = (field(*sides(shape, padding=padding, extra=extra)) for padding, extra in ((0.0, 0), (1e3, 3)))
    assert_close(shape, clean.similarity, dirty.similarity)
    assert_close(shape, clean.told, dirty.told)
    a, b = sides(shape)
    for row in range(len(a)):
        alone = field(a.take([row]), b)
        assert_close(shape, alone.similarity[0], clean.similarity[row])
        assert_close(shape, alone.told[0], clean.told[row])


@pytest.mark.parametrize("case", CASES)
def test_an_undirected_field_is_symmetric(case: Case) -> None:
    """And a directed one is not: the flag says something."""
    field = build(case, SHAPES[0])
    a, b = sides(SHAPES[0])
    there, back = field.similarity(a, b), field.similarity(b, a).T
    assert torch.allclose(there, back, atol=1e-9) != field.directed


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_the_function(case: Case) -> None:
    """Finite differences in float64: similarity and told, of both sides and of the field's parameters."""
    field = build(case, SMALL)
    a, b = encoded(2, SMALL, 1, padding=0.0), encoded(2, SMALL, 2, padding=0.0)
    names = list(dict(field.named_parameters()))

    def heard(za: Tensor, zb: Tensor, da: Tensor, db: Tensor, ga: Tensor, gb: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        left = replace(a, frames=replace(a.frames, values=za), bursts=da, embedding=ga)
        right = replace(b, frames=replace(b.frames, values=zb), bursts=db, embedding=gb)
        found = torch.func.functional_call(field, dict(zip(names, weights, strict=True)), (left, right))
        return found.similarity, found.told.square()

    inputs = [leaf for pair in zip(*(list(leaves(side).values())[:3] for side in (a, b)), strict=True) for leaf in pair]
    assert torch.autograd.gradcheck(heard, (*inputs, *field.parameters()), fast_mode=True)


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
