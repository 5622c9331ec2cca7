"""The checks of views."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sere_core.testing.sounds import padded
from sere_core.testing.subject import Checks, Subject
from sere_registry import Frames

CHECKS = Checks()
LENGTHS = (12, 7, 1)
WAVES = {
    "noise": np.random.default_rng(0).normal(0, 0.1, 3000).astype(np.float32),
    "silence": np.zeros(2000, np.float32),
    "full scale": np.sign(np.sin(np.arange(1500) / 9)).astype(np.float32),
    "one sample": np.full(1, 0.3, np.float32),
}


def frames(padding: float = 0.5, extra: int = 2) -> Frames:
    generator = torch.Generator().manual_seed(0)
    return padded([torch.randn(length, 6, generator=generator) for length in LENGTHS], padding, extra)


def inputs(view: Any) -> dict[str, Any]:
    return WAVES if view.level == "waveform" else {"frames": frames()}


def alter(view: Any, given: Any, seed: int = 0) -> Any:
    """What becomes of a copy of `given`: a view that writes into its input has a check of its own."""
    return view(copy(given), torch.Generator().manual_seed(seed))


def copy(given: Any) -> Any:
    return Frames(given.values.clone(), given.mask.clone(), given.rate) if isinstance(given, Frames) else given.copy()


def unchanged(one: Any, other: Any) -> bool:
    """Bit for bit."""
    if isinstance(one, Frames):
        return torch.equal(one.values, other.values) and torch.equal(one.mask, other.mask)
    return bool(np.array_equal(one, other))


@CHECKS("view.shapes", "build.defaults")
def shapes(subject: Subject) -> None:
    """Frames of the same shape and rate come out, or finite samples of float32; its `level` says which."""
    view = subject.build()
    assert getattr(view, "level", None) in ("waveform", "frames"), '`level` is neither "waveform" nor "frames"'
    for seed in range(5):
        for name, given in inputs(view).items():
            found = alter(view, given, seed)
            if isinstance(given, Frames):
                assert isinstance(found, Frames), f"a frames view returns {type(found).__name__}"
                assert found.values.shape == given.values.shape, f"frames {tuple(given.values.shape)} become {tuple(found.values.shape)}"
                assert found.values.dtype == given.values.dtype and found.mask.dtype == torch.bool and found.rate == given.rate
                assert found.mask.shape == given.mask.shape, "its mask has another shape"
                assert bool(torch.isfinite(found.values).all()), "its values are not finite"
            else:
                assert isinstance(found, np.ndarray) and found.dtype == np.float32 and found.ndim == 1, (
                    f"{name} becomes no samples of float32"
                )
                assert len(found) > 0 and bool(np.isfinite(found).all()), f"{name} becomes empty or not finite"


@CHECKS("view.mask", "view.shapes")
def mask(subject: Subject) -> None:
    """No frame comes out of nothing, and no utterance loses all of its frames."""
    view = subject.build()
    for seed in range(10 if view.level == "frames" else 0):
        given = frames()
        found = alter(view, given, seed)
        assert not bool((found.mask & ~given.mask).any()), "a padded frame became a real one"
        assert bool(found.mask.any(dim=1).all()), "an utterance lost all of its frames"


@CHECKS("view.generator", "view.shapes")
def generator(subject: Subject) -> None:
    """The given generator decides everything: the same draws give the same bits, nothing else is drawn from."""
    view = subject.build()
    for name, given in inputs(view).items():
        torch_state, numpy_state = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["pos"]  # type: ignore[index,call-overload]
        first, second = (alter(view, given, 3) for _ in range(2))
        assert unchanged(first, second), f"the same draws give two views of {name}"
        assert torch.equal(torch.get_rng_state(), torch_state), "it draws from torch's own generator"
        assert np.random.get_state(legacy=False)["state"]["pos"] == numpy_state, "it draws from numpy's own generator"  # type: ignore[index,call-overload]


@CHECKS("view.input", "view.shapes")
def keeps_input(subject: Subject) -> None:
    """What it is given stays as it is."""
    view = subject.build()
    for name, given in inputs(view).items():
        mine = copy(given)
        view(mine, torch.Generator().manual_seed(0))
        assert unchanged(mine, given), f"it changed the {name} that it was given"


@CHECKS("view.varies", "view.generator")
def varies(subject: Subject) -> None:
    """Other draws give another view."""
    view = subject.build()
    given = next(iter(inputs(view).values()))
    found = [alter(view, given, seed) for seed in range(8)]
    assert any(not unchanged(one, found[0]) for one in found[1:]), "eight draws give the same view"


@CHECKS("view.padding", "view.mask", "view.generator")
def padding(subject: Subject) -> None:
    """What stands in padded frames, and how many there are, changes no real one."""
    view = subject.build()
    for seed in range(3 if view.level == "frames" else 0):
        short, long = alter(view, frames(), seed), alter(view, frames(float("nan"), 9), seed)
        for row, length in enumerate(LENGTHS):
            same_values = torch.equal(short.values[row, :length], long.values[row, :length])
            assert same_values and torch.equal(short.mask[row, :length], long.mask[row, :length]), "real frames change with the padding"
