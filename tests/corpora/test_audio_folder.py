"""A plain folder of audio files is a corpus; patterns find speakers and emotions in its paths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sere_core.data.check import check
from sere_registry import SereError
from tests.corpora.layouts import sound, write

Build = Callable[..., Any]


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Two people's calls, of several kinds and depths, with what lies about beside them."""
    root = tmp_path / "calls"
    for name, rate in {
        "anna/2024-01/c1_anger.wav": 16000,
        "anna/2024-02/c2.mp3": 44100,
        "bilal/c1_sad.flac": 8000,
        "bilal/c2_odd.ogg": 48000,
    }.items():
        write(root / name, sound("anger", "s", name), rate)
    write(root / "bilal" / ".hidden.wav", sound("anger", "s", "h"))
    (root / "notes.txt").write_text("x")
    return root


def listed(corpus: Any) -> list[tuple[str, str, str]]:
    return [(each.id, each.speaker, each.emotion) for each in corpus.utterances()]


def test_every_audio_file_is_an_unlabelled_utterance_of_nobody(calls: Path, build: Build) -> None:
    corpus = build("folder", root=calls, language="ur")
    assert listed(corpus) == [
        ("anna/2024-01/c1_anger", "", ""),
        ("anna/2024-02/c2", "", ""),
        ("bilal/c1_sad", "", ""),
        ("bilal/c2_odd", "", ""),
    ]
    assert corpus.languages == ("ur",)
    assert any(".txt" in finding.message for finding in corpus.findings())
    report = check(corpus)
    assert report.emotions == {"unlabelled": 4} and report.files == 4 and not report.unusable


def test_patterns_find_speakers_and_emotions(calls: Path, build: Build) -> None:
    corpus = build(
        "folder",
        root=calls,
        language="ur",
        speaker="^(?P<speaker>[^/]+)/",
        emotion=r"_(?P<emotion>\w+)\.",
        labels={"odd": None},
    )
    assert listed(corpus) == [
        ("anna/2024-01/c1_anger", "anna", "anger"),
        ("anna/2024-02/c2", "anna", ""),
        ("bilal/c1_sad", "bilal", "sadness"),
    ]
    assert any("c2.mp3" in finding.message for finding in corpus.findings())
    some = build("folder", root=calls, language="ur", exclude=r"2024-01|\.ogg$")
    assert [id for id, _, _ in listed(some)] == ["anna/2024-02/c2", "bilal/c1_sad"]
    parents = build("folder", root=calls, language="ur", speaker="parent")
    assert {each.speaker for each in parents.utterances()} == {"2024-01", "2024-02", "bilal"}


def test_the_same_name_with_two_suffixes_is_two_utterances(calls: Path, build: Build) -> None:
    write(calls / "anna" / "2024-02" / "c2.wav", sound("fear", "s", "t"))
    names = [id for id, _, _ in listed(build("folder", root=calls, language="ur"))]
    assert names[1:3] == ["anna/2024-02/c2.mp3", "anna/2024-02/c2.wav"]


def test_links_to_folders_are_followed_but_not_in_circles(calls: Path, build: Build, tmp_path: Path) -> None:
    (calls / "round").symlink_to(calls)
    (tmp_path / "link").symlink_to(calls / "bilal")
    (calls / "zoe").symlink_to(write(tmp_path / "far" / "c9.wav", sound("anger", "s", "z")).parent)
    names = [id for id, _, _ in listed(build("folder", root=calls, language="ur"))]
    assert len(names) == 5 and "zoe/c9" in names
    assert len(listed(build("folder", root=tmp_path / "link", language="ur"))) == 2


@pytest.mark.parametrize(
    ("change", "code", "count"),
    [
        ({"root": "nowhere"}, "D601", 1),
        ({"root": "empty"}, "D602", 1),
        ({"speaker": r"(?P<speaker>anna)"}, "D610", 1),
        ({"emotion": r"_(?P<emotion>\w+)\."}, "D610", 1),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, str], code: str, count: int, calls: Path, build: Build) -> None:
    (calls.parent / "empty").mkdir()
    root = calls.parent / change.pop("root", "calls")
    with pytest.raises(SereError) as caught:
        build("folder", root=root, language="ur", **change).utterances()
    assert [problem.code for problem in caught.value.problems] == [code] * count
    assert str(root) in str(caught.value)


@pytest.mark.parametrize("pattern", ["[", "anna", "(?P<emotion>x)"])
def test_a_pattern_that_finds_no_speaker_is_refused(pattern: str, calls: Path, build: Build) -> None:
    with pytest.raises(ValueError, match="speaker"):
        build("folder", root=calls, language="ur", speaker=pattern)
