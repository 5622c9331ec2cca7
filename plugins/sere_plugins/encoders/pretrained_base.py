"""What the pretrained encoders share: which layers are frozen, what is cached, what is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_plugins.encoders.hub import Checkpoint
from sere_plugins.encoders.layer_mix import LayerMix
from sere_plugins.specs.transformers import PretrainedParams
from sere_registry import BuildContext, error
from sere_registry.protocols import ContourName

#: changes when the same weights would give another output of `extract`
VERSION = 1


class Network(Protocol):
    """A network on disk that can be built in parts."""

    @property
    def checkpoint(self) -> Checkpoint: ...

    def trunk(self, cut: int) -> nn.Module: ...

    def top(self, cut: int, depth: int) -> nn.Module: ...

    def front(self, train_cnn: bool) -> nn.Module: ...


class PretrainedEncoder(nn.Module):
    """A pretrained encoder: a frozen part off the module tree and a trained part on it.

    ==========  ======================================  ==========================================
    train       `extract` returns (cached)              `forward` runs
    ==========  ======================================  ==========================================
    frozen      the hidden states of `layer`, `[T, H]`  nothing
    frozen mix  all hidden states, `[T, (L + 1) H]`     their learned sum
    top         what enters the top layers, `[T, H]`    the top layers and the final norm
    all         the normalised samples, `[N, 1]`        everything; the convolutions frozen or not
    ==========  ======================================  ==========================================

    Only trained parameters are in `parameters()` and `state_dict()`.  `extract` runs on the device that the encoder was
    moved to.

    Args:
        params: which layers are trained.
        context: for messages.
        network: where the parts come from.
        hidden: H, the network's width.
        layers: L, the number of its layers.
    """

    contours: tuple[ContourName, ...] = ()
    rate: float
    offset: float
    where: Tensor

    def __init__(self, params: PretrainedParams, context: BuildContext, network: Network, hidden: int, layers: int) -> None:
        super().__init__()
        self.kind = str(network.checkpoint.config["model_type"])
        self.checkpoint = network.checkpoint
        self.train_mode = params.train
        self.depth, self.cut = _split(params, layers, f"encoders.{context.id}.params")
        self.mixing = params.layer == "mix"
        self.dim = hidden
        self.input_dim = 1 if params.train == "all" else hidden * (layers + 1) if self.mixing else hidden
        self.normalise = params.train == "frozen"
        self.register_buffer("where", torch.empty(0), persistent=False)
        self.mix = LayerMix(layers + 1) if self.mixing else None
        self.top = network.top(self.cut, self.depth) if params.train != "frozen" else None
        self.front = network.front(params.train_cnn) if params.train == "all" else None

    def samples(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """The waveform as the network wants it: zero mean and unit variance, if its checkpoint says so."""
        values = np.asarray(waveform, dtype=np.float32)
        if self.standardises:
            values = (values - values.mean()) / np.sqrt(values.var() + 1e-7)
        return np.ascontiguousarray(values, dtype=np.float32)

    @property
    def standardises(self) -> bool:
        """Does the checkpoint's feature extractor standardise each waveform?"""
        raise AttributeError("a subclass says so")

    def fingerprint(self) -> Mapping[str, Any]:
        """The digests of all files, the layer at which the frozen part ends; for `train: all` only how samples are made."""
        common = {"encoder": self.kind, "version": VERSION, "standardise": self.standardises}
        if self.train_mode == "all":
            return {**common, "output": "samples"}
        return {**common, "output": "mix" if self.mixing else "layer", "layer": self.cut, "files": self.checkpoint.digests()}


def _split(params: PretrainedParams, layers: int, place: str) -> tuple[int, int]:
    """The layer whose output is wanted, and the layer at which the frozen part ends."""
    depth = params.layer if isinstance(params.layer, int) else layers
    if depth > layers:
        raise error("C302", f"there is no layer {depth}", f"{params.model!r} has {layers} layers", f"{place}.layer")
    if params.train == "frozen":
        return depth, depth
    top = params.top_layers or depth
    if not 1 <= top <= depth:
        key = "top_layers" if params.train == "top" else "layer"
        hint = f"up to layer {depth} of {params.model!r} there are {depth} layers to train"
        raise error("C302", f"the top {top} layers cannot be trained" if top else "there is no layer to train", hint, f"{place}.{key}")
    return depth, depth - top if params.train == "top" else 0
