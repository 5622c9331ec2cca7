"""Corpora of one's own: what a manifest may hold, and where its mistakes are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sere_registry import SereError
from tests.corpora.layouts import sound, write

Build = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        write(tmp_path / "audio" / f"{name}.wav", sound("anger", "s", name))
    return tmp_path


def lines(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def problems(corpus: Any) -> list[tuple[str, int | None, str]]:
    with pytest.raises(SereError) as caught:
        corpus.utterances()
    assert {problem.place.file for problem in caught.value.problems} <= {str(corpus.file), ""}
    return [(problem.code, problem.place.line, f"{problem.message} {problem.hint}") for problem in caught.value.problems]


def test_csv(folder: Path, build: Build) -> None:
    file = lines(
        folder / "mine.csv",
        "path,speaker,emotion,language,gender,text,start,end,rating",
        'audio/b.wav,s1,joy,pl,F,"well, well",0.1,0.25,5',
        "audio/a.wav,s2,Angry,pl,male,,,,4",
        "",
    )
    corpus = build("manifest", file=file)
    first, second = corpus.utterances()
    assert (first.id, first.emotion, first.speaker, first.recording.gender) == ("audio/a", "anger", "s2", "male")
    assert (second.id, second.emotion, second.recording.text) == ("audio/b#0.1", "happiness", "well, well")
    assert (second.recording.start, second.recording.end) == (0.1, 0.25)
    assert first.recording.path == folder / "audio" / "a.wav"
    assert corpus.languages == ("pl",)
    assert [finding.message for finding in corpus.findings()] == ["columns not read: rating"]


@pytest.mark.parametrize(("name", "delimiter"), [("mine.tsv", "\t"), ("mine.csv", ";")])
def test_other_delimiters_and_a_byte_order_mark(folder: Path, build: Build, name: str, delimiter: str) -> None:
    rows = [("path", "speaker", "emotion"), ("audio/a.wav", "s1", "sad")]
    file = folder / name
    file.write_text("\n".join(delimiter.join(row) for row in rows), encoding="utf-8-sig")
    (utterance,) = build("manifest", file=file, language="pl").utterances()
    assert (utterance.emotion, utterance.recording.language) == ("sadness", "pl")


def test_jsonl(folder: Path, build: Build) -> None:
    rows = [
        {"path": "audio/a.wav", "speaker": 7, "emotion": "fear", "language": "pl", "start": 0, "end": 0.1},
        {"path": "audio/a.wav", "speaker": 7, "emotion": "neutral", "language": "pl", "start": 0.1, "end": None, "id": "second"},
    ]
    file = lines(folder / "mine.jsonl", *(json.dumps(row) for row in rows))
    first, second = build("manifest", file=file).utterances()
    assert (first.id, first.speaker, first.recording.start) == ("audio/a#0", "7", 0.0)
    assert (second.id, second.recording.start, second.recording.end) == ("second", 0.1, None)


def test_labels_map_other_languages_and_drop(folder: Path, build: Build) -> None:
    rows = ("path,speaker,emotion", "audio/a.wav,s1,Freude", "audio/b.wav,s1,xxx", "audio/c.wav,s1,anger")
    corpus = build("manifest", file=lines(folder / "m.csv", *rows), language="de", labels={"Freude": "happiness", "xxx": None})
    assert [utterance.emotion for utterance in corpus.utterances()] == ["happiness", "anger"]
    assert [finding.message for finding in corpus.findings()] == ["1 lines labelled 'xxx' left out, as params.labels says"]


def test_labels_map_to_the_vocabulary_only(folder: Path, build: Build) -> None:
    with pytest.raises(ValueError, match="'glee', which is no emotion"):
        build("manifest", file=folder / "m.csv", labels={"Freude": "glee"})


def test_every_mistake_is_reported_at_its_line(folder: Path, build: Build) -> None:
    file = lines(
        folder / "mine.csv",
        "path,speaker,emotion,language,gender,start,end",
        "audio/a.wav,s1,angr,pl,,,",
        "audio/no.wav,s1,anger,pl,,,",
        "audio/b.wav,s1,anger,,,,",
        "audio/c.wav,s1,anger,pl,x,2,1",
        "audio/a.wav,s1,anger,pl,,,",
        "audio/a.wav,s1,anger,pl,,,",
        "audio/b.wav,,anger,pl,,now,",
        "audio/c.wav,,anger,pl,,,",
    )
    found = problems(build("manifest", file=file))
    assert [(code, line) for code, line, _ in found] == [
        ("D610", 2), ("D603", 3), ("D610", 4), ("D610", 5), ("D610", 5), ("D610", 7), ("D610", 8), ("D610", 9),
    ]  # fmt: skip
    text = [message for _, _, message in found]
    assert "did you mean 'anger'?" in text[0] and "params.labels" in text[0]
    assert "audio/no.wav does not exist" in text[1]
    assert "no language" in text[2]
    assert "gender 'x'" in text[3] and "end 1 is not after start 2" in text[4]
    assert "stands on line 6 too" in text[5]
    assert "start 'now' is not a number" in text[6]
    assert "no speaker, while other lines have one" in text[7]


def test_a_wrong_column_does_not_print_a_line_for_every_utterance(folder: Path, build: Build) -> None:
    rows = [f"audio/a.wav,s1,?,{number}" for number in range(500)]
    found = problems(build("manifest", file=lines(folder / "m.csv", "path,speaker,emotion,id", *rows), language="pl"))
    assert len(found) == 21
    assert "480 more" in found[-1][2]


@pytest.mark.parametrize(
    ("name", "content", "code", "line", "says"),
    [
        ("m.csv", b"path,speaker,emotion\na,b\n", "D610", 2, "2 values, but the header has 3"),
        ("m.csv", b"path,speaker,emotion,path\na,b,c,d\n", "D610", 1, "'path' stands twice"),
        ("m.csv", b"path,speaker,emotion\n", "D602", None, "lists no utterances"),
        ("m.csv", b"", "D602", None, "lists no utterances"),
        ("m.csv", b"path,speaker,emotion\n\xff\xfe,b,c\n", "D610", 2, "not UTF-8"),
        ("m.csv", b'path,speaker,emotion\n"a,b,c\n', "D610", 2, "not CSV"),
        ("m.jsonl", b'{"path": 1,}\n', "D610", 1, "not JSON"),
        ("m.jsonl", b"[1, 2]\n", "D610", 1, "not an object"),
        ("m.jsonl", b'{"path": ["a"], "speaker": "s", "emotion": "anger"}\n', "D610", 1, "plain values"),
        ("m.jsonl", b'\n{"path": "a", "speaker": "s"}\n', "D610", 2, "no column 'emotion'"),
        ("m.csv", b"paths,speaker,emotion\na,b,c\n", "D610", 1, "did you mean 'paths'?"),
        ("m.csv", None, "D601", None, "m.csv"),
        ("m.xlsx", b"PK", "D610", None, "must end in .csv"),
    ],
)
def test_files_that_are_no_manifest(
    tmp_path: Path, build: Build, name: str, content: bytes | None, code: str, line: int | None, says: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    found = problems(build("manifest", file=tmp_path / name))
    assert [(problem[0], problem[1]) for problem in found] == [(code, line)]
    assert says in found[0][2]
