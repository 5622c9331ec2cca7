"""Databases in audformat and folders of Hugging Face datasets, made and read by the real libraries."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sere_core.data.check import check
from sere_registry import SereError
from tests.corpora.layouts import sound, write

Build = Callable[..., Any]
NAMES = ("one", "two", "three", "four")


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    for name in NAMES:
        write(tmp_path / "data" / "audio" / f"{name}.wav", sound("anger", "s", name, 1.0))
    return tmp_path / "data"


def listed(corpus: Any) -> list[tuple[str, str, str]]:
    return [(each.id, each.speaker, each.emotion) for each in corpus.utterances()]


@pytest.fixture
def database(audio: Path) -> Any:
    """Four files of two people, and the emotions of three segments."""
    audformat, pandas = pytest.importorskip("audformat"), pytest.importorskip("pandas")
    made = audformat.Database("mine", languages=["deu"])
    made.schemes["emotion"] = audformat.Scheme(labels=["Wut", "sad"])
    made.schemes["gender"] = audformat.Scheme(labels=["female", "male"])
    made["speaker"] = audformat.MiscTable(pandas.Index(["s1", "s2"], name="speaker", dtype="string"))
    made["speaker"]["gender"] = audformat.Column(scheme_id="gender")
    made["speaker"]["gender"].set(["female", "male"])
    made.schemes["speaker"] = audformat.Scheme("str", labels="speaker")
    files = [f"audio/{name}.wav" for name in NAMES]
    made["files"] = audformat.Table(audformat.filewise_index(files))
    made["files"]["speaker"] = audformat.Column(scheme_id="speaker")
    made["files"]["speaker"].set(["s1", "s2", "s1", "s2"])
    spans = audformat.segmented_index(files[:3], ["0s", "0.25s", "0s"], ["0.5s", "0.75s", pandas.NaT])
    made["felt"] = audformat.Table(spans)
    made["felt"]["emotion"] = audformat.Column(scheme_id="emotion")
    made["felt"]["emotion"].set(["Wut", "sad", None])
    return made


def test_audformat_s_segments_with_what_is_said_of_files_and_speakers(database: Any, audio: Path, build: Build) -> None:
    database.save(str(audio))
    corpus = build("audformat", root=audio, labels={"Wut": "anger"})
    assert listed(corpus) == [
        ("audio/one#0", "s1", "anger"),
        ("audio/three", "s1", ""),
        ("audio/two#0.25", "s2", "sadness"),
    ]
    first, _, last = (each.recording for each in corpus.utterances())
    assert (first.gender, first.language, first.start, first.end) == ("female", "de", 0, 0.5)
    assert (last.gender, last.start, last.end) == ("male", 0.25, 0.75)
    assert not check(corpus).unusable
    with pytest.raises(SereError, match=r"D610.*'Wut'"):
        build("audformat", root=audio).utterances()


def test_audformat_without_emotions_is_all_files_unlabelled(database: Any, audio: Path, build: Build) -> None:
    del database.tables["felt"]
    database.save(str(audio))
    assert listed(build("audformat", root=audio)) == [
        (f"audio/{name}", s, "") for name, s in (("four", "s2"), ("one", "s1"), ("three", "s1"), ("two", "s2"))
    ]


def test_of_several_audformat_tables_one_is_named(database: Any, audio: Path, build: Build) -> None:
    database["guessed"] = database["felt"].copy()
    database.save(str(audio))
    with pytest.raises(SereError, match=r"D610.*felt, guessed"):
        build("audformat", root=audio).utterances()
    with pytest.raises(SereError, match=r"D610.*'gues'"):
        build("audformat", root=audio, table="gues").utterances()
    labels = {"Wut": "anger"}
    assert len(listed(build("audformat", root=audio, table="guessed", labels=labels))) == 3
    (audio / "db.yaml").write_text("[")
    with pytest.raises(SereError, match="D610"):
        build("audformat", root=audio).utterances()


@pytest.fixture
def data(audio: Path) -> Any:
    """Audio as bytes, classes, -1 for none, and speakers."""
    datasets = pytest.importorskip("datasets")
    kinds = datasets.Features({
        "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
        "label": datasets.ClassLabel(names=["Wut", "sad"]),
        "speaker_id": datasets.Value("string"),
    })  # fmt: skip
    held = [{"bytes": (audio / "audio" / f"{name}.wav").read_bytes(), "path": f"{name}.wav"} for name in NAMES]
    made = datasets.Dataset.from_dict({"audio": held, "label": [0, 1, -1, 0], "speaker_id": list("abab")}, features=kinds)
    return made.cast_column("audio", datasets.Audio(decode=False))


@pytest.mark.parametrize("how", ["one", "splits", "parquet"])
def test_datasets_on_disk_hold_their_audio(how: str, data: Any, tmp_path: Path, build: Build) -> None:
    datasets = sys.modules["datasets"]
    root, split = tmp_path / "saved", "all" if how == "one" else "train"
    if how == "one":
        data.save_to_disk(str(root))
    elif how == "splits":
        datasets.DatasetDict({"train": data, "test": data.select([3, 1])}).save_to_disk(str(root))
    else:
        (root / "data").mkdir(parents=True)
        data.to_parquet(str(root / "data" / "train-00000-of-00001.parquet"))
    corpus = build("datasets", cache=tmp_path / "cache", root=root, language="de", labels={"Wut": "anger"})
    found = [each for each in listed(corpus) if each[0].startswith(split)]
    assert found == [
        (f"{split}/{number:06d}", who, what)
        for number, (who, what) in enumerate(zip("abab", ("anger", "sadness", "", "anger"), strict=True))
    ]
    assert len(corpus.utterances()) == 4 + 2 * (how == "splits")
    report = check(corpus)
    assert not report.unusable and report.seconds["total"] > 4
    names = {each.id: each.recording.path.read_bytes() for each in corpus.utterances()}
    assert names[f"{split}/000001"] == (tmp_path / "data" / "audio" / "two.wav").read_bytes()
    if how == "splits":
        part = build(
            "datasets",
            cache=tmp_path / "cache",
            root=root,
            split="test",
            language="de",
            labels={"Wut": "anger"},
        )
        assert [each.emotion for each in part.utterances()] == ["anger", "sadness"] and not check(part).unusable
        with pytest.raises(SereError, match=r"D610.*'tset'"):
            build("datasets", cache=tmp_path / "cache", root=root, split="tset", language="de").utterances()


def test_an_audiofolder_is_read_as_its_metadata_or_its_folders_say(audio: Path, build: Build) -> None:
    files = audio / "audio"
    for name in ("Wut", "sad"):
        (audio / "classes" / name).mkdir(parents=True)
        shutil.copy(files / "one.wav", audio / "classes" / name / f"{name}.wav")
    corpus = build("datasets", root=audio / "classes", language="de", labels={"Wut": "anger"})
    assert listed(corpus) == [("Wut/Wut", "", "anger"), ("sad/sad", "", "sadness")]
    (files / "metadata.csv").write_text("file_name,emotion,speaker\none.wav,Wut,a\ntwo.wav,,b\n")
    corpus = build("datasets", root=files, language="de", labels={"Wut": "anger"})
    assert listed(corpus) == [("one", "a", "anger"), ("two", "b", "")]
    assert not check(corpus).unusable
    (files / "metadata.csv").write_text("file_name,start\none.wav,0\none.wav,0.5\nno.wav,\n")
    with pytest.raises(SereError) as caught:
        build("datasets", root=files, language="de").utterances()
    assert [(each.code, each.place.line) for each in caught.value.problems] == [("D603", 4)], "parts of a file are told apart"


@pytest.mark.parametrize(("use", "code"), [("audformat", "D602"), ("datasets", "D602")])
def test_a_folder_of_something_else_is_refused(use: str, code: str, audio: Path, build: Build) -> None:
    for root, wanted in ((audio / "audio", code), (audio / "no", "D601")):
        with pytest.raises(SereError) as caught:
            build(use, root=root, language="de").utterances()
        assert [problem.code for problem in caught.value.problems] == [wanted]


@pytest.mark.parametrize("use", ["audformat", "datasets"])
def test_a_library_that_is_missing_is_named(use: str, audio: Path, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    (audio / "audio" / "db.yaml").touch()
    (audio / "audio" / "x.parquet").touch()
    monkeypatch.setitem(sys.modules, use, None)
    with pytest.raises(SereError, match=f"P108.*{use}"):
        build(use, root=audio / "audio", language="de").utterances()
