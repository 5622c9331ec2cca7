"""Modules that hold state, or small ones: averages, memory banks, perceptrons, draws of their own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from sere_core.functional.frames import wide
from sere_core.functional.rows import unit_rows
from sere_core.rng import derive
from sere_registry import Backbone
from sere_registry.training import AnyBatch

M = TypeVar("M")


def frozen_copy(module: M) -> M:
    """A copy of a `nn.Module` that needs no gradient: a teacher, or the network as it was."""
    copied = copy.deepcopy(module)
    cast(nn.Module, copied).requires_grad_(False)
    return copied


@torch.no_grad()
def update_average(average: object, student: object, decay: float, step: int | None = None) -> None:
    """Move the exponential moving average towards the student, after optimizer step number `step` (from 0).

    average <- d average + (1 - d) student,  d = min(decay, 1 - 1 / (step + 2)): without that the first steps
    would be stuck at the initial weights.  Without `step`, d = decay.  Buffers are copied.

    >>> student = nn.Linear(1, 1)
    >>> teacher = frozen_copy(student)
    >>> update_average(teacher, student, decay=0.99, step=0)
    """
    decay = decay if step is None else min(decay, 1.0 - 1.0 / (step + 2))
    mine, theirs = cast(nn.Module, average), cast(nn.Module, student)
    for mean, value in zip(mine.parameters(), theirs.parameters(), strict=True):
        mean.lerp_(value, 1.0 - decay)
    for kept, now in zip(mine.buffers(), theirs.buffers(), strict=True):
        kept.copy_(now)


def mlp(*widths: int, norm: Callable[[int], nn.Module] = nn.LayerNorm) -> nn.Sequential:
    """Linear layers of these widths, `norm` and ReLU between two of them.

    With LayerNorm a row's result does not depend on the rows beside it.

    >>> [type(layer).__name__ for layer in mlp(2, 4, 3)]
    ['Linear', 'LayerNorm', 'ReLU', 'Linear']
    """
    layers: list[nn.Module] = []
    for width, following in pairwise(widths):
        layers += [nn.Linear(width, following), norm(following), nn.ReLU()]
    return nn.Sequential(*layers[:-2])


class StepDraws(nn.Module):
    """Random numbers of a loss's own, by step: they change nobody else's, and no one changes them.

    Their seed is drawn where the loss is built, which the run's seed and the loss's place in the config decide, and is
    part of the state: a resumed run draws the same.

    >>> draws = StepDraws()
    >>> torch.equal(*(torch.rand(2, generator=draws(step)) for step in (3, 3)))
    True
    """

    seed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seed", torch.randint(2**62, ()))

    def forward(self, step: int) -> torch.Generator:
        """The generator of a step, on the CPU; `initial_seed()` seeds one of numpy."""
        return torch.Generator().manual_seed(derive(int(self.seed), step))


@contextmanager
def undisturbed_draws(device: torch.device) -> Iterator[None]:
    """What is drawn in this context, by dropout say, leaves the global generators as they were.

    >>> before = torch.get_rng_state()
    >>> with undisturbed_draws(torch.device("cpu")):
    ...     _ = torch.rand(1)
    >>> torch.equal(torch.get_rng_state(), before)
    True
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


class MovingAverage(nn.Module):
    """An exponential moving average of a network, without gradient: a teacher or a target network.

    It is part of the state of the loss that holds it; the network, which it follows, is not.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.network: Backbone = frozen_copy(backbone)
        self._followed = (backbone,)  # in a tuple, so that its parameters do not become this module's

    @torch.no_grad()
    def encode(self, batch: AnyBatch) -> AnyBatch:
        """The same utterances, encoded by the average; its dropout disturbs no other draw."""
        with undisturbed_draws(batch.embedding.device):
            return self.network.encode(batch)

    def follow(self, decay: float, step: int | None = None) -> None:
        """See `update_average`."""
        update_average(self.network, self._followed[0], decay, step)


class ResizableBuffers(nn.Module):
    """A module with state whose size comes from the data: banks, pseudo-labels, a fitted matrix.

    `resizable` names such buffers, each with the dimension that is free: it may be 0 at first and be assigned
    at any size; loading a state takes over its size, so that a checkpoint restores it.

    >>> class Assigned(ResizableBuffers):
    ...     resizable = {"rows": 0}
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.register_buffer("rows", torch.zeros(0, 2))
    >>> full, empty = Assigned(), Assigned()
    >>> full.rows = torch.ones(3, 2)
    >>> empty.load_state_dict(full.state_dict())
    <All keys matched successfully>
    >>> empty.rows.shape
    torch.Size([3, 2])
    """

    resizable: Mapping[str, int] = {}

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *args: Any) -> None:
        for name, free in self.resizable.items():
            buffer, stored = getattr(self, name), state_dict.get(prefix + name)
            if stored is not None and stored.dim() == buffer.dim():
                sizes = list(buffer.shape)
                sizes[free] = stored.shape[free]
                setattr(self, name, buffer.new_empty(sizes))
        super()._load_from_state_dict(state_dict, prefix, *args)


class MemoryBank(ResizableBuffers):
    """Unit embeddings `[n, D]` and posteriors `[n, C]` of a stream's utterances, by their position in it.

    Empty until filled; both are part of the state.  Nothing in them has a gradient.

    >>> bank = MemoryBank(dim=2, classes=3)
    >>> bank.fill(torch.tensor([[3.0, 4.0]]), torch.full((1, 3), 1 / 3))
    >>> bank.embeddings
    tensor([[0.6000, 0.8000]])
    """

    resizable: Mapping[str, int] = {"embeddings": 0, "posteriors": 0}
    embeddings: Tensor
    posteriors: Tensor

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("embeddings", torch.zeros(0, dim))
        self.register_buffer("posteriors", torch.zeros(0, classes))

    def __len__(self) -> int:
        return len(self.embeddings)

    @torch.no_grad()
    def fill(self, embeddings: Tensor, posteriors: Tensor) -> None:
        """Take over a whole stream, in its order."""
        self.embeddings, self.posteriors = unit_rows(wide(embeddings)), wide(posteriors).clone()

    @torch.no_grad()
    def write(self, index: Tensor, embeddings: Tensor, posteriors: Tensor) -> None:
        """Overwrite the rows at `index` `[B]`; of an utterance that is there twice, the last counts."""
        positions, group = torch.unique(index, return_inverse=True)
        turn = torch.arange(len(index), device=index.device)
        last = torch.zeros_like(positions).scatter_reduce_(0, group, turn, "amax", include_self=False)
        self.embeddings[positions] = unit_rows(wide(embeddings))[last].to(self.embeddings.dtype)
        self.posteriors[positions] = wide(posteriors)[last].to(self.posteriors.dtype)
