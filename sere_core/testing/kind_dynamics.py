"""The checks of dynamic-feature extractors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sere_core.testing.comparing import close, same, shaken
from sere_core.testing.slopes import check_slope
from sere_core.testing.sounds import CONTOURS, Array, contours, flat, padded
from sere_core.testing.subject import Checks, Subject
from sere_registry import BuildContext, Frames

CHECKS = Checks()
DIM = 5
LENGTHS = (9, 4, 2, 1)
#: what recordings hold beside speech
HARD: dict[str, dict[str, Array]] = {
    "speech": contours(30),
    "a steady tone": flat(3.0, voiced=1.0),
    "silence": flat(0.0),
    "no voice at all": {**contours(8), "periodicity": np.zeros(8, np.float32), "f0": np.full(8, np.nan, np.float32)},
    "one voiced frame": flat(200.0, length=1, voiced=1.0),
    "one unvoiced frame": {**contours(1), "periodicity": np.zeros(1, np.float32)},
}


def build(subject: Subject, seed: int = 0) -> Any:
    """In evaluation mode."""
    return subject.build(BuildContext("dynamics", dim=DIM), seed=seed).double().eval()


def prepared(dynamics: Any, given: dict[str, Array]) -> Tensor:
    """`[T, S]`: from the contours that it names, and nothing else."""
    length = len(given["rms"])
    if not dynamics.contours:
        return torch.zeros(length, dynamics.static_dim, dtype=torch.float64)
    rows = dynamics.prepare({name: given[name] for name in dynamics.contours})
    wide = (length, dynamics.static_dim)
    assert isinstance(rows, np.ndarray) and rows.dtype == np.float32, "prepare does not return an array of float32"
    assert rows.shape == wide, f"prepare returns {rows.shape}, not {wide}"
    return torch.from_numpy(rows).double()


def inputs(dynamics: Any, padding: float = 0.0, extra: int = 1, rows: tuple[int, ...] = (0, 1, 2, 3)) -> tuple[Frames, Frames]:
    generator = torch.Generator().manual_seed(0)
    static = [prepared(dynamics, contours(length, seed)) for seed, length in enumerate(LENGTHS)]
    context = [torch.randn(length, DIM, generator=generator, dtype=torch.float64) for length in LENGTHS]
    return padded([static[row] for row in rows], padding, extra), padded([context[row] for row in rows], padding, extra)


@CHECKS("dynamics.shapes", "build.defaults")
def shapes(subject: Subject) -> None:
    """`prepare` returns `[T, static_dim]` and `forward` `[B, T, dim]` on the mask and rate of the context."""
    dynamics = build(subject)
    missing = [name for name in ("contours", "static_dim", "dim", "prepare") if not hasattr(dynamics, name)]
    assert not missing, f"it has no {', '.join(missing)}"
    unknown = set(dynamics.contours) - set(CONTOURS)
    assert not unknown, f"it reads the contours {sorted(unknown)}; there are {', '.join(CONTOURS)}"
    static, context = inputs(dynamics)
    found = dynamics(static, context)
    wide = (*context.mask.shape, dynamics.dim)
    assert found.values.shape == wide, f"forward returns {tuple(found.values.shape)}, not {wide}"
    assert torch.equal(found.mask, context.mask) and found.rate == context.rate, "its frames are not those of the context"


@CHECKS("dynamics.finite", "dynamics.shapes")
def finite(subject: Subject) -> None:
    """Its features are finite for speech, steady tones, silence, unvoiced and single frames."""
    dynamics = build(subject)
    for name, given in HARD.items():
        rows = prepared(dynamics, given)
        assert bool(torch.isfinite(rows).all()), f"prepare returns values that are not finite for {name}"
        static = padded([rows])
        found = dynamics(static, Frames(torch.ones(1, static.values.shape[1], DIM, dtype=torch.float64), static.mask, static.rate)).values
        assert bool(torch.isfinite(found).all()), f"features are not finite for {name}"


@CHECKS("dynamics.deterministic", "dynamics.finite")
def deterministic(subject: Subject) -> None:
    """The same contours and context give the same bits in evaluation mode, in `prepare`, whose output is kept, and in `forward`."""
    dynamics = build(subject)
    for given in (contours(9), contours(4, seed=1)):
        assert same(prepared(dynamics, given), prepared(build(subject, seed=2), given)), "prepare does not repeat"
    batch = inputs(dynamics)
    assert same(dynamics(*batch).values, dynamics(*batch).values), "forward does not repeat in evaluation mode"


@CHECKS("dynamics.padding", "dynamics.deterministic")
def padding(subject: Subject) -> None:
    """What stands in padded frames, and how many there are, reaches no real one; its own padded frames are zero."""
    dynamics = build(subject)
    clean = dynamics(*inputs(dynamics, 0.0, 0))
    for rubbish in (1e3, float("nan")):
        dirty = dynamics(*inputs(dynamics, rubbish, 3))
        assert close(clean.values[clean.mask], dirty.values[dirty.mask]), f"features change with {rubbish:g} in padded frames"
        assert bool((dirty.values[~dirty.mask] == 0).all()), "its padded frames are not zero"


@CHECKS("dynamics.batched_is_single", "dynamics.deterministic")
def batched_is_single(subject: Subject) -> None:
    """An utterance's features do not depend on what it is batched with."""
    dynamics = build(subject)
    together = dynamics(*inputs(dynamics))
    for row, length in enumerate(LENGTHS):
        alone = dynamics(*inputs(dynamics, extra=0, rows=(row,)))
        assert close(alone.values[0], together.values[row, :length]), "an utterance's features are others in a batch than alone"


@CHECKS("dynamics.gradient", "dynamics.finite")
def gradient(subject: Subject) -> None:
    """Finite gradients reach every parameter that is trained."""
    dynamics = build(subject).train()
    learned = {name: parameter for name, parameter in dynamics.named_parameters() if parameter.requires_grad}
    found = dynamics(*inputs(dynamics)).values
    assert found.requires_grad or not learned, f"no gradient reaches its parameters {', '.join(learned)}"
    grads = torch.autograd.grad(found.square().sum(), list(learned.values()), allow_unused=True) if learned else ()
    for name, grad in zip(learned, grads, strict=True):
        assert grad is not None and bool((grad != 0).any()), f"no gradient reaches its parameter '{name}'"
        assert bool(torch.isfinite(grad).all()), f"the gradient of '{name}' is not finite"


@CHECKS("dynamics.float64", "dynamics.gradient", "dynamics.deterministic")
def float64(subject: Subject) -> None:
    """Its gradients are those of its function: finite differences in float64, by parameter and by what it is given."""
    dynamics = build(subject)
    static, context = inputs(dynamics)
    context.values.requires_grad_()
    named = {"its context": context.values, **{f"its parameter '{name}'": each for name, each in dynamics.named_parameters()}}

    def value() -> Tensor:
        heard: Tensor = dynamics(static, context).values
        return heard.square().sum() + heard.sum()

    for name, leaf in named.items():
        if leaf.requires_grad and value().requires_grad:
            check_slope(value, [leaf], f"the derivative by {name}")


@CHECKS("dynamics.state", "dynamics.deterministic")
def state(subject: Subject) -> None:
    """Its `state_dict` is all there is: another instance that takes it over gives the same bits."""
    first, second = shaken(build(subject, seed=1)), build(subject, seed=2)
    second.load_state_dict(first.state_dict())
    assert same(first(*inputs(first)).values, second(*inputs(second)).values), "a second instance with its state_dict gives other features"
