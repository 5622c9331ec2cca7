"""Frozen modules that their owner uses but does not own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sere_registry import SereError


class OffTree:
    """A frozen module beside the module tree: in no `parameters()`, no `state_dict()`, no optimizer and no checkpoint.

    It is not an `nn.Module`, so its owner does not register it.  It is built at its first use (a run whose features are
    all on disk never loads it), follows the device it is used on, stays in eval mode, and is shared by copies of its owner.

    Args:
        build: makes the module.

    >>> frozen = OffTree(lambda: nn.Linear(2, 2))
    >>> class Owner(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.frozen = frozen
    >>> len(list(Owner().parameters())), frozen.on(torch.device("cpu")).weight.requires_grad
    (0, False)
    """

    def __init__(self, build: Callable[[], nn.Module]) -> None:
        self._build = build
        self._module: nn.Module | None = None
        self._failure: SereError | None = None
        self._lock = threading.Lock()  # features are extracted by several threads

    def on(self, device: torch.device) -> Any:
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

    def __deepcopy__(self, memo: dict[int, Any]) -> OffTree:
        return self

    def __reduce__(self) -> tuple[type[OffTree], tuple[Callable[[], nn.Module]]]:
        return type(self), (self._build,)
