"""A small run, made once with the API itself, from a config that is a dict."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pytest
import yaml

import sere
from tests.compare.tiny import BASE

matplotlib.use("Agg")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="session")
def config(home: Path) -> dict[str, object]:
    return {**yaml.safe_load(BASE), "output": {"dir": str(home / "runs")}}


@pytest.fixture(scope="session")
def record(config: dict[str, object]) -> sere.Record:
    return sere.run(config, quiet=True)
