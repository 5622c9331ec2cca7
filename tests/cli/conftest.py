"""A config of components in a file beside it, and an engine that only remembers what it was asked."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PARTS = """\
from sere_registry import ComponentSpec, Params, param

class TricParams(Params):
    temperature: float = param(0.5, "how sharp", gt=0)

def spec(kind, name, **more):
    return ComponentSpec(kind=kind, name=name, factory="builtins:dict", summary=name, **more)

CORPUS = spec("corpus", "folder")
ENCODER = spec("encoder", "tiny")
DYNAMICS = spec("dynamics", "nothing")
METHOD = spec("method", "plain")
LOSS = spec("loss", "tric", params=TricParams)
SELECTOR = spec("selector", "final")
"""
CONFIG = """\
sere: 1
name: small
corpora: {german: {use: "file:parts.py:CORPUS"}, italian: {use: "file:parts.py:CORPUS"}}
task: {source: german, target: italian}
encoders: {anchor: {use: "file:parts.py:ENCODER"}}
paths: {labelled: anchor, unlabelled: anchor}
dynamics: {use: "file:parts.py:DYNAMICS"}
method: {use: "file:parts.py:METHOD"}
losses: {adapt: {use: "file:parts.py:LOSS"}}
select: {use: "file:parts.py:SELECTOR"}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts.py").write_text(PARTS)
    (tmp_path / "a.yaml").write_text(CONFIG)
    return tmp_path


class Engine(ModuleType):
    """Stands in for `sere_core.run`."""

    def __init__(self) -> None:
        super().__init__("sere_core.run")
        self.calls: list[tuple[str, Any, dict[str, Any]]] = []
        self.raises: BaseException | None = None
        self.returns = 0

    def run(self, resolved: Any, **options: Any) -> int:
        self.calls.append(("run", resolved, options))
        if self.raises is not None:
            raise self.raises
        return self.returns

    def dry_run(self, resolved: Any) -> int:
        self.calls.append(("dry_run", resolved, {}))
        return 0


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    import sere_core

    engine = Engine()
    monkeypatch.setitem(sys.modules, "sere_core.run", engine)
    monkeypatch.setattr(sere_core, "run", engine, raising=False)
    return engine
