"""`sere predict` writes a row for everything, whatever it is given, and goes on where it was killed."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import yaml

from sere_core.cli import main
from sere_core.config import load
from sere_core.config.model import Features
from sere_core.model import Model
from sere_core.plan import list_corpus
from sere_core.predict.inputs import Source, read_inputs, speaker_in_path, with_speakers
from sere_core.predict.pieces import Cutting, cut
from sere_core.predict.speakers import grouped
from sere_plugins.corpora.audio_folder import AudioFolder
from sere_plugins.specs.corpora import FolderOfAudioParams
from sere_registry import BuildContext
from sere_registry.errors import SereError
from tests.predict.conftest import Predict, Trained, read, tone, write

PARTS = [(0.0, 3.0), (1.5, 4.5), (3.0, 6.0), (4.0, 7.0)]


def parts(rows: list[dict[str, str]]) -> list[tuple[float, float]]:
    return [(float(row["start"]), float(row["end"])) for row in rows]


def recorded(trained: Trained) -> tuple[list[str], dict[str, tuple[float, ...]]]:
    """The lines of a table of the test files of fold 0, and the posteriors that the record has of them."""
    known = {each.id: each.recording for each in list_corpus(load(trained.record.path / "config.yaml"), "xb")}
    rows = [row for row in trained.record.predictions if row.fold == 0]
    lines = [f"{known[row.id].path},{known[row.id].speaker}" for row in rows]
    return lines, {str(known[row.id].path): tuple(row.posteriors) for row in rows}


def test_posteriors_are_those_of_the_record(trained: Trained, predict: Predict) -> None:
    lines, expected = recorded(trained)
    Path("table.csv").write_text("\n".join(["path,speaker", *lines]))
    told = predict("table.csv")
    assert told.code == 0 and [row["path"] for row in told.rows] == list(expected)
    for row in told.rows:
        assert row["statistics"] == f"speaker {row['speaker']} (stored)" and not row["error"]
        found = [float(row[name]) for name in trained.model.classes]
        assert found == pytest.approx(expected[row["path"]], abs=1e-6)
        assert row["prediction"] == trained.model.classes[int(np.argmax(found))]
    # speakers that the model has not met have the statistics of what is here
    Path("renamed.csv").write_text("\n".join(["path;speaker", *(line.replace(",", ";new-") for line in lines)]))
    for row in predict("renamed.csv", out="renamed.csv.csv").rows:
        assert row["statistics"] == f"speaker {row['speaker']}"
        assert [float(row[name]) for name in trained.model.classes] == pytest.approx(expected[row["path"]], abs=1e-6)
    assert {row["statistics"] for row in predict("table.csv", "--speakers", "none", out="none.csv").rows} == {"corpus xb"}
    first = next(iter(expected))
    assert "--speakers" not in predict(first, "--speakers", "none", out="one.csv").err
    assert "--speakers" in predict(first, out="auto.csv").err


@pytest.mark.parametrize("pattern", ["parent", "^(?P<speaker>[^/]+)/"])
def test_a_path_may_tell_the_speaker(pattern: str, trained: Trained, predict: Predict) -> None:
    lines, expected = recorded(trained)
    by_place = {}
    for line in lines:
        path, speaker = line.split(",")
        place = Path("calls", speaker, Path(path).name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path)
        by_place[str(place)] = (speaker, expected[path])
    told = predict("calls", "--speakers", pattern)
    assert told.code == 0 and len(told.rows) == len(lines)
    for row in told.rows:
        speaker, posteriors = by_place[row["path"]]
        assert (row["speaker"], row["statistics"]) == (speaker, f"speaker {speaker} (stored)")
        assert [float(row[name]) for name in trained.model.classes] == pytest.approx(posteriors, abs=1e-6)
    assert {row["statistics"] for row in predict("calls", "--speakers", "(?P<speaker>nobody)", out="none.csv").rows} == {"corpus xb"}


@pytest.mark.parametrize(
    ("speaker", "expected"),
    [
        ("parent", "--speakers parent`"),
        ("^(?P<speaker>[^/]+)/", "--speakers '^(?P<speaker>[^/]+)/'`"),
        ("\u202e(?P<speaker>.)", "--speakers parent`"),
    ],
)
def test_the_pattern_of_the_training_is_named(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], speaker: str, expected: str
) -> None:
    shutil.copytree(trained.folder, tmp_path / "model")
    config = yaml.safe_load((tmp_path / "model/config.yaml").read_text())
    config["corpora"]["xb"] = {"use": "sere.folder", "params": {"root": "calls", "language": "xb", "speaker": speaker}}
    new, sums = yaml.safe_dump(config), tmp_path / "model/sha256"
    old = (tmp_path / "model/config.yaml").read_bytes()
    (tmp_path / "model/config.yaml").write_text(new)
    sums.write_text(sums.read_text().replace(hashlib.sha256(old).hexdigest(), hashlib.sha256(new.encode()).hexdigest()))
    write(tmp_path / "calls/anna/1.wav")
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "model"), str(tmp_path / "calls"), "-o", str(tmp_path / "out.csv")]) == 0
    said = capsys.readouterr().err
    assert said.count("--speakers") == 1 and expected in said
    assert {row["statistics"] for row in read(tmp_path / "out.csv")} == {"corpus xb"}, "it is named, not used"


@pytest.mark.parametrize(
    ("pattern", "noted"),
    [("parent", ()), ("(?P<speaker>xb-s.).*/1", ("1 of 3", "1 of them")), ("(?P<speaker>[0-9])[.]", ("3 of 3", "0 of them"))],
)
def test_a_pattern_that_fits_few_files_or_no_stored_speaker_is_a_note(
    pattern: str, noted: tuple[str, ...], trained: Trained, predict: Predict
) -> None:
    first, second = trained.model.speakers[:2]
    for name in (f"{first}/1.wav", f"{first}/2.wav", f"{second}/2.wav"):
        write(Path("calls", name))
    told = predict("calls", "--speakers", pattern.replace("xb-s.", first))
    assert told.code == 0 and told.err.count("note:") == bool(noted) and all(each in told.err for each in noted)


def test_a_speaker_in_a_path_is_spelt_as_in_training(tmp_path: Path) -> None:
    corpus = AudioFolder(FolderOfAudioParams(root=tmp_path, language="xb", speaker="parent"), BuildContext("c"))
    for name in ("Zoe\u0308", " f 2 ", "unknown"):
        write(tmp_path / name / "1.wav")
    for how in ("parent", "^(?P<speaker>[^/]+)/"):
        found = [each.speaker for each in with_speakers(read_inputs([str(tmp_path)]), how)[0]]
        assert found == [row.text("speaker") for row in corpus.rows()] == ["f 2", "Zo\u00eb", ""]


def test_a_file_that_was_given_itself_has_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "calls/anna/1.wav")
    (tmp_path / "calls/here").mkdir()
    monkeypatch.chdir(tmp_path / "calls/here")
    sources = read_inputs(["../anna/1.wav", "..", "../../calls/*/*.wav", "../anna"])
    found = [[speaker_in_path(how, "")(each) for each in sources] for how in ("parent", "^(?P<speaker>[^/]+)/")]
    assert found == [["anna"] * 4, ["..", "anna", "..", ""]]
    (loose,) = read_inputs([".."])
    assert speaker_in_path("parent", "")(replace(loose, path=Path("../1.wav"))) == "calls"


@pytest.mark.parametrize("pattern", ["anybody", "(?P<speaker>", "(?P<emotion>.)"])
def test_a_pattern_that_tells_no_speaker_is_a_line(pattern: str, trained: Trained, predict: Predict) -> None:
    told = predict("x.wav", "--speakers", pattern)
    assert told.code == 2 and "[C302]" in told.err and "--speakers" in told.err and not Path("predictions.csv").exists()


def test_pieces_that_sound_alike_are_one_speaker(predict: Predict, tmp_path: Path) -> None:
    for number in range(12):
        sound = tone(0.6, seed=1) if number % 2 else np.random.default_rng(number).standard_normal((9600, 1)) * 0.1
        soundfile.write(tmp_path / f"{number:02d}.wav", sound + 1e-4 * number, 16_000)
    told = predict(".", "--speakers", "group")
    names = [row["statistics"] for row in told.rows]
    assert set(names[::2]) != set(names[1::2]) and set(names) == {"group 1", "group 2"}
    assert "2 groups" in told.err and "silhouette" in told.err
    for number in range(12):
        (tmp_path / f"again{number}.wav").symlink_to("01.wav")
    one = predict("again*.wav", "00.wav", "--speakers", "group", out="one.csv")
    assert {row["statistics"] for row in one.rows} == {"corpus xb"} and "clear" not in one.err
    few = predict("00.wav", "01.wav", "--speakers", "group", out="few.csv")
    assert {row["statistics"] for row in few.rows} == {"corpus xb"}


@pytest.mark.parametrize("odd", [1, 3])
@pytest.mark.parametrize("speakers", [1, 2, 3])
def test_odd_files_are_no_group_and_leave_the_others_as_they_are(speakers: int, odd: int) -> None:
    generator = np.random.default_rng(0)
    whose = np.repeat(np.arange(speakers), 10)
    points = 4 * generator.standard_normal((speakers, 20))[whose] + generator.standard_normal((10 * speakers, 20))
    labels, score = grouped(np.concatenate([points, 100 * generator.standard_normal((odd, 20))]))
    assert set(labels[10 * speakers :]) == {-1}
    if speakers == 1:
        assert score < 0.25
    else:
        assert score > 0.25 and len({*zip(whose, labels, strict=False)}) == len({*labels} - {-1}) == speakers


@pytest.mark.parametrize(
    ("words", "suffix", "expected"),
    [
        (("--window", "3", "--hop", "1.5"), ".wav", PARTS),
        (("--window", "3", "--hop", "1.5"), ".flac", PARTS),
        (("--window", "3", "--hop", "1.5", "--segment", "windows"), ".wav", PARTS),
        (("--window", "3", "--hop", "3"), ".wav", [(0.0, 3.0), (3.0, 6.0), (4.0, 7.0)]),
        (("--segment", "none"), ".wav", None),
    ],
)
def test_long_files_are_cut(predict: Predict, tmp_path: Path, words: tuple[str, ...], suffix: str, expected: object) -> None:
    write(tmp_path / f"a{suffix}", 7.0)
    write(tmp_path / "b.wav", 1.0)
    told = predict(f"a{suffix}", "b.wav", *words)
    first = [row for row in told.rows if row["path"].startswith("a")]
    assert not any(row["error"] for row in told.rows)
    assert (parts(first) if expected else [first[0]["start"]]) == (expected or [""])
    assert told.err.count("1 of 2 files are longer") == ("--segment" not in words or "none" in words)
    assert told.err.count("cut into windows") == (expected is not None and "--segment" not in words)


def test_a_window_that_the_model_does_not_take_is_a_note(predict: Predict, tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 7.0)
    long, short, quiet = (predict("a.wav", *words, "--fresh") for words in (("--window", "30"), (), ("--window", "30", "--quiet")))
    assert parts(long.rows) == parts(short.rows) == PARTS and long.err.count("note:") == short.err.count("note:") + 1 and not quiet.err


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".m4a", ".mkv"])
def test_a_window_holds_what_the_file_holds_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix in (".m4a", ".mkv"):
        encode(path, tone(7.0, 44_100)[:, 0])
    else:
        write(path, 7.0, 44_100)
    found = list(cut(Source(path), Cutting(window=3, hop=1.5, longest=3)))
    assert len(found) >= 4 and all(piece.windowed for piece in found)
    (whole,) = cut(Source(path), Cutting(longest=60))
    options = Features(trim=False, max_seconds=60)
    samples = whole.read(options).samples
    for piece in found:
        part = piece.read(options).samples
        start = len(samples) - len(part) if piece is found[-1] else round((piece.source.start or 0) * 16_000)
        assert abs(start / 16_000 - (piece.source.start or 0)) < 1e-3
        middle = slice(400, -400)  # a resampler has nothing beyond the ends of a window
        place = samples[start : start + len(part)]
        if piece is found[-1]:  # it begins between two samples at 16 kHz
            assert np.corrcoef(part[middle], place[middle])[0, 1] > 0.99
        else:
            assert np.allclose(part[middle], place[middle], atol=1e-3)


def encode(path: Path, sound: np.ndarray) -> None:
    """A file with AAC sound."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound[None].astype(np.float32), format="fltp", layout="mono")
        frame.rate = 44_100
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)


def test_parts_of_a_table_are_read_alone(predict: Predict, tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 7.0)
    lines = ["path,speaker,start,end", "a.wav,,1,2", "a.wav,,6.5,", "a.wav,,5,9", "a.wav,,8,", "a.wav,,2,1"]
    Path("table.csv").write_text("\n".join(lines))
    rows = predict("table.csv").rows
    assert [row["error"][:4] for row in rows] == ["", "", "D603", "D604", "D604"]
    soundfile.write("cut.wav", soundfile.read("a.wav")[0][16_000:32_000], 16_000)
    (alone,) = predict("cut.wav", out="cut.csv").rows
    assert {**rows[0], "path": "", "start": "", "end": ""} == {**alone, "path": ""}


def test_a_rate_of_no_recorder_is_one_row(predict: Predict, tmp_path: Path) -> None:
    content = bytearray(write(tmp_path / "in/a.wav", 1.0).read_bytes())
    content[24:28] = (7).to_bytes(4, "little")
    (tmp_path / "in/a.wav").write_bytes(content)
    write(tmp_path / "in/b.wav")
    row, _ = predict("in").rows
    assert row["error"].startswith("D603") and "7 Hz" in row["error"]


def test_speech_is_found_and_silence_said(predict: Predict, tmp_path: Path) -> None:
    pytest.importorskip("webrtcvad")
    gap = np.random.default_rng(0).standard_normal((32_000, 1)) * 1e-4
    soundfile.write("a.wav", np.concatenate([gap, tone(1.5), gap, tone(1.0), gap]), 16_000)
    soundfile.write("b.wav", gap, 16_000)
    *found, silent = predict("a.wav", "b.wav", "--segment", "vad").rows
    assert len(found) == 2 and silent["error"].startswith("D605")
    for (start, end), (first, last) in zip(parts(found), [(2.0, 3.5), (5.5, 6.5)], strict=True):
        assert abs(start - first) < 0.3 and abs(end - last) < 0.5


@pytest.mark.parametrize(
    ("shape", "code"),
    [
        ((2, 16_000), "D606"),
        ((1, 16_000), "D606"),
        ((1, 16_000, 2), "D606"),
        ((), "D606"),
        ((16_000, 65), "D606"),
        ((0,), "D604"),
        ((0, 2), "D604"),
    ],
)
def test_an_array_of_another_shape_is_one_line(trained: Trained, shape: tuple[int, ...], code: str) -> None:
    with pytest.raises(SereError) as caught:
        trained.model.predict(np.random.default_rng(0).uniform(-0.5, 0.5, shape), 16_000)
    assert [each.code for each in caught.value.problems] == [code]


def test_a_channel_is_chosen(predict: Predict, tmp_path: Path) -> None:
    left, right = tone(1.0, seed=1), tone(1.0, seed=2)
    soundfile.write("both.wav", np.hstack([left, right]), 16_000, subtype="FLOAT")
    soundfile.write("alone.wav", right, 16_000, subtype="FLOAT")
    (chosen,) = predict("both.wav", "--channel", "right").rows
    (alone,) = predict("alone.wav", out="alone.csv").rows
    assert {**chosen, "path": ""} == {**alone, "path": ""}
    assert predict("both.wav", out="mixed.csv").rows[0]["confidence"] != chosen["confidence"]


def test_inputs_of_every_kind_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "d/b.wav",
        "d/a.mp3",
        "d/e/c.m4a",
        "d/.hidden.wav",
        "d/text.txt",
        "x1.wav",
        "x2.wav",
        "@odd.wav",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("list.txt").write_text("one.wav\n\ntwo.wav\n")
    (tmp_path / "d/t.tsv").write_text("File\tSpeaker\tstart\nq.wav\ts1\t2.5\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"three.wav\n")))
    found = read_inputs(["x?.wav", "d", "@list.txt", "d/t.tsv", "-", "@odd.wav"], ["list.txt"])
    names = [
        "x1.wav",
        "x2.wav",
        "d/a.mp3",
        "d/b.wav",
        "d/e/c.m4a",
        "one.wav",
        "two.wav",
        "d/q.wav",
        "three.wav",
    ]
    assert [str(each.path) for each in found] == [*names, "@odd.wav", "one.wav", "two.wav"]
    assert found[7] == Source(Path("d/q.wav"), 2.5, None, "s1")


def test_what_is_given_twice_is_predicted_once(predict: Predict, tmp_path: Path) -> None:
    write(tmp_path / "calls/anna/1.wav")
    write(tmp_path / "calls/anna/2.wav")
    (tmp_path / "calls/anna/3.wav").symlink_to("1.wav")
    Path("parts.csv").write_text("path,start,end\ncalls/anna/1.wav,0,0.3\ncalls/anna/1.wav,0.3,0.6\n")
    once = predict("calls", "parts.csv")
    twice = predict("calls/anna", "./calls", tmp_path / "calls/anna/2.wav", "parts.csv", "parts.csv", out="twice.csv")
    assert len(once.rows) == len(twice.rows) == 5 and [row["confidence"] for row in once.rows] == [row["confidence"] for row in twice.rows]
    assert twice.err.count("note:") == once.err.count("note:") + 1 and "note: 6 inputs" in twice.err
    named = predict("calls/anna", "calls", "--speakers", "^(?P<speaker>[^/]+)/", out="named.csv")
    assert [row["speaker"] for row in named.rows] == ["anna"] * 3


def test_linked_folders_are_read_as_in_training(tmp_path: Path) -> None:
    for name in ("calls/anna/1.wav", "elsewhere/2.wav", "elsewhere/x/3.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "calls/bilal").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/x/again").symlink_to(tmp_path / "elsewhere/x")
    corpus = AudioFolder(FolderOfAudioParams(root=tmp_path / "calls", language="xb"), BuildContext("c"))
    found = [each.path for each in read_inputs([str(tmp_path / "calls")])]
    assert found == [corpus.audio(row) for row in corpus.rows()] and tmp_path / "calls/bilal/x/3.wav" in found


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        ("name\na.wav\n", "D610", 1),
        ("path,start\na.wav,0\nb.wav,soon\n", "D610", 3),
        ("path,start\na.wav,inf\n", "D610", 2),
        ("path,start\n,1\n", "D610", 2),
        ("path,speeker\na.wav,anna\n", "D610", 1),
        ("path,langage\na.wav,it\n", "D610", 1),
        ('path,speaker\na.wav,s1\nb.wav,"s1\nc.wav,s2\n', "D610", 3),
        ('path,speaker\na.wav,"s1"2\n', "D610", 2),
        ("path,speaker,Speaker\na.wav,s1,s2\n", "D610", 1),
        ("path,speaker\na.wav,s1\nb, c.wav,s1\n", "D610", 3),
        ("path,speaker\na.wav\n", "D610", 2),
    ],
)
def test_a_wrong_table_is_said_before_anything_starts(tmp_path: Path, content: str, code: str, line: int) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(SereError) as caught:
        read_inputs([str(path)])
    (problem,) = caught.value.problems
    assert problem.code == code and problem.place.line == line and problem.place.file == str(path)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), "D602"),
        (("nothing*.wav",), "D602"),
        (("@nothing.txt",), "D601"),
        (("a.wav", "--abstain", "2"), "C302"),
        (("a.wav", "--hop", "0"), "C302"),
        (("a.wav", "--hop", "inf"), "C302"),
        (("a.wav", "--window", "2", "--hop", "2.5"), "C302"),
        (("a.wav", "--window", "9", "--hop", "8"), "C302"),  # the model takes 3 s
        (("a.wav", "--window", "1e308"), "C302"),
        (("a.wav", "--abstain", "nan"), "C302"),
        (("--mic", "a.wav"), "C302"),
    ],
)
def test_wrong_arguments_are_one_line(predict: Predict, words: tuple[str, ...], code: str) -> None:
    told = predict(*words)
    assert told.code and f"[{code}]" in told.err


def test_cells_are_no_formulas_and_columns_are_those_documented(trained: Trained, predict: Predict, tmp_path: Path) -> None:
    for name in ("=1+1.wav", "+a.wav", "-b.wav", "@c.wav"):
        write(tmp_path / name)
    Path("t.csv").write_text("path,speaker\n" + "".join(f"{name},=s\n" for name in ("=1+1.wav", "+a.wav", "-b.wav", "@c.wav")))
    told = predict("t.csv")
    columns = [
        "path",
        "start",
        "end",
        "speaker",
        "statistics",
        *trained.model.classes,
        "prediction",
        "confidence",
        "error",
        "warning",
    ]
    assert list(told.rows[0]) == columns
    assert not any(value.startswith(("=", "+", "-", "@")) for row in told.rows for value in row.values())
    assert not any(row["error"] for row in told.rows) and all(Path(row["path"]).exists() for row in told.rows)


def test_below_the_wanted_confidence_there_is_no_prediction(predict: Predict, tmp_path: Path) -> None:
    for seed in range(6):
        write(tmp_path / f"{seed}.wav", seed=seed)
    every = predict(".").rows
    limit = sorted(float(row["confidence"]) for row in every)[3]
    told = predict(".", "--abstain", repr(limit), out="some.csv")
    assert [bool(row["prediction"]) for row in told.rows] == [float(row["confidence"]) >= limit for row in every]
    assert sum(not row["prediction"] for row in told.rows) == 3 and "3 rows below" in told.out


def test_nothing_is_overwritten_unasked(predict: Predict, tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    Path("mine.csv").write_text("precious")
    assert "[T503]" in predict("a.wav", out="mine.csv").err and Path("mine.csv").read_text() == "precious"
    assert predict("a.wav").code == 0 and not list(tmp_path.glob("*.part"))
    before = Path("out.csv").stat().st_mtime_ns
    assert "[T503]" in predict("a.wav").err and Path("out.csv").stat().st_mtime_ns == before
    assert predict("a.wav", "--abstain", "0.9", "--fresh").code == 0 and Path("out.csv").stat().st_mtime_ns != before
    assert "[X704]" in predict("a.wav", "--fresh", out=str(tmp_path)).err


def test_where_nothing_can_be_predicted_nothing_is_left(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    for out in ("out.csv", "grids"):
        told = predict("nothere", "empty.wav", *([] if out == "out.csv" else ["--format", "TextGrid"]), out=out)
        assert told.code == 2 and "[D602]" in told.err and "nothere" in told.err and "predictions:" not in told.out
    assert [each.name for each in tmp_path.iterdir()] == ["empty.wav"]
    told = predict("nothere", out="-")
    assert told.code == 2 and len(told.out.splitlines()) == 2 and "[D602]" in told.err
    write(tmp_path / "a.wav")
    assert predict("nothere", "a.wav").code == 0


def test_the_model_is_looked_at_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out.csv").write_text("precious")
    for name in ("a.wav", str(tmp_path)):
        assert main(["predict", str(tmp_path / "nomodel"), name, "-o", str(tmp_path / "out.csv")]) == 1
        assert "[T505]" in capsys.readouterr().err


def list_of(folder: Path, *names: str) -> Path:
    (folder / "list.txt").write_text("\n".join(names))
    return folder


@pytest.mark.slow
def test_memory_is_bounded_by_the_window(trained: Trained, tmp_path: Path) -> None:
    """Three hours of zeros, which take no room on the disk, with a second of sound at the end."""
    rate, seconds = 8000, 3 * 3600
    write(tmp_path / "long.wav", 1.0, rate)
    content = (tmp_path / "long.wav").read_bytes()
    size = rate * seconds * 2
    with open(tmp_path / "long.wav", "r+b") as file:
        file.truncate(44 + size)
        file.seek(40)
        file.write(size.to_bytes(4, "little"))
        file.seek(4)
        file.write((36 + size).to_bytes(4, "little"))
        file.seek(44)
        file.write(bytes(len(content) - 44))
        file.seek(-(len(content) - 44), os.SEEK_END)
        file.write(content[44:])
    code = (
        "import resource, sys; from sere_core.cli import main;"
        "code = main(); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
    )
    peaks = []
    write(tmp_path / "short.wav", 1.0, rate)
    for name in ("short.wav", "long.wav"):
        words = [
            "predict",
            str(trained.folder),
            name,
            "-o",
            f"{name}.csv",
            "--window",
            "3",
            "--hop",
            "3",
            "--quiet",
        ]
        done = subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.split()[-1]) / 1024)
    rows = read(tmp_path / "long.wav.csv")
    assert len(rows) == seconds // 3 and rows[-1]["prediction"] and rows[0]["error"].startswith("D605")
    assert peaks[1] - peaks[0] < 60, peaks


@pytest.mark.parametrize("form", ["TextGrid", "eaf"])
def test_annotations_of_long_files(predict: Predict, tmp_path: Path, form: str) -> None:
    pytest.importorskip("pympi")
    write(tmp_path / "in/a.wav", 7.0)
    write(tmp_path / "in/x/a.wav", 1.0)
    (tmp_path / "in/bad.wav").write_bytes(b"")
    write(tmp_path / "in/a.flac", 7.0)
    expected = [f"a.{form}", f"a.wav.{form}", "predictions.csv", f"x/a.{form}"]
    for _ in range(2):  # the second in the place of the first
        assert predict("in", "--window", "3", "--hop", "1.5", "--format", form, "--fresh", out="grids").code == 0
        assert sorted(str(path.relative_to("grids")) for path in Path("grids").rglob("*") if path.is_file()) == expected
    if form == "TextGrid":
        from pympi.Praat import TextGrid

        (emotion,) = (tier for tier in TextGrid(f"grids/a.{form}").get_tiers() if tier.name == "emotion")
        spans = [(first, last) for first, last, _ in emotion.get_intervals()]
    else:
        from pympi.Elan import Eaf

        spans = sorted((first / 1000, last / 1000) for first, last, *_ in Eaf(f"grids/a.{form}").get_annotation_data_for_tier("emotion"))
    assert spans == [(0.0, 1.5), (1.5, 3.0), (3.0, 4.0), (4.0, 7.0)]
    (tmp_path / "grids" / "mine.txt").write_text("precious")
    assert "[T503]" in predict("in/x/a.wav", "--format", form, out="grids").err
    assert predict("in/x/a.wav", "--format", form, "--fresh", out="grids").code == 0
    assert (tmp_path / "grids" / "mine.txt").exists()


class Microphone(ModuleType):
    """Stands in for the device: gives a window of silence and two of sound."""

    class PortAudioError(Exception):
        pass

    def __init__(self, broken: bool) -> None:
        super().__init__("sounddevice")
        self.broken = broken

    def InputStream(self, **options: object) -> Microphone:
        if self.broken:
            raise self.PortAudioError("no device")
        self.options = options
        return self

    def start(self) -> None:
        size = self.options["blocksize"]
        assert isinstance(size, int) and callable(self.options["callback"])
        self.options["callback"](np.zeros((size, 1), np.float32), None, None, None)
        self.options["callback"](tone(1.0)[:size], None, None, None)
        self.options["callback"](tone(1.0)[:size], None, None, None)

    def close(self) -> None:
        pass


def test_the_microphone(trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from sere_core.predict import microphone

    words = ["predict", str(trained.folder), "--mic", "--window", "1"]
    monkeypatch.setitem(sys.modules, "sounddevice", Microphone(broken=True))
    assert main(words) != 0 and "[X702]" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert main(words) != 0 and "[P108]" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "sounddevice", Microphone(broken=False))
    describe, heard = microphone.describe, 0

    def twice(model: Model, samples: np.ndarray, abstain: float) -> str:
        nonlocal heard
        if heard == 2:  # Ctrl-C is ignored where a shell began the tests in the background
            raise KeyboardInterrupt
        heard += 1
        text = describe(model, samples, abstain)
        if heard == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return text

    monkeypatch.setattr(microphone, "describe", twice)
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 1 and lines[0].split()[2] == "-"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_a_row(predict: Predict, tmp_path: Path) -> None:
    write(tmp_path / "good.wav")
    write(tmp_path / "in/a.wav").chmod(0)
    write(tmp_path / "in/b/c.wav").parent.chmod(stat.S_IRUSR & 0)
    try:
        assert [row["error"][:4] for row in predict("in", "good.wav").rows] == ["D603", "D603", ""]
    finally:
        (tmp_path / "in/b").chmod(0o700)
