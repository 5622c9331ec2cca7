"""What a field works out of a batch's frames alone, kept as long as they are: a step of TRIC shows it each batch four times."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from sere_plugins.resonance.kernel import inverse_norms
from sere_plugins.resonance.packing import layout
from sere_registry import Frames


class Known:
    """Of one padded batch, without gradient: where its real frames stand, 1 / |z| `[B, T]`, and z / |z|, packed, `[N, D]`."""

    def __init__(self, frames: Frames) -> None:
        self.mask, self.versions = frames.mask, _versions(frames)
        self.layout = layout(frames.mask)
        with torch.no_grad():
            values = frames.values.detach()
            self.norms = inverse_norms(values.to(torch.promote_types(values.dtype, torch.float32)))
            self.units = self.layout.pack(values) * self.layout.pack(self.norms).unsqueeze(1)


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


def needs_gradient(*tensors: Tensor | None) -> bool:
    """Will anybody ask for the gradient of these?"""
    return torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in tensors)
