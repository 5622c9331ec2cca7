"""Checkpoints: everything a fold needs to go on to the same bits, in one safetensors file written atomically.

A resumed run reads nothing else.  Random draws need no entry: `sere_core.rng` names them by step.  What is kept is the
method's state (with its banks and moving averages), each optimizer's state, the selector's best epoch, how far the fold
is, its lines of `history.jsonl`, what a finished fold predicts, the manifest of the run, and a checksum of all this.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sere_core.score.shapes import Manifest
from sere_registry import error
from sere_registry.files import atomic_path


@dataclass(frozen=True)
class Position:
    """How far a fold is: `epoch` epochs of stage number `stage` are done; `history` holds its lines of `history.jsonl`."""

    fold: int
    stage: int = 0
    epoch: int = 0
    history: str = ""
    finished: bool = False
    best_score: float | None = None
    best_epoch: int | None = None


_POSITION = TypeAdapter(Position)


@dataclass(frozen=True)
class Checkpoint:
    """A position, the tensors that belong to it by prefix (`method/`, `optim/`, `best/`, `result/`, `texts/`), and its run's manifest."""

    position: Position
    tensors: Mapping[str, Tensor]
    manifest: Mapping[str, Any] = field(default_factory=dict)

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors below a prefix, the prefix taken off."""
        return {name[len(prefix) + 1 :]: value for name, value in self.tensors.items() if name.startswith(prefix + "/")}

    def save(self, path: Path) -> None:
        """Write to a temporary file beside `path`, then rename: a killed process leaves the old one whole.

        Raises:
            SereError: X704 or X705 where the folder or the disk does not take it.
        """
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in self.tensors.items()}
        with atomic_path(path) as temporary:
            about = {"position": asdict(self.position), "manifest": self.manifest, "checksum": self._checksum()}
            save_file(tensors, temporary, metadata={"about": json.dumps(about)})  # one key: the order of several is random

    def _checksum(self) -> str:
        about = json.dumps([asdict(self.position), self.manifest], sort_keys=True)
        digest = hashlib.blake2b(about.encode(), digest_size=16)
        for name, value in sorted(self.tensors.items()):
            digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
            if value.numel():  # what is empty may have strides that cannot be viewed as bytes
                digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    @classmethod
    def load(cls, path: Path, fold: int = 0, job: str | None = None) -> Checkpoint:
        """Read the checkpoint of a fold, of any job or of this one; nothing in it can run code.

        Raises:
            SereError: T505 if it is damaged, or of another fold or job.
        """
        try:
            if not path.is_file():
                raise ValueError("it is not a file")
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["about"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
            checkpoint = cls(_POSITION.validate_python(about["position"]), tensors, about["manifest"])
            if checkpoint.manifest:
                Manifest.validate_python(checkpoint.manifest)
            if about["checksum"] != checkpoint._checksum():
                raise ValueError("its checksum is not that of its content")
            mine = checkpoint.manifest.get("job", "")
            if checkpoint.position.fold != fold or job not in (None, mine):
                raise ValueError(f"it is of fold {checkpoint.position.fold + 1} of job '{mine}'")
        except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError, SafetensorError) as cause:
            what = f"{path} is not the checkpoint of fold {fold + 1}: {' '.join(str(cause).split())}"
            raise error("T505", what, "start over with --fresh") from cause
        return checkpoint


def optimizer_tensors(name: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's state as tensors `optim/<group>/<parameter>/<key>`; plain numbers become tensors of float64."""
    state = optimizer.state_dict()["state"]
    flat: dict[str, Tensor] = {}
    for parameter, entries in state.items():
        for key, value in entries.items():
            if value is not None:
                flat[f"optim/{name}/{parameter}/{key}"] = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    return flat


def restore_optimizer(name: str, optimizer: torch.optim.Optimizer, checkpoint: Checkpoint) -> None:
    """The inverse of `optimizer_tensors`."""
    state: dict[int, dict[str, Any]] = {}
    for path, value in checkpoint.under(f"optim/{name}").items():
        parameter, _, key = path.partition("/")
        state.setdefault(int(parameter), {})[key] = value
    whole = optimizer.state_dict()
    whole["state"] = state
    optimizer.load_state_dict(whole)
