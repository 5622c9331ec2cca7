"""What IDFE is compared with: the contours themselves, their differences without a gate, and nothing at all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_plugins.dynamics.idfe import FEATURES, ContourFeatures, differences, normalised
from sere_registry import BuildContext, Frames, NoParams
from sere_registry.protocols import ContourName


class _Plain(ContourFeatures, ABC):
    """Four contours in, `dim` features out, nothing learned."""

    @abstractmethod
    def features(self, contours: Tensor, mask: Tensor) -> Tensor:
        """`[B, T, 4]`, zero in padded frames, -> `[B, T, dim]`, zero there too."""

    def forward(self, static: Frames, context: Frames) -> Frames:
        """f `[B, T, 4]` -> `[B, T, dim]`; of the context only the frame grid counts."""
        contours, mask = self.real(static, context)
        return Frames(self.features(contours, mask).to(context.values.dtype), mask, context.rate)


class Static(_Plain):
    """The four contours, each with mean 0 and standard deviation 1 over the utterance's real frames."""

    def features(self, contours: Tensor, mask: Tensor) -> Tensor:
        weights = mask.unsqueeze(-1).to(contours.dtype)
        count = weights.sum(dim=1, keepdim=True).clamp(min=1)
        # from the largest value down, so that a constant contour gives 0 exactly and not the rounding of its mean
        top = contours.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(dim=1, keepdim=True)
        shifted = (contours - top).masked_fill(~mask.unsqueeze(-1), 0.0)
        centred = (shifted - shifted.sum(dim=1, keepdim=True) / count) * weights
        deviation = (centred.square().sum(dim=1, keepdim=True) / count).sqrt()
        return centred / (deviation + self.params.eps)


class Delta(_Plain):
    """Dn of equation 1, without IDFE's gate."""

    def features(self, contours: Tensor, mask: Tensor) -> Tensor:
        return normalised(*differences(contours, mask), self.params.eps)


class DeltaDelta(_Plain):
    """Dn of equation 1, and the same of the differences' differences."""

    dim = 2 * len(FEATURES)

    def features(self, contours: Tensor, mask: Tensor) -> Tensor:
        first, valid = differences(contours, mask)
        second = differences(first, valid)
        return torch.cat([normalised(first, valid, self.params.eps), normalised(*second, self.params.eps)], dim=-1)


class NoDynamics(nn.Module):
    """No dynamic features (K = 0): equation 2 leaves z = h, and every field sees burst strength 0."""

    contours: tuple[ContourName, ...] = ()
    static_dim = 0
    dim = 0

    def __init__(self, params: NoParams, context: BuildContext) -> None:
        super().__init__()

    def prepare(self, contours: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """`[T, 0]`; T = 0 where no contour tells the length."""
        return np.zeros((max((len(contour) for contour in contours.values()), default=0), 0), dtype=np.float32)

    def forward(self, static: Frames, context: Frames) -> Frames:
        """`[B, T, 0]` on the context's frames; `static` is not read."""
        return Frames(context.values[..., :0], context.mask, context.rate)
