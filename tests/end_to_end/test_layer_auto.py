"""`layer: auto`: the run chooses a layer by the source's labels, and is then the run that a config with that number would be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from sere_core.config import load
from sere_core.console import Speaker
from sere_core.plan import make_plan
from sere_core.train.layer_choice import choose_layers
from tests.encoders.checkpoints import LAYERS, tiny_wav2vec2
from tests.end_to_end.conftest import Sere, record


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_wav2vec2(tmp_path_factory.mktemp("auto") / "model")


def encoder(model: Path, **params: object) -> str:
    return f"encoders.small={json.dumps({'use': 'wav2vec2', 'params': {'model': str(model), **params}})}"


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
    layer = int(line.removeprefix("small: layer ").partition(" ")[0])
    assert f"of {LAYERS}, nearest" in line and layer >= trained.get("top_layers", 1)  # type: ignore[operator]
    again = sere("tiny.yaml", encoder(model, layer=layer, **trained), *words[:2], "output.dir=fixed")
    assert again.code == 0
    assert (chosen / "predictions.csv").read_bytes() == (record(home / "fixed") / "predictions.csv").read_bytes()


def test_the_choice_reads_no_label_of_the_target_and_none_of_the_source_but_the_shots(home: Path, model: Path) -> None:
    """Whoever is silent in the fold's labels is silent in the choice: other labels of the rest change nothing, the shots' do."""
    plan = make_plan(load(home / "tiny.yaml", sets=[encoder(model, layer="auto"), "task.shots=3"]))

    def choice(plan: object) -> dict[int, float]:
        return choose_layers(plan, torch.device("cpu"), Speaker(quiet=True))[0].errors  # type: ignore[arg-type]

    from sere_core.plan import build_corpus

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
