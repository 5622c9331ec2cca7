"""What a method's training is made of: stages with what they may see, phases, groups of parameters, weighted losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from sere_registry.batches import LabelledBatch, UnlabelledBatch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

Stream = Literal["labelled", "source", "target"]


@dataclass(frozen=True)
class WeightedLoss:
    """A loss of the config, with its weight: a number, or a linear ramp from `start` to `end` over `until` of the stage."""

    loss: Any
    start: float
    end: float
    until: float = 1.0

    def weight(self, fraction: float) -> float:
        """The weight when `fraction` of the stage is done."""
        if fraction >= self.until:
            return self.end
        return self.start + (self.end - self.start) * fraction / self.until


@dataclass(frozen=True)
class Group:
    """Parameters that are trained together, by an optimizer of their own; `scale` multiplies the learning rate."""

    parameters: Sequence[Parameter]
    scale: float = 1.0


@dataclass(frozen=True)
class Phase:
    """One optimisation step within a training step.

    Args:
        name: for the history.
        loss: names what it reads, as `Loss.forward` does, and returns named terms; their sum is minimised.
        trains: the groups whose optimizers step; every other group stays as it is.
        repeats: how many times in a row, on the same batches.
        views: the streams whose batches carry two views.
        reads: what `loss` is given; None: what its signature names.
    """

    name: str
    loss: Callable[..., Mapping[str, Tensor]]
    trains: tuple[str, ...]
    repeats: int = 1
    views: frozenset[str] = frozenset()
    reads: frozenset[str] | None = None


class StageData(Protocol):
    """The streams that a stage may see, as whole sets.  A stream that it may not see does not exist here."""

    def size(self, stream: Stream) -> int: ...

    def encoded(self, stream: Stream) -> LabelledBatch | UnlabelledBatch:
        """A whole stream, encoded now without gradient, in the order of `index`.

        `frames` and `bursts` of the result have zero frames: whole streams of frames do not fit into memory.
        """
        ...

    def vectors(self, stream: Stream) -> Tensor:
        """`[n, F]`, as `Encoded.vectors`, in the order of `index`."""
        ...

    def labels(self) -> Tensor:
        """The labels of S_l, `[n]`; only where the stage sees "labelled"."""
        ...


@dataclass(frozen=True)
class Stage:
    """A part of a method's training, and what it may see.

    An `sgd` stage has `phases`; a closed-form stage has `solve`, which gets the stage's data and returns a trace of
    named series (the objective by iteration, say).

    Args:
        name: for records.
        sees: the streams it may see.
        phases: what happens at each step, in order.
        solve: the closed form, instead of phases.
        begin: called with the stage's data before the first step (banks, pseudo-labels); also after a resume, so it
            must only rebuild what `state_dict` does not hold.
        after_step, after_epoch: called with the `Progress`; `after_epoch` also gets the stage's data.
        budget: this stage's share of the epochs of the config.
    """

    name: str
    sees: frozenset[Stream]
    phases: tuple[Phase, ...] = ()
    solve: Callable[[StageData], Mapping[str, Sequence[float]]] | None = None
    begin: Callable[[StageData], None] | None = None
    after_step: Callable[[Any], None] | None = None
    after_epoch: Callable[[Any, StageData], None] | None = None
    budget: float = 1.0
