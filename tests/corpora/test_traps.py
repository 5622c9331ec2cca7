"""What real copies hold beside or instead of the official files: every case is named, none is guessed."""

from __future__ import annotations

import importlib.util
import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sere_plugins.corpora.official import Emovo
from sere_registry import SereError
from tests.corpora.layouts import make_casia, make_emodb, make_emovo, make_enterface, make_ravdess, sound, write

Build = Callable[..., Any]


def said(corpus: Any, level: str) -> str:
    return " / ".join(finding.message for finding in corpus.findings() if finding.level == level)


def refusal(corpus: Any) -> tuple[str, str]:
    with pytest.raises(SereError) as caught:
        corpus.utterances()
    (problem,) = caught.value.problems
    return problem.code, str(problem)


def test_a_link_that_leads_to_itself_ends_no_listing(tmp_path: Path, build: Build) -> None:
    make_emodb(tmp_path / "emodb")
    before = len(build("emodb", root=tmp_path / "emodb").utterances())
    (tmp_path / "emodb" / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "emodb" / "loop").symlink_to("loop")
    assert len(build("emodb", root=tmp_path / "emodb").utterances()) == before
    assert refusal(build("emovo", root=tmp_path / "emodb"))[0] == "D602"


def test_a_place_without_the_corpus_is_refused_and_says_what_is_there(tmp_path: Path, build: Build) -> None:
    (tmp_path / "near" / "emobd").mkdir(parents=True)
    code, line = refusal(build("emodb", root=tmp_path / "near" / "emodb"))
    assert code == "D601" and "emobd" in line
    path = write(tmp_path / "a.wav", sound("anger", "s", "t"))
    code, line = refusal(build("casia", root=path))
    assert code == "D601" and str(path) in line
    code, line = refusal(build("casia", root=tmp_path / "near" / "emobd"))
    assert code == "D602" and "liuchanhg/angry/201.wav" in line
    (tmp_path / "empty" / "Actor_01").mkdir(parents=True)
    assert refusal(build("ravdess", root=tmp_path / "empty"))[0] == "D602"


MAKERS = [("emodb", make_emodb), ("emovo", make_emovo), ("casia", make_casia), ("enterface", make_enterface), ("ravdess", make_ravdess)]


@pytest.mark.parametrize(("name", "make"), MAKERS)
@pytest.mark.parametrize("asked", [name for name, _ in MAKERS])
def test_another_corpus_is_recognised(name: str, make: Callable[[Path], Path], asked: str, tmp_path: Path, build: Build) -> None:
    corpus = build(asked, root=make(tmp_path))
    if asked == name:
        assert corpus.utterances()
        return
    code, line = refusal(corpus)
    assert code == "D602"
    assert f"use: {name}" in line


def test_two_copies_below_the_root_are_not_guessed_between(tmp_path: Path, build: Build) -> None:
    make_emovo(tmp_path / "one", texts=("b1",))
    make_emovo(tmp_path / "two", texts=("b1",))
    code, line = refusal(build("emovo", root=tmp_path))
    assert code == "D602" and "2 times" in line


def add(name: str, root: Path) -> None:
    write(root / name, sound("anger", "s", name))


def copy_of_speech(root: Path) -> None:
    make_ravdess(root / "audio_speech_actors_01-24", actors=("01", "02"), statements=("01",))


def mac(root: Path) -> None:
    (root / "wav" / "._03a01Fa.wav").write_bytes(b"\0" * 82)
    (root / "wav" / "03a01Fa.lab").write_text("x")


#: corpus, what stands beside the official files, how many utterances stay, what the findings of surplus files name
BESIDE: list[tuple[str, Callable[[Path], None], int, tuple[str, ...]]] = [
    ("ravdess", copy_of_speech, 120, ("30 files left out", "their actor's folder")),
    ("ravdess", partial(add, "Actor_01/03-02-03-01-01-01-01.wav"), 120, ("1 file left out", "03-02-03-01-01-01-01")),
    ("emovo", partial(add, "m1/dis-f1-b1.wav"), 84, ("m1/dis-f1-b1",)),
    ("emovo", partial(add, "dis-f1-b2.wav"), 84, ("dis-f1-b2",)),
    ("emodb", partial(add, "wav/03a01Xa.wav"), 140, ("1 file left out", "03a01Xa")),
    ("emodb", partial(add, "wav/99a01Fa.wav"), 140, ("99a01Fa",)),
    ("emodb", partial(add, "wav/copy of 03a01Fa.wav"), 140, ("copy of 03a01Fa",)),
    ("emodb", partial(add, "wav/more/03a01Fb.wav"), 140, ("more/03a01Fb",)),
    ("emodb", partial(add, "wav/03a01Fa.flac"), 140, ("03a01Fa.flac",)),
    ("emodb", mac, 140, ()),
    ("casia", partial(add, "nobody/angry/201.wav"), 72, ("3 files left out", "<speaker>/<emotion>/", "201, angry", "nobody/angry/201")),
    ("casia", partial(add, "wangzhe/angry/first.wav"), 72, ("wangzhe/angry/first",)),
]


@pytest.mark.parametrize(("name", "change", "kept", "named"), BESIDE)
def test_what_stands_beside_is_left_out_and_named(
    name: str, change: Callable[[Path], None], kept: int, named: tuple[str, ...], tmp_path: Path, build: Build
) -> None:
    change(dict(MAKERS)[name](tmp_path))
    corpus = build(name, root=tmp_path)
    assert len(corpus.utterances()) == kept
    surplus = said(corpus, "surplus")
    assert all(part in surplus for part in named) and bool(surplus) == bool(named)


def test_the_songs_of_ravdess_beside_its_speech_are_not_in_the_way(tmp_path: Path, build: Build) -> None:
    make_ravdess(tmp_path / "Audio_Speech_Actors_01-24", actors=("01",))
    add("Audio_Song_Actors_01-24/Actor_01/03-02-03-01-01-01-01.wav", tmp_path)
    assert len(build("ravdess", root=tmp_path).utterances()) == 30


def test_missing_files_are_counted_or_named(tmp_path: Path, build: Build) -> None:
    assert "EmoDB has 535 files, here are 140; by speaker: 03 14 of 49" in said(build("emodb", root=make_emodb(tmp_path / "a")), "missing")
    assert "EMOVO has 588 files, of which 504 are missing: dis-f1-b2" in said(build("emovo", root=make_emovo(tmp_path / "b")), "missing")
    assert "CASIA's subset has 1200 files, of which 1128" in said(build("casia", root=make_casia(tmp_path / "c")), "missing")
    assert "RAVDESS has 1440 files, of which 1320" in said(build("ravdess", root=make_ravdess(tmp_path / "d")), "missing")
    normal = build("ravdess", root=tmp_path / "d", intensity="normal")
    assert "RAVDESS has 768 files" in said(normal, "missing")


def test_a_complete_corpus_has_no_findings(tmp_path: Path, build: Build) -> None:
    for name in Emovo.layout.official:
        path = tmp_path / name.split("-")[1] / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    corpus = build("emovo", root=tmp_path)
    assert len(corpus.utterances()) == 588
    assert not corpus.findings()


def test_casia_says_when_it_is_more_than_the_subset(tmp_path: Path, build: Build) -> None:
    corpus = build("casia", root=make_casia(tmp_path, texts=("1", "201")))
    assert "24 files have other texts than 201 to 250" in said(corpus, "note")


def test_enterface_s_folders_tell_the_labels_not_its_names(tmp_path: Path, build: Build) -> None:
    root = make_enterface(tmp_path)
    corpus = build("enterface", root=root)
    utterances = corpus.utterances()
    speakers = Counter(utterance.speaker for utterance in utterances)
    assert speakers == {"1": 12, "2": 12, "11": 12, "12": 12}
    assert all("/s12_" in utterance.id for utterance in utterances if utterance.speaker == "11")
    assert "6 files left out, subject 6" in said(corpus, "surplus")
    assert "48 files of 4 subjects" in said(corpus, "note")
    texts = {(utterance.recording.text, utterance.emotion) for utterance in utterances}
    assert len(texts) == len({text for text, _ in texts}) == 12, "a text belongs to one emotion"
    odd = root / "subject 2" / "surprise" / "sentence 1"
    (odd / "s2_su_1.wav").rename(odd / "s_2_su_1avi.wav")
    assert len(corpus.utterances()) == 48, "a name of the official release"
    (odd / "s_2_su_1avi.wav").rename(odd / "s2_an_1.wav")
    assert len(corpus.utterances()) == 47 and "s2_an_1" in said(corpus, "surplus"), "folder and name must agree on the emotion"


def test_flat_enterface_says_that_subject_11_is_lost(tmp_path: Path, build: Build) -> None:
    root = make_enterface(tmp_path / "official")
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in sorted(root.rglob("*.wav")):
        shutil.copy(path, flat / path.name)
    corpus = build("enterface", root=flat)
    assert {utterance.speaker for utterance in corpus.utterances()} == {"1", "2", "12"}
    assert "no subject 11" in said(corpus, "note")


def test_extracted_audio_stands_in_for_its_avi(tmp_path: Path, build: Build) -> None:
    root = make_enterface(tmp_path, subjects=(1,), sentences=(1,), avi=True)
    write(root / "subject 1" / "anger" / "sentence 1" / "s1_an_1.wav", sound("anger", "subject 1", "an1"))
    suffixes = sorted(utterance.recording.path.suffix for utterance in build("enterface", root=root).utterances())
    assert suffixes == [".avi"] * 5 + [".wav"]


def test_avi_without_pyav_is_p108_before_audio_is_read(tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_enterface(tmp_path, subjects=(1,), sentences=(1,), avi=True)
    build("enterface", root=root).prepare()
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None if name == "av" else find(name, package))
    corpus = build("enterface", root=root)
    assert len(corpus.utterances()) == 6
    assert "PyAV is not installed" in said(corpus, "missing")
    with pytest.raises(SereError, match=r"P108.*6 files.*AVI") as caught:
        corpus.prepare()
    assert "sere[avi]" in str(caught.value)
