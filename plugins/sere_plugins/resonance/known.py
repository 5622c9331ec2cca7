"""What a field works out of a batch's frames alone, kept as long as they are: a step of TRIC shows it each batch four times."""

from __future__ import annotations

import weakref
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from sere_plugins.resonance.kernel import inverse_norms
from sere_plugins.resonance.packing import layout
from sere_registry import Encoded, Frames


class Known:
    """Of one padded batch, without gradient: where its real frames stand and 1 / |z| `[B, T]`."""

    def __init__(self, frames: Frames) -> None:
        self.mask, self.versions = frames.mask, _versions(frames)
        self.layout = layout(frames.mask)
        with torch.no_grad():
            values = frames.values.detach()
            self.norms = inverse_norms(values.to(torch.promote_types(values.dtype, torch.float32)))
        self._strength: Tensor | None = None
        self._of: tuple[tuple[weakref.ref[Any], ...], tuple[int, ...]] = ((), ())  # of whom, and which state of it

        self._grouped: Tensor | None = None

    def units(self, frames: Frames, rows: Tensor | None) -> Tensor:
        """z / |z| at `rows` of the flattened padded batch `[n]`, or of all of it, `[n, D]`."""
        values, norms = frames.values.detach().flatten(0, 1), self.norms.flatten()
        if rows is not None:
            values, norms = values.index_select(0, rows), norms.index_select(0, rows)
        return values * norms.unsqueeze(1)

    def grouped(self, frames: Frames) -> Tensor:
        """The units in the order of `layout.grouping`, `[M, D]`."""
        if self._grouped is None:
            self._grouped = self.units(frames, self.layout.grouping.rows)
        return self._grouped

    def strength(self, batch: Encoded, field: Any) -> Tensor | None:
        """What `field.strength` says of the batch, without gradient, `[B, T]`; asked again if bursts or weights have changed."""
        inputs = (batch.bursts, *(field.parameters() if field._modules else field._parameters.values()))  # the latter is faster
        now = (field, *inputs), tuple(-1 if each.is_inference() else each._version for each in inputs)
        if -1 in now[1] or now[1] != self._of[1] or not all(ref() is each for ref, each in zip(self._of[0], now[0], strict=True)):
            with torch.no_grad():
                strength: Tensor | None = field.strength(batch)
            self._strength = None if strength is None else strength.to(self.norms.dtype)
            self._of = tuple(weakref.ref(each) for each in now[0]), now[1]
        return self._strength


#: by the frames' values, which are not kept alive by what is known of them
_KNOWN: WeakIdKeyDictionary = WeakIdKeyDictionary()


def known(frames: Frames) -> Known:
    """What is known of these frames; worked out anew if they have been written to since."""
    if frames.values.is_inference() or frames.mask.is_inference():  # these do not tell whether they have been written to
        return Known(frames)
    found: Known | None = _KNOWN.get(frames.values)  # type: ignore[no-untyped-call]
    if found is None or found.mask is not frames.mask or found.versions != _versions(frames):
        found = _KNOWN[frames.values] = Known(frames)
    return found


def _versions(frames: Frames) -> tuple[int, ...]:
    return tuple(-1 if part.is_inference() else part._version for part in (frames.values, frames.mask))


def full_precision(values: Tensor) -> AbstractContextManager[Any]:
    """No autocast, for as long as this is open; costs nothing where there is none."""
    kind = values.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def needs_gradient(*tensors: Tensor | None) -> bool:
    """Will anybody ask for the gradient of these?"""
    return torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in tensors)
