"""The oracle: the scorer chooses the epoch by the target's labels, after training; the run says so, everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from sere_core.cli import main
from sere_core.config.model import RunConfig
from sere_core.score.records import Record
from sere_core.testing.toy import Toy
from sere_core.train.checkpoint import Checkpoint
from sere_registry.catalog import Catalog
from sere_registry.errors import Place
from sere_registry.spec import BY_TARGET_LABELS
from tests.compare.tiny import BASE, COMPARISON
from tests.end_to_end.conftest import Sere, content, record
from tests.train.recipes import RECIPES

ORACLE = ("select.use=oracle", "train.epochs=3", "train.optimizer.params.lr=0.05")


@pytest.mark.parametrize("name", RECIPES)
def test_what_every_epoch_predicts_is_kept_and_changes_nothing(name: str, tmp_path: Path) -> None:
    """The last epoch's is the result, the first's that of a run of one epoch; and the same after a stop in between."""
    made: Toy = RECIPES[name]
    plain, kept = made.trainer(tmp_path / "a"), made.trainer(tmp_path / "b")
    kept.every_epoch = True
    result = kept.run()
    assert np.array_equal(result.posteriors, plain.run().posteriors)
    if not result.epochs:
        assert made.method().stages()[-1].solve is not None
        return
    last = max(result.epochs)
    assert sorted(result.epochs) == list(range(last + 1)) and result.epochs[last].kept_epoch == last
    assert np.array_equal(result.epochs[last].posteriors, result.posteriors)
    again = made.trainer(tmp_path / "b")
    again.every_epoch = True
    stored = again.run(Checkpoint.load(again.path)).epochs
    assert all(np.array_equal(stored[number].posteriors, each.posteriors) for number, each in result.epochs.items())


def test_a_run_with_an_oracle_is_marked_and_scores_what_it_chose(sere: Sere, home: Path) -> None:
    told = sere("tiny.yaml", *ORACLE)
    assert (told.code, told.problems) == (0, []), told.err
    assert "EPOCHS CHOSEN BY TARGET LABELS" in told.out and "TRAINED ON TARGET" not in told.out
    found = Record.read(record(home / "runs"))
    assert found.folds["uses_target_labels"] and found.folds["protocol"].endswith("epochs chosen by target labels")
    assert [each["opener"] for each in found.scores["openings"]] == ["oracle", "scorer"] * 2 + ["scorer"]
    for fold in found.scores["folds"]:
        uars = fold["oracle"]["uar"]
        assert len(uars) == 3 and fold["uar"] == max(uars) == uars[fold["oracle"]["epoch"]]
    assert not (found.path / "embeddings" / "picture.npz").exists(), "of the chosen epoch there is no network"
    assert found.manifest["selection"] == "sere.oracle"
    assert main(["report", str(found.path)]) == 0 and "chosen by labels of the target" in (found.path / "report.html").read_text()
    for words in (["export", str(found.path), "-o", "out"], ["export", str(found.path), "-o", "out", "--fold", "1"]):
        assert main(words) == 2 and not Path("out").exists()
    last = home / "last"
    sere("tiny.yaml", *ORACLE[1:], f"output.dir={last}")
    plain = Record.read(record(last))
    ends = [fold["oracle"]["uar"][-1] for fold in found.scores["folds"]]
    assert [fold["uar"] for fold in plain.scores["folds"]] == ends, "training is that of any other run"
    assert plain.label_use == () and not plain.folds["uses_target_labels"]


def test_an_interrupted_oracle_ends_in_the_same_bytes(sere: Sere, home: Path) -> None:
    sere("tiny.yaml", *ORACLE)
    whole = content(record(home / "runs"))
    job = record(home / "runs")
    (job / "done").unlink()
    (job / "scores.json").unlink()
    assert sere("tiny.yaml", *ORACLE, "--resume").code == 0
    assert content(job) == whole


@pytest.mark.slow
def test_every_row_of_a_table_that_an_oracle_chose_for_is_marked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "base.yaml").write_text(BASE)
    (home / "comparison.yaml").write_text(COMPARISON + "set: {select: {use: oracle}}\n")
    assert main(["compare", "comparison.yaml"]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert main(["table", "runs/little"]) == 0
    text = capsys.readouterr().out
    assert all(f"{row} ‡" in text for row in ("floor", "ours", "ceiling †")) and "an oracle, for study" in text


def test_a_target_without_labels_has_no_oracle(sere: Sere, home: Path) -> None:
    from tests.end_to_end.test_unlabelled import CALLS

    (home / "calls" / "p0").mkdir(parents=True)
    import soundfile

    for number in range(4):
        soundfile.write(home / "calls" / "p0" / f"u{number}.wav", 0.3 * np.sin(np.arange(6400) * (0.02 + 0.01 * number)), 16000)
    (home / "calls.yaml").write_text(CALLS)
    told = sere("calls.yaml", "select.use=oracle")
    assert told.code == 2 and "[C311]" in told.err and "select" in told.err


def test_no_default_and_no_shipped_config_is_an_oracle() -> None:
    assert RunConfig.model_fields["select"].default.use == "sere.last"
    selectors = [entry for entry in Catalog().entries if entry.kind == "selector" and entry.full_name.startswith("sere.")]
    tagged = {entry.full_name for entry in selectors if BY_TARGET_LABELS in entry.load(Place()).tags}
    assert tagged == {"sere.oracle"}
    for path in (Path(__file__).parents[2] / "configs").rglob("*.yaml"):
        assert "oracle" not in json.dumps(yaml.safe_load(path.read_text())), path
