"""The README is short, its links lead somewhere, its commands are commands of sere, and what it shows runs as printed."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import soundfile

from sere_core.cli import main, parser, run_main

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [line for language, block in BLOCKS if language == "sh" for line in block.splitlines()]
COMMANDS += re.findall(r"^    (sere .*)$", TEXT, re.MULTILINE)


def words_of(line: str) -> list[str]:
    program, *words = shlex.split(line, comments=True)
    return ["run", *words] if program == "sere-run" else words


def test_it_is_short_and_its_links_lead_somewhere() -> None:
    assert len(TEXT.splitlines()) < 120
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT)
    assert not [link for link in links if "://" not in link and not (ROOT / link).exists()]


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("sere")])
def test_a_command_is_one_of_sere(line: str) -> None:
    words = words_of(line)
    parser(words[0]).parse_args(words)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def block(language: str, word: str) -> str:
    (found,) = (text for each, text in BLOCKS if each == language and word in text)
    return found


def test_unlabelled_recordings_get_predictions(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0)
    for folder, names in {
        "emodb": [f"{speaker}a01{code}a" for speaker in ("03", "08", "09") for code in "WFT"],
        "calls": [f"monday/{number}" for number in range(4)],
    }.items():
        for name in names:
            path = home / folder / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, noise.normal(0, 0.1, 12000), 16000)
    for line in block("sh", "sere init").splitlines():
        assert main(words_of(line)) == 0, f"{line}\n{capsys.readouterr().err}"
    rows = list(csv.DictReader(Path("predictions.csv").read_text().splitlines()))
    assert len(rows) == 4 and {row["prediction"] for row in rows} <= {"anger", "happiness", "sadness"}
    assert not [row for row in rows if row["error"]]


@pytest.mark.slow
def test_the_config_runs_as_printed_and_python_reads_its_record(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("first.yaml").write_text(block("yaml", "name: first"))
    for line in block("sh", "sere-run first.yaml").splitlines():
        assert run_main(words_of(line)[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
    assert len(list(home.glob("runs/first/*/done"))) == 3
    matplotlib.use("Agg")
    exec(compile(block("python", "import sere"), "README.md", "exec"), {})
    assert len(list(home.glob("runs/first/*/done"))) == 3


def test_the_plugin_it_begins_is_one(home: Path) -> None:
    first, install, check = block("sh", "sere plugins new").splitlines()
    assert main(words_of(first)) == 0
    (folder,) = home.iterdir()
    assert folder.name in install and folder.name in check and (folder / "pyproject.toml").is_file()
