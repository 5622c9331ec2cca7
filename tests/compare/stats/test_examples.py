"""The examples in the docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import sere_core.compare.stats as stats


@pytest.mark.parametrize("name", sorted(each.name for each in pkgutil.iter_modules(stats.__path__)))
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"sere_core.compare.stats.{name}")).failed == 0
