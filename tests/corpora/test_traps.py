"""What real copies hold beside or instead of the official files: every case is named, none is guessed."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
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


def test_a_folder_that_is_not_there_is_d601_and_says_what_is_near(tmp_path: Path, build: Build) -> None:
    (tmp_path / "emobd").mkdir()
    code, line = refusal(build("emodb", root=tmp_path / "emodb"))
    assert code == "D601"
    assert "does not exist" in line and "emobd" in line


def test_a_file_as_root_is_d601(tmp_path: Path, build: Build) -> None:
    path = write(tmp_path / "a.wav", sound("anger", "s", "t"))
    code, line = refusal(build("casia", root=path))
    assert code == "D601" and "is a file" in line


def test_an_empty_folder_is_d602(tmp_path: Path, build: Build) -> None:
    code, line = refusal(build("casia", root=tmp_path))
    assert code == "D602"
    assert "it is empty" in line and "liuchanhg/angry/201.wav" in line


def test_folders_of_the_layout_without_files_are_d602(tmp_path: Path, build: Build) -> None:
    (tmp_path / "Actor_01").mkdir()
    assert refusal(build("ravdess", root=tmp_path))[0] == "D602"


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


def test_the_songs_of_ravdess_beside_its_speech_are_not_in_the_way(tmp_path: Path, build: Build) -> None:
    make_ravdess(tmp_path / "Audio_Speech_Actors_01-24", actors=("01",))
    write(tmp_path / "Audio_Song_Actors_01-24" / "Actor_01" / "03-02-03-01-01-01-01.wav", sound("happiness", "01", "song"))
    assert len(build("ravdess", root=tmp_path).utterances()) == 30


def test_the_second_copy_inside_a_download_of_ravdess_is_left_out(tmp_path: Path, build: Build) -> None:
    make_ravdess(tmp_path, actors=("01", "02"))
    make_ravdess(tmp_path / "audio_speech_actors_01-24", actors=("01", "02"))
    corpus = build("ravdess", root=tmp_path)
    assert len(corpus.utterances()) == 60
    assert "60 files left out, they do not stand in their actor's folder" in said(corpus, "surplus")


def test_a_file_in_another_speaker_s_folder_is_left_out(tmp_path: Path, build: Build) -> None:
    root = make_emovo(tmp_path)
    shutil.copy(root / "f1" / "dis-f1-b1.wav", root / "m1" / "dis-f1-b1.wav")
    corpus = build("emovo", root=root)
    assert len(corpus.utterances()) == 84
    assert "m1/dis-f1-b1" in said(corpus, "surplus")


def test_names_that_cannot_be_read_are_named(tmp_path: Path, build: Build) -> None:
    root = make_emodb(tmp_path)
    for name in ("03a01Xa", "99a01Fa", "copy of 03a01Fa"):
        write(root / "wav" / f"{name}.wav", sound("anger", "s", name))
    corpus = build("emodb", root=root)
    assert len(corpus.utterances()) == 140
    assert "3 files left out" in said(corpus, "surplus") and "copy of 03a01Fa" in said(corpus, "surplus")


def test_resource_files_of_macos_and_other_suffixes_are_ignored(tmp_path: Path, build: Build) -> None:
    root = make_emodb(tmp_path)
    (root / "wav" / "._03a01Fa.wav").write_bytes(b"\0" * 82)
    (root / "wav" / "03a01Fa.lab").write_text("x")
    corpus = build("emodb", root=root)
    assert len(corpus.utterances()) == 140
    assert not said(corpus, "surplus")


def test_the_same_name_with_two_suffixes_counts_once(tmp_path: Path, build: Build) -> None:
    root = make_emodb(tmp_path)
    write(root / "wav" / "03a01Fa.flac", sound("happiness", "03", "a01"))
    corpus = build("emodb", root=root)
    assert len(corpus.utterances()) == 140
    assert "03a01Fa.flac" in said(corpus, "surplus")


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


def test_stray_wavs_at_the_top_of_casia_are_left_out(tmp_path: Path, build: Build) -> None:
    corpus = build("casia", root=make_casia(tmp_path))
    assert len(corpus.utterances()) == 72
    assert "2 files left out, they do not stand in <speaker>/<emotion>/: 201, angry" in said(corpus, "surplus")


def test_casia_says_when_it_is_more_than_the_subset(tmp_path: Path, build: Build) -> None:
    corpus = build("casia", root=make_casia(tmp_path, texts=("1", "201")))
    assert "24 files have other texts than 201 to 250" in said(corpus, "note")


def test_enterface_s_folders_tell_the_subject_not_its_names(tmp_path: Path, build: Build) -> None:
    root = make_enterface(tmp_path)
    utterances = build("enterface", root=root).utterances()
    eleven = [utterance for utterance in utterances if utterance.speaker == "11"]
    assert len(eleven) == 12
    assert all("/s12_" in utterance.id for utterance in eleven)
    odd = root / "subject 2" / "surprise" / "sentence 1"
    (odd / "s2_su_1.wav").rename(odd / "s_2_su_1avi.wav")
    assert len(build("enterface", root=root).utterances()) == len(utterances)


def test_enterface_s_subject_6_is_not_cut_and_left_out(tmp_path: Path, build: Build) -> None:
    corpus = build("enterface", root=make_enterface(tmp_path))
    assert {utterance.speaker for utterance in corpus.utterances()} == {"1", "2", "11", "12"}
    assert "6 files left out, subject 6 is not cut into sentences" in said(corpus, "surplus")
    assert "48 files of 4 subjects; releases differ" in said(corpus, "note")


def test_enterface_s_texts_belong_to_their_emotion(tmp_path: Path, build: Build) -> None:
    utterances = build("enterface", root=make_enterface(tmp_path)).utterances()
    emotions_of: dict[str, set[str]] = {}
    for utterance in utterances:
        emotions_of.setdefault(utterance.recording.text, set()).add(utterance.emotion)
    assert all(len(emotions) == 1 for emotions in emotions_of.values())


def test_enterface_s_folder_and_name_must_agree_on_the_emotion(tmp_path: Path, build: Build) -> None:
    root = make_enterface(tmp_path)
    odd = root / "subject 2" / "surprise" / "sentence 1"
    (odd / "s2_su_1.wav").rename(odd / "s2_an_1.wav")
    corpus = build("enterface", root=root)
    assert len(corpus.utterances()) == 47
    assert "s2_an_1" in said(corpus, "surplus")


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
