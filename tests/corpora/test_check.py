"""`sere corpora check`: what it counts, what it finds, and how it exits."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sere_core.cli import corpora as command
from sere_core.data.check import check, file_list_digest
from sere_registry import SereError
from sere_registry.catalog import Catalog, Entry
from tests.corpora.conftest import SPECS
from tests.corpora.layouts import make_emodb, make_emovo, make_enterface, make_ravdess, sound, write

Build = Callable[..., Any]


def call(*words: str) -> int:
    """The command, with a catalog that holds sere's own corpora whatever else is installed."""
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    catalog = Catalog([Entry.of(spec, namespace="sere") for spec in SPECS.values()])
    return command.run(parser.parse_args(["corpora", "check", *words]), catalog)


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """EmoDB with two files of the same audio, and one file of each kind that no run could use."""
    root = make_emodb(tmp_path, speakers=("03", "08"))
    wav = root / "wav"
    shutil.copy(wav / "03a01Wa.wav", wav / "08a01Na.wav")
    (wav / "03a01Na.wav").write_bytes(b"RIFF and then nothing")
    write(wav / "03a01La.wav", np.zeros(0, np.float32))
    write(wav / "03a01Ea.wav", np.zeros(4000, np.float32))
    broken = sound("fear", "03", "a01")
    broken[100] = np.nan
    soundfile.write(wav / "03a01Aa.wav", broken, 16000, subtype="FLOAT")
    return root


def test_counts(tmp_path: Path, build: Build) -> None:
    report = check(build("emovo", root=make_emovo(tmp_path)))
    assert report.utterances == report.files == 84
    assert set(report.emotions.values()) == {12}
    assert report.counts["m2"]["surprise"] == 2
    assert report.genders == {"f1": "female", "f2": "female", "f3": "female", "m1": "male", "m2": "male", "m3": "male"}
    assert report.texts == 2
    assert 0.3 <= report.seconds["min"] <= report.seconds["median"] <= report.seconds["max"] <= 0.37
    assert report.seconds["total"] == pytest.approx(84 * 0.33, rel=0.05)
    assert not report.duplicates and not report.unusable


def test_unusable_and_duplicate_files(damaged: Path, build: Build) -> None:
    report = check(build("emodb", root=damaged))
    assert {Path(problem.place.file or problem.place.path).name: problem.code for problem in report.unusable} == {
        "03a01Na.wav": "D603",
        "03a01La.wav": "D604",
        "03a01Ea.wav": "D605",
        "03a01Aa.wav": "D606",
    }
    (same,) = report.duplicates
    assert same.ids == ("03a01Wa", "08a01Na")
    assert same.differ == ("emotion", "speaker")


def test_the_same_audio_in_another_container_is_a_duplicate(tmp_path: Path, build: Build) -> None:
    root = make_ravdess(tmp_path, actors=("01",))
    samples, rate = soundfile.read(root / "Actor_01" / "03-01-01-01-01-01-01.wav", dtype="int16")
    soundfile.write(root / "Actor_01" / "03-01-01-01-01-02-01.flac", samples, rate)
    (same,) = check(build("ravdess", root=root)).duplicates
    assert same.ids == ("Actor_01/03-01-01-01-01-01-01", "Actor_01/03-01-01-01-01-02-01")
    assert same.differ == ()


def test_avi_is_read(tmp_path: Path, build: Build) -> None:
    report = check(build("enterface", root=make_enterface(tmp_path, subjects=(1,), sentences=(1,), avi=True)))
    assert report.utterances == 6 and not report.unusable
    assert report.seconds["median"] == pytest.approx(0.33, abs=0.05)


def test_the_digest_names_the_list_of_files_wherever_it_lies(tmp_path: Path, build: Build) -> None:
    one, other = (build("emodb", root=make_emodb(tmp_path / name)) for name in ("here", "there"))
    assert file_list_digest(one.utterances()) == file_list_digest(other.utterances())
    path = tmp_path / "there" / "wav" / "16b02Wa.wav"
    path.write_bytes(path.read_bytes() + b"\0")
    assert file_list_digest(one.utterances()) != file_list_digest(other.utterances())
    path.unlink()
    assert file_list_digest(one.utterances()) != file_list_digest(build("emodb", root=tmp_path / "there").utterances())


def test_a_clean_corpus_exits_0_and_prints_its_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("emovo", str(make_emovo(tmp_path))) == 0
    out = capsys.readouterr().out
    for words in ("84 utterances", "84 files", "6 speakers (3 female, 3 male)", "2 texts", "languages: it", "504"):
        assert words in out


def test_unusable_files_exit_2_and_are_listed(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("emodb", str(damaged)) == 2
    out = capsys.readouterr().out
    for words in ("[D603]", "[D604]", "[D605]", "[D606]", "03a01Wa, 08a01Na", "another emotion", "another speaker", "4 problems"):
        assert words in out
    assert call("emodb", str(damaged), "--json") == 2
    data = json.loads(capsys.readouterr().out)
    assert (data["corpus"], data["utterances"], data["emotions"]["anger"], len(data["digest"])) == ("emodb", 28, 4, 64)
    assert sorted(problem["code"] for problem in data["unusable"]) == ["D603", "D604", "D605", "D606"]
    assert data["duplicates"][0]["ids"] == ["03a01Wa", "08a01Na"]
    assert {finding["level"] for finding in data["findings"]} == {"missing"}


def test_parameters(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("ravdess", str(make_ravdess(tmp_path / "r")), "--set", "intensity=strong", "--set", "language=fr", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert "neutral" not in data["emotions"] and data["languages"] == ["fr"]
    monkeypatch.setenv("SERE_CACHE", str(tmp_path))
    assert call("synthetic", "--set", "language=xc", "--set", "speakers=1", "--set", "emotions=[anger, neutral]", "--json") == 0
    assert json.loads(capsys.readouterr().out)["emotions"] == {"anger": 4, "neutral": 4}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["emovo", "/no/such/folder"], "D601"),
        (["emovo"], "C302.*needs its root"),
        (["manifest"], "C302.*needs its file"),
        (["synthetic", "somewhere"], "C302.*has no folder"),
        (["emov", "x"], "R201.*\n.*did you mean 'emovo'"),
        (["ravdess", "x", "--set", "intensity=loud"], "C302.*'loud'"),
        (["ravdess", "x", "--set", "intensiti=all"], "C302.*unknown key"),
        (["ravdess", "x", "--set", "intensity"], "C305"),
    ],
)
def test_mistakes_are_sere_errors_with_exit_code_2(words: list[str], says: str) -> None:
    with pytest.raises(SereError, match=says) as caught:
        call(*words)
    assert caught.value.exit_code == 2


def test_the_command_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sere_core.cli import main

    assert main(["corpora", "check", "emovo", str(make_emovo(tmp_path))]) == 0
    assert "84 utterances" in capsys.readouterr().out
    assert main(["corpora", "check", "casia", str(tmp_path)]) == 2
    assert "this looks like EMOVO: use: emovo" in capsys.readouterr().err


def test_wrong_rows_and_bad_files_are_told_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.wav", sound("anger", "s", "a"))
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    rows = ("path,speaker,emotion,language", "a.wav,s1,anger,de", "a.wav,s1,angst,de", "broken.wav,s1,anger,de", "gone.wav,s1,anger,de")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    assert call("manifest", str(tmp_path / "m.csv"), "--json") == 2
    report = json.loads(capsys.readouterr().out)
    assert report["utterances"] == 2
    assert [(each["code"], each["file"].rpartition(":")[2]) for each in report["unusable"]] == [("D610", "3"), ("D603", "4"), ("D603", "5")]


def test_speakers_of_one_emotion_each_are_warned_of(tmp_path: Path, build: Build) -> None:
    rows = ["path,speaker,emotion,language"]
    for number, emotion in enumerate(("anger", "fear", "sadness")):
        for take in range(4):
            write(tmp_path / f"{emotion}{take}.wav", sound(emotion, "s", str(take)))
            rows.append(f"{emotion}{take}.wav,s{number},{emotion},de")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    (finding,) = check(build("manifest", file=tmp_path / "m.csv")).findings
    assert finding.level == "warning" and "3 of 3 speakers" in finding.message
