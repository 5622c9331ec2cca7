"""`sere report RUN`: the page of one run says what its record says, opens no label, and can be written of any record."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sere_core.cli import main, run_main
from sere_core.compare.report.glossary import Glossary
from sere_core.compare.report.run_page import write_run_report
from sere_core.score.interval import uar_interval
from sere_core.score.records import Record, digest_files
from tests.browser import assert_it_fits, browser
from tests.end_to_end.conftest import TINY, record
from tests.outline import Outline

__all__ = ["browser"]

#: what a user may call a file
HOSTILE = "u09<b>"
NAMES = [*(f"u{number:02d}" for number in range(9)), HOSTILE]
CALLS = "corpora.xb={use: folder, params: {root: calls, language: xb}}"
LISTED = "corpora.xb={use: manifest, params: {file: calls.csv, language: xb}}"
#: what each kind of run changes in the config
KINDS = {
    "scored": ("method.use=joint",),
    "unlabelled": (CALLS, "task.normalise=corpus"),
    "partly": (LISTED, "task.normalise=corpus", "task.disjoint=none"),
    "closed-form": ("method={use: logistic}", "losses=null", "resonance=null", "task.setting=transductive"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A finished run of each kind, by name, and its folder."""
    folder = tmp_path_factory.mktemp("reports")
    (folder / "tiny.yaml").write_text(TINY)
    (folder / "calls").mkdir()
    for number in range(10):
        wave = np.sin(np.arange(6400) * (0.02 + 0.01 * number)) * 0.3
        soundfile.write(folder / "calls" / f"{NAMES[number]}.wav", wave, 16000)
    rows = [f"calls/{NAMES[number]}.wav,{'' if number > 5 else ['anger', 'sadness'][number % 2]}" for number in range(10)]
    (folder / "calls.csv").write_text("\n".join(["path,emotion", *rows]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = {}
        for name, changes in KINDS.items():
            words = [word for change in (*changes, f"output.dir=runs/{name}") for word in ("--set", change)]
            assert run_main(["tiny.yaml", "--quiet", *words]) == 0, name
            found[name] = record(folder / "runs" / name)
        yield found


@pytest.fixture(scope="module")
def outlines(runs: dict[str, Path]) -> dict[str, Outline]:
    """What is on the page of each."""
    return {name: Outline(write_run_report(folder)[0].read_text(encoding="utf-8")) for name, folder in runs.items()}


def scores(folder: Path) -> Any:
    return json.loads((folder / "scores.json").read_bytes())


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_whole_small_and_asks_for_nothing(runs: dict[str, Path], outlines: dict[str, Outline], kind: str) -> None:
    outline, text = outlines[kind], (runs[kind] / "report.html").read_text(encoding="utf-8")
    assert outline.open == [] and len(text) < 5_000_000
    addresses = [found[name] for _, found in outline.elements for name in ("src", "href") if name in found]
    assert addresses and all(each.startswith(("#", "data:")) for each in addresses)
    assert not [tag for tag, _ in outline.elements if tag in {"script", "iframe", "object", "form"}]
    ids = [found["id"] for _, found in outline.elements if "id" in found]
    assert len(ids) == len(set(ids))
    assert {found["href"][1:] for tag, found in outline.elements if tag == "a"} <= set(ids)
    assert all(len(found["aria-label"]) > 15 for tag, found in outline.elements if tag == "svg")


def test_scores_are_those_of_the_record(runs: dict[str, Path], outlines: dict[str, Outline]) -> None:
    said, found = outlines["scored"].words, scores(runs["scored"])
    interval = uar_interval(found)
    assert interval is not None
    for value in (found["mean"]["uar"], interval.low, interval.high):
        assert f"{100 * value:.1f}" in said[""]
    assert f"{found['pooled']['confidence']['brier']:.3f}" in said["confidence"]
    assert "fold 1" in said["data"] and "fold 2" in said["data"] and "fold 0" not in said["data"]
    assert "anger 2, sadness 2" in said["data"] and "xa" in said["data"]
    for speaker in {each["speaker"] for fold in found["folds"] for each in fold["speakers"]}:
        assert speaker in said["by-speaker"]
    wrong = [each for each in Record.read(runs["scored"]).predictions if each.truth != each.prediction]
    assert f"{len(wrong)} of {found['pooled']['n']}" in said["mistakes"]
    assert all(each.id in said["mistakes"] for each in wrong)
    assert sum(tag == "audio" for tag, _ in outlines["scored"].elements) == min(len(wrong), 20)
    assert "taken for" in said["resonance"] and "S(a, b)" not in said["scores"]


def test_an_unlabelled_target_is_not_scored(runs: dict[str, Path], outlines: dict[str, Outline]) -> None:
    said, evidence = outlines["unlabelled"].words, scores(runs["unlabelled"])["evidence"]
    assert "Nothing was scored" in said[""] and "UAR" not in "".join(said.values())
    assert f"{evidence['snd']:.3f}" in said["predictions"] and "10 utterances" in said[""]
    assert all(name in said["utterances"] for name in NAMES)
    assert "mistakes" not in said and "scores" not in said


def test_of_a_partly_labelled_target_only_the_labelled_are_scored(outlines: dict[str, Outline]) -> None:
    said = outlines["partly"].words
    assert "6 labelled utterances; 4 have no label" in said[""]
    assert "of 6 utterances" in said["mistakes"]
    assert "by-speaker" not in said, "nobody knows the speakers"


def test_a_method_without_epochs_or_history_has_a_page(runs: dict[str, Path], outlines: dict[str, Outline], tmp_path: Path) -> None:
    said = outlines["closed-form"].words
    assert "one step" in said["curves"] and "error" in said["curves"] and "resonance" not in said and "UAR" in said[""]
    shutil.copytree(runs["closed-form"], tmp_path / "bare")
    (tmp_path / "bare" / "history.jsonl").write_text("")
    (tmp_path / "bare" / "done").write_text(json.dumps({"sha256": digest_files(tmp_path / "bare")}))
    bare = Outline(write_run_report(tmp_path / "bare")[0].read_text(encoding="utf-8"))
    assert "no losses" in bare.words["curves"]


def test_the_record_stays_as_it_is_and_the_page_is_the_same_again(
    runs: dict[str, Path], outlines: dict[str, Outline], tmp_path: Path
) -> None:
    folder = runs["scored"]
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["report", str(folder), "-o", str(tmp_path / "page.html"), "--quiet"]) == 0
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert (tmp_path / "page.html").read_bytes() == before[folder / "report.html"]


def test_its_command_makes_the_run_again(runs: dict[str, Path], outlines: dict[str, Outline]) -> None:
    (text,) = re.findall(r"<pre><code>(.*?)</code></pre>", (runs["scored"] / "report.html").read_text())
    program, *words = shlex.split(text)
    assert program == "sere-run" and run_main([*words, "--quiet"]) == 0
    again = record(Path("runs/again"))
    assert (again / "predictions.csv").read_bytes() == (runs["scored"] / "predictions.csv").read_bytes()


def test_every_number_of_the_built_in_parts_has_a_sentence(runs: dict[str, Path], outlines: dict[str, Outline]) -> None:
    found = Record.read(runs["scored"])
    glossary = Glossary.of_components(found.manifest["components"])
    names = {name.partition("/")[0] for line in found.history for name in line["diagnostics"]}
    unknown = Glossary(glossary.sentences, {**glossary.names, "losses.mine": "my.loss"}).sentence("mine.heat")
    assert "my.loss" in unknown
    declared = {sentence for each in glossary.sentences.values() for sentence in each.values()}
    assert names and {glossary.sentence(name) for name in names} <= declared
    assert "a fall to 0 is a collapse" in outlines["scored"].words["curves"]


@pytest.mark.slow
def test_without_its_audio_or_with_no_audio_there_are_no_players(runs: dict[str, Path], tmp_path: Path) -> None:
    path, missing = write_run_report(runs["unlabelled"], tmp_path / "silent.html", clips=False, resonance=0)
    assert "<audio" not in path.read_text() and "data:audio" not in path.read_text() and missing == []
    calls = Path("calls").rename("moved")
    try:
        path, missing = write_run_report(runs["unlabelled"], tmp_path / "gone.html")
    finally:
        calls.rename("calls")
    assert "<audio" not in path.read_text() and len(missing) == 1 and "u09" in path.read_text()


@pytest.fixture
def call(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def told(*words: object) -> tuple[int, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return told


def test_what_has_no_page(call: Callable[..., tuple[int, str]], runs: dict[str, Path], tmp_path: Path) -> None:
    code, said = call("report", tmp_path)
    assert code == 1 and "T505" in said
    shutil.copytree(runs["scored"], tmp_path / "one" / "a")
    code, said = call("report", tmp_path / "one", "--resonance", 0, "--no-audio")
    assert code == 0 and "report.html" in said, "the only record of a folder is meant"
    shutil.copytree(runs["scored"], tmp_path / "one" / "b")
    code, said = call("report", tmp_path / "one")
    assert code == 1 and "T505" in said and str(tmp_path / "one" / "b") in said
    (tmp_path / "one" / "a" / "scores.json").write_text("{}")
    code, said = call("report", tmp_path / "one" / "a")
    assert code == 1 and "T505" in said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("kind", KINDS)
def test_it_fits(browser: Any, runs: dict[str, Path], outlines: dict[str, Outline], kind: str, width: int, scheme: str) -> None:
    assert_it_fits(browser, runs[kind] / "report.html", width, scheme)


def test_a_clip_can_be_played(browser: Any, runs: dict[str, Path], outlines: dict[str, Outline]) -> None:
    browser.get((runs["unlabelled"] / "report.html").as_uri())
    script = """
    const done = arguments[0], audio = document.querySelector('audio');
    audio.addEventListener('loadedmetadata', () => done(audio.duration));
    audio.addEventListener('error', () => done(-1));
    audio.preload = 'auto'; audio.load();
    """
    assert browser.execute_async_script(script) == pytest.approx(0.4, abs=0.2)


def test_a_hostile_name_is_a_name(runs: dict[str, Path], outlines: dict[str, Outline]) -> None:
    assert "<b>" not in (runs["unlabelled"] / "report.html").read_text(encoding="utf-8")
    assert HOSTILE in outlines["unlabelled"].words["utterances"]
