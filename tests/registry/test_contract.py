"""`sere_registry` hands out each name when it is first asked for."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import sere_registry


def test_every_public_name_is_there_and_named_once_for_type_checkers() -> None:
    tree = ast.parse(Path(sere_registry.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    named = {alias.name: line.module for line in guarded.body if isinstance(line, ast.ImportFrom) for alias in line.names}
    assert sorted(named) == sorted(sere_registry.__all__)
    for name, module in named.items():
        assert getattr(sere_registry, name) is getattr(sys.modules[str(module)], name)
    assert set(sere_registry.__all__) <= set(dir(sere_registry))
    with pytest.raises(AttributeError, match="no attribute 'Lost'"):
        sere_registry.Lost  # noqa: B018


def test_a_spec_pays_for_neither_batches_nor_protocols() -> None:
    code = "import json, sys; from sere_registry import ComponentSpec, Params, param; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout))
    assert "sere_registry.params" in loaded
    assert not loaded & {
        "torch",
        "numpy",
        "sere_registry.batches",
        "sere_registry.protocols",
        "sere_registry.training",
        "sere_registry.hookspecs",
        "pluggy",
    }
