"""Corpora of one's own: what a manifest may hold, and where its mistakes are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sere_core.data.check import check
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
    assert [finding.level for finding in corpus.findings()] == ["note"] and "'xxx'" in corpus.findings()[0].message


def test_labels_map_a_word_in_whatever_letters_but_its_own_first(folder: Path, build: Build) -> None:
    rows = ["path,emotion", "audio/a.wav,PAURA", "audio/b.wav,Paura", "audio/c.wav,rabbia"]
    labels = {"paura": "fear", "Paura ": "anger", "RABBIA": None}
    corpus = build("manifest", file=lines(folder / "m.csv", *rows), language="it", labels=labels)
    assert [each.emotion for each in corpus.utterances()] == ["fear", "anger"]


def test_labels_may_be_class_names_of_one_s_own(folder: Path, build: Build) -> None:
    rows = ("path,emotion", "audio/a.wav,Stress", "audio/b.wav,stress", "audio/c.wav,ruhig")
    file = lines(folder / "m.csv", *rows)
    own = {"Stress": "stress", "ruhig": "unknown"}
    corpus = build("manifest", file=file, language="de", labels=own)
    assert [utterance.emotion for utterance in corpus.utterances()] == ["stress", "stress", ""]
    listed = build("manifest", file=file, language="de", classes=("Stress", "stress", "ruhig"))
    assert [utterance.emotion for utterance in listed.utterances()] == ["Stress", "stress", "ruhig"]
    assert [line for _, line, _ in problems(build("manifest", file=file, language="de"))] == [2, 3, 4]


@pytest.mark.parametrize("name", ["", "id", "prediction", "a,b", "a\nb"])
def test_a_name_that_no_class_can_have_is_refused(folder: Path, build: Build, name: str) -> None:
    with pytest.raises(ValueError, match="no class can be called"):
        build("manifest", file=folder / "m.csv", labels={"Freude": name})


@pytest.mark.parametrize("column", [None, "emotion"])
def test_utterances_without_a_label_are_unlabelled(folder: Path, build: Build, column: str | None) -> None:
    cells = ["", ""] if column is None else [",", ",Unknown"]
    rows = ["path" + (f",{column}" if column else ""), f"audio/a.wav{cells[0]}", f"audio/b.wav{cells[1]}"]
    corpus = build("manifest", file=lines(folder / "m.csv", *rows), language="ur")
    assert [(each.emotion, each.speaker) for each in corpus.utterances()] == [("", ""), ("", "")]
    assert [finding.level for finding in corpus.findings()] == ["note"]


def test_columns_of_other_names_are_mapped(folder: Path, build: Build) -> None:
    rows = ("file_id,emotion,Label,spk", "audio/a.wav,0.3,angry,s1", "audio/b.wav,0.9,,s2")
    file = lines(folder / "m.csv", *rows)
    mapped = {"path": "file_id", "emotion": "label", "speaker": "spk"}
    corpus = build("manifest", file=file, language="pl", columns=mapped)
    assert [(each.id, each.emotion, each.speaker) for each in corpus.utterances()] == [("audio/a", "anger", "s1"), ("audio/b", "", "s2")]
    found = problems(build("manifest", file=file, language="pl", columns={"path": "fileid", "gender": "sex"}))
    assert [(code, line) for code, line, _ in found] == [("D610", 1)] * 2
    assert "'fileid'" in found[0][2] and "'file_id'" in found[0][2] and "'sex'" in found[1][2]
    with pytest.raises(ValueError, match="emotoin"):
        build("manifest", file=file, columns={"emotoin": "label"})


def test_a_misspelt_column_is_not_taken_for_a_missing_one(folder: Path, build: Build) -> None:
    file = lines(folder / "m.csv", "path,emotions,speakr", "audio/a.wav,anger,s1")
    found = problems(build("manifest", file=file, language="pl"))
    assert [(code, line) for code, line, _ in found] == [("D610", 1)] * 2
    assert "'emotions'" in found[0][2] and "'speakr'" in found[1][2]
    without = build("manifest", file=file, language="pl", columns={"emotion": None, "speaker": None})
    assert [finding.level for finding in without.findings()] == ["note", "note"]
    file = lines(folder / "m.csv", "path,label", "audio/a.wav,anger")
    assert [finding.level for finding in build("manifest", file=file, language="pl").findings()] == ["note", "missing"], "a warning"


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
    assert "start 'now'" in text[6]
    assert "no speaker" in text[7]


def test_a_wrong_column_does_not_print_a_line_for_every_utterance(folder: Path, build: Build) -> None:
    rows = [f"audio/no{number}.wav,s1,anger,{number}" for number in range(500)]
    found = problems(build("manifest", file=lines(folder / "m.csv", "path,speaker,emotion,id", *rows), language="pl"))
    assert len(found) == 21
    assert "480 more" in found[-1][2]


def test_an_unknown_label_is_one_problem_however_often_it_stands(folder: Path, build: Build) -> None:
    rows = [f"audio/a.wav,s1,{'?' if number % 2 else 'Wut'},{number}" for number in range(500)]
    found = problems(build("manifest", file=lines(folder / "m.csv", "path,speaker,emotion,id", *rows), language="pl"))
    assert [(code, line) for code, line, _ in found] == [("D610", 2), ("D610", 3)]
    assert "'Wut'" in found[0][2] and "250" in found[0][2] and "params.labels" in found[0][2]


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
        ("m.jsonl", b'\n{"file": "a", "speaker": "s"}\n', "D610", 2, "no column 'path'"),
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


def test_absolute_relative_and_tilde_paths_in_one_list(folder: Path, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    write(folder / "~a.wav", sound("anger", "s", "t"))
    file = Path("mine.csv")
    lines(file, "path,speaker,emotion,language", "~a.wav,s,joy,pl", f"{folder}/audio/a.wav,s,joy,pl", "audio/../audio/b.wav,s,joy,pl")
    corpus = build("manifest", file=file)
    assert all(each.recording.path.is_absolute() for each in corpus.utterances())
    report = check(corpus)
    assert report.files == 3 and not report.unusable


def test_what_cannot_be_a_recording_is_a_line_and_no_hang(folder: Path, build: Build) -> None:
    os.mkfifo(folder / "pipe.wav")
    odd = [
        "pipe.wav",
        "/dev/zero",
        "/dev/stdin",
        "/proc/kmsg",
        "audio",
        "a\0b.wav",
        "x" * 5000,
        "~nobody-here/x.wav",
        "gone.wav",
        "audio/a.wav/b",
    ]
    rows = (json.dumps({"path": path, "speaker": "s", "language": "pl"}) for path in odd)
    found = problems(build("manifest", file=lines(folder / "mine.jsonl", *rows)))
    assert [(code, line) for code, line, _ in found] == [("D603", line) for line in range(1, len(odd) + 1)]


@pytest.mark.parametrize("name", ["pipe.csv", "zero.csv", "folder.csv", "gone.csv", "n\0l.csv", "x" * 300 + ".csv"])
def test_what_cannot_be_a_manifest_is_a_line_and_no_hang(folder: Path, build: Build, name: str) -> None:
    os.mkfifo(folder / "pipe.csv")
    (folder / "zero.csv").symlink_to("/dev/zero")
    (folder / "folder.csv").mkdir()
    assert [code for code, _, _ in problems(build("manifest", file=folder / name))] == ["D601"]


NOTHING = ("", "nan", "NaN", "NA", "N/A", "None", "null", "<NA>", "-", "--", "NaT", "Unknown", " \u200b ")


@pytest.mark.parametrize("written", NOTHING)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_cells_without_a_value(folder: Path, build: Build, written: str, suffix: str) -> None:
    columns = ("path", "speaker", "emotion", "language", "id", "gender", "text", "start", "end")
    row = ("audio/a.wav", *[written] * (len(columns) - 1))
    if suffix == ".jsonl":
        file = lines(folder / "m.jsonl", json.dumps(dict(zip(columns, row, strict=True))))
    else:
        file = lines(folder / f"m{suffix}", *(("\t" if suffix == ".tsv" else ",").join(each) for each in (columns, row)))
    (utterance,) = build("manifest", file=file, language="pl").utterances()
    recording = utterance.recording
    assert (utterance.emotion, recording.speaker, recording.language, recording.id) == ("", "", "pl", "audio/a")
    assert (recording.gender, recording.text, recording.start, recording.end) == (None, None, None, None)


def test_a_speaker_that_json_has_no_value_for_is_missing(folder: Path, build: Build) -> None:
    file = lines(folder / "m.jsonl", '{"path": "audio/a.wav", "speaker": NaN}', '{"path": "audio/b.wav", "speaker": 2.0}')
    assert [each[:2] for each in problems(build("manifest", file=file, language="pl"))] == [("D610", 1)]
    assert [each.speaker for each in build("manifest", file=file, language="pl").readable()[0]] == ["", "2"]
    file = lines(folder / "m.csv", "path,speaker,emotion", "audio/a.wav,s1,-", "audio/b.wav,s1,none", "audio/c.wav,s1,anger")
    mapped = build("manifest", file=file, language="pl", labels={"-": "neutral", "none": None})
    assert [each.emotion for each in mapped.utterances()] == ["neutral", "anger"], "a mapped label is one, whatever its spelling"


def test_a_speaker_of_two_genders_is_asked_about(folder: Path, build: Build) -> None:
    rows = ("audio/a.wav,s1,f", "audio/b.wav,s1,m", "audio/c.wav,s2,")
    corpus = build("manifest", file=lines(folder / "m.csv", "path,speaker,gender", *rows), language="de")
    (warning,) = [each.message for each in corpus.findings() if each.level == "warning"]
    assert "D610" in warning and "'s1'" in warning and "s2" not in warning


def test_one_speaker_and_one_language_in_several_spellings(folder: Path, build: Build) -> None:
    rows = ("audio/a.wav,Zoe\u0308 ,DE", "audio/b.wav,\u00a0Zo\u00eb,de-AT", "audio/c.wav,Zo\u00eb,German")
    corpus = build("manifest", file=lines(folder / "m.csv", "path,speaker,language", *rows))
    assert {each.speaker for each in corpus.utterances()} == {"Zo\u00eb"} and corpus.languages == ("de",)
    assert [finding.level for finding in corpus.findings()] == ["note"]
    for one, other in (("S1", "s1"), ("s1", "s01"), ("s_1", "s-1"), ("1", "1.0"), ("\uff53\uff11", "s1"), ("STRASSE", "stra\u00dfe")):
        file = lines(folder / "m.csv", "path,speaker", f"audio/a.wav,{one}", f"audio/b.wav,{other}", "audio/c.wav,s10")
        asked = [each.message for each in build("manifest", file=file, language="de").findings() if each.level == "warning"]
        assert len(asked) == 1 and "[D610]" in asked[0] and repr(one) in asked[0] and repr(other) in asked[0] and "s10" not in asked[0]


@pytest.mark.parametrize(("written", "tag"), [("DE", "de"), ("deu", "de"), ("ger", "de"), ("german", "de"), ("de_DE", "de"), ("cmn", "zh")])
def test_the_parameter_of_the_language_has_one_spelling_too(folder: Path, build: Build, written: str, tag: str) -> None:
    assert build("manifest", file=lines(folder / "m.csv", "path", "audio/a.wav"), language=written).languages == (tag,)


def test_a_language_that_is_none_is_refused_where_it_stands(folder: Path, build: Build) -> None:
    file = lines(folder / "m.csv", "path,language", "audio/a.wav,de", "audio/b.wav,Klingon")
    ((code, line, words),) = problems(build("manifest", file=file))
    assert (code, line) == ("D610", 3) and "'Klingon'" in words
    with pytest.raises(ValueError, match="Klingon"):
        build("manifest", file=file, language="Klingon")


def test_a_wrong_row_hides_no_other(folder: Path, build: Build) -> None:
    rows = [b"path,speaker,emotion", b"audio/a.wav,s1,anger", b"audio/a.wav,s1", b'audio/b.wav,"s1,anger', b"nothing.wav,s1,anger"]
    rows += [b"audio/b.wav,s\xe9,anger", b"audio/b.wav,s1,angst", b"audio/c.wav,s1,sadness"]
    (folder / "m.csv").write_bytes(b"\n".join(rows) + b"\n")
    corpus = build("manifest", file=folder / "m.csv", language="pl")
    assert [each[:2] for each in problems(corpus)] == [("D610", 3), ("D610", 4), ("D603", 5), ("D610", 6), ("D610", 7)]
    assert [(each.id, place.line) for each, place in corpus.readable()[0].items()] == [("audio/a", 2), ("audio/c", 8)]
    rows = [b'{"path": "audio/a.wav"}', b"{", b'{"path": "nothing.wav"}', b"[" * 100_000, b'{"path": "audio/b.wav", "speaker": "\\ud800"}']
    rows += [b'{"path": ' + b"1" * 5000 + b"}", b'{"file": "audio/b.wav"}', b'{"path": "\xff"}']
    (folder / "m.jsonl").write_bytes(b"\n".join(rows))
    found = problems(build("manifest", file=folder / "m.jsonl", language="pl"))
    assert [each[:2] for each in found] == [("D610", 2), ("D603", 3), *(("D610", line) for line in range(4, 8))]
    assert "(2 rows: lines 5, 8)" in found[3][2]


@pytest.mark.parametrize(
    ("rows", "params"),
    [
        (["path,speaker", "audio/a.wav,s1", "audio/b.wav,"], {"columns": {"speaker": None}}),
        (["path,emotion", "audio/a.wav,?!"], {"labels": {"?!": "unknown"}}),
        (["path,emotoin", "audio/a.wav,anger"], {"columns": {"emotion": "emotoin"}}),
        (["path,emotoin", "audio/a.wav,anger"], {"columns": {"emotion": None}}),
        (["file,emotion", "audio/a.wav,anger"], {"columns": {"path": "file"}}),
    ],
)
def test_hints_are_followed(folder: Path, build: Build, rows: list[str], params: dict[str, Any]) -> None:
    file = lines(folder / "m.csv", *rows)
    ((_, _, words),) = problems(build("manifest", file=file, language="pl"))
    ((name, value),) = params.items()
    ((key, meant),) = value.items()
    written = (
        json.dumps({key: meant}) if name == "labels" else f"{{{key}: {'null' if meant is None else 'NAME' if key == 'path' else meant}}}"
    )
    assert f"params.{name}" in words and written in words, words
    assert build("manifest", file=file, language="pl", **params).utterances()
