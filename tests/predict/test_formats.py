"""What `sere predict` wrote, read back by the libraries of its formats."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sere_core.cli import main
from sere_core.model import Model
from sere_core.predict.inputs import read_inputs
from sere_registry import SereError
from tests.predict.conftest import Trained, process, read, write

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def classes(trained: Trained) -> list[str]:
    return list(trained.model.classes)


@pytest.fixture(scope="module")
def mixed(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A long recording with a silent window, two of the same name, an odd name, and two that cannot be used."""
    folder = tmp_path_factory.mktemp("mixed")
    odd = os.fsdecode('new\nline, "quoted" é'.encode() + b"\xe9.wav")
    names = ["long.wav", "a.wav", "broken.wav", "x/a.wav", odd, "missing.wav"]
    for seed, name in enumerate(names[:-1]):
        (folder / name).parent.mkdir(exist_ok=True)
        write(folder / "made.wav", 9.0 if seed == 0 else 0.4, seed=seed).rename(folder / name)
    sound, rate = soundfile.read(folder / "long.wav")
    sound[round(2.9 * rate) : round(6.1 * rate)] = 0
    soundfile.write(folder / "long.wav", sound, rate)
    (folder / "broken.wav").write_bytes(b"RIFF")
    return [str(folder / name) for name in names]


def posteriors(rows: Rows, classes: list[str]) -> np.ndarray:
    return np.array([[float(row[name]) for name in classes] for row in rows])


def written(trained: Trained, mixed: list[str], out: Path, *words: str) -> Path:
    words = ("--hop", "3", *words)
    assert main(["predict", str(trained.folder), *mixed, "-o", str(out), "--quiet", *words]) == 0
    assert not list(out.parent.glob("*.part"))
    return out


@pytest.fixture(scope="module")
def expected(trained: Trained, mixed: list[str], tmp_path_factory: pytest.TempPathFactory) -> Rows:
    rows = read(written(trained, mixed, tmp_path_factory.mktemp("expected") / "o.csv"))
    assert [(row["start"], row["error"][:4]) for row in rows[:3]] == [
        ("0.0", ""),
        ("3.0", "D605"),
        ("6.0", ""),
    ]
    assert [row["error"][:4] for row in rows[3:]] == ["", "D603", "", "", "D603"]
    return rows


def test_jsonl(trained: Trained, mixed: list[str], expected: Rows, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in written(trained, mixed, tmp_path / "o.jsonl").read_bytes().splitlines()]
    assert [row["path"] for row in rows] == [mixed[0]] * 3 + mixed[1:], "a name that is no UTF-8 comes back as it was"
    for row, cells in zip(rows, expected, strict=True):
        assert {key: "" if value is None else str(value) for key, value in row.items() if key != "path"} == {
            key: value for key, value in cells.items() if key != "path"
        }


def test_standard_output(trained: Trained, mixed: list[str], expected: Rows, tmp_path: Path) -> None:
    said, _ = process(trained, *mixed, "--hop", "3", "-o", "-", cwd=tmp_path).communicate()
    assert list(csv.DictReader(io.StringIO(said.decode(), newline=""))) == expected


def intervals(rows: Rows) -> list[tuple[float, float, str]]:
    return [(float(row["start"]), float(row["end"]), row["prediction"]) for row in rows[:3] if not row["error"]]


def test_praat(trained: Trained, mixed: list[str], expected: Rows, tmp_path: Path) -> None:
    praat = pytest.importorskip("pympi.Praat", reason="the extra `sere[annotation]` is not installed")
    out = written(trained, mixed, tmp_path / "grids", "--format", "TextGrid")
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {"long.TextGrid", "a.TextGrid", "x/a.TextGrid", "predictions.csv"} < names and len(names) == 5
    grid = praat.TextGrid(str(out / "long.TextGrid"))
    assert grid.xmax == 9 and [name for _, name in grid.get_tier_name_num()] == ["emotion", "confidence"]
    found = [(start, end, label) for start, end, label in grid.get_tier("emotion").get_intervals() if label]
    assert found == intervals(expected)
    (whole,) = praat.TextGrid(str(out / "a.TextGrid")).get_tier("emotion").get_intervals()
    assert whole == (0, 0.4, expected[3]["prediction"])
    assert read(out / "predictions.csv") == expected


def test_elan(trained: Trained, mixed: list[str], expected: Rows, tmp_path: Path) -> None:
    elan = pytest.importorskip("pympi.Elan", reason="the extra `sere[annotation]` is not installed")
    out = written(trained, mixed, tmp_path / "eaf", "--format", "eaf")
    file = elan.Eaf(str(out / "long.eaf"))
    found = sorted((start / 1000, end / 1000, label) for start, end, label in file.get_annotation_data_for_tier("emotion"))
    assert found == intervals(expected)
    assert file.media_descriptors[0]["MEDIA_URL"] == Path(mixed[0]).as_uri()
    assert read(out / "predictions.csv") == expected


def test_audformat(trained: Trained, mixed: list[str], expected: Rows, classes: list[str], tmp_path: Path) -> None:
    audformat = pytest.importorskip("audformat", reason="the extra `sere[audformat]` is not installed")
    out = written(trained, mixed, tmp_path / "db", "--format", "audformat")
    frame = audformat.Database.load(str(out))["emotion"].df
    good = [row for row in expected if not row["error"]]
    assert list(frame["emotion"]) == [row["prediction"] for row in good]
    assert np.allclose(frame[classes].to_numpy(), posteriors(good, classes), atol=1e-6)
    assert [each.total_seconds() for each in frame.index.get_level_values("start")[:3]] == [0, 6, 0]
    assert read(out / "predictions.csv") == expected


def test_confidence_is_tempered_and_posteriors_are_not(
    trained: Trained,
    mixed: list[str],
    expected: Rows,
    classes: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Model, "temperature", 3.0)
    rows = [row for row in read(written(trained, mixed, tmp_path / "o.csv")) if not row["error"]]
    raw = posteriors([row for row in expected if not row["error"]], classes)
    assert np.array_equal(posteriors(rows, classes), raw)
    tempered = (raw ** (1 / 3) / (raw ** (1 / 3)).sum(axis=1, keepdims=True)).max(axis=1)
    assert [float(row["confidence"]) for row in rows] == pytest.approx(tempered, abs=1e-6)


def test_cells_without_a_value_and_spellings_of_a_language(tmp_path: Path) -> None:
    table = tmp_path / "calls.csv"
    table.write_text("path,speaker,language,start,end\na.wav,nan,DE,NA,-\nb.wav, Zoe\u0308,de-AT,0.5,None\n", encoding="utf-8")
    one, two = read_inputs([str(table)])
    assert (one.speaker, one.language, one.start, one.end) == ("", "de", None, None)
    assert (two.speaker, two.language, two.start, two.end) == ("Zo\u00eb", "de", 0.5, None)
    table.write_text("path,language\na.wav,de\nb.wav,Klingon\n")
    with pytest.raises(SereError) as caught:
        read_inputs([str(table)])
    assert [(each.code, each.place.line) for each in caught.value.problems] == [("D610", 3)]
