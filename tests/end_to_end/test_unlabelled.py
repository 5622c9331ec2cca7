"""Targets without labels, or with a few: they are trained on and predicted, and only what has a label is scored."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sere_core.picture.embeddings import read_panel
from tests.end_to_end.conftest import Sere, content, record

CALLS = """\
extends: [tiny.yaml]
corpora: {xb: {use: folder, params: {root: calls, language: xb, speaker: parent}}}
"""


@pytest.fixture
def calls(home: Path) -> Path:
    """Twelve recordings of three people in a folder, and a config that adapts to them."""
    for number in range(12):
        folder = home / "calls" / f"p{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        wave = np.sin(np.arange(6400) * (0.02 + 0.01 * number)) * 0.3
        soundfile.write(folder / f"u{number:02d}.wav", wave, 16000)
    (home / "calls.yaml").write_text(CALLS)
    return home / "calls"


def read(home: Path, name: str) -> Any:
    return json.loads((record(home / "runs") / name).read_text())


def predictions(home: Path) -> list[dict[str, str]]:
    with (record(home / "runs") / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_folder_without_labels_is_predicted_and_nothing_is_scored(calls: Path, sere: Sere, home: Path) -> None:
    dry = sere("calls.yaml", "--dry-run")
    assert dry.code == 0 and "12 unlabelled, not scored" in dry.out
    told = sere("calls.yaml")
    assert told.code == 0, told.err
    assert "NOTHING WAS SCORED" in told.out and "UAR" not in told.out
    rows = predictions(home)
    assert len(rows) == 12 and {row["fold"] for row in rows} == {"0"}
    scores = read(home, "scores.json")
    assert (scores["scored"], scores["complete"], scores["folds"], scores["openings"]) == (
        False,
        True,
        [],
        [],
    )
    evidence = scores["evidence"]
    confidence = np.mean([max(float(row["anger"]), float(row["sadness"])) for row in rows])
    assert evidence["confidence"] == pytest.approx(confidence) and evidence["n"] == 12
    assert evidence["shares"]["anger"] == sum(row["prediction"] == "anger" for row in rows) / 12
    assert -np.log(2) <= evidence["entropy"] <= 0 <= evidence["information_max"] <= np.log(2)
    folds = read(home, "folds.json")
    assert folds["setting"] == "transductive" and (folds["labelled"], folds["unlabelled"]) == (0, 12)
    assert [fold["test"] for fold in folds["folds"]] == [fold["target"] for fold in folds["folds"]]
    assert read_panel(record(home / "runs"), 0).subtitle == "not scored"
    again = sere("calls.yaml")
    assert again.code == 0 and "done before" in again.out and "NOTHING WAS SCORED" in again.out


def test_an_interrupted_run_ends_in_the_same_bytes(calls: Path, sere: Sere, home: Path) -> None:
    assert sere("calls.yaml").code == 0
    whole = content(record((home / "runs").rename(home / "whole")))
    (home / "stop.py").write_text(STOP)
    assert sere("calls.yaml", "hooks.stop={use: 'file:./stop.py:HOOK'}").code != 0
    assert sere("calls.yaml", "--resume").code == 0
    assert content(record(home / "runs")) == whole


STOP = """
import signal
from sere_registry import ComponentSpec
from sere_registry.hookspecs import hookimpl

class Stop:
    def __init__(self, params, context): pass

    @hookimpl
    def sere_checkpoint_saved(self): signal.raise_signal(signal.SIGINT)

HOOK = ComponentSpec(kind="hook", name="stop", factory=f"{__name__}:Stop", summary="presses Ctrl-C after the first epoch")
"""


def manifest(calls: Path, labels: dict[str, str]) -> None:
    lines = [f"{path.relative_to(calls.parent)},{path.parent.name},{labels.get(path.stem, '')}" for path in sorted(calls.rglob("*.wav"))]
    (calls.parent / "calls.csv").write_text("\n".join(["file,who,felt", *lines]) + "\n")


MAPPED = "corpora.xb={use: manifest, params: {file: calls.csv, language: xb, columns: {path: file, speaker: who, emotion: felt}}}"


def test_labelled_utterances_are_scored_and_all_are_predicted(calls: Path, sere: Sere, home: Path) -> None:
    manifest(calls, {f"u{number:02d}": ["anger", "sadness"][number % 2] for number in range(6)})
    told = sere("tiny.yaml", MAPPED)
    assert told.code == 0, told.err
    assert len(predictions(home)) == 12
    scores = read(home, "scores.json")
    assert sum(each["n"] for each in scores["folds"]) == scores["openings"][-1]["count"] == 6
    assert sorted(row["id"] for row in predictions(home) if row["truth"]) == [
        f"calls/p{number % 3}/u{number:02d}" for number in (0, 3, 1, 4, 2, 5)
    ]
    assert scores["pooled"]["n"] == 6 and "scored" not in scores
    assert any("6 of 12" in note for note in read(home, "folds.json")["notes"])
    assert "6 of 12 unlabelled" in read(home, "folds.json")["protocol"]


def test_labels_that_came_later_are_not_passed_over(calls: Path, sere: Sere, home: Path) -> None:
    manifest(calls, {})
    assert sere("tiny.yaml", MAPPED).code == 0
    manifest(calls, {"u00": "anger", "u01": "sadness"})
    told = sere("tiny.yaml", MAPPED, "task.setting=transductive")
    assert told.code == 0 and "UAR" in told.out, "another config, another record"
    (problem,) = sere("tiny.yaml", MAPPED, "task.folds=2").problems
    assert "D609" in problem or "T505" in problem
    manifest(calls, {"u00": "anger", "u01": "sadness", "u02": "sadness"})
    told = sere("tiny.yaml", MAPPED, "task.setting=transductive")
    assert told.code == 0 and "labels of corpus" in told.err, "other labels, another run"
    done = [json.loads((path.parent / "scores.json").read_text()) for path in (home / "runs").glob("*/done")]
    assert sorted(each["pooled"]["n"] for each in done if each.get("scored", True)) == [2, 3]


def test_an_unlabelled_source_is_refused(calls: Path, sere: Sere) -> None:
    told = sere("calls.yaml", "task={source: xb, target: xa}")
    assert told.code == 2 and "D608" in told.problems[0] and "xb" in told.problems[0]


def test_damaged_utterances_are_skipped_where_the_task_says_so_and_are_named(calls: Path, sere: Sere, home: Path) -> None:
    labelled = home / "labelled"
    labelled.mkdir()
    rows = ["path,speaker,emotion"]
    for number in range(13):
        wave = np.sin(np.arange(6400) * (0.02 + 0.01 * number)) * 0.3
        soundfile.write(labelled / f"{number:02d}.wav", wave, 16000)
        rows.append(f"{number:02d}.wav,s{number % 3},{('anger', 'sadness')[number % 2]}")
    (labelled / "list.csv").write_text("\n".join(rows))
    for path in (labelled / "03.wav", calls / "p1" / "u04.wav"):
        path.write_bytes(path.read_bytes()[:5000])
    (home / "skip.yaml").write_text(
        "extends: [calls.yaml]\ncorpora: {xa: {use: manifest, params: {file: labelled/list.csv, language: xa}}}\n"
    )
    told = sere("skip.yaml")
    assert told.code == 2 and "03.wav" in told.err and "u04.wav" in told.err
    shutil.rmtree(home / "runs")
    dry = sere("skip.yaml", "task.skip=damaged", "--dry-run")
    assert dry.code == 0 and "xa: 1 of 13" in dry.err and "1 sadness" in dry.err and "xb: 1 of 12" in dry.err
    told = sere("skip.yaml", "task.skip=damaged")
    assert told.code == 0, told.err
    assert len(predictions(home)) == 11
    warnings = read(home, "manifest.json")["notes"]["warnings"]
    assert [each.split()[1] for each in warnings if each.startswith("skipped: ")] == ["xa/03:", "xb/p1/u04:"]
    assert not any("xb" in each and "sadness" in each for each in warnings)
    (labelled / "03.wav").write_bytes((labelled / "05.wav").read_bytes())
    dry = sere("skip.yaml", "task.skip=damaged", "--dry-run")
    assert "xa:" not in dry.err and "xb: 1 of 12" in dry.err, "what was found is not kept for longer than the files are"
