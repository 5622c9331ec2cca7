"""The network that every method trains: encoders, projections, dynamics, pooling, classifier.

    waveform -> encoder -> projection + LayerNorm -> h  -> [h ; d] = z -> mean over frames = g -> classifier
                                     contours -> dynamics -> d

Equation numbers are those of SERE (arXiv 2604.07417): h is the context embedding, d the gated dynamic features of
equation 1, z the enhanced frames of equation 2, g the utterance embedding of section 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from sere_core.functional import on_real_frames
from sere_core.train.streams import Raw
from sere_registry import Dynamics, Encoded, Frames, Inputs, LabelledBatch, Method, Resonance, ResonanceField, UnlabelledBatch
from sere_registry.batches import FrameMap


class Projection(nn.Module):
    """All paths end in the same width d: a learned linear map and LayerNorm after each encoder [R]."""

    def __init__(self, width: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(width, dim)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor) -> Tensor:
        """`[..., width]` -> `[..., d]`."""
        out: Tensor = self.dropout(self.norm(self.linear(values)))
        return out


class Backbone(nn.Module):
    """The trained parts of encoders by id, a projection for each, dynamics (contours and h -> bursts), a classifier (g -> logits)."""

    def __init__(
        self, encoders: Mapping[str, nn.Module], projections: Mapping[str, nn.Module], dynamics: Dynamics, classifier: nn.Module
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(dict(encoders))
        self.projections = nn.ModuleDict(dict(projections))
        self.dynamics = dynamics
        self.classifier = classifier

    def features(self) -> Iterable[nn.Parameter]:
        """All trained parameters but the classifier's."""
        own = {id(parameter) for parameter in self.classifier.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in own and parameter.requires_grad]

    def enhance(self, inputs: Inputs) -> tuple[Frames, Tensor]:
        """The enhanced frames z `[B, T, D]` and the bursts d `[B, T, K]` (equations 1 and 2)."""
        encoded: Frames = self.encoders[inputs.path](inputs.frames)
        if inputs.scaling is not None:
            shift, factor = inputs.scaling[:, None].unbind(dim=2)
            encoded = replace(encoded, values=(encoded.values - shift) * factor)
        values = on_real_frames(self.projections[inputs.path], encoded.values, encoded.mask)
        context = replace(encoded, values=values)
        grid = replace(context, values=_fit(inputs.static.values, values.shape[1]))
        bursts = self.dynamics(grid, context).values
        if bursts.shape[-1]:
            context = replace(context, values=torch.cat([values, bursts], dim=-1))
        return context, bursts

    def encode(self, batch: Raw | LabelledBatch | UnlabelledBatch, frames: Frames | None = None) -> LabelledBatch | UnlabelledBatch:
        """A raw batch, or one that another network has encoded; see `sere_registry.protocols.Backbone.encode`."""
        assert batch.inputs is not None, "the batch holds nothing to encode"
        inputs = batch.inputs if frames is None else replace(batch.inputs, frames=frames)
        enhanced, bursts = self.enhance(inputs)
        embedding = _mean(enhanced)
        logits: Tensor = self.classifier(embedding)
        others = tuple(self.encode(cast(Raw, other)) for other in batch.others) if frames is None else ()
        made: dict[str, Any] = {"frames": enhanced, "bursts": bursts, "embedding": embedding, "logits": logits, "others": others}
        return batch.encoded(**made) if isinstance(batch, Raw) else replace(batch, inputs=inputs, **made, views=None)


class OwnPath(nn.Module):
    """A resonance field within one encoder: the reader a tells with b as the encoder of a reads it (`field_path: own`) [R]."""

    def __init__(self, field: ResonanceField) -> None:
        super().__init__()
        self.field = field
        self.directed = True  # S(b, a) is of the encoder of b

    def similarity(self, a: Encoded, b: Encoded) -> Tensor:
        """S of every pair, `[A, B]`."""
        return self.field.similarity(a, b.through(a.path))

    def aligned(self, a: Encoded, b: Encoded, picks: Tensor | None = None, *, both: bool = False) -> Resonance:
        """As the field's."""
        return self.field.aligned(a, b.through(a.path), picks, both=both)

    def frame_map(self, a: Encoded, b: Encoded) -> FrameMap | None:
        """As the field's."""
        return self.field.frame_map(a, b.through(a.path))

    def diagnostics(self) -> Mapping[str, float]:
        """The field's."""
        return self.field.diagnostics()


def network(backbone: object) -> Backbone:
    """A method's backbone, which may be a copy, as what it is."""
    return cast(Backbone, backbone)


def predicting(method: Method) -> Backbone:
    """What encodes at prediction: the method's moving average, if it has one."""
    average = method.prediction_backbone()
    return network(method.backbone if average is None else average)


def _mean(frames: Frames) -> Tensor:
    """The mean over real frames, `[B, D]`, as one small product: nothing as large as the frames is made on the way."""
    kind = frames.values.device.type
    weights = frames.mask.to(frames.values.dtype) / frames.mask.sum(dim=1, keepdim=True)
    with torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext():
        return torch.bmm(weights.unsqueeze(1), frames.values).squeeze(1)


def _fit(values: Tensor, steps: int) -> Tensor:
    """Contours on exactly as many frames as the encoder returned for the padded batch."""
    if values.shape[1] >= steps:
        return values[:, :steps]
    return torch.nn.functional.pad(values, (0, 0, 0, steps - values.shape[1]))
