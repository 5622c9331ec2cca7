"""The config language: YAML with places, checked before anything heavy is imported."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sere_core.config.loader import load
    from sere_core.config.model import RunConfig
    from sere_core.config.resolved import Bound, Resolved

__all__ = ["Bound", "Resolved", "RunConfig", "load"]

#: imported when first used: a reader of records wants a part of this package that needs none of them
_MODULES = {"load": "loader", "RunConfig": "model", "Bound": "resolved", "Resolved": "resolved"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
