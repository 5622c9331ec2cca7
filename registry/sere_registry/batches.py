"""The frozen batches that losses, fields and methods receive.

Shapes: `B` utterances, `T` frames (padded), `d` the width of the context embedding h, `K` the number of dynamic
features, `D = d + K` the width of the enhanced frames z and of the utterance embedding g, `C` classes, `F` the width of
what the encoder's frozen part puts out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Self = TypeVar("Self", bound="Encoded")


@dataclass(frozen=True)
class Frames:
    """A padded batch of frame sequences.

    Args:
        values: `[B, T, d]`; what stands in padded frames must never matter.
        mask: `[B, T]` bool, True on real frames; every row has at least one.
        rate: frames per second.
    """

    values: Tensor
    mask: Tensor
    rate: float

    def mean(self) -> Tensor:
        """The mean over real frames, `[B, d]`."""
        weights = self.mask.unsqueeze(-1).to(self.values.dtype)
        return (self.values * weights).sum(dim=1) / weights.sum(dim=1)

    def take(self, rows: Sequence[int]) -> Frames:
        """The sequences at `rows`."""
        return replace(self, values=self.values[rows], mask=self.mask[rows])


@dataclass(frozen=True)
class Inputs:
    """A padded batch before the network: what views, masks and mixtures alter, and what `Backbone.encode` encodes.

    Args:
        path: the encoder that reads it, by its id in the config.
        frames: the encoder's frozen output, `[B, T, F]`, after normalisation where the encoder trains no layer.
        static: the contours as the dynamics prepared them, on the encoder's output grid, `[B, T', S]`.
        scaling: shift and factor, `[B, 2, dim]`: (output - shift) * factor standardises the output of an encoder whose layers
            are trained; None where `frames` are standardised, or nothing is.
    """

    path: str
    frames: Frames
    static: Frames
    scaling: Tensor | None = None

    def take(self, rows: Sequence[int]) -> Inputs:
        """The utterances at `rows`."""
        scaling = None if self.scaling is None else self.scaling[rows]
        return replace(self, frames=self.frames.take(rows), static=self.static.take(rows), scaling=scaling)


@dataclass(frozen=True)
class Encoded:
    """Utterances after encoder, dynamics and pooling.

    Args:
        frames: the enhanced frames z, `[B, T, D]` (equation 2).
        bursts: the gated dynamic features d_t^k, `[B, T, K]` (equation 1); K may be 0.
        embedding: g, the mean of z over real frames, `[B, D]`.
        logits: of the classifier on g, `[B, C]`.
        vectors: the mean over frames of the frozen output, after normalisation and before any trained layer, of the encoder that
            the target takes, `[B, F]`: what closed-form methods work on.  With `paths.supervise: labelled`, of the stream's own.
        index: `[B]` long, the position of each utterance in its stream (for memory banks).
        ids: names for messages; those of unlabelled utterances are opaque, since file names tell the emotion.
        domain: `[B]` long, 0 for the source corpus, 1 for the target.
        language: `[B]` long, position in `BuildContext.languages`.
        speaker: `[B]` long, an opaque index below `BuildContext.speakers`; -1 where unknown, and always -1 for utterances
            that are scored.
        inputs: what was encoded, to be encoded again (`Backbone.encode`); None for whole streams (`StageData.encoded`).
        others: the same utterances through other encoders: of S_l all that the paths use (`paths.supervise: all`), of S_u the
            target's where the field compares within one encoder (`paths.field_path: own`); none where one encoder reads everything.
    """

    frames: Frames
    bursts: Tensor
    embedding: Tensor
    logits: Tensor
    vectors: Tensor
    index: Tensor
    ids: tuple[str, ...]
    domain: Tensor = field(default=None, kw_only=True)  # type: ignore[assignment]  # filled in below
    language: Tensor = field(default=None, kw_only=True)  # type: ignore[assignment]
    speaker: Tensor = field(default=None, kw_only=True)  # type: ignore[assignment]
    inputs: Inputs | None = field(default=None, kw_only=True)
    others: tuple[Encoded, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        """A batch made by hand is of one domain and one language, and of unknown speakers."""
        for name, value in (("domain", 0), ("language", 0), ("speaker", -1)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, self.index.new_full((len(self.ids),), value))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def path(self) -> str:
        """The id of the encoder that read them; "" of what there is nothing to encode of."""
        return "" if self.inputs is None else self.inputs.path

    def every_path(self: Self) -> tuple[Self, ...]:
        """The same utterances through each encoder that there is of them, this batch first; each knows the others."""
        every: tuple[Self, ...] = (self, *self.others)  # type: ignore[arg-type]  # all of one kind
        return tuple(replace(one, others=(*every[:n], *every[n + 1 :])) for n, one in enumerate(every)) if self.others else every

    def through(self: Self, path: str) -> Self:
        """The same utterances as the encoder of this id read them; as they are where it read none of them."""
        return next((each for each in self.every_path() if each.path == path), self)

    def take(self: Self, rows: Tensor | Iterable[int]) -> Self:
        """The utterances at `rows`, in that order (repeats allowed); gradients flow back."""
        picks = [int(row) for row in rows]
        changes: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None:
                continue
            if isinstance(value, (Frames, Inputs, Views)):
                changes[each.name] = value.take(picks)
            elif each.name == "others":
                changes[each.name] = tuple(other.take(picks) for other in value)
            else:
                changes[each.name] = tuple(value[row] for row in picks) if each.name == "ids" else value[picks]
        return replace(self, **changes)


@dataclass(frozen=True)
class Views:
    """The same utterances, altered at random: lightly (`weak`) and heavily (`strong`)."""

    weak: Encoded
    strong: Encoded

    def take(self, rows: Sequence[int]) -> Views:
        """The utterances at `rows`."""
        return Views(self.weak.take(rows), self.strong.take(rows))


@dataclass(frozen=True)
class LabelledBatch(Encoded):
    """Labelled source utterances (S_l); `labels` is `[B]` long."""

    labels: Tensor
    views: Views | None = None


@dataclass(frozen=True)
class UnlabelledBatch(Encoded):
    """Unlabelled utterances (S_u, T_u or T_e).  There is no label attribute."""

    views: Views | None = None


@dataclass(frozen=True)
class Resonance:
    """What a resonance field finds for `P` pairs of an utterance of a and one of b.

    Args:
        similarity: S(a, b), `[P]`, equation 6.
        aligned: zt_{a<-b}, the aligned representation of a: what of b resonates with its frames, `[P, D]`, equation 5.
        reverse: zt_{b<-a}, the aligned representation of the utterances of b, `[P, D]`; None unless requested.
    """

    similarity: Tensor
    aligned: Tensor
    reverse: Tensor | None = None


@dataclass(frozen=True)
class FrameMap:
    """What a field finds between the `T_a` real frames of one utterance and the `T_b` of another.

        S = sum_i weights_i sum_j alignment_ij R_ij,  aligned = mean_i sum_j alignment_ij z_j^b

    Args:
        resonance: R_ij, `[T_a, T_b]`, equation 4.
        alignment: how much frame i of a is matched with each frame of b, `[T_a, T_b]`; each row sums to 1 (a best match: a single 1).
        weights: `[T_a]`, what each frame of a counts in S: 0 for one that is no highlight; they sum to 1.
        strength_a, strength_b: the burst strengths e, `[T_a]` and `[T_b]`, equation 3; None where there is no burst term.
    """

    resonance: Tensor
    alignment: Tensor
    weights: Tensor
    strength_a: Tensor | None = None
    strength_b: Tensor | None = None


@dataclass(frozen=True)
class Progress:
    """How far the stage is: `step` and `epoch` from 0, `fraction` of the stage's steps in [0, 1)."""

    step: int
    epoch: int
    fraction: float
