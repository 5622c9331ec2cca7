"""Two encoders in a run: labels on both, their statistics, the warning where one is untaught; and one encoder as before."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from sere_core.cli import main
from tests.end_to_end.conftest import Sere, record

TWO = (
    "encoders={small: {use: logmel, params: {bands: 16, dim: 8, layers: 1}}, other: {use: logmel, params: {bands: 8, dim: 4, layers: 0}}}",
    "paths={labelled: small, unlabelled: {xa: small, xb: other}}",
    "dynamics={use: static}",
    "train.epochs=1",
)


def test_one_encoder_for_everything_is_what_it_was_to_the_bit(sere: Sere, home: Path) -> None:
    """A key that says nothing changes neither the job's name nor a bit of what it leaves."""
    made = {}
    for supervise in ("all", "labelled"):
        told = sere("tiny.yaml", f"paths.supervise={supervise}", f"output.dir={supervise}", "train.epochs=1")
        assert (told.code, told.problems) == (0, []), told.err
        made[supervise] = record(home / supervise)
    assert made["all"].name == made["labelled"].name
    for name in ("predictions.csv", "folds.json", "embeddings/fold-0.npz", "checkpoints/fold-1.safetensors"):
        assert (made["all"] / name).read_bytes() == (made["labelled"] / name).read_bytes()


def test_each_path_has_statistics_of_the_source_and_a_path_without_labels_is_warned_of(sere: Sere, home: Path) -> None:
    told = sere("tiny.yaml", *TWO, "encoders.other={use: acoustic}", "output.dir=all")
    assert (told.code, told.problems) == (0, []), told.err
    assert "no labelled utterance passes it" not in told.out + told.err
    statement = " ".join(json.loads((record(home / "all") / "manifest.json").read_text())["notes"]["normalisation"])
    assert "other: speaker statistics of the source, S_l and S_u" in statement
    told = sere("tiny.yaml", *TWO, "paths.supervise=labelled", "output.dir=labelled")
    assert told.code == 0 and "encoder other: no labelled utterance passes it" in told.out + told.err
    assert record(home / "all").name != record(home / "labelled").name


def test_posteriors_are_the_mean_over_encoders(sere: Sere, home: Path) -> None:
    """One network is trained; T_e asks it through the encoder of each path."""
    made = {}
    for predict, path in (("own", "other"), ("mean", "other"), ("own", "small")):
        source_only = ("losses.adapt=null", "resonance=null", "dynamics=null", f"paths.predict={predict}", f"output.dir={predict}-{path}")
        told = sere("tiny.yaml", *TWO, *source_only, f"paths.unlabelled={{xa: {'small' if path == 'other' else 'other'}, xb: {path}}}")
        assert (told.code, told.problems) == (0, []), told.err
        rows = csv.DictReader((record(home / f"{predict}-{path}") / "predictions.csv").open())
        made[predict, path] = {row["id"]: float(row["anger"]) for row in rows}
    for id, found in made["mean", "other"].items():
        assert abs(found - (made["own", "other"][id] + made["own", "small"][id]) / 2) < 1e-5
    assert main(["export", str(record(home / "mean-other")), "--fold", "1", "-o", str(home / "model"), "--quiet"]) == 2
    told = sere("tiny.yaml", *TWO, "paths.predict=mean", "paths.supervise=labelled")
    assert told.code == 2 and "paths.predict: [C311]" in told.err


def test_the_field_within_one_encoder_needs_labels_on_every_path(sere: Sere, home: Path) -> None:
    told = sere("tiny.yaml", *TWO, "paths.field_path=own", "losses.adapt.params={predict: resonance}")
    assert (told.code, told.problems) == (0, []), told.err
    told = sere("tiny.yaml", *TWO, "paths.field_path=own", "paths.supervise=labelled")
    assert told.code == 2 and "paths.field_path: [C311]" in told.err
