"""What training is made of: losses, the network, methods with their stages, phases and groups of parameters."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from sere_registry.batches import Encoded, Frames, LabelledBatch, Progress, UnlabelledBatch
from sere_registry.errors import Place
from sere_registry.params import Params, param

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter

    from sere_registry.protocols import Dynamics, ResonanceField

AnyBatch = TypeVar("AnyBatch", bound=Encoded)

Stream = Literal["labelled", "source", "target"]

#: the streams a loss may read, each as a batch of the step
STREAMS: tuple[Stream, ...] = ("labelled", "source", "target")
#: all that a loss may read: beside the streams the whole of S_l (`support`), the resonance field, and how far the stage is
READABLE = frozenset({*STREAMS, "support", "field", "progress"})


def reads(loss: Loss | Phase) -> frozenset[str]:
    """What a loss or a phase reads: its own `reads`, or else the names in its signature.

    >>> reads(Phase("agree", lambda target: {}, trains=()))
    frozenset({'target'})
    """
    named: frozenset[str] | None = getattr(loss, "reads", None)
    function = loss.loss if isinstance(loss, Phase) else loss.forward
    return frozenset(inspect.signature(function).parameters) if named is None else named


def not_terms(found: object) -> str:
    """What `found` is instead of a mapping from names to scalar tensors; "" where it is one.

    >>> not_terms({"gap": [1.0]}), not_terms({})
    ("a list, not a scalar tensor, as 'gap'", '')
    """
    if not isinstance(found, Mapping):
        return f"a {type(found).__name__}, not a mapping from names to scalars"
    for name, term in found.items():
        if not isinstance(name, str):
            return f"a {type(name).__name__} as the name of a term"
        shape, dtype = getattr(term, "shape", None), getattr(term, "dtype", None)
        if shape is None or len(shape) or not hasattr(term, "requires_grad"):
            what = f"a {type(term).__name__}" if shape is None else f"shape {tuple(shape)}"
            return f"{what}, not a scalar tensor, as '{name}'"
        if not getattr(dtype, "is_floating_point", True):
            return f"a tensor of {dtype}, which carries no gradient, as '{name}'"
    return ""


def over_paths(loss: Callable[..., Mapping[str, Tensor]], **given: Any) -> Mapping[str, Tensor]:
    """The terms of a loss that may read `labelled`: their mean over the encoders that S_l passes (`Encoded.others`), each called alone.

    So the labels teach every encoder that the config's paths use [R]: SERE's cross-entropy (equation 10) is the mean over them.
    """
    labelled = given.get("labelled")
    if labelled is None or not labelled.others:
        return loss(**given)
    found = [loss(**{**given, "labelled": each}) for each in labelled.every_path()]
    if wrong := [terms for terms in found if not_terms(terms)]:
        return wrong[0]
    names = dict.fromkeys(name for terms in found for name in terms)
    return {name: sum(terms[name] for terms in found if name in terms) / len(found) for name in names}  # type: ignore[misc]


def streams_of(names: frozenset[str]) -> frozenset[Stream]:
    """The streams behind what is read: `support` is made of the labelled one.

    >>> sorted(streams_of(frozenset({"support", "target", "field"})))
    ['labelled', 'target']
    """
    return frozenset(name for name in STREAMS if name in names or (name == "labelled" and "support" in names))


class Schedule(Params):
    """The learning rate over a stage, as a factor of what the optimizer starts with.

        constant       1
        linear         1 - (1 - end) t
        cosine         end + (1 - end) (1 + cos(pi t)) / 2
        inverse_decay  (1 + alpha t)^-power        DANN (arXiv:1505.07818), SHOT, NRC

    t in [0, 1) is the share of the stage that is done.  With `warm_up` w > 0 it is multiplied by min(1, t / w).

    >>> Schedule(use="inverse_decay").factor(0.5)
    0.26084743001221455
    """

    use: Literal["constant", "linear", "cosine", "inverse_decay"] = param("constant", "the shape")
    warm_up: float = param(0.0, "share of the stage over which the rate is raised from 0", ge=0, lt=1)
    end: float = param(0.0, "factor at the end, for linear and cosine", ge=0, le=1)
    alpha: float = param(10.0, "how early inverse_decay falls", ge=0)
    power: float = param(0.75, "how steeply inverse_decay falls", ge=0)

    def factor(self, fraction: float) -> float:
        """The factor when `fraction` of the stage is done."""
        shape: float = {
            "constant": 1.0,
            "linear": 1.0 - (1.0 - self.end) * fraction,
            "cosine": self.end + (1.0 - self.end) * (1.0 + math.cos(math.pi * fraction)) / 2.0,
            "inverse_decay": (1.0 + self.alpha * fraction) ** -self.power,
        }[self.use]
        return shape * min(1.0, fraction / self.warm_up) if self.warm_up else shape


@dataclass(frozen=True)
class WeightedLoss:
    """A loss of the config, with its weight: a number, or a linear ramp from `start` to `end` over `until` of the stage.

    `title` and `place` are for messages: what it is and whose, and where it stands in the config.
    """

    loss: Loss
    start: float
    end: float
    until: float = 1.0
    title: str = ""
    place: Place = field(default_factory=Place)

    def weight(self, fraction: float) -> float:
        """The weight when `fraction` of the stage is done."""
        if fraction >= self.until:
            return self.end
        return self.start + (self.end - self.start) * fraction / self.until


@dataclass(frozen=True)
class Group:
    """Parameters that are trained together, by an optimizer of their own.

    Args:
        parameters: those that need no gradient are left out.
        scale: multiplies the learning rate.
        options: arguments of the optimizer that replace those of the config (`momentum`, `weight_decay`, `lr`, ...).
        optimizer: a class of torch.optim; None: the config's.
        schedule: of the learning rate; None: the config's (`train.schedule`).
    """

    parameters: Sequence[Parameter]
    scale: float = 1.0
    options: Mapping[str, object] = field(default_factory=dict)
    optimizer: str | None = None
    schedule: Schedule | None = None


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
        each_path: is `loss` called for each encoder that S_l passes, and the mean of its terms taken (`over_paths`)?  False where
            it sees to that itself.
    """

    name: str
    loss: Callable[..., Mapping[str, Tensor]]
    trains: tuple[str, ...]
    repeats: int = 1
    views: frozenset[str] = frozenset()
    reads: frozenset[str] | None = None
    each_path: bool = True


class StageData(Protocol):
    """The streams that a stage may see, as whole sets.  A stream that it may not see does not exist here (D611)."""

    def size(self, stream: Stream) -> int:
        """How many utterances the stream has."""

    def encoded(self, stream: Stream) -> LabelledBatch | UnlabelledBatch:
        """A whole stream, encoded now without gradient (evaluation mode), in the order of `index`.

        `frames` and `bursts` of the result have zero frames, and it has no `inputs`: whole streams of frames do not fit
        into memory.
        """

    def vectors(self, stream: Stream) -> Tensor:
        """`[n, F]`, as `Encoded.vectors`, in the order of `index`."""

    def labels(self) -> Tensor:
        """The labels of S_l, `[n]` long; only where the stage sees "labelled"."""


@dataclass(frozen=True)
class Stage:
    """A part of a method's training, and what it may see.

    An `sgd` stage has `phases`; a closed-form stage has `solve`, which gets the stage's data and returns a trace of
    named series (the objective by iteration, say).

    Args:
        name: for records.
        sees: the streams it may see.
        optional: those of them that it can do without: where there are none, `size` is 0 and `vectors` are `[0, F]`.
        phases: what happens at each step, in order.
        solve: the closed form, instead of phases; called once without gradient.
        begin: called with the stage's data before the first step (banks, pseudo-labels); also after a resume, so it
            must only rebuild what `state_dict` does not hold.
        after_step: called after the last phase of every step.
        after_epoch: called after the last step of every epoch, before the epoch is scored and saved.
        budget: this stage's share of the epochs of the config.
    """

    name: str
    sees: frozenset[Stream]
    phases: tuple[Phase, ...] = ()
    solve: Callable[[StageData], Mapping[str, Sequence[float]]] | None = None
    begin: Callable[[StageData], None] | None = None
    after_step: Callable[[Progress], None] | None = None
    after_epoch: Callable[[Progress, StageData], None] | None = None
    budget: float = 1.0
    optional: frozenset[Stream] = frozenset()


class Loss(Protocol):
    """A named set of scalar terms.  An `nn.Module`.

    `forward` returns a mapping from the names of its terms to scalars.  It gets what `reads` lists, or without that what
    its signature names, and nothing else is encoded for it: any of `labelled` (a `LabelledBatch`), `support` (the whole of
    S_l, encoded now), `source`, `target` (`UnlabelledBatch`es), `field` (the `ResonanceField`) and `progress`.

    Attributes:
        reads: optional; what `forward` gets, where that depends on parameters.  Ask for it with `training.reads(loss)`.
        views: optional; the streams whose batches it wants with two `views`, e.g. `frozenset({"target"})`.
        predicts: optional; does it bring a classifier, so that `predict` is asked instead of the network's?
    """

    @property
    def forward(self) -> Callable[..., Mapping[str, Tensor]]:
        """The terms."""

    views: frozenset[str] = frozenset()
    predicts: bool = False

    def parameters_by_group(self) -> Mapping[str, Group]:
        """Optional: parameters that are trained in groups of their own; all others join those of the method."""
        return {}

    def after_step(self, progress: Progress) -> None:
        """Optional: moving averages and the like."""

    def after_epoch(self, progress: Progress, data: StageData) -> None:
        """Optional: banks, pseudo-labels.  Called without gradient being needed, before the epoch is saved."""

    def predict(self, batch: UnlabelledBatch, support: LabelledBatch, field: ResonanceField | None) -> Tensor | None:
        """Optional: posteriors `[B, C]`, if `predicts`."""
        return None

    def pseudo_labels(self, batch: UnlabelledBatch, support: LabelledBatch, field: ResonanceField | None) -> Tensor | None:
        """Optional: the classes `[B]` that it would assign to unlabelled utterances in training; None if it assigns none.

        Asked once, of the scored utterances, so that the scorer can say how often they are right.
        """
        return None

    def diagnostics(self) -> Mapping[str, float]:
        """Optional: numbers about the last step, for the history."""
        return {}


class Backbone(Protocol):
    """The engine's network: encoders' trained parts, projections, dynamics and the classifier.  An `nn.Module`.

    Methods train it, copy it (`sere_core.functional.frozen_copy`) and may replace its `classifier`.
    """

    classifier: Module
    dynamics: Dynamics

    def features(self) -> Iterable[Parameter]:
        """All parameters but the classifier's."""

    def parameters(self) -> Iterator[Parameter]:
        """All parameters."""

    def encode(self, batch: AnyBatch, frames: Frames | None = None) -> AnyBatch:
        """The same utterances, encoded by this network: a moving average or a frozen copy encodes what the student has encoded.

        Args:
            batch: one with `inputs`; also one of its `views`.
            frames: `[B, T, F]`, in place of `batch.inputs.frames`: masked, mixed or otherwise altered.

        Returns:
            The batch with new frames, bursts, embedding and logits, without views.
        """


class Method(Protocol):
    """A training recipe.  An `nn.Module` that holds `backbone`, so that its `state_dict` is all there is to save.

    Between stages the engine saves the state, drops the instance and builds a new one that has no handle on what the
    stage before could see.

    Attributes:
        backbone: the network.
        field: optional; the resonance field that phases read.
        needs_support: optional; is `predict` also given `support`, the whole of S_l, encoded?  Never for a method whose
            last stage may not see it.
        vectors_only: optional; are `vectors` all that its stages and `predict` read?  Then no frame is read and nothing encoded:
            the batches of `predict` have no frames, bursts and logits, and their `embedding` is `vectors`.
    """

    backbone: Backbone
    field: ResonanceField | None = None
    needs_support: bool = False
    vectors_only: bool = False

    def stages(self) -> Sequence[Stage]:
        """What happens, in order."""

    def parameters_by_group(self) -> Mapping[str, Group]:
        """Everything that gradients train, each parameter in one group."""

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        """Posteriors `[B, C]`."""

    def prediction_backbone(self) -> Backbone | None:
        """Optional: what encodes at prediction (a moving average, say); None: `backbone`."""
        return None

    def pseudo_labels(self, batch: UnlabelledBatch, support: LabelledBatch) -> Tensor | None:
        """Optional: as a loss's."""
        return None

    def diagnostics(self) -> Mapping[str, float]:
        """Optional: as a loss's."""
        return {}
