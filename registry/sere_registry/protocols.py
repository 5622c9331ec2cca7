"""What each kind of component must offer.  No base class is needed: an object with these members is one.

Every component is built as `factory(params, context)` with its own `Params` and a `BuildContext`.  Components that are
trained are `torch.nn.Module`s.  Members in `OPTIONAL` may be left out: `completed` gives a component that lacks them
the ones of the protocol, so that nobody has to ask whether they are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as _field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

from sere_registry.batches import Encoded, FrameMap, Frames, Resonance
from sere_registry.training import Backbone, Loss, Method, WeightedLoss
from sere_registry.utterances import Finding, Utterance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Generator, Tensor

T = TypeVar("T")
ContourName = Literal["f0", "periodicity", "rms", "mfcc2", "centroid"]
ViewLevel = Literal["waveform", "frames"]


@dataclass(frozen=True)
class BuildContext:
    """What a component may know when it is built: widths, classes and where it is; never data.

    Args:
        id: the component's id in the config ("adapt", "german", ...).
        classes: the shared classes, in order; for corpora those that `task.classes` lists, so that labels may be class names of
            the user's own; empty for encoders.
        dim: d, the width of the projected context embedding h.
        dynamics_dim: K, the number of dynamic features.
        input_dim: F, the width of the target path's frozen output (and of `Encoded.vectors`).
        languages: of the task; `Encoded.language` counts in it.
        speakers: how many speakers the unlabelled and labelled training streams have; `Encoded.speaker` is below it.
        backbone: the network, for losses and methods: to copy it (`sere_core.functional.frozen_copy`) and to encode
            again; None for other kinds.
        cache: a folder for what a component makes once (a rendered corpus); None where nothing may be written.
        parts: builds the components that a parameter of this name lists, declared with `param(..., parts=KIND)`.
    """

    id: str
    classes: tuple[str, ...] = ()
    dim: int = 0
    dynamics_dim: int = 0
    input_dim: int = 0
    languages: tuple[str, ...] = ()
    speakers: int = 0
    backbone: Backbone = None  # type: ignore[assignment]  # for kinds that get none
    cache: Path | None = None
    parts: Callable[[str], Sequence[Any]] = lambda name: ()

    @property
    def embedding_dim(self) -> int:
        """D = d + K, the width of z and g."""
        return self.dim + self.dynamics_dim


@runtime_checkable
class Corpus(Protocol):
    """Yields utterances from a root folder.  Importing and listing must not need torch or numpy.

    It may have `readable()`: the utterances of those rows with which nothing is wrong, each with the `Place` of its row, and the
    problems of the others.  `sere corpora check` then reads their audio, too, before it says what is wrong with both.
    """

    languages: tuple[str, ...]

    def utterances(self) -> Sequence[Utterance]:
        """All utterances, sorted by id, without opening an audio file.

        Raises:
            SereError: D601 (no such folder), D602 (nothing of the layout in it), D610.
        """

    def findings(self) -> Sequence[Finding]:
        """What is missing from the official layout, or stands beside it."""

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Make the audio files if the corpus is one that is made; called before audio is read."""


@runtime_checkable
class Encoder(Protocol):
    """Waveforms -> frames, in a frozen part whose output is cached on disk and a trained part (an `nn.Module`).

    Attributes:
        input_dim: F, the width of what `extract` returns.
        dim: the width of what `forward` returns.
        rate: frames per second of what `forward` returns; frame i stands at `offset + i / rate` seconds.
        offset: seconds of the first frame's centre.
        contours: the contours that `extract` wants; empty for none.
        normalise: False where `extract`'s output must not be standardised, since trained layers read it: what `forward` returns
            then is, by statistics that are taken anew as the layers learn.

    It may have `files`, the paths that its weights are read from: they are part of the cache key by content, a model that is
    exported takes copies of them along, and its parameter `model` then names their folder.  It may have `traced(samples)`, which is
    `extract` in torch, `[N]` -> `[T, F]`: such an encoder can be exported to ONNX.  One that is made of others (`BuildContext.parts`)
    counts them in its `fingerprint` and `files`, and has `parts`, where each stands below it -> the encoder, e.g.
    "params.streams.0", so that a model takes along what each of them reads.  One whose parameter `layer` may be "auto" has `depths`
    then, layers whose outputs' means over frames `extract` returns side by side, as one row; a run chooses one and builds it anew.
    One whose `extract` returns hidden states side by side, of equal width and in the order of depth, may say how many: `states`.  One
    made of several such encoders says of each in turn how many and how wide: `networks`, e.g. `((7, 512), (5, 384))`.
    One whose `extract` returns a single row for each utterance, whatever its rate, has `pooled` True.
    """

    input_dim: int
    dim: int
    rate: float
    offset: float
    contours: tuple[ContourName, ...]
    normalise: bool

    def fingerprint(self) -> Mapping[str, Any]:
        """All parameters that the output of `extract` depends on, as JSON data: part of the cache key, as its code and `files` are."""

    def extract(self, waveform: NDArray[np.float32], contours: Mapping[str, NDArray[np.float32]], hop: float) -> NDArray[np.float32]:
        """The frozen part, for one utterance: 16 kHz mono samples -> `[T, F]` (no gradient).

        `contours` holds the arrays named in the attribute `contours`, one value every `hop` seconds, the first at 0 s.
        """

    def lengths(self, lengths: Tensor) -> Tensor:
        """How many frames `forward` returns for inputs of these numbers of rows."""

    def __call__(self, frames: Frames) -> Frames:
        """The trained part: `[B, T, F]` -> `[B, T', dim]`; the identity for a frozen encoder."""


class Dynamics(Protocol):
    """Static contours + context frames -> K dynamic features per frame (equation 1).

    Attributes:
        contours: the contours it reads.
        static_dim: the width of what `prepare` returns.
        dim: K; may be 0.
    """

    contours: tuple[ContourName, ...]
    static_dim: int
    dim: int

    def prepare(self, contours: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Once per utterance, without gradient: contours on the encoder's frame grid, each `[T]` -> `[T, static_dim]`."""

    def __call__(self, static: Frames, context: Frames) -> Frames:
        """`[B, T, static_dim]` and h `[B, T, d]` -> the bursts d_t^k `[B, T, K]`."""

    def diagnostics(self) -> Mapping[str, float]:
        """Optional: numbers about the last step, for the history."""
        return {}


class ResonanceField(Protocol):
    """Aligns the frames of two utterances and measures how much they resonate (equations 3 to 6).  An `nn.Module`.

    `similarity` searches, `aligned` is what losses differentiate.

    Attributes:
        directed: True if S(a, b) need not equal S(b, a).
    """

    directed: bool

    def similarity(self, a: Encoded, b: Encoded) -> Tensor:
        """S of every pair, `[A, B]`; never with gradient."""

    def aligned(self, a: Encoded, b: Encoded, picks: Tensor | None = None, *, both: bool = False) -> Resonance:
        """S `[P]` and the aligned representations `[P, D]` of row i of a with row `picks[i]` of b, for every row of a.

        Differentiable in z and e of the matched frames, not through the choice of matches.

        Args:
            picks: `[P]` long, repeats allowed; None: row i of b.
            both: fill `reverse` too.

        Raises:
            SereError: B402 if there is not one row of b for each of a, or widths differ.
        """

    def frame_map(self, a: Encoded, b: Encoded) -> FrameMap | None:
        """Optional: the map of the first utterance of a with the first of b, for pictures (`sere resonance`), without gradient.

        None of a field that compares no frames.
        """
        return None

    def diagnostics(self) -> Mapping[str, float]:
        """Optional: numbers about the last step, for the history."""
        return {}


def networks_of(encoder: Any) -> tuple[tuple[int, int], ...]:
    """Of each network whose hidden states an encoder's `extract` returns side by side, how many they are and how wide."""
    states = getattr(encoder, "states", 1)
    found: tuple[tuple[int, int], ...] = getattr(encoder, "networks", ((states, encoder.input_dim // states),))
    return found


def trained_networks_of(encoder: Any) -> tuple[tuple[int, int], ...]:
    """The same of what `forward` returns, where that is standardised in place of what `extract` returns; else none."""
    states = getattr(encoder, "states", 1)
    return () if encoder.normalise else ((states, encoder.dim // states),)


@dataclass(frozen=True)
class MethodContext(BuildContext):
    """What a method gets when it is built: all of `BuildContext`, and more.

    Args:
        field: the resonance field of the config.
        losses: those of the config, by id.
        networks: of each network whose hidden states stand side by side in the vectors, in the order of depth, how many and how wide.
    """

    field: ResonanceField | None = None
    losses: Mapping[str, WeightedLoss] = _field(default_factory=dict)
    networks: tuple[tuple[int, int], ...] = ()


@runtime_checkable
class View(Protocol):
    """A random alteration.  `level` is "waveform" or "frames", and is recorded.

    A frames view gets and returns `Frames` of the same shape: values and mask may change, at least one frame stays, and
    frames keep their place in time (cropping clears the mask outside the window), so that contours still fit.  A
    waveform view gets and returns 16 kHz mono samples.  All randomness comes from the generator.
    """

    level: ViewLevel

    def __call__(self, frames: Any, generator: Generator) -> Any: ...


#: what `mixture` is, see `Selector`: (first, second, share) -> posteriors
Mixture = Callable[["Tensor", "Tensor", float], "Tensor"]
#: the streams that a selector may read; `source` is S_u, or S_l where all of the source is labelled
JUDGED: tuple[str, ...] = ("source", "target", "validation")
#: all that the `score` of a selector may read
SELECTABLE = frozenset(f"{name}{part}" for name in JUDGED for part in ("", "_embedding", "_vectors")) | {
    "validation_labels",
    "mixture",
    "epoch",
}
#: of these, what a finished fold can keep for a choice between runs
KEPT = SELECTABLE - {"mixture", "epoch"}


class Selector(Protocol):
    """Scores an epoch without target labels; the epoch with the highest score is kept (the last of equals).

    `score` names what it reads, and nothing else is computed:

    * `target`, `source`, `validation`: posteriors `[n, C]` of T_u, of S_u (S_l where all of the source is labelled), and of the
      labelled source utterances that `task.validation` holds out of both, with `validation_labels` `[n]` long.  Without that
      option, and for a method whose last stage may not see the source, what reads them is refused (C311);
    * `target_embedding` and so on: g `[n, D]`; `target_vectors` and so on: `Encoded.vectors`, `[n, F]`;
    * `mixture`: a function of positions `first` and `second`, each `[m]` long, and a share s: the posteriors `[m, C]` of
      utterances of T_u whose inputs are s times those of the first and 1 - s times those of the second;
    * `epoch` (int).

    Attributes:
        keeps_last: optional; if set, `score` is not asked: the last epoch is kept.
    """

    @property
    def score(self) -> Callable[..., float]:
        """The epoch's score."""

    keeps_last: bool = False


@dataclass(frozen=True)
class WorkOrder:
    """What an executor starts workers for.

    Args:
        name: of the comparison.
        folder: of the comparison, absolute, on a file system that all machines see.
        words: what stands behind `python` to begin a worker: it takes open jobs from the folder, by their locks, and ends when there is
            none.  It asks nothing; the exit codes 0 and 1 (a job failed) are good.  `--losses N` may be added: how many processes in
            a row a job may cost.
        jobs: how many are open: more workers find nothing to do.
    """

    name: str
    folder: Path
    words: tuple[str, ...]
    jobs: int


class Crew(Protocol):
    """Workers that were started, and end with the process that started them."""

    def running(self) -> int:
        """How many still run, or wait for a place."""

    def problem(self) -> str:
        """How one ended that could not work, as part of a sentence ("ended with 4"); "" if none did."""

    def stop(self) -> None:
        """End them all; they have a few seconds to do it themselves."""


class Executor(Protocol):
    """Starts the workers of a comparison, here or elsewhere.

    Attributes:
        detached: optional; if set, the workers go on by themselves and `start` returns at once.  Else they end with this process, and
            the features of all jobs are extracted before they start.
    """

    detached: bool = False

    @property
    def workers(self) -> int:
        """How many work at a time.

        Raises:
            SereError: X707 where the scheduler of a cluster cannot be reached.
        """

    def start(self, order: WorkOrder) -> Crew | str:
        """Begin at most `order.jobs` workers; for a detached executor, a line that says where they are.

        Raises:
            SereError: X707.
        """


#: protocol -> the members that a component may leave out
OPTIONAL: Mapping[type, tuple[str, ...]] = {
    Dynamics: ("diagnostics",),
    ResonanceField: ("frame_map", "diagnostics"),
    Loss: ("views", "predicts", "parameters_by_group", "after_step", "after_epoch", "predict", "pseudo_labels", "diagnostics"),
    Method: ("field", "needs_support", "vectors_only", "prediction_backbone", "pseudo_labels", "diagnostics"),
    Selector: ("keeps_last",),
    Executor: ("detached",),
}


def completed(component: T, protocol: type) -> T:
    """The component, with what it leaves out of the protocol's optional members filled in by the protocol's own.

    >>> class Last:
    ...     def score(self, epoch): return float(epoch)
    >>> completed(Last(), Selector).keeps_last
    False
    """
    for name in OPTIONAL[protocol]:
        if not hasattr(component, name):
            value = getattr(protocol, name)
            setattr(component, name, partial(value, None) if callable(value) else value)  # no default needs its object
    return component
