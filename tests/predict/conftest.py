"""A model that was trained in a moment, and what calls it."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sere_core.cli import main
from sere_core.model import Model
from sere_core.score.records import Record

WORDS = ["corpora.xa.params.speakers=4", "corpora.xb.params.speakers=4", "corpora.xa.params.per_class=3"]
WORDS += [
    "corpora.xb.params.per_class=2",
    "task.folds=2",
    "task.shots=2",
    "train.epochs=1",
    "hooks=null",
    "resonance=null",
]
WORDS += [
    "losses.adapt=null",
    "encoders={mel: {use: logmel, params: {dim: 8}}}",
    "paths={labelled: mel, unlabelled: mel}",
]
WORDS += ["dynamics.use=none", "features.max_seconds=3"]


@dataclass(frozen=True)
class Trained:
    """A record, and the model of its first fold."""

    record: Record
    folder: Path

    @property
    def model(self) -> Model:
        return Model.load(self.folder)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    home = tmp_path_factory.mktemp("predict")
    sets = [*WORDS, f"output.dir={home / 'runs'}"]
    assert main(["run", "sere_default", "--quiet", *(part for word in sets for part in ("--set", word))]) == 0
    record = Record.read(next((home / "runs").glob("*/done")).parent)
    assert main(["export", str(record.path), "-o", str(home / "model"), "--quiet", "--fold", "1"]) == 0
    return Trained(record, home / "model")


@dataclass(frozen=True)
class Told:
    """What a command printed, and the rows that it wrote."""

    code: int
    out: str
    err: str
    rows: list[dict[str, str]]


Predict = Callable[..., Told]


@pytest.fixture
def predict(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Predict:
    """`predict("a.wav", "--abstain", "0.6")` runs `sere predict` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path, out: str = "out.csv") -> Told:
        capsys.readouterr()
        code = main(["predict", str(trained.folder), *map(str, words), "-o", out])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        rows = read(Path(out)) if out.endswith(".csv") and Path(out).exists() else []
        return Told(code, told.out, told.err, rows)

    return call


def read(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def process(trained: Trained, *words: str | Path, cwd: Path) -> subprocess.Popen[bytes]:
    """`sere predict` as a process of its own."""
    code = "import sys; from sere_core.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "predict", str(trained.folder), *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def tone(seconds: float, rate: int = 16_000, channels: int = 1, seed: int = 0) -> np.ndarray:
    """A gliding, pulsing tone with noise, `[N, channels]`."""
    generator = np.random.default_rng(seed)
    times = np.arange(int(seconds * rate)) / rate
    pitch = generator.uniform(90, 300)
    sound = 0.3 * np.sin(2 * np.pi * pitch * times * (1 + 0.1 * times)) * (1 + np.sin(2 * np.pi * 3 * times)) / 2
    noise = 0.01 * generator.standard_normal((len(times), channels))
    return (sound[:, None] + noise).astype(np.float32)


def write(path: Path, seconds: float = 0.6, rate: int = 16_000, channels: int = 1, seed: int = 0, **more: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds, rate, channels, seed), rate, **more)
    return path
