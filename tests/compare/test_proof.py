"""Records are compared, not believed: each condition that differs without a reason is refused by a line that names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sere_core.compare.jobs import run_job
from sere_core.compare.plan import ComparePlan
from sere_core.compare.proof import Proof, prove
from sere_core.compare.reading import read_facts
from sere_core.config.yaml_text import write
from sere_core.score.records import digest_files
from tests.compare.tiny import BASE, COMPARISON, made

TEXT = COMPARISON.replace("ours: {}", "ours: {}\n  light: {losses: {adapt: {weight: 0.5}}, train: {batch: {target: 3}}}")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """A comparison that was really run: four rows, one pair, two seeds."""
    home = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERE_CACHE", str(shared_cache))
        patch.chdir(home)
        (home / "base.yaml").write_text(BASE)
        plan, folder = made(TEXT + "seeds: 2\nbudget: {steps_per_epoch: 3}\n")
        for job in plan.missing_jobs(folder):
            assert run_job(folder, job).code == ""
    return folder


class Edited:
    """A copy of the comparison whose records can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.plan = folder, ComparePlan.read(folder)

    def edit(self, row: str, file: str, change: Callable[[Any], None], seeds: tuple[int, ...] = (0, 1)) -> None:
        """Change a file of the records of a row."""
        for job in self.plan.jobs:
            if job.row == row and job.seed in seeds:
                path = self.folder / "records" / job.job / file
                data = yaml.safe_load(path.read_bytes())  # JSON is YAML
                change(data)
                path.write_text(json.dumps(data) if file.endswith(".json") else write(data))
                (path.parent / "done").write_text(json.dumps({"sha256": digest_files(path.parent)}))

    def prove(self, *allow: str) -> Proof:
        records = {job.job: read_facts(self.folder / "records" / job.job).conditions for job in self.plan.jobs}
        return prove(replace(self.plan, allow=allow), records)


@pytest.fixture
def edited(finished: Path, tmp_path: Path) -> Edited:
    shutil.copytree(finished, tmp_path / "copy", ignore=shutil.ignore_patterns("checkpoints", "embeddings"))
    return Edited(tmp_path / "copy")


def put(value: Any, *path: Any) -> Callable[[Any], None]:
    """A change of one value."""

    def change(data: Any) -> None:
        for part in path[:-1]:
            data = data[part]
        data[path[-1]] = value

    return change


def component(name: str, key: str, value: str) -> Callable[[Any], None]:
    """A change of one component in a manifest."""

    def change(data: Any) -> None:
        next(each for each in data["components"] if each["id"] == name)[key] = value

    return change


def test_rows_may_differ_in_what_they_vary_and_in_where_files_lie(edited: Edited) -> None:
    assert edited.prove() == ((), ()), "another loss, another weight, other steps, and a ceiling's own source"
    edited.edit("ours", "config.yaml", put("/a/data", "corpora", "xa", "params", "root"))
    edited.edit("floor", "config.yaml", put("/b/data", "corpora", "xa", "params", "root"))
    assert edited.prove() == ((), ())


@pytest.mark.parametrize(
    ("row", "file", "change", "words"),
    [
        ("ours", "manifest.json", put("1.0", "versions", "torch"), ("versions.torch: floor, light, ceiling:", "ours: 1.0")),
        ("ceiling", "config.yaml", put(5, "train", "batch", "target"), ("config.train.batch.target: ceiling: 5",)),
    ],
    ids=["the reference is odd", "what one row varies is no freedom for the others"],
)
def test_the_odd_row_is_named(edited: Edited, row: str, file: str, change: Callable[[Any], None], words: tuple[str, ...]) -> None:
    edited.edit(row, file, change)
    (problem,) = edited.prove().refused
    assert all(word in problem.message for word in words)


@pytest.mark.parametrize(
    ("row", "file", "change", "name"),
    [
        ("light", "manifest.json", put("0" * 32, "digests", "features", "all"), "digests.features"),
        ("light", "manifest.json", put("0" * 16, "made_of", "corpora.xa.labels"), "digests.corpora"),
        ("ceiling", "manifest.json", put("0" * 16, "made_of", "corpora.xb.audio"), "digests.corpora"),
        ("ours", "manifest.json", put("0" * 64, "digests", "streams", "labelled"), "digests.streams.labelled"),
        ("ours", "manifest.json", put("0" * 64, "digests", "streams", "source"), "digests.streams.source"),
        ("floor", "manifest.json", put("0" * 64, "digests", "streams", "target"), "digests.streams.target"),
        ("ceiling", "manifest.json", put("0" * 64, "digests", "streams", "target"), "digests.streams.target"),
        ("light", "manifest.json", put("0" * 64, "digests", "streams", "target"), None),  # it varies train.batch.target
        ("ceiling", "folds.json", put(["a", "b"], "folds", 0, "test"), "digests.folds.test"),
        ("ceiling", "folds.json", put(["a", "b"], "folds", 1, "target"), "digests.folds.target"),
        ("ceiling", "folds.json", put({"a": 0}, "folds", 0, "labelled"), None),  # it has labels of its own
        ("ours", "folds.json", put({"a": 0}, "folds", 0, "labelled"), "digests.folds.labelled"),
        ("ceiling", "folds.json", put(["anger", "fear"], "classes"), "classes"),
        ("ours", "config.yaml", put(9, "train", "epochs"), "config.train.epochs"),
        ("light", "config.yaml", put(9, "train", "steps_per_epoch"), "config.train.steps_per_epoch"),
        ("light", "config.yaml", put(2.0, "losses", "classify", "weight"), "config.losses.classify.weight"),
        ("light", "config.yaml", put(2.0, "losses", "adapt", "weight"), None),
        ("floor", "config.yaml", put({"use": "sere.coral", "params": {}, "weight": 1.0}, "losses", "adapt"), None),
        ("light", "config.yaml", put(3, "task", "shots"), "config.task.shots"),
        ("ours", "config.yaml", put(64, "network", "dim"), "config.network.dim"),
        ("ours", "config.yaml", put(True, "resonance", "new"), "config.resonance.new"),
        ("ours", "config.yaml", put("/elsewhere", "output", "dir"), None),
        ("ours", "config.yaml", put(3, "train", "threads"), None),
        ("ours", "manifest.json", put(7, "seeds", "task"), "seeds.task"),
        ("ours", "manifest.json", put("1.0", "versions", "torch"), "versions.torch"),
        ("ours", "manifest.json", put("0" * 16, "made_of", "code.sere"), "versions.code.sere"),
        ("light", "manifest.json", put("0" * 16, "made_of", "code.sere"), "versions.code.sere"),  # a package has one code
        ("ours", "manifest.json", put("0" * 16, "made_of", "files.encoders.small.params.model"), None),  # nobody else has one
        ("ours", "manifest.json", put("1.0", "versions", "somebodys-plugin"), None),  # nobody else has it
        ("ours", "manifest.json", put("NVIDIA H200", "machine", "device"), "machine.device"),
        ("ours", "manifest.json", put("bfloat16", "machine", "precision"), "machine.precision"),
        ("ours", "manifest.json", put("entropy", "selection"), "selection"),
        ("ours", "manifest.json", component("losses.classify", "version", "9"), "components.losses.classify"),
        ("ours", "manifest.json", component("encoders.small", "version", "9"), "components.encoders.small"),
    ],
)
def test_a_difference_is_refused_by_name_and_allowed_by_the_same_name(
    edited: Edited, row: str, file: str, change: Callable[[Any], None], name: str | None
) -> None:
    edited.edit(row, file, change)
    if name == "classes":  # of which a record speaks twice
        edited.edit(row, "scores.json", change)
    proof = edited.prove()
    if name is None:
        assert proof == ((), ())
        return
    (problem,) = proof.refused
    assert problem.code == "T506" and f"allow: [{name}]" in problem.hint
    assert row in problem.message and "xa>xb seed 0" in problem.message and "1 more" in problem.message
    allowed = edited.prove(name)
    assert not allowed.refused and len(allowed.allowed) == 1 and name in allowed.allowed[0]


def test_neither_a_row_nor_all_together_may_change_between_seeds(edited: Edited) -> None:
    edited.edit("light", "config.yaml", put(0.7, "losses", "adapt", "weight"), seeds=(1,))
    (problem,) = edited.prove().refused
    assert "config.losses.adapt.weight: light: 0.7, xa>xb seed 0: 0.5, at xa>xb seed 1" in problem.message
    edited.edit("light", "config.yaml", put(0.5, "losses", "adapt", "weight"), seeds=(1,))
    for row in ("floor", "ours", "light", "ceiling"):
        edited.edit(row, "manifest.json", put("1.0", "versions", "numpy"), seeds=(1,))
    assert all("versions.numpy" in problem.message for problem in edited.prove().refused) and edited.prove().refused
    assert not edited.prove("versions").refused


def test_no_row_is_scored_by_other_labels_though_it_varies_the_corpora(edited: Edited) -> None:
    edited.plan = replace(edited.plan, rows=tuple(replace(row, varied=(*row.varied, "corpora")) for row in edited.plan.rows))
    edited.edit("light", "manifest.json", put("0" * 16, "made_of", "corpora.xb.audio"))
    edited.edit("light", "manifest.json", put("0" * 16, "made_of", "corpora.xa.labels"))
    assert edited.prove() == ((), ())
    edited.edit("light", "manifest.json", put("0" * 16, "made_of", "corpora.xb.labels"))
    (problem,) = edited.prove().refused
    assert problem.code == "T506" and "digests.corpora.xb.labels: light" in problem.message
