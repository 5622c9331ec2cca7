"""From records to facts: nothing that `done` does not vouch for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sere_core.compare.plan import ComparePlan
from sere_core.compare.reading import read_results
from sere_core.score.records import Record, digest_files
from sere_registry.errors import SereError
from tests.compare.made_up import make_comparison

PLACE = ("ours", "aa>bb", 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_comparison(tmp_path, evidence={"ours": "reconstructed"})
    return tmp_path


def record(folder: Path) -> Path:
    plan = ComparePlan.read(folder)
    return folder / "records" / next(job.job for job in plan.jobs if (job.row, job.pair, job.seed) == PLACE)


def test_facts_are_those_of_the_record(folder: Path) -> None:
    results = read_results(folder)
    assert len(results.runs) == 3 * 2 * 3 and not results.failures and results.config["train"]["epochs"] == 10
    facts, whole = results.runs[PLACE], Record.read(record(folder))
    assert facts.path == whole.path and facts.job == whole.manifest["job"] and facts.classes == tuple(whole.scores["classes"])
    assert facts.uar == pytest.approx(whole.scores["mean"]["uar"])
    assert facts.confusion.sum(axis=0).tolist() == whole.scores["pooled"]["confusion"]
    assert facts.evidence == "reconstructed" and facts.selection == "last" and facts.protocol == whole.manifest["protocol"]
    assert {name.partition(".")[0] for name in facts.digests} == {"corpora", "folds", "features", "streams"}
    assert facts.digests["corpora.aa.audio"] == whole.manifest["made_of"]["corpora.aa.audio"] and facts.parameters == 123456
    assert facts.openings == {"scorer": 100} and set(facts.seconds) == {"features", "train and score"} and facts.peak_mib is not None
    assert len(facts.speakers) == 10 and set(facts.genders) == {"female", "male"}
    for fold in range(5):
        mine = [number for number, where in enumerate(facts.speaker_folds) if where == fold]
        assert np.array_equal(facts.by_speaker[mine].sum(axis=0), facts.confusion[fold]), "a fold is the sum of its speakers"


def test_records_from_before_there_were_speakers(tmp_path: Path) -> None:
    make_comparison(tmp_path, old=True)
    facts = read_results(tmp_path).runs[PLACE]
    assert facts.speakers == () and facts.by_speaker.shape == (0, 0, 0) and facts.peak_mib is None and facts.parameters is None
    assert facts.confusion.shape == (5, 5, 5)


def test_what_is_not_finished_is_missing_and_what_failed_says_why(tmp_path: Path) -> None:
    failed = ("theirs", "bb>aa", 2)
    make_comparison(tmp_path, missing=[PLACE], failures={failed: "losses.adapt: not a finite scalar"})
    results = read_results(tmp_path)
    assert len(results.runs) == 16 and PLACE not in results.runs and failed not in results.runs
    assert results.failures == {failed: "[T501] losses.adapt: not a finite scalar"}
    data = json.loads((tmp_path / "plan.json").read_text())
    data["jobs"][1]["job"] = data["jobs"][0]["job"]
    (tmp_path / "plan.json").write_text(json.dumps(data))
    runs = read_results(tmp_path).runs
    assert runs["source-only", "aa>bb", 1] is runs["source-only", "aa>bb", 0], "two places may share a record"


@pytest.mark.parametrize("name", ["manifest.json", "scores.json", "predictions.csv", "config.yaml"])
def test_a_changed_record_counts_as_missing_and_the_rest_goes_on(folder: Path, name: str) -> None:
    before = read_results(folder)
    path = record(folder)
    (path / name).write_bytes((path / name).read_bytes().replace(b"a", b"b", 1))
    results = read_results(folder)
    assert results.runs.keys() == before.runs.keys() - {PLACE}
    line = results.failures[PLACE]
    assert line.startswith("[T505]") and f"{path.name}/{name} is not the file" in line and "\n" not in line
    assert "sere compare" in line, "the line has a hint"
    (path / name).unlink()
    assert f"{name} cannot be used" in read_results(folder).failures[PLACE]


@pytest.mark.parametrize(
    ("name", "what", "value", "said"),
    [
        ("manifest.json", "job", "another", "record of job another"),
        ("scores.json", "complete", False, "complete"),
        ("scores.json", "folds", [], "confusion matrices"),
        ("scores.json", "classes", ["anger"], "classes"),
        ("manifest.json", "notes", None, "notes"),
        ("manifest.json", "digests", 7, "digests"),
    ],
)
def test_a_record_that_says_nonsense_is_a_line_too(folder: Path, name: str, what: str, value: object, said: str) -> None:
    path = record(folder)
    (path / name).write_text(json.dumps({**json.loads((path / name).read_bytes()), what: value}))
    (path / "done").write_text(json.dumps({"sha256": digest_files(path)}))
    results = read_results(folder)
    assert said in results.failures[PLACE] and len(results.runs) == 17


@pytest.mark.parametrize("what", [" ", "{}", '{"sha256": []}', "\0"])
def test_a_damaged_done_and_a_folder_that_moved(folder: Path, tmp_path_factory: pytest.TempPathFactory, what: str) -> None:
    (record(folder) / "done").write_text(what)
    assert "[T505]" in read_results(folder).failures[PLACE]
    other = tmp_path_factory.mktemp("moved") / "it"
    shutil.copytree(folder, other)
    facts = read_results(other).runs["ours", "aa>bb", 0]
    assert facts.path == other / "records" / facts.job
    with pytest.raises(SereError, match=r"T505.*holds no comparison"):
        read_results(other / "records")


def test_reading_needs_no_torch() -> None:
    code = "import sys, sere_core.compare.reading; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
