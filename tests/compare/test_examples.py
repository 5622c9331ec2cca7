"""The examples in the docstrings of statistics, tables and report run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = ("sere_core.compare.stats", "sere_core.compare", "sere_core.compare.report", "sere_core.tables")
MODULES = [each.name for name in PACKAGES for each in pkgutil.iter_modules(importlib.import_module(name).__path__, f"{name}.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
