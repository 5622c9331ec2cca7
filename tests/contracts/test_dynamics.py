"""The contract of dynamic-feature extractors, run on every one in each of its variants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_registry import BuildContext, Frames
from tests.contracts.components import Case, cases

CASES = cases("dynamics")
DIM = 5
LENGTHS = (9, 4, 2, 1)
Contours = dict[str, NDArray[np.float32]]


def contours(length: int, seed: int = 0) -> Contours:
    """Speech-like: f0 with unvoiced stretches, where its value is anything."""
    rng = np.random.default_rng(seed)
    voiced = rng.random(length)
    f0 = np.where(voiced > 0.5, 120 + 60 * rng.random(length), np.nan)
    made = {"f0": f0, "periodicity": voiced, "rms": rng.random(length), "mfcc2": rng.normal(size=length)}
    return {name: values.astype(np.float32) for name, values in {**made, "centroid": 900 + 500 * rng.random(length)}.items()}


def flat(value: float, length: int = 6) -> Contours:
    return {name: np.full(length, value, np.float32) for name in ("f0", "periodicity", "rms", "mfcc2", "centroid")}


#: what recordings hold: speech, a steady tone, silence, no voice at all, a single frame with and without one
HARD: dict[str, Contours] = {
    "speech": contours(30),
    "constant": {**flat(3.0), "periodicity": np.ones(6, np.float32)},
    "large constant": {**flat(1234.567), "periodicity": np.ones(6, np.float32)},
    "silence": flat(0.0),
    "unvoiced": {**contours(8), "periodicity": np.zeros(8, np.float32), "f0": np.full(8, np.nan, np.float32)},
    "one frame": {**contours(1), "periodicity": np.ones(1, np.float32), "f0": np.full(1, 200, np.float32)},
    "one unvoiced frame": {**contours(1), "periodicity": np.zeros(1, np.float32)},
}


def build(case: Case) -> Any:
    return case.build(BuildContext("dynamics", dim=DIM)).double()


def prepared(dynamics: Any, given: Contours) -> Tensor:
    """`[T, S]`: of the contours that it names, and of nothing else."""
    length = len(given["rms"])
    rows = dynamics.prepare({name: given[name] for name in dynamics.contours})
    assert rows.dtype == np.float32 and rows.shape == (length if dynamics.contours else 0, dynamics.static_dim)
    assert np.isfinite(rows).all()
    return torch.from_numpy(rows).double() if dynamics.contours else torch.zeros(length, 0, dtype=torch.float64)


def padded(rows: list[Tensor], padding: float, extra: int = 1) -> Frames:
    length = max(map(len, rows)) + extra
    values = torch.stack([torch.cat([row, row.new_full((length - len(row), row.shape[1]), padding)]) for row in rows])
    return Frames(values, torch.arange(length) < torch.tensor([len(row) for row in rows])[:, None], 50.0)


def inputs(dynamics: Any, padding: float = float("nan"), extra: int = 1, rows: tuple[int, ...] = (0, 1, 2, 3)) -> tuple[Frames, Frames]:
    generator = torch.Generator().manual_seed(0)
    static = [prepared(dynamics, contours(length, seed)) for seed, length in enumerate(LENGTHS)]
    context = [torch.randn(length, DIM, generator=generator, dtype=torch.float64) for length in LENGTHS]
    return padded([static[row] for row in rows], padding, extra), padded([context[row] for row in rows], padding, extra)


@pytest.mark.parametrize("case", CASES)
def test_shapes(case: Case) -> None:
    dynamics = build(case)
    assert isinstance(dynamics, nn.Module)
    static, context = inputs(dynamics)
    found = dynamics(static, context)
    assert found.values.shape == (*context.mask.shape, dynamics.dim)
    assert torch.equal(found.mask, context.mask) and found.rate == context.rate
    assert torch.isfinite(found.values[found.mask]).all()
    assert (found.values[~found.mask] == 0).all(), "what follows adds frames up"


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("case", CASES)
def test_hard_contours_stay_finite(case: Case, name: str) -> None:
    dynamics = build(case)
    static = padded([prepared(dynamics, HARD[name])], 0.0, 0)
    context = Frames(torch.randn(1, static.values.shape[1], DIM, dtype=torch.float64), static.mask, static.rate)
    found = dynamics(static, context).values
    assert torch.isfinite(found).all()
    if name in ("constant", "large constant", "silence"):
        assert (found == 0).all(), "nothing moves"


@pytest.mark.parametrize("case", CASES)
def test_padding_and_company_change_nothing(case: Case) -> None:
    dynamics = build(case)
    clean, dirty = (dynamics(*inputs(dynamics, padding, extra)) for padding, extra in ((0.0, 0), (float("nan"), 3)))
    torch.testing.assert_close(clean.values[clean.mask], dirty.values[dirty.mask])
    for row, length in enumerate(LENGTHS):
        alone = dynamics(*inputs(dynamics, 0.0, 0, (row,)))
        torch.testing.assert_close(alone.values[0], clean.values[row, :length])


@pytest.mark.parametrize("case", CASES)
def test_gradients_reach_every_parameter_and_no_padding(case: Case) -> None:
    dynamics = build(case)
    static, context = inputs(dynamics)
    values = context.values.requires_grad_()
    parameters = [parameter for parameter in dynamics.parameters() if parameter.requires_grad]
    found = dynamics(static, Frames(values, context.mask, context.rate)).values
    if not found.requires_grad or not parameters:
        assert not parameters
        return
    of_context, *rest = torch.autograd.grad(found.square().sum(), [values, *parameters])
    assert torch.isfinite(of_context).all() and (of_context[~context.mask] == 0).all()
    assert all(torch.isfinite(grad).all() and bool((grad != 0).any()) for grad in rest)


@pytest.mark.parametrize("case", CASES)
def test_the_state_is_all_there_is(case: Case) -> None:
    first, second = case.build(BuildContext("d", dim=DIM), seed=1).double(), case.build(BuildContext("d", dim=DIM), seed=2).double()
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(*inputs(first, 0.0)).values, second(*inputs(second, 0.0)).values)
