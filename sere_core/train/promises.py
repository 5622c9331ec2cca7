"""What a loss must be so that it can be asked: told by its name and its distribution, before the first step or at it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from sere_core.config.resolved import Bound
from sere_core.train.coder import EXTRAS, STREAMS
from sere_registry import Place, error, suggest

READABLE = frozenset({*STREAMS, *EXTRAS})


def keep_to(loss: nn.Module, bound: Bound, place: Place) -> None:
    """Check what the loss asks for, and from now on that it answers with a mapping.

    Raises:
        SereError: B403 for an argument of its `forward` that nobody gives.
    """
    what = f"loss '{bound.full_name}' of {bound.owner}"
    unknown = [name for name in inspect.signature(loss.forward).parameters if name not in READABLE]
    if unknown:
        raise error("B403", f"{what}: its forward reads '{unknown[0]}'", suggest(unknown[0], READABLE, "a loss may read"), place)

    def answered(module: nn.Module, given: tuple[Any, ...], answer: Any) -> None:
        if not isinstance(answer, Mapping):
            message = f"{what}: its forward returns a {type(answer).__name__}, not a mapping from names to scalars"
            raise error("B403", message, 'return {"name": term}', place)

    loss.register_forward_hook(answered)
