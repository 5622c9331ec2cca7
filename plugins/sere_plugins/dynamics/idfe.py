"""IDFE: SERE's Instantaneous Dynamic Feature Extractor (arXiv 2604.07417).

Four contours on the encoder's frame grid [P]: f0 (CREPE), RMS energy, the 2nd MFCC (spectral tilt), the spectral
centroid.  For contour k and frame t of one utterance, over real frames only:

    (1) D_t^k  = f_t^k - f_{t-1}^k,  D_1^k = 0                                   [P]
        Dbar^k = mean over valid t >= 2 of |D_t^k|                               [P]
        Dn_t^k = D_t^k / (Dbar^k + eps)                                          [P]
        w_t    = sigmoid(W h_t + b),  W in R^{4 x d}                             [P gate; R its width: `gate`]
        d_t^k  = w_t^k * Dn_t^k                                                  [P]
    (2) z_t    = [ h_t ; d_t^1 .. d_t^4 ]  in R^{d+4}                            [P; done by the engine's backbone]

[P] the paper says so, [R] our reading: `unvoiced` and `periodicity` say what f0 is where there is no voice, `f0_scale`
in which unit it differs, `gate` whether the four contours share one gate.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_plugins.dynamics.contours import CONTOURS, FEATURES, static_features
from sere_plugins.dynamics.differences import differences, normalised, on_grid
from sere_plugins.resonance.packing import layout
from sere_plugins.specs.dynamics import IdfeParams
from sere_registry import BuildContext, Frames


class Idfe(nn.Module):
    """The gated, normalised frame differences d_t^k of four contours (equation 1).

    >>> idfe = Idfe(IdfeParams(), BuildContext(id="idfe", dim=2))
    >>> mask = torch.ones(1, 3, dtype=torch.bool)
    >>> idfe(Frames(torch.rand(1, 3, 4), mask, 50.0), Frames(torch.rand(1, 3, 2), mask, 50.0)).values.shape
    torch.Size([1, 3, 4])
    """

    contours = CONTOURS
    static_dim = len(FEATURES)
    dim = len(FEATURES)

    def __init__(self, params: IdfeParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params
        self.gate = nn.Linear(context.dim, self.dim if params.gate == "contour" else 1)
        self._gates: Tensor | None = None
        self._start = self.gate.weight.detach().clone()  # the same in a resumed run: what is built is built from the seed

    def prepare(self, contours: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """f_t^k: contours of one utterance, each `[T]`, to `[T, 4]`, with f0 filled where there is no voice."""
        return static_features(contours, self.params)

    def forward(self, static: Frames, context: Frames) -> Frames:
        """Equation 1: f `[B, T, 4]` and h `[B, T, d]` -> d `[B, T, 4]`, zero in padded frames."""
        contours, mask = on_grid(static, context)
        steps = normalised(*differences(contours, mask), self.params.eps)
        # what stands in padded frames of h must not even reach the gate's gradient
        where = layout(mask)
        gate = torch.sigmoid(self.gate(where.pack(context.values))).expand(-1, self.dim)
        self._gates = gate.detach()
        return Frames(where.unpack(gate * where.pack(steps).to(gate.dtype)), mask, context.rate)

    def diagnostics(self) -> Mapping[str, float]:
        """The mean of each contour's gate over the real frames of the last batch, the share of gates that are all but closed (below
        0.1), and how far W has come from where it started, relative to its norm."""
        if self._gates is None:
            return {}
        means = self._gates.sum(dim=0) / max(len(self._gates), 1)
        found = {f"gate/{name}": value for name, value in zip(FEATURES, means.tolist(), strict=True)}
        found["gate_closed"] = float((self._gates < 0.1).float().mean()) if len(self._gates) else 0.0
        start = self._start.to(self.gate.weight)
        found["gate_drift"] = float((self.gate.weight.detach() - start).norm() / start.norm())
        return found
