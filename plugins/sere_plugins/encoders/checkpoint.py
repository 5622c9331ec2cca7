"""A pretrained model on disk: found in a local folder, in the Hugging Face cache or on the hub, and read in parts.

Only the tensors that a part needs are read: the top layers of a network without its trunk, Whisper's encoder without its
decoder.  A tensor that is missing is an error; nothing is ever left at random values.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sere_registry import SereError, error
from sere_registry.errors import reason
from sere_registry.files import expanded, is_hub_name, read_file

if TYPE_CHECKING:
    from transformers import PretrainedConfig

#: where the weights may stand, the first that exists counts; an index names the files of a divided checkpoint
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
#: where a checkpoint describes its input
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
KINDS = ("wav2vec2", "hubert", "wavlm", "whisper")

#: today's names of the two parts of a weight-normalised weight -> their names in older checkpoints
_RENAMED = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
_HINT = "give a local folder with the model's files, or fetch it on a machine with network and let HF_HOME name the cache it is in"

Fetch = Callable[[str], Path | None]


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained model on disk.

    Args:
        name: as the config gives it.
        place: where the config gives it, for messages.
        config: the model's config.json.
        preprocessor: its input: `do_normalize`, `sampling_rate`, ...
        settings: the files that these two came from.
        weights: the files of tensors.
        index: what names them, where there are several.
    """

    name: str
    place: str
    config: Mapping[str, Any]
    preprocessor: Mapping[str, Any]
    settings: tuple[Path, ...]
    weights: tuple[Path, ...]
    index: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them: a folder with copies of these is the same checkpoint."""
        return (*self.settings, *self.index, *self.weights)

    def configuration(self, **changes: object) -> PretrainedConfig:
        """The model's configuration in the class of transformers, with some values changed.

        Raises:
            SereError: B401 (transformers refuses it).
        """
        from transformers import CONFIG_MAPPING

        try:
            return CONFIG_MAPPING[self.config["model_type"]].from_dict({**self.config, **changes})
        except Exception as cause:  # transformers checks values in its own ways
            raise error("B401", f"the config.json of {self.name!r} is not usable: {reason(cause)}", place=self.place) from cause

    def fill(self, model: nn.Module, parts: Iterable[str], prefixes: Iterable[str]) -> None:
        """Load the tensors of a model whose names begin with one of `parts`, as float32; the others stay without memory.

        Args:
            model: laid out on the meta device.
            parts: beginnings of names within the model ("encoder.layers.3.").
            prefixes: what may stand before a name in the files ("wav2vec2.", "").

        Raises:
            SereError: B401 (a tensor is missing or of another shape, or a file is damaged or holds code).
        """
        wanted = [name for name in model.state_dict() if name.startswith(tuple(parts))]
        found: dict[str, Tensor] = {}
        for stored, read in self._files():
            for name in wanted:
                if name not in found and (key := _key(name, stored, prefixes)) is not None:
                    tensor = self._read(read, key)
                    # a copy: what is trained must not lie in the mapped pages of a file
                    found[name] = tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)
        missing = [name for name in wanted if name not in found]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise self._unusable(f"lacks the weights {missing[0]}{more}")
        try:
            model.load_state_dict(found, strict=False, assign=True)
        except RuntimeError as cause:
            detail = " ".join(str(cause).split("\n")[1:2]).strip() or str(cause)
            raise self._unusable(f"does not fit its own config.json: {detail}") from cause

    def _read(self, read: Callable[[str], Tensor], key: str) -> Tensor:
        try:
            tensor = read(key)
            if tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized or tensor.is_meta:
                raise ValueError("it is no plain tensor of numbers")
        except Exception as cause:  # of a damaged file
            raise self._unusable(f"has weights {key} that cannot be read: {reason(cause)}") from cause
        return tensor

    def _files(self) -> Iterator[tuple[set[str], Callable[[str], Tensor]]]:
        """Of each file of weights: the names in it, and what reads one of them."""
        from safetensors import SafetensorError, safe_open

        for path in self.weights:
            try:
                if path.suffix == ".safetensors":
                    file = safe_open(path, framework="pt")
                    found = set(file.keys()), file.get_tensor  # type: ignore[no-untyped-call]
                else:
                    state = _unpickle(path)
                    found = set(state), state.__getitem__
            except SafetensorError as cause:
                raise self._unusable(f"has a damaged file {path.name}: {cause}") from cause
            except pickle.UnpicklingError as cause:
                why = f"has a file {path.name} that holds more than tensors, or is damaged; it was not loaded"
                raise self._unusable(why) from cause
            except Exception as cause:  # torch raises whatever a damaged file makes it stumble over
                raise self._unusable(f"has a file {path.name} that cannot be read: {reason(cause)}") from cause
            yield found

    def _unusable(self, why: str) -> SereError:
        return error("B401", f"the checkpoint {self.name!r} {why}", "fetch it again, or name another", self.place)


def _key(name: str, stored: set[str], prefixes: Iterable[str]) -> str | None:
    names = [name, *(name.replace(new, old) for new, old in _RENAMED.items() if new in name)]
    return next((prefix + spelt for prefix in prefixes for spelt in names if prefix + spelt in stored), None)


def _unpickle(path: Path) -> dict[str, Tensor]:
    """A pickled state_dict; tensors only, never code."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # files of before torch 1.6 cannot be memory-mapped
        state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise ValueError(f"it holds {'a tensor' if isinstance(state, Tensor) else 'a ' + type(state).__name__}, not tensors by name")
    return {name: tensor for name, tensor in state.items() if isinstance(name, str) and isinstance(tensor, Tensor)}


def locate(model: str, revision: str | None, kind: str, place: str) -> Checkpoint:
    """The files of a model: a local folder if there is one of that name, else a name on the hub.

    What is in the Hugging Face cache is used without asking the network.

    Args:
        kind: the `model_type` that the checkpoint must have.
        place: for messages.

    Raises:
        SereError: X703 (not found, or files are missing), B401 (not a checkpoint of this kind, or not at 16 kHz).
    """
    folder = expanded(model)
    if folder.is_dir():
        found = _gather(model, place, lambda name: folder / name if (folder / name).is_file() else None)
    elif not is_hub_name(model):
        raise error("X703", f"there is no folder {model!r}, and it cannot be a name on the Hugging Face hub", _HINT, place)
    else:
        found = _gather(model, place, _hub(model, revision, place, cached=True))
        if isinstance(found, str):
            found = _gather(model, place, _hub(model, revision, place, cached=False))
    if isinstance(found, str):
        raise error("X703", f"the model {model!r} {found}", _HINT, place)
    type_ = found.config.get("model_type")
    if type_ != kind:
        hint = f"use: {type_}" if type_ in KINDS else f"{kind} needs a checkpoint of that type"
        raise error("B401", f"{model!r} is a checkpoint of type {type_!r}, not {kind!r}", hint, place)
    rate = found.preprocessor.get("sampling_rate", 16000)
    if rate != 16000:
        raise error("B401", f"{model!r} is made for audio at {rate} Hz; sere works at 16000 Hz", place=place)
    return found


def _gather(model: str, place: str, fetch: Fetch) -> Checkpoint | str:
    """All files of a checkpoint; or, in words, which one is missing."""

    def first(*names: str) -> Path | None:
        return next((path for path in map(fetch, names) if path is not None), None)

    config = first("config.json")
    preprocessor = config and first(*PREPROCESSORS)
    weights = preprocessor and first(*WEIGHTS)
    if config is None or preprocessor is None or weights is None:
        missing = "config.json" if config is None else PREPROCESSORS[0] if preprocessor is None else f"{WEIGHTS[0]} or {WEIGHTS[2]}"
        return f"has no {missing}"
    files, index = [weights], list[Path]()
    if weights.name.endswith(".index.json"):
        files, index = [], [weights]
        parts = _json(weights, place).get("weight_map")
        if not isinstance(parts, dict) or not all(isinstance(name, str) and "/" not in name for name in parts.values()):
            raise error("B401", f"{weights} names no files of weights", place=place)
        for name in sorted(set(parts.values())):
            part = fetch(name)
            if part is None:
                return f"lacks {name}, a part of its weights"
            files.append(part)
    wanted = _json(preprocessor, place)
    inner = wanted.get("feature_extractor")
    wanted = inner if isinstance(inner, dict) else wanted
    return Checkpoint(model, place, _json(config, place), wanted, (config, preprocessor), tuple(files), tuple(index))


def _json(path: Path, place: str) -> dict[str, Any]:
    try:
        data = json.loads(read_file(path))
    except (OSError, ValueError, RecursionError) as cause:
        raise error("B401", f"{path} cannot be read as JSON: {reason(cause)}", place=place) from cause
    if not isinstance(data, dict):
        raise error("B401", f"{path} holds no JSON object", place=place)
    return data


def _hub(model: str, revision: str | None, place: str, cached: bool) -> Fetch:
    """Fetches files from the hub, or, with `cached`, only from the cache of earlier downloads."""
    from huggingface_hub import errors, hf_hub_download

    reasons: dict[type[Exception], str] = {
        errors.LocalEntryNotFoundError: "the hub cannot be reached",
        errors.GatedRepoError: "the hub requires a login and that its terms are accepted",
        errors.RepositoryNotFoundError: "the hub has no such model, or only for its owners",
        errors.RevisionNotFoundError: f"the hub has no revision {revision!r} of it",
    }

    def fetch(name: str) -> Path | None:
        try:
            return Path(hf_hub_download(model, name, revision=revision, local_files_only=cached))
        except Exception as cause:  # whatever the client, the network or the disk raises
            unreachable = isinstance(cause, errors.LocalEntryNotFoundError)
            if cached if unreachable else isinstance(cause, errors.EntryNotFoundError):
                return None
            failed = f"fetching it failed: {type(cause).__name__}"
            why = next((said for kind, said in reasons.items() if isinstance(cause, kind)), failed)
            what = f"the model {model!r} is neither a local folder nor in the Hugging Face cache, and {why}"
            raise error("X703", what, _HINT, place) from cause

    return fetch
