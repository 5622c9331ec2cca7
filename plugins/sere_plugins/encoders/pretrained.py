"""What all pretrained encoders share: a frozen trunk beside the module tree, and a trained top on it."""

from __future__ import annotations

import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_plugins.encoders.checkpoint import locate
from sere_plugins.specs.encoders import PretrainedParams
from sere_registry import BuildContext, Frames, SereError, error
from sere_registry.protocols import ContourName

if TYPE_CHECKING:
    from transformers import PreTrainedModel


M = TypeVar("M", bound=nn.Module)


class OffTree(Generic[M]):
    """A frozen module beside the module tree: in no `parameters()`, no `state_dict()`, no optimizer and no checkpoint.

    It is not an `nn.Module`, so its owner does not register it.  It is built at its first use (a run whose features are
    all on disk never loads it), follows the device of its input, stays in eval mode, and is shared by copies of its owner.

    >>> frozen = OffTree(lambda: nn.Linear(2, 2))
    >>> class Owner(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.frozen = frozen
    >>> len(list(Owner().parameters())), frozen(torch.ones(3, 2)).requires_grad
    (0, False)
    """

    def __init__(self, build: Callable[[], M]) -> None:
        self._build = build
        self._module: M | None = None
        self._failure: SereError | None = None
        self._lock = threading.Lock()  # features are extracted by several threads

    def on(self, device: torch.device) -> M:
        """The module, on this device."""
        with self._lock, torch.inference_mode(False):  # or its weights could never be used outside of inference mode again
            if self._failure is not None:
                raise self._failure
            if self._module is None:
                try:
                    self._module = self._build().eval().requires_grad_(False)
                except SereError as failure:  # the next utterance would only meet it again
                    self._failure = failure
                    raise
            return self._module.to(device)

    def __call__(self, values: Tensor) -> Any:
        """What the module makes of an input, without gradient."""
        with torch.no_grad():
            return self.on(values.device)(values)

    def __deepcopy__(self, memo: dict[int, object]) -> OffTree[M]:
        return self

    def __reduce__(self) -> tuple[type[OffTree[M]], tuple[Callable[[], M]]]:
        return type(self), (self._build,)


class Stack(nn.Module):
    """Some transformer layers in a row, and the network's final norm if they reach its end.

    The layers are called one by one, so layer drop and SpecAugment, which live in the networks around them, do not occur;
    dropout is the checkpoint's, and off in eval mode.
    """

    def __init__(self, layers: Iterable[nn.Module], norm: nn.Module | None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = norm
        # versions of transformers differ in whether Whisper's layers want a mask of heads
        signature = inspect.signature(type(self.layers[0]).forward).parameters if len(self.layers) else {}
        self._also = {"layer_head_mask": None} if "layer_head_mask" in signature else {}

    def forward(self, values: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """All hidden states `[B, T, H]`: what enters, and what leaves each layer (the last after the norm, if there is one).

        `mask` is `[B, T]`, True on frames that are attended to; None for all.
        """
        if mask is not None:  # attention weighs padding with 0, which does not silence NaN
            values = values.masked_fill(~mask.unsqueeze(-1), 0.0)
        states = [values, *self.run(values, mask)]
        if self.norm is not None:
            states[-1] = self.norm(states[-1])
        return states

    def run(self, values: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
        """What leaves each layer."""
        attended = None if mask is None else mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1)
        for layer in self.layers:
            out = layer(values, attention_mask=attended, **self._also)
            values = out[0] if isinstance(out, tuple) else out
            yield values


class LayerMix(nn.Module):
    """The softmax-weighted sum of all hidden states, as in SUPERB (arXiv:2105.01051, section 3): uniform at first.

    Args:
        states: how many hidden states there are: the layers, and what enters the first.

    >>> LayerMix(2)(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])).tolist()
    [[[2.0, 3.0]]]
    """

    def __init__(self, states: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(states))

    def forward(self, stacked: Tensor) -> Tensor:
        """`[B, T, states * hidden]`, state after state -> `[B, T, hidden]`."""
        parts = stacked.reshape(*stacked.shape[:-1], len(self.weights), -1)
        return self.weights.softmax(dim=0) @ parts  # an einsum would copy all states


class PretrainedEncoder(nn.Module, ABC):
    """A pretrained encoder: a frozen part off the module tree and a trained part on it.

    ==========  ======================================  ==========================================
    train       `extract` returns (cached)              `forward` runs
    ==========  ======================================  ==========================================
    frozen      the hidden states of `layer`, `[T, H]`  nothing
    frozen mix  all hidden states, `[T, (L + 1) H]`     their learned sum
    layers      their hidden states, `[T, n H]`         nothing
    layer auto  means of `depths`, `[1, len(depths) H]` never: the run chooses one of them, and builds the encoder anew
    top         what enters the top layers, `[T, H]`    the top layers and the final norm
    top, layers the same, and the other layers' states   the top layers, up to the first of the list; the others as they are
    all         the normalised samples, `[N, 1]`        everything; the convolutions frozen or not
    ==========  ======================================  ==========================================

    With `pool` the frozen ones return means over time, `[1, F]`.  With `precision: bfloat16` the frozen part is computed in it, and its
    output is float32 all the same.

    Only trained parameters are in `parameters()` and `state_dict()`.  `extract` runs on the device that the encoder was
    moved to.  The network is taken apart into the convolutions, the front (which holds them, and all else before the first
    layer) and the stack of transformer layers; only the tensors of the parts in use are read.

    Attributes (names are those of transformers' model, `*_names` their beginnings):
        kind: the `model_type` of its checkpoints.
        usually_standardises: are waveforms standardised where the checkpoint's feature extractor does not say?
        prefixes: what may stand before a name in the files.
        norm_is_last: does the network's norm stand after the last layer, or before the first?
        front_names: what the front needs beside the convolutions.

    Raises:
        SereError: X703 (no such model), B401 (not a checkpoint of this kind, or a part of it cannot be read), C302 (it has
            no such layer).
    """

    contours: tuple[ContourName, ...] = ()
    rate: float
    offset: float
    where: Tensor
    kind: ClassVar[str]
    usually_standardises: ClassVar[bool]
    prefixes: ClassVar[tuple[str, ...]]
    cnn_names: ClassVar[tuple[str, ...]]
    layers_name: ClassVar[str]
    norm_name: ClassVar[str]
    attention: ClassVar[str] = "sdpa"
    norm_is_last = True
    front_names: tuple[str, ...]

    def __init__(self, params: PretrainedParams, context: BuildContext) -> None:
        super().__init__()
        self.place = f"encoders.{context.id}"
        self.checkpoint = locate(params.model, params.revision, self.kind, f"{self.place}.params.model")
        self.config = self.checkpoint.configuration(add_adapter=False)  # an adapter on top would change the frame rate
        self.config._attn_implementation = self.attention
        self.layers = int(self.config.num_hidden_layers)
        choosing, least = params.layer == "auto", params.top_layers or 1
        if choosing:  # whatever is trained later
            params = params.model_copy(update={"train": "frozen", "top_layers": None})
        self.depths = tuple(range(least, self.layers + 1)) if choosing else ()
        self.train_mode, self.mixing, self.pooled = params.train, params.layer == "mix", params.pool or choosing
        self.depth, self.cut = _split(params, self.layers, f"{self.place}.params")
        listed = params.layer if isinstance(params.layer, tuple) else (self.cut,)
        listed = (self.cut, *listed[1:]) if params.train == "top" else listed
        self.chosen = self.depths or (tuple(range(self.layers + 1)) if self.mixing else listed)  # what `extract` returns of all states
        self.states = len(self.chosen)
        self.standardises = bool(self.checkpoint.preprocessor.get("do_normalize", self.usually_standardises))
        width = int(self.config.hidden_size)
        self.input_dim = 1 if params.train == "all" else width * self.states
        self.dim = width if self.mixing or params.train == "all" else self.input_dim
        self.normalise = params.train == "frozen"
        self.lowered = params.precision == "bfloat16"
        self.register_buffer("where", torch.empty(0), persistent=False)
        self.mix = LayerMix(self.layers + 1) if self.mixing else None
        top = self.stack_names(self.cut, self.depth)
        self.top = self.build_stack(self._read(*top), self.cut, self.depth) if params.train != "frozen" else None
        self.front = self._build_front(params.train_cnn) if params.train == "all" else None
        self._trunk = OffTree(self._build_trunk)

    @property
    def files(self) -> tuple[Path, ...]:
        """The checkpoint's."""
        return self.checkpoint.files

    @abstractmethod
    def model(self) -> PreTrainedModel:
        """The network as transformers builds it."""

    @abstractmethod
    def build_cnn(self, model: PreTrainedModel) -> nn.Module:
        """The convolutions of a model."""

    @abstractmethod
    def build_front(self, model: PreTrainedModel, cnn: nn.Module | OffTree[nn.Module]) -> nn.Module:
        """The front of a model: samples `[B, N]` and a mask `[B, T]` or None -> `[B, T, H]`."""

    @abstractmethod
    def embedded(self, front: nn.Module, samples: Sequence[Tensor]) -> Frames:
        """Utterances, each `[N]` -> what enters the first layer, `[W, T, H]`: a row for each, or for each of its windows."""

    def build_stack(self, model: PreTrainedModel, cut: int, depth: int) -> Stack:
        """The layers of a model from `cut` (counted from 0) up to `depth`, and the norm that stands after the last."""
        norm = model.get_submodule(self.norm_name) if self.norm_is_last and depth == self.layers else None
        return Stack(model.get_submodule(self.layers_name)[cut:depth], norm)

    def stack_names(self, cut: int, depth: int) -> tuple[str, ...]:
        """What these layers need."""
        norm = (f"{self.norm_name}.",) if self.norm_is_last and depth == self.layers else ()
        return (*(f"{self.layers_name}.{i}." for i in range(cut, depth)), *norm)

    def _build_trunk(self) -> nn.Sequential:
        """All that is frozen, up to the highest layer that `extract` returns: samples `[B, N]` -> all hidden states, each `[B, T, H]`."""
        model = self._read(*self.cnn_names, *self.front_names, *self.stack_names(0, max(self.chosen)))
        trunk = nn.Sequential(self.build_front(model, self.build_cnn(model)), self.build_stack(model, 0, max(self.chosen)))
        return self.in_bfloat16(trunk) if self.lowered else trunk

    def in_bfloat16(self, trunk: nn.Sequential) -> nn.Sequential:
        """The frozen part in bfloat16; what it reads stays float32."""
        return trunk.bfloat16()

    def _build_front(self, train_cnn: bool) -> nn.Module:
        """What stands before the layers, to be trained; the convolutions only with `train_cnn`."""
        model = self._read(*self.front_names, *(self.cnn_names if train_cnn else ()))
        frozen = OffTree(lambda: self.build_cnn(self._read(*self.cnn_names)))
        return self.build_front(model, self.build_cnn(model) if train_cnn else frozen)

    def _read(self, *names: str) -> PreTrainedModel:
        """The network, of which only the tensors whose names begin so take memory."""
        with torch.device("meta"):
            model = self.model()
        self.checkpoint.fill(model, names, self.prefixes)
        return model

    def attended(self, mask: Tensor) -> Tensor | None:
        """The frames that layers attend to, `[W, T]`, of which the mask's are real; None for all."""
        return None if bool(mask.all()) else mask

    def kept(self, rows: Tensor, mask: Tensor, samples: Sequence[Tensor]) -> Sequence[Tensor]:
        """What is cached of the trunk's output `[W, T, F]`: of each utterance `[T', F]`."""
        return [row[real] for row, real in zip(rows, mask, strict=True)]

    def samples(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """The waveform as the network expects it: zero mean and unit variance, if its checkpoint says so."""
        values = np.asarray(waveform, dtype=np.float32)
        if self.standardises:
            values = (values - values.mean()) / np.sqrt(values.var() + 1e-7)
        return np.ascontiguousarray(values, dtype=np.float32)

    def fingerprint(self) -> Mapping[str, object]:
        """The layer at which the frozen part ends; for `train: all` only how samples are made."""
        common = {"encoder": self.kind, "standardise": self.standardises}
        if self.train_mode == "all":
            return {**common, "output": "samples"}
        common |= {"precision": "bfloat16"} if self.lowered else {}
        if self.pooled:
            return {**common, "output": "means", "layers": list(self.chosen)}
        if self.states > 1 and not self.mixing:
            return {**common, "output": "layers", "layers": list(self.chosen)}
        return {**common, "output": "mix" if self.mixing else "layer", "layer": self.cut}

    def extract(self, waveform: NDArray[np.float32], contours: Mapping[str, NDArray[np.float32]], hop: float) -> NDArray[np.float32]:
        """16 kHz mono samples `[N]` -> what the frozen part makes of them, `[T, F]` (`[N, 1]` for `train: all`).

        Raises:
            SereError: X702 (bfloat16 on a processor that does not multiply it).
        """
        values = self.samples(waveform)
        if self.train_mode == "all":
            return values[:, None]
        if self.lowered and self.where.device.type == "cpu" and not multiplies_bfloat16():
            what = "this processor does not multiply bfloat16, which would take longer than float32"
            raise error("X702", what, "leave precision at float32, or extract on another machine", f"{self.place}.params.precision")
        with torch.inference_mode():
            samples = [torch.from_numpy(values).to(self.where.device)]
            front, stack = self._trunk.on(self.where.device)
            frames = self.embedded(front, samples)
            out = self._output(stack(frames.values, self.attended(frames.mask))).float()
            rows = self.kept(out, frames.mask, samples)[0]
            return (rows.mean(dim=0, keepdim=True) if self.pooled else rows).cpu().numpy()

    def _output(self, states: list[Tensor]) -> Tensor:
        return torch.cat([states[each] for each in self.chosen], dim=-1)

    def traced(self, samples: Tensor) -> Tensor:
        """What `extract` returns, in torch.

        Raises:
            SereError: T509 where the trained part is no function of frames alone.
        """
        if self.train_mode == "all":
            raise error("T509", f"{self.kind} with train: all encodes utterances one by one", place=f"{self.place}.params.train")
        if self.lowered:
            hint = "train and export with precision: float32"
            raise error("T509", f"{self.kind} in bfloat16 cannot be exported", hint, f"{self.place}.params.precision")
        if self.standardises:
            samples = (samples - samples.mean()) / (samples.var(correction=0) + 1e-7).sqrt()
        front, stack = self._trunk.on(samples.device)
        with torch.no_grad():
            rows = self.real(self._output(self.trace(front, stack, samples)).flatten(0, 1), samples)
            return rows.mean(dim=0, keepdim=True) if self.pooled else rows

    def real(self, rows: Tensor, samples: Tensor) -> Tensor:
        """Of the traced rows `[T, F]` those that the samples reach."""
        return rows

    def trace(self, front: nn.Module, stack: nn.Module, samples: Tensor) -> list[Tensor]:
        """All hidden states of one utterance, in operations that can be traced."""
        states: list[Tensor] = stack(front(samples[None]))
        return states

    def forward(self, frames: Frames) -> Frames:
        """`[B, T, F]` -> `[B, T, dim]`, where `extract` returned frames."""
        if self.top is not None:
            return Frames(self.through_top(self.top, frames.values, frames.mask), frames.mask, self.rate)
        return frames if self.mix is None else Frames(self.mix(frames.values), frames.mask, self.rate)

    def through_top(self, top: nn.Module, values: Tensor, mask: Tensor | None) -> Tensor:
        """What the top layers make of the first state of `[B, T, F]`, and the others beside it."""
        width = values.shape[-1] // self.states
        return torch.cat([top(values[..., :width], mask)[-1], values[..., width:]], dim=-1)


def multiplies_bfloat16() -> bool:
    """Has the processor instructions for products of bfloat16 (AVX512_BF16, AMX, or Arm's)?"""
    found: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not say
    return any("bf16" in name and value is True for name, value in found.items())


def _split(params: PretrainedParams, layers: int, place: str) -> tuple[int, int]:
    """The layer whose output is wanted, and the layer at which the frozen part ends.

    Raises:
        SereError: C302 if the network has no such layer.
    """
    listed = params.layer if isinstance(params.layer, tuple) else (params.layer if isinstance(params.layer, int) else layers,)
    if max(listed) > layers:
        raise error("C302", f"there is no layer {max(listed)}", f"{params.model!r} has {layers} layers", f"{place}.layer")
    depth = listed[0] if params.train == "top" else max(listed)
    if params.train == "frozen":
        return depth, depth
    top = params.top_layers or depth
    if not 1 <= top <= depth:
        key = "top_layers" if params.train == "top" else "layer"
        hint = f"up to layer {depth} of {params.model!r} there are {depth} layers to train"
        raise error("C302", f"the top {top} layers cannot be trained" if top else "there is no layer to train", hint, f"{place}.{key}")
    return depth, depth - top if params.train == "top" else 0
