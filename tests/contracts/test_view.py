"""The contract of views, run on every one in each of its variants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sere_registry import Frames, View
from tests.contracts.components import Case, cases, defaults

CASES = cases("view")
LENGTHS = (12, 7, 1)
WAVES = {
    "noise": np.random.default_rng(0).normal(0, 0.1, 3000).astype(np.float32),
    "silence": np.zeros(2000, np.float32),
    "full scale": np.sign(np.sin(np.arange(1500) / 9)).astype(np.float32),
    "one sample": np.full(1, 0.3, np.float32),
}


def frames(padding: float = 0.5, extra: int = 2) -> Frames:
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(length, 6, generator=generator) for length in LENGTHS]
    values = torch.stack([torch.cat([row, row.new_full((max(LENGTHS) + extra - len(row), 6), padding)]) for row in rows])
    return Frames(values, torch.arange(max(LENGTHS) + extra) < torch.tensor(LENGTHS)[:, None], 50.0)


def alter(case: Case, given: Any, seed: int = 0) -> Any:
    return case.build()(given, torch.Generator().manual_seed(seed))


def inputs(case: Case) -> list[Any]:
    return list(WAVES.values()) if case.build().level == "waveform" else [frames()]


@pytest.mark.parametrize("case", CASES)
def test_the_level_is_declared(case: Case) -> None:
    view = case.build()
    assert isinstance(view, View) and view.level in ("waveform", "frames")


@pytest.mark.parametrize("case", CASES)
def test_what_comes_out_is_what_went_in_altered(case: Case) -> None:
    for seed in range(5):
        for given in inputs(case):
            found = alter(case, given, seed)
            if isinstance(given, Frames):
                assert found.values.shape == given.values.shape and found.values.dtype == given.values.dtype
                assert found.mask.dtype == torch.bool and found.rate == given.rate
                assert not (found.mask & ~given.mask).any(), "a frame came out of nothing"
                assert found.mask.any(dim=1).all(), "an utterance lost all its frames"
                assert torch.isfinite(found.values).all()
            else:
                assert isinstance(found, np.ndarray) and found.dtype == np.float32 and found.ndim == 1 and len(found) > 0
                assert np.isfinite(found).all()


@pytest.mark.parametrize("case", CASES)
def test_the_generator_decides_everything(case: Case) -> None:
    """The same draws give the same bits; torch's and numpy's own generators are not touched, and the input stays as it is."""
    for given in inputs(case):
        kept = given.values.clone() if isinstance(given, Frames) else given.copy()
        torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index,union-attr]
        view = case.build()
        torch.set_rng_state(torch_state)
        first, second = (view(given, torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(torch.get_rng_state(), torch_state)
        assert np.random.get_state()[1].tolist() == numpy_state  # type: ignore[index,union-attr]
        if isinstance(given, Frames):
            assert torch.equal(first.values, second.values) and torch.equal(first.mask, second.mask)
            assert torch.equal(given.values, kept)
        else:
            assert np.array_equal(first, second) and np.array_equal(given, kept)


@pytest.mark.parametrize("case", defaults("view"))
def test_other_draws_give_another_view(case: Case) -> None:
    given = inputs(case)[0]
    found = [alter(case, given, seed) for seed in range(6)]
    if isinstance(given, Frames):
        assert any(not torch.equal(one.values, found[0].values) or not torch.equal(one.mask, found[0].mask) for one in found[1:])
    else:
        assert any(not np.array_equal(one, found[0]) for one in found[1:])


@pytest.mark.parametrize("case", [case for case in CASES if case.values[0].build().level == "frames"])
def test_padding_stays_and_does_not_matter(case: Case) -> None:
    for seed in range(3):
        given = frames()
        found = alter(case, given, seed)
        assert torch.equal(found.values[~given.mask], given.values[~given.mask])
        longer = alter(case, frames(padding=float("nan"), extra=9), seed)
        for row, length in enumerate(LENGTHS):
            assert torch.equal(found.values[row, :length], longer.values[row, :length])
            assert torch.equal(found.mask[row, :length], longer.mask[row, :length])
