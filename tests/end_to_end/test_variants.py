"""Every first-party method, loss, selector and setting runs through the command to a finished record."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sere_core.score.records import Record
from tests.corpora.layouts import sound, write
from tests.end_to_end.conftest import Sere, content, record, records

ACOUSTIC = "encoders.small={use: acoustic}"
VARIANTS: dict[str, tuple[str, ...]] = {
    "source only": ("losses.adapt=null", "resonance=null", "dynamics=null"),
    "coral": ("losses.adapt={use: coral}", "resonance=null"),
    "coral without S_u": ("losses.adapt={use: coral, params: {use_source: false}}",),
    "fixmatch": (
        "losses.adapt={use: fixmatch, params: {threshold: 0.5}}",
        "views={weak: [{use: jitter}], strong: [{use: frame_mask}, {use: feature_dropout}]}",
        ACOUSTIC,
    ),
    "fixmatch with a moving average": (
        "losses.adapt={use: fixmatch}",
        "views.weak=[{use: jitter}]",
        "method={use: joint, params: {ema: 0.9}}",
        ACOUSTIC,
    ),
    "a ramp": ("losses.adapt.weight={start: 0, end: 1, until: 0.5}",),
    "tric predicts by resonance": ("losses.adapt.params={predict: resonance, anchors_from: chain}",),
    "tric predicts by prototype": ("losses.adapt.params={predict: prototype, anchors_from: relay, prototype_loss: contrastive}",),
    "cosine field": ("resonance={use: cosine}",),
    "mean field": ("resonance={use: mean}",),
    "mcd": ("method={use: mcd}", "losses=null"),
    "nrc": ("method={use: nrc}", "losses=null"),
    "jdar": ("method={use: jdar}", "losses=null", ACOUSTIC),
    "jdar without a resonance field": ("method={use: jdar}", "losses=null", "resonance=null", "dynamics=null"),
    "transductive": ("task.setting=transductive",),
    "all shots": ("task.shots=all", "losses.adapt={use: coral, params: {use_source: false}}"),
    "leave one speaker out": ("task.folds=speakers",),
    "folds at random": ("task.disjoint=none",),
    "not normalised": ("task.normalise=none", ACOUSTIC),
    "normalised by corpus": ("task.normalise=corpus", ACOUSTIC),
    "normalised by speaker": ("task.normalise=speaker", ACOUSTIC),
    "entropy": ("select.use=entropy",),
    "information_max": ("select.use=information_max",),
    "snd": ("select.use=snd",),
    "source_validation": ("select.use=source_validation", "task.validation=1"),
    "importance_weighting": ("select.use=importance_weighting", "task.validation=1"),
    "dev of all shots": ("select.use=dev", "task.validation=1", "task.shots=all", "losses.adapt={use: coral, params: {use_source: false}}"),
    "mixval": ("select.use=mixval",),
    "bfloat16": ("train.precision=bfloat16",),
    "clipped": ("train.clip=0.1", "train.optimizer={use: SGD, params: {lr: 0.01, momentum: 0.9}}"),
    "seldom a checkpoint": ("train.epochs=3", "train.checkpoint_every=2", "train.steps_per_epoch=1"),
    "static": ("dynamics.use=static",),
    "delta": ("dynamics.use=delta",),
    "delta_delta": ("dynamics.use=delta_delta",),
}  # fmt: skip


@pytest.mark.parametrize("what", VARIANTS)
def test_a_variant_ends_in_a_record(what: str, sere: Sere, home: Path) -> None:
    told = sere("tiny.yaml", *VARIANTS[what])
    assert (told.code, told.problems) == (0, []), told.err
    job = record(home / "runs")
    assert (job / "done").exists() and json.loads((job / "scores.json").read_text())["complete"]
    rows = list(csv.DictReader((job / "predictions.csv").open()))
    assert len(rows) == 12
    assert all(0 <= float(row["anger"]) <= 1 and abs(float(row["anger"]) + float(row["sadness"]) - 1) < 1e-5 for row in rows)


@pytest.mark.parametrize("name", ["source_validation", "importance_weighting", "dev"])
def test_a_selector_of_held_out_labels_without_any_is_one_line(name: str, sere: Sere, home: Path) -> None:
    told = sere("tiny.yaml", f"select.use={name}")
    assert told.code == 2 and "[C311]" in told.err and "task.validation" in told.err and not (home / "runs").exists()


def test_the_ceiling_is_marked(sere: Sere, home: Path) -> None:
    told = sere("tiny.yaml", "task.source=xb", "losses.adapt=null", "resonance=null", "task.folds=speakers")
    assert (told.code, told.problems) == (0, []), told.err
    assert "TRAINED ON TARGET LABELS" in told.out
    assert "warning: " in told.err and "'xa' is used nowhere" in told.err, "a corpus that the pair leaves out is worth a warning"
    notes = json.loads((record(home / "runs") / "manifest.json").read_text())["notes"]
    assert "corpora.xa: 'xa' is used nowhere" in notes["warnings"]


def test_statistics_of_the_test_speakers_are_declared(sere: Sere, home: Path) -> None:
    said = {}
    for mode in ("none", "corpus", "speaker"):
        assert sere("tiny.yaml", ACOUSTIC, "train.epochs=1", f"task.normalise={mode}", f"output.dir={mode}").code == 0
        manifest = json.loads((record(home / mode) / "manifest.json").read_text())
        said[mode] = " ".join(manifest["notes"]["normalisation"])
        assert f"norm={mode}" in manifest["protocol"]
    assert len(set(said.values())) == 3


def test_a_transductive_run_says_so_and_scores_what_it_adapted_to(sere: Sere, home: Path) -> None:
    assert "transductive" in sere("tiny.yaml", "task.setting=transductive", "train.epochs=1").out
    (fold,) = json.loads((record(home / "runs") / "folds.json").read_text())["folds"]
    assert fold["target"] == fold["test"] and len(fold["test"]) == 12


@pytest.mark.parametrize("adapt", ["{use: tric, weight: 0}", "{use: coral, weight: 0}"])
def test_adaptation_of_no_weight_is_source_only_bit_for_bit(adapt: str, sere: Sere, home: Path) -> None:
    assert sere("tiny.yaml", "losses.adapt=null").code == 0
    assert sere("tiny.yaml", f"losses.adapt={adapt}").code == 0
    assert sere("tiny.yaml", "output.dir=weighed").code == 0
    one, other = (content(job)["predictions.csv"] for job in records(home / "runs"))
    assert one == other
    assert content(record(home / "weighed"))["predictions.csv"] != one


def _target(folder: Path, relabel: Callable[[int], str]) -> Path:
    """Three speakers, four utterances each, the same audio whatever the labels."""
    lines = ["path,speaker,emotion,language"]
    for number in range(12):
        name = f"u{number}.wav"
        if not (folder / name).exists():
            write(folder / name, sound(("anger", "sadness")[number % 2], f"s{number % 3}", str(number)))
        lines.append(f"{name},s{number % 3},{relabel(number)},xx")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    return folder / "list.csv"


def test_shuffled_target_labels_change_no_posterior(sere: Sere, home: Path) -> None:
    made = []
    for name, relabel in {
        "as_they_are": lambda number: ("anger", "sadness")[number % 2],
        "shuffled": lambda number: ("anger", "sadness")[number // 6],
    }.items():
        target = f"corpora.xb={{use: manifest, params: {{file: {_target(home, relabel)}}}}}"
        assert sere("tiny.yaml", target, "task.folds=speakers", f"output.dir={name}").code == 0
        made.append(Record.read(record(home / name)))
    one, other = made
    assert one.history == other.history and [row.truth for row in one.predictions] != [row.truth for row in other.predictions]
    rows, others = ([replace(row, truth="") for row in each.predictions] for each in made)
    assert rows == others
    confusions = [each.scores["pooled"]["confusion"] for each in made]
    assert [sum(row) for row in confusions[0]] == [sum(row) for row in confusions[1]] == [6, 6]
