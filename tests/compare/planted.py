"""A method that trains nothing, and knows by its parameter which of its dimensions are noise: a planted effect, in either direction.

Beside each utterance's vector stand dimensions that are a scrambled function of it and hold no information.  The nearest class mean of
S_l predicts: in all dimensions, in the vector's own, or in the scrambled ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sere_registry import ComponentSpec, Params, Stage, param


class PlantedParams(Params):
    """Which dimensions are used."""

    dims: Literal["all", "signal", "noise"] = param("all", "those that the means are compared in")


class Planted(nn.Module):
    """Nearest class mean; without the target."""

    means: Tensor

    def __init__(self, params: PlantedParams, context: Any) -> None:
        super().__init__()
        self.backbone = context.backbone
        self.dims = params.dims
        self.register_buffer("means", torch.zeros(len(context.classes), 2 * context.input_dim))

    def parameters_by_group(self) -> Mapping[str, Any]:
        return {}

    def stages(self) -> Sequence[Stage]:
        return [Stage("means", sees=frozenset({"labelled"}), solve=self.solve)]

    def solve(self, data: Any) -> Mapping[str, Sequence[float]]:
        vectors, labels = widened(data.vectors("labelled")), data.labels()
        for number in range(len(self.means)):
            self.means[number] = vectors[labels == number].mean(dim=0)
        return {"error": [0.0]}

    def predict(self, batch: Any) -> Tensor:
        width = self.means.shape[1] // 2
        chosen = {"all": slice(None), "signal": slice(width), "noise": slice(width, None)}[self.dims]
        return (-torch.cdist(widened(batch.vectors)[:, chosen], self.means[:, chosen])).softmax(dim=1)


def widened(vectors: Tensor) -> Tensor:
    """`[n, F]` -> `[n, 2F]`: with as many scrambled dimensions, and louder ones."""
    scrambled = torch.sin(1e5 * vectors.double() + torch.arange(vectors.shape[1])).to(vectors)
    return torch.cat([vectors, NOISE * scrambled], dim=1)


NOISE = 5.0


METHOD = ComponentSpec(kind="method", name="planted", factory=f"{__name__}:Planted", params=PlantedParams, summary="a planted effect")
