"""Reads chosen tensors out of a checkpoint into a model that was laid out without memory.

Only what is asked for is read: the top layers of a network without its trunk, Whisper's encoder without its decoder.  A
tensor that is missing is an error; nothing is ever left at random values.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sere_plugins.encoders.hub import Checkpoint
from sere_registry import SereError, error

#: today's names of the two parts of a weight-normalised weight -> their names in older checkpoints
_RENAMED = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}


def fill(model: nn.Module, checkpoint: Checkpoint, parts: Iterable[str], prefixes: Iterable[str]) -> None:
    """Load the tensors of a model whose names begin with one of `parts`, as float32; the others stay without memory.

    Args:
        model: laid out on the meta device.
        checkpoint: where the tensors are.
        parts: beginnings of names within the model ("encoder.layers.3.").
        prefixes: what may stand before a name in the files ("wav2vec2.", "").

    Raises:
        SereError: B401 (a tensor is missing or of another shape, or a file is damaged or holds code).
    """
    chosen = tuple(parts)
    wanted = [name for name in model.state_dict() if name.startswith(chosen)]
    found: dict[str, Tensor] = {}
    for stored, tensors in _open(checkpoint):
        for name in wanted:
            if name not in found and (key := _key(name, stored, prefixes)) is not None:
                tensor = tensors[key]
                # a copy: what is trained must not lie in the mapped pages of a file
                found[name] = tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)
    missing = [name for name in wanted if name not in found]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise _unusable(checkpoint, f"lacks the weights {missing[0]}{more}")
    try:
        model.load_state_dict(found, strict=False, assign=True)
    except RuntimeError as cause:
        detail = " ".join(str(cause).split("\n")[1:2]).strip() or str(cause)
        raise _unusable(checkpoint, f"does not fit its own config.json: {detail}") from cause


def _key(name: str, stored: Mapping[str, object] | set[str], prefixes: Iterable[str]) -> str | None:
    names = [name, *(name.replace(new, old) for new, old in _RENAMED.items() if new in name)]
    return next((prefix + spelt for prefix in prefixes for spelt in names if prefix + spelt in stored), None)


class _Lazy(Mapping[str, Tensor]):
    """The tensors of a safetensors file, read one by one."""

    def __init__(self, path: Path) -> None:
        from safetensors import safe_open

        self._file: Any = safe_open(path, framework="pt")
        names: Any = self._file.keys
        self._names: set[str] = set(names())

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _open(checkpoint: Checkpoint) -> Iterator[tuple[set[str], Mapping[str, Tensor]]]:
    """Each file of the checkpoint: the names in it, and its tensors."""
    from safetensors import SafetensorError

    for path in checkpoint.weights:
        try:
            tensors: Mapping[str, Tensor] = _Lazy(path) if path.suffix == ".safetensors" else _unpickle(path)
        except SafetensorError as cause:
            raise _unusable(checkpoint, f"has a damaged file {path.name}: {cause}") from cause
        except pickle.UnpicklingError as cause:
            raise _unusable(checkpoint, f"has a file {path.name} that holds more than tensors, or is damaged; it was not loaded") from cause
        except (OSError, RuntimeError, EOFError) as cause:
            raise _unusable(checkpoint, f"has a file {path.name} that cannot be read: {str(cause).splitlines()[0]}") from cause
        yield set(tensors), tensors


def _unpickle(path: Path) -> Mapping[str, Tensor]:
    """A pickled state_dict; tensors only, never code."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # files of before torch 1.6 cannot be memory-mapped
        state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}


def _unusable(checkpoint: Checkpoint, why: str) -> SereError:
    return error("B401", f"the checkpoint {checkpoint.name!r} {why}", "fetch it again, or name another", checkpoint.place)
