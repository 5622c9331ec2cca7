"""A model that was trained in a moment, and files of every odd kind."""

from __future__ import annotations

import csv
import os
import random
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
WORDS += ["corpora.xb.params.per_class=2", "task.folds=2", "task.shots=2", "train.epochs=1", "hooks=null", "resonance=null"]
WORDS += ["losses.adapt=null", "encoders={mel: {use: logmel, params: {dim: 8}}}", "paths={labelled: mel, unlabelled: mel}"]
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
    sets = [*WORDS, f"features.cache={home / 'cache'}", f"output.dir={home / 'runs'}"]
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


def odd_files(folder: Path, count: int, seed: int = 0) -> int:
    """`count` files, a third of which cannot be used: the number of these."""
    random_ = random.Random(seed)
    good = ["plain", "stereo", "8 kHz", "44.1 kHz", "mp3", "flac", "ogg", "24 bit", "float", "long", "ünï codé", "=formula"]
    bad = ["empty", "text", "truncated", "nan", "silent", "no samples", "html", "huge header", "misnamed", "fifo", "dangling"]
    failed = 0
    for number in range(count):
        wrong = number % 3 == 2
        kind = random_.choice(bad if wrong else good)
        failed += wrong
        path = folder / f"{number // 50:02d}" / f"{kind if kind in ('ünï codé', '=formula') else 'f'} {number:04d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        _odd(path, kind, number, random_)
    return failed


def _odd(path: Path, kind: str, seed: int, random_: random.Random) -> None:
    seconds = random_.uniform(0.3, 1.0)
    rates = {"8 kHz": 8000, "44.1 kHz": 44_100}
    formats = {"24 bit": {"subtype": "PCM_24"}, "float": {"subtype": "FLOAT"}}
    contents = {"empty": b"", "text": b"not audio\n" * 50, "html": b"<!doctype html><p>404", "misnamed": b"fLaC" + bytes(400)}
    if kind in ("mp3", "flac", "ogg"):
        write(path.with_suffix(f".{kind}"), seconds, seed=seed)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "dangling":
        path.symlink_to("nowhere.wav")
    elif kind in contents:
        path.write_bytes(contents[kind])
    elif kind == "no samples":
        soundfile.write(path, np.zeros((0, 1)), 16_000)
    elif kind == "silent":
        soundfile.write(path, np.zeros(8000), 16_000)
    elif kind == "nan":
        sound = tone(seconds, seed=seed)
        sound[100] = np.nan
        soundfile.write(path, sound, 16_000, subtype="FLOAT")
    else:
        length = 7.0 if kind == "long" else seconds
        write(path, length, rates.get(kind, 16_000), 2 if kind == "stereo" else 1, seed, **formats.get(kind, {}))
        content = path.read_bytes()
        if kind == "truncated":
            path.write_bytes(content[: len(content) // 2])
        if kind == "huge header":
            path.write_bytes(content[:40] + (0x7FFFFF00).to_bytes(4, "little") + content[44:])
