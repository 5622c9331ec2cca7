"""The product as its user meets it: a config in a folder, the command, and what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

TINY = """\
sere: 1
name: tiny
corpora:
  xa: {use: synthetic, params: {language: xa, speakers: 3, per_class: 2, emotions: [anger, sadness], seconds: 0.4}}
  xb: {use: synthetic, params: {language: xb, speakers: 3, per_class: 2, emotions: [anger, sadness], seconds: 0.4}}
task: {source: xa, target: xb, shots: 2, folds: 2}
encoders: {small: {use: logmel, params: {bands: 16, dim: 8, layers: 1}}}
paths: {labelled: small, unlabelled: small}
features: {pitch: crepe_tiny}
network: {dim: 16, dropout: 0.1}
dynamics: {use: idfe}
resonance: {use: irf}
losses:
  classify: {use: cross_entropy}
  adapt: {use: tric}
train: {epochs: 2, batch: {source: 4, target: 4}, device: cpu}
output: {dir: runs}
"""


@dataclass(frozen=True)
class Told:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def problems(self) -> list[str]:
        """The coded lines of stderr, hints left out."""
        return [line for line in self.err.splitlines() if line and not line.startswith((" ", "warning:", "importing "))]


Sere = Callable[..., Told]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that holds `tiny.yaml`."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sere(home: Path, capsys: pytest.CaptureFixture[str]) -> Sere:
    """`sere("tiny.yaml", "a.b=1", "--fresh")` runs `sere-run` in this process; words with a `=` become `--set`."""
    from sere_core.cli import run_main

    def call(config: str | Path, *words: str) -> Told:
        capsys.readouterr()
        code = run_main([str(config), *arguments(words)])
        told = capsys.readouterr()
        return Told(code, told.out, told.err)

    return call


def arguments(words: tuple[str, ...]) -> list[str]:
    """Options as they are, all else behind a `--set`."""
    return [part for word in words for part in ([word] if word.startswith("--") else ["--set", word])]


def command(config: str | Path, *words: str) -> list[str]:
    """The command line of a process of its own."""
    return [sys.executable, "-c", "import sys; from sere_core.cli import run_main; sys.exit(run_main())", str(config), *arguments(words)]


def process(config: str | Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `sere-run` as a process of its own and wait for it."""
    return subprocess.run(command(config, *words), cwd=cwd, capture_output=True, text=True, env=dict(os.environ), timeout=300)


def records(folder: Path) -> list[Path]:
    """The job folders below an output folder."""
    return sorted(path.parent for path in folder.glob("**/config.yaml"))


def record(folder: Path) -> Path:
    """The only job folder below an output folder."""
    (only,) = records(folder)
    return only


def content(job: Path) -> dict[str, bytes]:
    """The bytes of all record files."""
    from sere_core.score.records import RECORD_FILES

    return {name: (job / name).read_bytes() for name in RECORD_FILES}
