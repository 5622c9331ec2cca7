"""Relative paths in a config count from the file in which they were written; those of flags and the environment from where one is."""

from __future__ import annotations

from pathlib import Path

import pytest

from sere_core.config import load
from sere_core.config.resolved import Resolved

BASE = """\
sere: 1
name: paths
vars: {data: here}
corpora:
  a: {use: sere.emodb, params: {root: emodb}}
  b: {use: sere.manifest, params: {file: "${vars.data}/mine.csv", language: pl}}
task: {source: a, target: b}
features: {cache: cache}
encoders: {net: {use: sere.wavlm, params: {model: models/small}}}
paths: {labelled: net, unlabelled: net}
losses: {classify: {use: sere.cross_entropy}}
"""
OVER = """\
extends: base/base.yaml
vars: {data: there}
corpora: {a: {params: {root: ../other}}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Configs in folders of their own, and another working directory."""
    (tmp_path / "base" / "models" / "small").mkdir(parents=True)
    (tmp_path / "base" / "base.yaml").write_text(BASE)
    (tmp_path / "over.yaml").write_text(OVER)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def paths(resolved: Resolved) -> dict[str, str]:
    blocks = {**resolved.config.corpora, **resolved.config.encoders}
    found = {
        name: str(next(block.params[key] for key in ("root", "file", "model") if key in block.params)) for name, block in blocks.items()
    }
    return {**found, "cache": str(resolved.config.features.cache), "output": resolved.config.output.dir}


def test_paths_count_from_the_file_in_which_they_stand(folder: Path) -> None:
    base = folder / "base"
    found = paths(load(base / "base.yaml"))
    assert found == {
        "a": str(base / "emodb"),
        "b": str(base / "here" / "mine.csv"),
        "net": str(base / "models" / "small"),
        "cache": str(base / "cache"),
        "output": "runs/paths",
    }
    over = paths(load("../over.yaml"))
    assert over == {**found, "a": str(folder.parent / "other"), "b": str(folder / "there" / "mine.csv")}


def test_those_of_flags_and_of_the_environment_count_from_the_working_directory(folder: Path) -> None:
    sets = [
        "corpora.a.params.root=mine",
        "vars.data=data",
        "features.cache=kept",
        "encoders.net.params.model=microsoft/wavlm-large",
    ]
    found = paths(load("../over.yaml", sets=sets))
    work = folder / "work"
    assert (found["a"], found["b"]) == (str(work / "mine"), str(work / "data" / "mine.csv"))
    assert (found["cache"], found["net"]) == (str(work / "kept"), "microsoft/wavlm-large")
    for text in ("${env:HERE}/x", "${vars.data}/x"):
        named = ["vars.data='${env:HERE}'", f"corpora.a.params.root='{text}'"]
        assert paths(load("../over.yaml", sets=named, environ={"HERE": "speech"}))["a"] == str(work / "speech" / "x")
        assert paths(load("../over.yaml", sets=named, environ={"HERE": "/speech"}))["a"] == "/speech/x"
    assert paths(load("../over.yaml", sets=["corpora.a.params.root=~/x"]))["a"] == "~/x"


def test_what_is_written_out_is_the_same_run_anywhere(folder: Path) -> None:
    resolved = load(folder / "over.yaml")
    elsewhere = folder / "record"
    elsewhere.mkdir()
    (elsewhere / "config.yaml").write_text(resolved.dump())
    again = load(elsewhere / "config.yaml")
    assert paths(again) == paths(resolved)
    moved = folder.rename(folder.parent / "moved")
    assert load(moved / "over.yaml").digest() == resolved.digest(), "where a config lies is no part of a job's name"
