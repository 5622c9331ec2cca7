"""Finds the files of a pretrained model: in a local folder, in the Hugging Face cache, or on the hub."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sere_registry import SereError, error

#: where the weights may stand, the first that exists counts; an index names the files of a divided checkpoint
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
#: where a checkpoint says how it wants its input
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_WAYS_OUT = "give a local folder with the model's files, or fetch it on a machine with network and let HF_HOME name the cache it is in"

Fetch = Callable[[str], Path | None]


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained model on disk.

    Args:
        name: as the config gives it.
        place: where the config gives it, for messages.
        config: the model's config.json.
        preprocessor: how it wants its input: `do_normalize`, `sampling_rate`, ...
        settings: the files that these two came from.
        weights: the files of tensors.
    """

    name: str
    place: str
    config: Mapping[str, Any]
    preprocessor: Mapping[str, Any]
    settings: tuple[Path, ...]
    weights: tuple[Path, ...]

    def configuration(self, config_class: Any, changes: Mapping[str, Any]) -> Any:
        """The model's configuration as transformers wants it, with some values changed.

        Raises:
            SereError: B401 (transformers refuses it).
        """
        try:
            return config_class.from_dict({**self.config, **changes})
        except Exception as cause:  # transformers checks values in its own ways
            reason = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
            raise error("B401", f"the config.json of {self.name!r} is not usable: {reason}", place=self.place) from cause

    def digests(self) -> dict[str, str]:
        """The SHA-256 of every file that the model's output depends on, by file name."""
        return {path.name: digest(path) for path in (*self.settings, *self.weights)}


def locate(model: str, revision: str | None, kind: str, place: str) -> Checkpoint:
    """The files of a model: a local folder if there is one of that name, else a name on the hub.

    What is in the Hugging Face cache is used without asking the network.

    Args:
        model: a hub name or a local folder.
        revision: of a hub name.
        kind: the `model_type` that the checkpoint must have.
        place: for messages.

    Raises:
        SereError: X703 (not found, or files are missing), B401 (not a checkpoint of this kind, or at another rate than 16 kHz).
    """
    folder = Path(model).expanduser()
    checkpoint: Checkpoint | None
    if folder.is_dir():
        checkpoint = _gather(model, place, lambda name: folder / name if (folder / name).is_file() else None)
    elif not _HUB_NAME.fullmatch(model) or ".." in model:
        raise error("X703", f"there is no folder {model!r}, and it cannot be a name on the Hugging Face hub", _WAYS_OUT, place)
    else:
        checkpoint = _gather(model, place, _cached(model, revision), complain=False)
        if checkpoint is None:
            checkpoint = _gather(model, place, _downloaded(model, revision, place))
    assert checkpoint is not None
    _check(checkpoint, kind)
    return checkpoint


def digest(path: Path) -> str:
    """The SHA-256 of a file, computed once per process while the file keeps its size and time of change."""
    state = path.stat()
    return _sha256(str(path), state.st_size, state.st_mtime_ns)


@functools.cache
def _sha256(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _gather(model: str, place: str, fetch: Fetch, complain: bool = True) -> Checkpoint | None:
    """All files of a checkpoint; None where one is missing and nothing should be said."""
    config = fetch("config.json")
    preprocessor = config and _first(fetch, PREPROCESSORS)
    weights = preprocessor and _first(fetch, WEIGHTS)
    if config is None or preprocessor is None or weights is None:
        if not complain:
            return None
        missing = "config.json" if config is None else PREPROCESSORS[0] if preprocessor is None else " or ".join((WEIGHTS[0], WEIGHTS[2]))
        raise error("X703", f"the model {model!r} has no {missing}", _WAYS_OUT, place)
    files: list[Path] = [weights]
    if weights.name.endswith(".index.json"):
        files = []
        for name in sorted(set(_json(weights, place).get("weight_map", {}).values())):
            part = fetch(name)
            if part is None:
                if not complain:
                    return None
                raise error("X703", f"the model {model!r} lacks {name}, a part of its weights", _WAYS_OUT, place)
            files.append(part)
    wanted = _json(preprocessor, place)
    wanted = wanted.get("feature_extractor", wanted)
    return Checkpoint(model, place, _json(config, place), wanted, (config, preprocessor), tuple(files))


def _first(fetch: Fetch, names: tuple[str, ...]) -> Path | None:
    return next((path for path in map(fetch, names) if path is not None), None)


def _json(path: Path, place: str) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise error("B401", f"{path} cannot be read as JSON: {cause}", place=place) from cause
    if not isinstance(data, dict):
        raise error("B401", f"{path} holds no JSON object", place=place)
    return data


def _cached(model: str, revision: str | None) -> Fetch:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    def fetch(name: str) -> Path | None:
        try:
            return Path(hf_hub_download(model, name, revision=revision, local_files_only=True))
        except LocalEntryNotFoundError:
            return None

    return fetch


def _downloaded(model: str, revision: str | None, place: str) -> Fetch:
    from huggingface_hub import errors, hf_hub_download

    def fetch(name: str) -> Path | None:
        try:
            return Path(hf_hub_download(model, name, revision=revision))
        except errors.LocalEntryNotFoundError as cause:
            raise _absent("the hub cannot be reached") from cause
        except errors.EntryNotFoundError:
            return None
        except errors.GatedRepoError as cause:
            raise _absent("the hub wants its terms accepted and a login first") from cause
        except errors.RepositoryNotFoundError as cause:
            raise _absent("the hub has no such model, or only for its owners") from cause
        except errors.RevisionNotFoundError as cause:
            raise _absent(f"the hub has no revision {revision!r} of it") from cause
        except Exception as cause:  # whatever the client, the network or the disk raises
            raise _absent(f"fetching it failed: {type(cause).__name__}") from cause

    def _absent(why: str) -> SereError:
        return error("X703", f"the model {model!r} is neither a local folder nor in the Hugging Face cache, and {why}", _WAYS_OUT, place)

    return fetch


def _check(checkpoint: Checkpoint, kind: str) -> None:
    found = checkpoint.config.get("model_type")
    if found != kind:
        hint = f"use: {found}" if found in ("wav2vec2", "hubert", "wavlm", "whisper") else f"{kind} needs a checkpoint of that type"
        raise error("B401", f"{checkpoint.name!r} is a checkpoint of type {found!r}, not {kind!r}", hint, checkpoint.place)
    rate = checkpoint.preprocessor.get("sampling_rate", 16000)
    if rate != 16000:
        raise error("B401", f"{checkpoint.name!r} is made for audio at {rate} Hz; sere works at 16000 Hz", place=checkpoint.place)
