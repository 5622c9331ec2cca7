"""A small catalog of made-up components, and configs written from text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any, Literal

import pytest

from sere_core.config import Resolved, load
from sere_registry import ComponentSpec, Params, SereError, param
from sere_registry.catalog import Catalog, Entry

GOOD = """\
sere: 1
name: small
corpora:
  german: {use: folder, params: {root: /data/de}}
  italian: {use: folder, params: {root: /data/it}}
task: {source: german, target: italian}
encoders:
  anchor: {use: tiny}
paths: {labelled: anchor, unlabelled: anchor}
losses:
  classify: {use: plain}
  adapt:
    use: tric
    weight: 0.5
    params: {temperature: 0.1}
"""


class FolderParams(Params):
    root: Path = param(..., "the folder")
    speakers: tuple[str, ...] = param(("all",), "only these", min_length=1)


class TricParams(Params):
    temperature: float = param(0.5, "how sharp", gt=0)
    steps: int = param(3, "how many")
    mode: Literal["soft", "hard"] = param("soft", "which way")
    floor: float | None = param(0.25, "null: no floor")
    sharp: bool = param(False, "sharp or not")


class OddParams(Params):
    """A validator with a bug, as a plugin may have one."""

    size: int = param(1, "any")

    def model_post_init(self, context: Any) -> None:
        if self.size == 13:
            raise RuntimeError("unlucky")


class TinyParams(Params):
    dim: int = param(8, "the width", ge=1)


def _spec(kind: Any, name: str, **more: Any) -> ComponentSpec:
    return ComponentSpec(**{"kind": kind, "name": name, "factory": "builtins:dict", "summary": f"the {name} {kind}", **more})


SPECS = (
    _spec("corpus", "folder", params=FolderParams),
    _spec("encoder", "tiny", params=TinyParams),
    _spec("dynamics", "none"),
    _spec("resonance", "field"),
    _spec("method", "joint"),
    _spec("method", "alone"),
    _spec("loss", "plain"),
    _spec("loss", "tric", params=TricParams),
    _spec("loss", "odd", params=OddParams),
    _spec("loss", "fails", factory="operator:truediv"),
    _spec("loss", "gone", factory="no_such_module:X"),
    _spec("view", "gain"),
    _spec("selector", "last"),
    _spec("hook", "progress"),
)


def matches(line: str, says: str) -> bool:
    """Has a line the place and code of `says`, `PLACE: [CODE] NAME, NAME`, and are the names in its message or hint?"""
    mark, _, named = says.partition("]")
    return f"{mark}]" in line and all(name in line.partition("]")[2] for name in named.strip().split(", "))


@pytest.fixture
def catalog() -> Catalog:
    ours = [Entry.of(spec) for spec in SPECS]
    theirs = Entry.of(_spec("loss", "focal"), distribution="sere-plugin-xyz", namespace="xyz")
    return Catalog([*ours, theirs], environ={}, host_version="0.1.0", installed={"sere": "0.1.0"}.get, imports="files")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def good() -> str:
    return GOOD


@pytest.fixture
def read(folder: Path, catalog: Catalog) -> Callable[..., Resolved]:
    """Load a text as `a.yaml`, beside other files given by name."""

    def read(text: str, *sets: str, files: dict[str, str] | None = None, **options: Any) -> Resolved:
        for name, content in {"a.yaml": text, **(files or {})}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(dedent(content), encoding="utf-8")
        return load("a.yaml", sets=sets, **{"catalog": catalog, "environ": {}, **options})

    return read


@pytest.fixture
def lines(read: Callable[..., Resolved]) -> Callable[..., list[str]]:
    """The lines of the error that loading raises, one for each problem, its hint behind ` | `."""

    def lines(text: str, *sets: str, **options: Any) -> list[str]:
        with pytest.raises(SereError) as caught:
            read(text, *sets, **options)
        return [str(problem).replace("\n    ", " | ") for problem in caught.value.problems]

    return lines
