"""IDFE: SERE's Instantaneous Dynamic Feature Extractor (arXiv 2604.07417, section 3).

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

from sere_core.public import pack_rows, pad_rows
from sere_plugins.specs.dynamics import ContourParams, IdfeParams
from sere_registry import BuildContext, Frames, error
from sere_registry.protocols import ContourName

#: the features k = 1..4 of equation 1, in order
FEATURES: tuple[ContourName, ...] = ("f0", "rms", "mfcc2", "centroid")
#: 0 semitones: A1, below every speaking voice
REFERENCE_HZ = 55.0


def pitch(f0: NDArray[np.floating], periodicity: NDArray[np.floating], params: ContourParams) -> NDArray[np.float64]:
    """f0 with its unvoiced stretches filled: a jump to zero is not an emotional burst [R].

    Args:
        f0: `[T]`, hertz; anything where there is no voice.
        periodicity: `[T]`, 0 to 1.

    Returns:
        `[T]`, hertz or semitones; all zeros if no frame is voiced.

    >>> f0, voiced = np.array([100.0, 999.0, 200.0, 999.0]), np.array([0.9, 0.1, 0.9, 0.1])
    >>> pitch(f0, voiced, ContourParams()).tolist(), pitch(f0, voiced, ContourParams(unvoiced="hold")).tolist()
    ([100.0, 150.0, 200.0, 200.0], [100.0, 100.0, 200.0, 200.0])
    """
    values = np.asarray(f0, dtype=np.float64)
    voiced = (np.asarray(periodicity) >= params.periodicity) & np.isfinite(values) & (values > 0)
    if not voiced.any():
        return np.zeros_like(values)
    at = np.flatnonzero(voiced)
    known = values[at] if params.f0_scale == "hz" else 12.0 * np.log2(values[at] / REFERENCE_HZ)
    if params.unvoiced == "zero":
        filled = np.zeros_like(values)
        filled[at] = known
        return filled
    steps = np.arange(len(values))
    if params.unvoiced == "interpolate":
        return np.interp(steps, at, known)
    last = np.searchsorted(at, steps, side="right") - 1  # -1 before the first voiced frame, which then lends its value
    return known[np.maximum(last, 0)]


def differences(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """D_t = f_t - f_{t-1} and D_1 = 0, equation 1 [P]; also 0 where either frame is not real.

    Args:
        values: `[B, T, K]`, finite everywhere.
        mask: `[B, T]`, True on real frames.

    Returns:
        The differences `[B, T, K]`, and the mask `[B, T]` of the "valid t >= 2".
    """
    valid = torch.zeros_like(mask)
    valid[:, 1:] = mask[:, 1:] & mask[:, :-1]
    steps = torch.zeros_like(values)
    steps[:, 1:] = values[:, 1:] - values[:, :-1]
    return steps.masked_fill(~valid.unsqueeze(-1), 0.0), valid


def normalised(steps: Tensor, valid: Tensor, eps: float) -> Tensor:
    """Dn_t = D_t / (Dbar + eps) with Dbar the mean of |D_t| over valid t >= 2, per utterance and contour, equation 1 [P].

    An utterance of one frame, or a constant contour, has Dbar = 0 and Dn = 0.
    """
    count = valid.sum(dim=1).clamp(min=1).to(steps.dtype)
    scale = steps.abs().sum(dim=1) / count.unsqueeze(-1)
    return steps / (scale + eps).unsqueeze(1)


class ContourFeatures(nn.Module):
    """What every extractor over the four contours shares: f_t^k, made once per utterance and read on real frames only."""

    contours: tuple[ContourName, ...] = ("f0", "periodicity", "rms", "mfcc2", "centroid")
    static_dim = len(FEATURES)
    dim = len(FEATURES)

    def __init__(self, params: ContourParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params

    def prepare(self, contours: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """f_t^k of one utterance: contours, each `[T]` -> `[T, 4]`; `periodicity` only decides where f0 is meant."""
        f0 = pitch(contours["f0"], contours["periodicity"], self.params).astype(np.float32)
        return np.stack([f0, *(contours[name].astype(np.float32) for name in FEATURES[1:])], axis=1)

    @staticmethod
    def real(static: Frames, context: Frames) -> tuple[Tensor, Tensor]:
        """f with zeros in padded frames, and the mask of the frames that are real in both inputs.

        Raises:
            SereError: B402 if the two do not stand on the same frames.
        """
        if static.values.shape[:2] != context.values.shape[:2]:
            shapes = f"{list(static.values.shape[:2])} [utterances, frames], the context on {list(context.values.shape[:2])}"
            raise error("B402", f"contours stand on {shapes}")
        mask = context.mask if static.mask is context.mask else context.mask & static.mask
        return static.values.masked_fill(~mask.unsqueeze(-1), 0.0), mask


class Idfe(ContourFeatures):
    """The gated, normalised frame differences d_t^k of four contours (equation 1).

    >>> idfe = Idfe(IdfeParams(), BuildContext(id="idfe", dim=2))
    >>> mask = torch.ones(1, 3, dtype=torch.bool)
    >>> idfe(Frames(torch.rand(1, 3, 4), mask, 50.0), Frames(torch.rand(1, 3, 2), mask, 50.0)).values.shape
    torch.Size([1, 3, 4])
    """

    def __init__(self, params: IdfeParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.gate = nn.Linear(context.dim, self.dim if params.gate == "contour" else 1)
        self._gates: Tensor | None = None
        self._start = self.gate.weight.detach().clone()  # the same in a resumed run: what is built is built from the seed

    def forward(self, static: Frames, context: Frames) -> Frames:
        """Equation 1: f `[B, T, 4]` and h `[B, T, d]` -> d `[B, T, 4]`, zero in padded frames."""
        contours, mask = self.real(static, context)
        steps = normalised(*differences(contours, mask), self.params.eps)
        # what stands in padded frames of h must not even reach the gate's gradient
        real = mask.flatten()
        slots = real.nonzero().squeeze(1)
        h, steps = (pack_rows(values.flatten(0, 1), slots, real) for values in (context.values, steps))
        gate = torch.sigmoid(self.gate(h)).expand(-1, self.dim)
        self._gates = gate.detach()
        return Frames(pad_rows(gate * steps.to(gate.dtype), slots, real).view(*mask.shape, self.dim), mask, context.rate)

    def diagnostics(self) -> Mapping[str, float]:
        """The mean of each contour's gate over the real frames of the last batch, the share of gates that are all but closed
        (below 0.1), and how far W has moved from its start, relative to its norm."""
        if self._gates is None:
            return {}
        means = self._gates.sum(dim=0) / max(len(self._gates), 1)
        found = {f"gate/{name}": value for name, value in zip(FEATURES, means.tolist(), strict=True)}
        found["gate_closed"] = float((self._gates < 0.1).float().mean()) if len(self._gates) else 0.0
        start = self._start.to(self.gate.weight)
        found["gate_drift"] = float((self.gate.weight.detach() - start).norm() / start.norm())
        return found
