"""A run leaves a sample of utterances as the network saw them before and sees them after training, and no label of the target."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sere_core.cli import run_main
from sere_core.compare.report.figures import sample
from sere_core.score.records import digest_files
from sere_registry.errors import SereError
from tests.end_to_end.conftest import TINY


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Records of the default method, of source-only, and of a recipe with two stages."""
    home = tmp_path_factory.mktemp("picture")
    (home / "tiny.yaml").write_text(TINY)
    words = {
        "sere": [],
        "untrained": ["--set", "train.optimizer.params.lr=0"],
        "nrc": ["--set", "method.use=nrc", "--set", "losses.classify=null", "--set", "losses.adapt=null"],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for name, more in words.items():
            assert run_main(["tiny.yaml", "--set", f"output.dir={name}", "--quiet", *more]) == 0
    return {name: next(path.parent for path in (home / name).rglob("done")) for name in words}


def test_the_sample_names_streams_languages_and_speakers(records: dict[str, Path]) -> None:
    found = sample(records["sere"])
    assert found is not None
    folds = json.loads((records["sere"] / "folds.json").read_text())["folds"]
    sizes = {name: int((found.stream == name).sum()) for name in ("labelled", "source", "test")}
    assert sizes == {name: len(folds[0][name]) for name in sizes}
    assert set(found.language[found.stream == "test"]) == {"xb"} and set(found.language[found.stream != "test"]) == {"xa"}
    assert all(speaker.startswith(("xa/", "xb/")) for speaker in found.speaker)
    labels = sorted(folds[0]["labelled"].values())
    assert sorted(found.emotion[found.stream == "labelled"].tolist()) == labels


def test_training_moves_the_embeddings_to_what_the_record_scored_and_no_training_does_not(records: dict[str, Path]) -> None:
    for name, record in records.items():
        found = sample(record)
        assert found is not None
        moved = np.abs(found.trained - found.initial).max()
        assert moved < 1e-6 if name == "untrained" else moved > 1e-3, name
        with np.load(record / "embeddings" / "fold-0.npz") as data:
            scored, predicted = data["embedding"], data["predicted"]
        test = found.stream == "test"
        np.testing.assert_allclose(found.trained[test], scored, atol=2e-2, rtol=2e-3)
        assert found.emotion[test].tolist() == predicted.tolist()


def test_no_label_of_the_target_is_opened_for_it(records: dict[str, Path]) -> None:
    scores = json.loads((records["sere"] / "scores.json").read_text())
    assert {each["opener"] for each in scores["openings"]} == {"scorer"}
    assert [each["count"] for each in scores["openings"]] == [*(fold["n"] for fold in scores["folds"]), scores["pooled"]["n"]]


def test_a_damaged_sample_is_a_line_and_none_is_none(records: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(records["sere"], copy)
    path = copy / "embeddings" / "picture.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SereError, match=r"\[T505\].*picture.npz"):
        sample(copy)
    path.unlink()
    with pytest.raises(SereError, match=r"\[T505\].*picture.npz"):
        sample(copy)
    (copy / "done").write_text(json.dumps({"sha256": digest_files(copy)}))
    assert sample(copy) is None
