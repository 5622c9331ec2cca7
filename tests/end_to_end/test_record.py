"""A run leaves a whole record, shows it again, and can be made again to the same bytes; it belongs to its files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from sere_core.compare.reading import read_facts
from sere_core.identity import Identity
from sere_core.score.calibration import confidence
from sere_core.score.records import Record
from tests.end_to_end.conftest import Sere, content, process, record, records

METRICS = ("metrics.kappa={use: CohenKappa, params: {weights: quadratic}}", "metrics.auroc={use: MulticlassAUROC}")


def test_a_run_leaves_a_whole_record(sere: Sere, home: Path) -> None:
    told = sere("tiny.yaml")
    assert (told.code, told.problems) == (0, []), told.err
    for word in ("UAR", "macro F1", "anger", "sadness", "xa>xb 2-shot inductive 2 folds", "record: runs/"):
        assert word in told.out
    found = Record.read(record(home / "runs"))
    manifest, folds, scores = found.manifest, found.folds["folds"], found.scores
    leakage = ["speakers of T_e", "identical audio", "sentences of T_e", "normalisation"]
    assert list(manifest["notes"]["leakage"]) == leakage and all(name in told.out for name in leakage)
    assert [(line["fold"], line["epoch"]) for line in found.history] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert len(found.history[0]["losses"]) >= 2
    rows = found.predictions
    assert {(row.id, row.fold) for row in rows} == {(id, fold["index"]) for fold in folds for id in fold["test"]}
    assert len(rows) == 12 and all(abs(sum(row.posteriors) - 1) < 1e-6 for row in rows)
    assert {row.prediction for row in rows} <= {"anger", "sadness"}
    assert scores["complete"] and len(scores["folds"]) == 2
    for fold in scores["folds"]:
        names = [each["speaker"] for each in fold["speakers"]]
        assert names == sorted(set(names)) and {each["gender"] for each in fold["speakers"]} <= {"female", "male"}
        assert np.sum([each["confusion"] for each in fold["speakers"]], axis=0).tolist() == fold["confusion"]
    assert manifest["digests"]["folds"] == found.folds["sha256"] and manifest["versions"]["torch"]
    assert {component["name"] for component in manifest["components"]} >= {"sere.logmel", "sere.idfe", "sere.irf", "sere.tric"}
    parts = {name for name in manifest["made_of"] if not name.startswith("code.")}
    assert parts == {"config", *(f"corpora.{one}.{what}" for one in ("xa", "xb") for what in ("audio", "labels", "speakers", "texts"))}
    assert manifest["made_of"]["code.sere"] and Identity(manifest["made_of"]).name == manifest["job"]


def test_the_record_holds_what_runs_are_compared_by(sere: Sere, home: Path) -> None:
    methods: dict[str, tuple[str, ...]] = {
        "sere": (),
        "source-only": ("losses.adapt=null",),
        "nrc": ("method.use=nrc", "losses.classify=null", "losses.adapt=null"),
    }
    found = {}
    for name, words in methods.items():
        assert sere("tiny.yaml", "train.epochs=1", f"output.dir={name}", *words).code == 0
        made = Record.read(record(home / name))
        found[name], timing = made.manifest, made.timing
        assert timing["train and score"] > 0 and 20 < timing["peak_mib"] < 100_000
        assert found[name]["parameters"]["total"] >= found[name]["parameters"]["trained"] > 1000
    assert set(found["sere"]["digests"]["streams"]) == {"labelled", "source", "target"}
    assert len({json.dumps({**each["made_of"], "config": ""}) for each in found.values()}) == 1
    for part in ("streams", "folds", "features"):
        assert len({json.dumps(each["digests"][part], sort_keys=True) for each in found.values()}) == 1, part
    assert sere("tiny.yaml", "train.epochs=1", "train.batch.target=3", "output.dir=other", "--seed=1").code == 0
    other = Record.read(record(home / "other")).manifest["digests"]["streams"]
    assert all(other[name] != digest for name, digest in found["sere"]["digests"]["streams"].items())


def test_a_second_call_shows_the_record_and_a_third_makes_the_same(sere: Sere, home: Path) -> None:
    first = sere("tiny.yaml", "train.epochs=1")
    job = record(home / "runs")
    before, stamp = content(job), (job / "history.jsonl").stat().st_mtime_ns
    again = sere("tiny.yaml", "train.epochs=1")
    assert again.code == 0 and str(job.name) in again.out
    assert again.out.splitlines()[-3:-1] == first.out.splitlines()[-3:-1]
    assert (job / "history.jsonl").stat().st_mtime_ns == stamp
    fresh = sere("tiny.yaml", "train.epochs=1", "--fresh")
    assert fresh.code == 0
    assert (job / "history.jsonl").stat().st_mtime_ns != stamp
    assert content(job) == before


def test_another_seed_is_another_job(sere: Sere, home: Path) -> None:
    for seed in ("0", "1"):
        assert sere("tiny.yaml", "train.epochs=1", f"--seed={seed}").code == 0
    one, other = records(home / "runs")
    assert content(one)["predictions.csv"] != content(other)["predictions.csv"]


def test_quiet_prints_nothing(sere: Sere) -> None:
    for _ in range(2):
        told = sere("tiny.yaml", "train.epochs=1", "hooks.progress.use=progress", "--quiet")
        assert (told.code, told.out, told.err) == (0, "", "")


def test_confidence_and_metrics_of_the_config_are_in_scores_summary_and_facts(sere: Sere, home: Path) -> None:
    told = sere("tiny.yaml", "train.epochs=1", *METRICS)
    assert told.code == 0, told.err
    found = Record.read(record(home / "runs"))
    classes, pooled = found.scores["classes"], found.scores["pooled"]
    posteriors = np.array([row.posteriors for row in found.predictions])
    labels = [classes.index(row.truth) for row in found.predictions]
    assert pooled["confidence"] == confidence(posteriors, labels), "from predictions.csv alone"
    assert pooled["metrics"]["kappa"] == pytest.approx(cohen_kappa_score(labels, posteriors.argmax(axis=1), weights="quadratic"), abs=1e-6)
    assert pooled["metrics"]["auroc"] == pytest.approx(roc_auc_score(labels, posteriors[:, 1]), abs=1e-6)
    assert found.scores["values"]["kappa"] == [fold["metrics"]["kappa"] for fold in found.scores["folds"]]
    lines = {line.split()[0]: line.split() for line in told.out.splitlines() if line.strip()}
    for name in ("ECE", "NLL", "AURC", "kappa"):
        assert lines[name][1].startswith(f"{found.scores['mean'][name.lower()]:.3f}±")
    for each in pooled["confidence"]["selective"]:
        assert lines[f"{100 * each['coverage']:.0f}"] == [f"{100 * each['coverage']:.0f}", f"{100 * each['uar']:.1f}", str(each["n"]), "2"]
    facts = read_facts(found.path)
    assert facts.measures == {name: value for name, value in found.scores["mean"].items() if name != "uar"}


def test_metrics_change_no_other_number(sere: Sere, home: Path) -> None:
    for name, words in {"with": METRICS, "without": ()}.items():
        assert sere("tiny.yaml", "train.epochs=1", f"output.dir={name}", *words).code == 0
    one, other = (Record.read(record(home / name)) for name in ("with", "without"))
    assert one.path.name != other.path.name, "its scores are others"
    assert one.predictions == other.predictions and one.history == other.history
    bare = [{key: value for key, value in fold.items() if key != "metrics"} for fold in one.scores["folds"]]
    assert bare == [{key: value for key, value in fold.items() if key != "metrics"} for fold in other.scores["folds"]]
    assert [fold["metrics"] for fold in other.scores["folds"]] == [{}, {}]


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("{use: CohenKappa, params: {weight: quadratic}}", ("metrics.odd.params", "'weights'")),
        ("{use: Recall, params: {average: none}}", ("metrics.odd.params", "average")),
        ("{use: ROC}", ("metrics.odd.params",)),
    ],
)
def test_a_metric_that_gives_no_number_ends_the_run_before_it_begins(metric: str, words: tuple[str, ...], sere: Sere, home: Path) -> None:
    told = sere("tiny.yaml", f"metrics.odd={metric}", "metrics.also.use=ROC")
    assert told.code == 2 and len(told.problems) == 2 and "[C302]" in told.problems[0] and all(word in told.err for word in words)
    assert not list(home.rglob("*.safetensors"))


def test_a_run_imports_no_library_that_it_does_not_use(sere: Sere, home: Path) -> None:
    """Of cached features torch alone: not its compiler, and what a config names (metrics, TensorBoard) for that config."""
    code = "import sys; from sere_core.cli import run_main; run_main(sys.argv[1:])\nprint(*sys.modules)"
    heavy = {"torch", "torch._dynamo", "sympy", "sklearn", "scipy.stats", "pandas", "matplotlib", "transformers", "librosa", "torchmetrics"}
    hook = ("--set", "hooks.tensorboard.use=tensorboard")
    assert sere("tiny.yaml", "train.epochs=1").code == 0  # now its features are cached
    for words, expected in {("--fresh", *hook): {"torch"}, ("--dry-run",): set(), ("--dry-run", "--set", METRICS[0]): set()}.items():
        command = [sys.executable, "-c", code, "tiny.yaml", "--set", "train.epochs=1", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=home)
        assert heavy & set(done.stdout.splitlines()[-1].split()) == expected


def test_tensorboard_holds_scalars_the_confusion_matrix_and_embeddings(sere: Sere, home: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert sere("tiny.yaml", "train.epochs=1", "hooks.tensorboard.use=tensorboard", *METRICS).code == 0
    tags: dict[str, set[str]] = {"scalars": set(), "images": set(), "tensors": set()}
    for folder in {path.parent for path in record(home / "runs").rglob("events.out.tfevents.*")}:
        events = EventAccumulator(str(folder), size_guidance={"images": 1})
        events.Reload()
        if folder.name in ("fold0", "fold1", "all_folds"):
            assert {f"score/{name}" for name in ("uar", "ece", "aurc", "kappa")} <= set(events.Tags()["scalars"])
        for kind, names in tags.items():
            names.update(events.Tags()[kind])
    assert any("classify" in tag for tag in tags["scalars"])
    assert any("uar" in tag.lower() for tag in tags["scalars"])
    assert any("confusion" in tag.lower() for tag in tags["images"])
    assert list(record(home / "runs").rglob("tensors.tsv"))


def test_the_command_in_a_process_of_its_own_makes_the_same_record(sere: Sere, home: Path) -> None:
    assert sere("tiny.yaml", "train.epochs=1").code == 0
    mine = content(record(home / "runs"))
    told = process("tiny.yaml", "train.epochs=1", "output.dir=theirs", cwd=home)
    assert told.returncode == 0, told.stderr
    assert content(record(home / "theirs")).keys() == mine.keys()
    for name in mine.keys() - {"config.yaml"}:
        assert content(record(home / "theirs"))[name] == mine[name], name
