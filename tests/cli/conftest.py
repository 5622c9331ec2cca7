"""A config of components of a package in the working directory, and an engine that only remembers what it was asked."""

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
POINTS = (
    ("corpora", "folder", "CORPUS"),
    ("encoders", "tiny", "ENCODER"),
    ("dynamics", "nothing", "DYNAMICS"),
    ("methods", "plain", "METHOD"),
    ("losses", "tric", "LOSS"),
    ("selectors", "final", "SELECTOR"),
)
CONFIG = """\
sere: 1
name: small
corpora: {german: {use: parts.folder}, italian: {use: parts.folder}}
task: {source: german, target: italian}
encoders: {anchor: {use: parts.tiny}}
paths: {labelled: anchor, unlabelled: anchor}
dynamics: {use: parts.nothing}
method: {use: parts.plain}
losses: {adapt: {use: parts.tric}}
select: {use: parts.final}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts.py").write_text(PARTS)
    info = tmp_path / "sere_plugin_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sere-plugin-parts\nVersion: 1.0\n")
    points = [f"[sere.{group}]\nparts.{name} = parts:{attribute}\n" for group, name, attribute in POINTS]
    (info / "entry_points.txt").write_text("".join(points))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "parts", raising=False)
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
