"""The contract of corpora, run on every one in each of its variants, over tiny copies of the official layouts."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from sere_registry import BuildContext, Corpus, SereError
from sere_registry.emotions import EMOTIONS
from tests.contracts.components import Case, cases, defaults
from tests.corpora.layouts import make_casia, make_emodb, make_emovo, make_enterface, make_ravdess, sound, write

CASES = cases("corpus")
SPEAKERS = 2


def listed(folder: Path) -> Path:
    """A manifest beside its audio."""
    rows = [("path", "speaker", "emotion", "language")]
    for speaker in range(SPEAKERS):
        for emotion in ("anger", "neutral"):
            path = write(folder / f"{speaker}-{emotion}.wav", sound(emotion, str(speaker), "t"))
            rows.append((path.name, str(speaker), emotion, "de"))
    with (folder / "list.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


#: corpus -> writes a tiny copy with `SPEAKERS` speakers into a folder, and returns its root
MAKERS: dict[str, Callable[[Path], Path]] = {
    "sere.casia": lambda folder: make_casia(folder, speakers=("liuchanhg", "wangzhe"), texts=("201",)),
    "sere.emodb": lambda folder: make_emodb(folder, speakers=("03", "08"), texts=("a01",)),
    "sere.emovo": lambda folder: make_emovo(folder, speakers=("f1", "m1"), texts=("b1",)),
    "sere.enterface": lambda folder: make_enterface(folder, subjects=(1, 2), sentences=(1,)),
    "sere.ravdess": lambda folder: make_ravdess(folder, actors=("01", "02"), statements=("01",)),
    "sere.manifest": listed,
    "sere.synthetic": lambda folder: folder,
}
#: corpus -> the parameter that says where it is; one that is made has none, and is small by these values
WHERE = {"sere.manifest": "file", "sere.synthetic": ""}
SMALL = {"sere.synthetic": {"speakers": SPEAKERS, "per_class": 1, "seconds": 0.4, "emotions": ("anger", "neutral")}}


def place(case: Case, root: Path) -> dict[str, Any]:
    where = WHERE.get(case.name, "root")
    return {where: root / "list.csv" if where == "file" else root} if where else {}


def build(case: Case, tmp_path: Path) -> Any:
    root = MAKERS[case.name](tmp_path)
    return case.build(BuildContext("mine", cache=tmp_path), **{**SMALL.get(case.name, {}), **place(case, root)})


@pytest.mark.parametrize("case", CASES)
def test_listing(case: Case, tmp_path: Path) -> None:
    corpus = build(case, tmp_path)
    assert isinstance(corpus, Corpus)
    found = corpus.utterances()
    ids = [utterance.id for utterance in found]
    assert ids and ids == sorted(set(ids))
    for utterance in found:
        recording = utterance.recording
        assert utterance.emotion in EMOTIONS
        assert recording.corpus == "mine" and recording.language in corpus.languages
        assert recording.gender in ("female", "male", None) and recording.path.is_absolute()
        assert not Path(recording.id).is_absolute() and str(tmp_path) not in recording.id, "an id must be the same on every machine"
    speakers = {utterance.speaker for utterance in found}
    assert "" not in speakers and len(speakers) == case.values.get("speakers", SPEAKERS)
    assert {finding.level for finding in corpus.findings()} <= {"missing", "surplus", "note"}
    assert corpus.utterances() == found
    assert build(case, tmp_path).utterances() == found


@pytest.mark.parametrize("case", CASES)
def test_files_are_there_once_they_are_prepared(case: Case, tmp_path: Path) -> None:
    if case.values.get("speakers", 0) > 2 or case.values.get("per_class", 0) > 2 or case.values.get("seconds", 0) > 2:
        assert case.name == "sere.synthetic"  # its upper bounds are thousands of files, all made in the same way
        return
    corpus = build(case, tmp_path)
    corpus.prepare()
    paths = [utterance.recording.path for utterance in corpus.utterances()]
    assert all(path.is_file() for path in paths)
    assert soundfile.info(paths[0]).frames > 0
    before = {path: path.stat().st_mtime_ns for path in paths}
    corpus.prepare()
    assert {path: path.stat().st_mtime_ns for path in paths} == before, "what is there is not made again"


@pytest.mark.parametrize("case", [case for case in defaults("corpus") if WHERE.get(case.values[0].name, "root")])
def test_a_wrong_place_is_one_line(case: Case, tmp_path: Path) -> None:
    """D601 for a place that is not there, D602 for one that holds nothing."""
    with pytest.raises(SereError) as gone:
        case.build(BuildContext("mine"), **place(case, tmp_path / "nowhere")).utterances()
    assert [problem.code for problem in gone.value.problems] == ["D601"]
    (tmp_path / "empty").mkdir()
    if case.name == "sere.manifest":
        (tmp_path / "empty" / "list.csv").write_text("path,speaker,emotion,language\n", encoding="utf-8")
    with pytest.raises(SereError) as empty:
        case.build(BuildContext("mine"), **place(case, tmp_path / "empty")).utterances()
    assert [problem.code for problem in empty.value.problems] == ["D602"]
    assert all("\n" not in problem.message for problem in (*gone.value.problems, *empty.value.problems))


def test_every_corpus_has_a_layout_here() -> None:
    assert {case.values[0].name for case in defaults("corpus")} == set(MAKERS)
