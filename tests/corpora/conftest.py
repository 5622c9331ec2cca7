"""Building corpora by name, as a run does; and the real ones, where SERE_DATA names them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sere_plugins.specs import corpora as specs
from sere_registry import BuildContext, ComponentSpec

SPECS = {spec.name: spec for spec in vars(specs).values() if isinstance(spec, ComponentSpec)}


@pytest.fixture
def build() -> Callable[..., Any]:
    """`build("emodb", root=...)` -> the corpus, with the id `mine`."""

    def make(name: str, cache: Path | None = None, classes: tuple[str, ...] = (), **params: Any) -> Any:
        spec = SPECS[name]
        return spec.load()(spec.params(**params), BuildContext("mine", classes=classes, cache=cache))

    return make


@pytest.fixture
def real() -> Path:
    """The folder of real corpora."""
    folder = os.environ.get("SERE_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SERE_DATA names no folder of speech corpora")
    return Path(folder)
