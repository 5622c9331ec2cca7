"""Extractors to hold IDFE against: the contours themselves, and their differences without a gate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_plugins.dynamics.contours import CONTOURS, FEATURES, static_features
from sere_plugins.dynamics.differences import differences, normalised, on_grid
from sere_plugins.specs.dynamics import ContourParams
from sere_registry import BuildContext, Frames


class _Plain(nn.Module, ABC):
    """Four contours in, `dim` features out, nothing learned."""

    contours = CONTOURS
    static_dim = len(FEATURES)
    dim = len(FEATURES)

    def __init__(self, params: ContourParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params

    def prepare(self, contours: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Contours of one utterance, each `[T]`, to `[T, 4]`, with f0 filled where there is no voice."""
        return static_features(contours, self.params)

    @abstractmethod
    def features(self, contours: Tensor, mask: Tensor) -> Tensor:
        """`[B, T, 4]`, zero in padded frames, -> `[B, T, dim]`, zero there too."""

    def forward(self, static: Frames, context: Frames) -> Frames:
        """f `[B, T, 4]` -> `[B, T, dim]`; of the context only the frame grid counts."""
        contours, mask = on_grid(static, context)
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
        first, stands = differences(contours, mask)
        second = differences(first, stands)
        return torch.cat([normalised(first, stands, self.params.eps), normalised(*second, self.params.eps)], dim=-1)
