"""`layer: auto`: the run chooses a layer by the source's labels, and is then the run that a config with that number would be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from sere_core.cli import main
from sere_core.config import load
from sere_core.console import Speaker
from sere_core.model import Model
from sere_core.plan import Plan, build_corpus, list_corpus, make_plan
from sere_core.score.records import Record
from sere_core.train.layer_choice import choose_layers
from tests.encoders.checkpoints import LAYERS, tiny_wav2vec2
from tests.end_to_end.conftest import Sere, record


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_wav2vec2(tmp_path_factory.mktemp("auto") / "model")


def encoder(model: Path, **params: object) -> str:
    return f"encoders.small={json.dumps({'use': 'wav2vec2', 'params': {'model': str(model), **params}})}"


def layer_of(line: str) -> int:
    return int(line.removeprefix("small: layer ").partition(" ")[0])


@pytest.mark.parametrize("trained", [{}, {"train": "top", "top_layers": 2}], ids=["frozen", "top"])
def test_a_run_with_auto_is_the_run_of_the_layer_that_it_chose(sere: Sere, home: Path, model: Path, trained: dict[str, object]) -> None:
    words = ("train.epochs=1", "task.validation=1", "output.dir=chosen")
    dry = sere("tiny.yaml", encoder(model, layer="auto", **trained), *words, "--dry-run")
    assert dry.code == 0 and "layer is chosen" in dry.out
    told = sere("tiny.yaml", encoder(model, layer="auto", **trained), *words)
    assert (told.code, told.problems) == (0, []), told.err
    chosen = record(home / "chosen")
    assert str(chosen.name) in dry.out, "a dry run knows where the record goes"
    assert yaml.safe_load((chosen / "config.yaml").read_text())["encoders"]["small"]["params"]["layer"] == "auto"
    (line,) = json.loads((chosen / "manifest.json").read_text())["notes"]["layers"]
    layer = layer_of(line)
    assert f"of {LAYERS}, nearest" in line and layer >= trained.get("top_layers", 1)  # type: ignore[operator]
    again = sere("tiny.yaml", encoder(model, layer=layer, **trained), *words[:2], "output.dir=fixed")
    assert again.code == 0
    assert (chosen / "predictions.csv").read_bytes() == (record(home / "fixed") / "predictions.csv").read_bytes()


def test_the_choice_reads_no_label_of_the_target_and_none_of_the_source_but_the_shots(home: Path, model: Path) -> None:
    """Whoever is silent in the fold's labels is silent in the choice: other labels of the rest change nothing, the shots' do."""
    plan = make_plan(load(home / "tiny.yaml", sets=[encoder(model, layer="auto"), "task.shots=3"]))

    def choice(plan: Plan) -> Mapping[int, float]:
        return choose_layers(plan, torch.device("cpu"), Speaker(quiet=True))[0].errors

    for name in plan.corpora:
        build_corpus(plan.resolved, name).prepare(lambda done, total: None)
    found = choice(plan)
    assert list(found) == list(range(1, LAYERS + 1)) and all(np.isfinite(list(found.values())))
    without_target = [replace(fold, target=(), test=()) for fold in plan.task.folds]
    assert choice(replace(plan, task=replace(plan.task, folds=tuple(without_target)))) == found, "no speech of the target either"
    swapped = [replace(fold, labels=(*fold.labels[1:], fold.labels[0])) for fold in plan.task.folds]
    assert choice(replace(plan, task=replace(plan.task, folds=tuple(swapped)))) != found


def test_a_stream_of_a_fusion_names_its_layer(sere: Sere, model: Path) -> None:
    stream = {"use": "wav2vec2", "params": {"model": str(model), "layer": "auto"}}
    told = sere("tiny.yaml", f"encoders.small={json.dumps({'use': 'fusion_reconstructed', 'params': {'streams': [stream, stream]}})}")
    assert told.code == 2 and "[C302]" in told.problems[0] and "streams.0" in told.problems[0]


def test_a_model_has_the_layer_that_was_chosen_and_predicts_as_its_fold(sere: Sere, home: Path, model: Path) -> None:
    words = ("train.epochs=1", "dynamics.use=none", "resonance=null", "losses.adapt=null", "task.normalise=corpus")
    assert sere("tiny.yaml", encoder(model, layer="auto"), *words).code == 0
    found = Record.read(record(home / "runs"))
    assert main(["export", str(found.path), "-o", str(home / "model"), "--fold", "1", "--quiet"]) == 0
    (line,) = found.manifest["notes"]["layers"]
    assert f"layer {layer_of(line)} of {LAYERS}" in (home / "model" / "README.md").read_text()
    assert yaml.safe_load((home / "model" / "config.yaml").read_text())["encoders"]["small"]["params"]["layer"] == layer_of(line)
    shutil.move(home / "model", home / "elsewhere")
    ready = Model.load(home / "elsewhere")
    clips = {each.recording.id: each.recording for each in list_corpus(load(found.path / "config.yaml"), "xb")}
    rows = [each for each in found.predictions if each.fold == 0]
    for row in rows:
        waveform, rate = soundfile.read(clips[row.id].path, dtype="float32")
        posteriors = list(ready.predict(waveform, rate).posteriors.values())
        untempered = np.array(posteriors) ** ready.temperature
        assert np.abs(untempered / untempered.sum() - np.array(row.posteriors)).max() < 1e-4


@pytest.mark.slow
def test_jobs_of_a_comparison_choose_by_their_own_shots_and_find_their_features(
    home: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sets = [encoder(model), "train.epochs=1", "dynamics.use=none", "resonance=null", "losses.adapt=null"]
    words = [part for word in sets for part in ("--set", word)]
    words += ["--vary", "encoders.small.params.layer=1,auto", "--seeds", "2", "--jobs", "1", "--yes", "--out", "both"]
    assert main(["compare", "tiny.yaml", *words]) == 0, capfd.readouterr().err
    manifests = [json.loads(path.read_text()) for path in (home / "both").glob("records/*/manifest.json")]
    chosen = {each["seeds"]["run"]: layer_of(each["notes"]["layers"][0]) for each in manifests if "layers" in each["notes"]}
    assert len(manifests) == 4 and set(chosen) == {0, 1} and set(chosen.values()) <= set(range(1, LAYERS + 1))
