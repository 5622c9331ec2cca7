"""Section 3, IDFE: equation 1 in values and gradients for every reading, in every situation, in both precisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sere_plugins.dynamics.idfe import Idfe
from sere_plugins.specs.dynamics import IdfeParams
from sere_registry import BuildContext, Frames
from tests.sere import reference
from tests.sere.batches import gradients
from tests.sere.situations import LENGTHS, PRECISIONS, SITUATIONS, assert_equal

DIM = 5
UNVOICED = ("interpolate", "zero", "hold")
SCALES = ("hz", "semitone")


@cache
def idfe(dtype: torch.dtype, **params: Any) -> Idfe:
    torch.manual_seed(0)
    return Idfe(IdfeParams(**params), BuildContext(id="idfe", dim=DIM)).to(dtype)


def inputs(situation: str) -> list[tuple[Tensor, Tensor, list[bool]]]:
    """Of each utterance: contours `[T, 4]`, context `[T, d]`, and which frames are real."""
    generator = torch.Generator().manual_seed(7)
    found = []
    for row, length in enumerate({"one utterance": [4], "one frame": [1, 1]}.get(situation, LENGTHS)):
        if situation == "identical utterances":
            length = 4
            generator.manual_seed(7)
        f, h = torch.randn(length, 4, generator=generator), torch.randn(length, DIM, generator=generator)
        if situation == "constant contours":
            f[:, : 1 + row] = 0.1
        elif situation == "unvoiced":
            made = {name: f[:, k].numpy() for k, name in enumerate(("f0", "rms", "mfcc2", "centroid"))}
            f = torch.from_numpy(idfe(torch.float32).prepare({**made, "periodicity": np.zeros(length, np.float32)}))
            assert not f[:, 0].any()
        elif situation == "silence":
            f[:], h[:1] = 0, 0
        real = [not (situation == "hidden frames" and t % 3 == row % 3 and length > 1) for t in range(length)]
        found.append((f.double().requires_grad_(), h.double().requires_grad_(), real))
    return found


def grid(rows: list[Tensor], extra: int, masks: list[list[bool]]) -> Frames:
    """One padded batch; NaN wherever no real frame stands."""
    frames = max(map(len, rows)) + extra
    mask = torch.tensor([real + [False] * (frames - len(real)) for real in masks])
    values = torch.stack([torch.cat([row, row.new_full((frames - len(row), row.shape[1]), torch.nan)]) for row in rows])
    return Frames(values.masked_fill(~mask.unsqueeze(-1), torch.nan), mask, 50.0)


def check_dynamics(
    make: Callable[[torch.dtype], Any], want: list[Tensor], given_: list[Any], parameters: Sequence[Tensor] = (), gradient: bool = True
) -> None:
    """Values, masks and gradients of `make(dtype)` in both precisions; `parameters` are what the loops have in place of its own."""
    count, masks = len(parameters), [real for _, _, real in given_]
    probe = torch.randn(32, want[0].shape[1], generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def probed(parts: list[Tensor]) -> Tensor:
        return torch.stack([(part.double() * probe[: len(part)]).sum() for part in parts]).sum()

    theirs = gradients(probed(want), [*parameters, *(part for f, h, _ in given_ for part in (h, f))])
    for dtype, tolerance in PRECISIONS:
        module = make(dtype)
        ours = [part.detach().to(dtype).requires_grad_() for f, h, _ in given_ for part in (h, f)]
        context = grid(ours[::2], 2, masks)
        out = module(grid(ours[1::2], 2, masks), context)
        got = [out.values[row, : len(part)] for row, part in enumerate(want)]
        assert out.values.dtype == dtype and not out.values[~out.mask].any()
        assert torch.equal(out.mask, context.mask) and out.rate == context.rate
        assert_equal(got, want, tolerance, "values")
        mine = gradients(probed(got), [*module.parameters(), *ours])
        parts = [slice(0, count), slice(count, None, 2), slice(count + 1, None, 2)]
        for part in parts[0 if count else 1 :] if gradient else ():
            assert_equal(mine[part], theirs[part], tolerance, "gradient")


@pytest.mark.parametrize("eps", [1e-8, 0.3])
@pytest.mark.parametrize("gate", ["contour", "shared"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_equation_1(situation: str, gate: str, eps: float) -> None:
    given_ = inputs(situation)
    linear = idfe(torch.float32, gate=gate, eps=eps).gate
    weight, bias = (part.detach().double().requires_grad_() for part in (linear.weight, linear.bias))
    assert len(weight) == (4 if gate == "contour" else 1)
    want = [reference.idfe(f, h, weight, bias, eps, real) for f, h, real in given_]
    check_dynamics(lambda dtype: idfe(dtype, gate=gate, eps=eps), want, given_, [weight, bias])


@pytest.mark.parametrize("of", ["contours", "context"])
def test_a_frame_is_real_where_contours_and_context_are(of: str) -> None:
    """A view may hide frames of either: what it hides is hidden from both."""
    ((f, h, real),) = inputs("one utterance")
    hidden = [True, False, True, True]
    masks = (hidden, real) if of == "contours" else (real, hidden)
    module = idfe(torch.float64)
    found = module(grid([f], 1, [masks[0]]), grid([h], 1, [masks[1]]))
    assert found.mask.tolist() == [[*hidden, False]]
    assert_equal([found.values[0, :4]], [reference.idfe(f, h, module.gate.weight, module.gate.bias, 1e-8, hidden)], 1e-9)


@pytest.mark.parametrize("gate", ["contour", "shared"])
def test_the_gradient_of_equation_1_is_that_of_finite_differences(gate: str) -> None:
    module = idfe(torch.float64, gate=gate, eps=0.3)
    (one, other) = inputs("lengths")[0], inputs("lengths")[2]
    names = list(dict(module.named_parameters()))

    def d(*given_: Tensor) -> Tensor:
        f, h = [given_[0], given_[1]], [given_[2], given_[3]]
        real = [[True] * len(row) for row in f]
        named = dict(zip(names, given_[4:], strict=True))
        found: Frames = torch.func.functional_call(module, named, (grid(f, 1, real), grid(h, 1, real)))
        return found.values

    assert torch.autograd.gradcheck(d, (one[0], other[0], one[1], other[1], *module.parameters()))


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    frames=st.lists(
        st.tuples(
            st.sampled_from([0.0, -1.0, float("nan"), float("inf"), 55.0, 110.0, 173.5, 300.0]), st.sampled_from([0.0, 0.3, 0.5, 0.7])
        ),
        min_size=1,
        max_size=9,
    ),
    unvoiced=st.sampled_from(UNVOICED),
    scale=st.sampled_from(SCALES),
    least=st.sampled_from([0.3, 0.5, 0.6]),
)
def test_f0_where_there_is_no_voice(frames: list[tuple[float, float]], unvoiced: Any, scale: Any, least: float) -> None:
    """Every way to fill it, in both units: a frame is voiced from the named periodicity on, if its f0 is a number above 0."""
    f0, periodicity = (np.array(part) for part in zip(*frames, strict=True))
    module = idfe(torch.float32, unvoiced=unvoiced, f0_scale=scale, periodicity=least)
    others = {name: np.arange(len(f0), dtype=np.float32) + level for level, name in enumerate(("rms", "mfcc2", "centroid"))}
    found = module.prepare({"f0": f0, "periodicity": periodicity, **others})
    assert_equal([torch.from_numpy(found[:, 0])], [torch.tensor(reference.pitch(f0.tolist(), periodicity.tolist(), module.params))], 1e-6)
    assert found[:, 1:].tolist() == np.stack(list(others.values()), axis=1).tolist()
