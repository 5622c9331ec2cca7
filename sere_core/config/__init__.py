"""The config language: YAML with places, checked before anything heavy is imported."""

from __future__ import annotations

from sere_core.config.loader import load
from sere_core.config.model import RunConfig
from sere_core.config.resolved import Bound, Resolved

__all__ = ["Bound", "Resolved", "RunConfig", "load"]
