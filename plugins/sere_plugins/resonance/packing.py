"""Real frames of a padded batch, one utterance after another: padding costs nothing and can win nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from sere_core.public import pack_rows, pad_rows

#: by how much utterances of one group may be longer than the shortest of them
_ALIKE = 1.25


@dataclass(frozen=True)
class Grouping:
    """Utterances in the order of their lengths, with their last frame repeated until all of a group are equally long.

    Args:
        groups: (how many utterances, how many rows each).
        rows: `[M]` long, which frame of the flattened padded batch stands in each row.
        lanes: `[B]` long, the place of each utterance in this order.
    """

    groups: tuple[tuple[int, int], ...]
    rows: Tensor
    lanes: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], starts: Sequence[int], slots: Sequence[int]) -> Grouping:
        """For utterances of `lengths`, the first packed frame of each at `starts`, each packed frame from its slot."""
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        groups: list[list[int]] = []
        for place in order:
            if groups and lengths[place] <= _ALIKE * lengths[groups[-1][0]]:
                groups[-1].append(place)
            else:
                groups.append([place])
        rows: list[int] = []
        for group in groups:
            longest = lengths[group[-1]]
            for place in group:
                own = list(slots[starts[place] : starts[place] + lengths[place]])
                rows += [*own, *own[-1:] * (longest - len(own))]
        lanes = torch.tensor(order, dtype=torch.long).argsort()
        return cls(tuple((len(group), lengths[group[-1]]) for group in groups), torch.tensor(rows, dtype=torch.long), lanes)


@dataclass(frozen=True)
class Layout:
    """Where each utterance's real frames stand among the N packed ones.

    Args:
        lengths: real frames of each utterance.
        starts: the first packed frame of each, and N at the end.
        mask: `[B, T]`, the real frames.
    """

    lengths: tuple[int, ...]
    starts: tuple[int, ...]
    mask: Tensor

    @cached_property
    def owner(self) -> Tensor:
        """`[N]` long, the utterance of each packed frame."""
        lengths = torch.tensor(self.lengths, dtype=torch.long, device=self.mask.device)
        return torch.repeat_interleave(lengths, output_size=self.frames)

    @cached_property
    def slots(self) -> Tensor | None:
        """`[N]` long, the packed frames' places in the flattened padded batch; None where no frame is padding."""
        return None if self.frames == self.mask.numel() else self.mask.flatten().nonzero().squeeze(1)

    @cached_property
    def grouping(self) -> Grouping:
        """The utterances by length."""
        found = Grouping.of(self.lengths, self.starts, range(self.frames) if self.slots is None else self.slots.tolist())
        return replace(found, rows=found.rows.to(self.mask.device), lanes=found.lanes.to(self.mask.device))

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def frames(self) -> int:
        """N."""
        return self.starts[-1]

    def rows(self, first: int, last: int) -> slice:
        """The packed frames of utterances `first` to `last - 1`."""
        return slice(self.starts[first], self.starts[last])

    def pack(self, values: Tensor) -> Tensor:
        """`[B, T, ...]` -> `[N, ...]`; gradients flow back, zeros into padding."""
        flat = values.flatten(0, 1)
        if self.slots is None:
            return flat
        return pack_rows(flat, self.slots, self.mask.flatten())

    def unpack(self, rows: Tensor) -> Tensor:
        """`[N, ...]` -> `[B, T, ...]`, zeros in padding; the inverse of `pack`."""
        if self.slots is not None:
            rows = pad_rows(rows, self.slots, self.mask.flatten())
        return rows.view(*self.mask.shape, *rows.shape[1:])


def layout(mask: Tensor) -> Layout:
    """The layout of a mask `[B, T]`.

    >>> layout(torch.tensor([[True, False], [True, True]])).slots
    tensor([0, 2, 3])
    """
    if mask.is_inference():  # does not tell whether it has been written to
        return _layout(mask)
    found: Layout | None
    version, found = _LAYOUTS.get(mask, (0, None))  # type: ignore[no-untyped-call]
    if found is None or version != mask._version:
        found = _layout(mask)
        _LAYOUTS[mask] = (mask._version, found)
    return found


def _layout(mask: Tensor) -> Layout:
    lengths = tuple(mask.sum(dim=1).tolist())
    return Layout(lengths, (0, *accumulate(lengths)), mask.detach())  # another object: what is kept must not keep its key


#: by masks, as long as they are used: a stream that is one batch has the same mask in every step
_LAYOUTS: WeakIdKeyDictionary = WeakIdKeyDictionary()
