"""Encoders whose layers are trained: what they return is standardised, by statistics of the layers as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from sere_core.cli import main
from sere_core.config import load
from sere_core.config.model import Optimizer, Train
from sere_core.console import Speaker
from sere_core.data.texts import SHRINKAGE
from sere_core.plan import make_plan
from sere_core.score.records import Record
from sere_core.train.material import Material, gather
from sere_core.train.network import Backbone, network
from sere_core.train.stage import make_optimizer
from sere_core.train.streams import BatchMaker, StreamSet
from sere_core.train.whole import predict, predict_mixtures
from sere_registry import Group, Place, SereError
from tests.encoders.checkpoints import HIDDEN, tiny_whisper
from tests.model.test_model import SMALL

ANY = {"STABLE": -1.0, "STABLE_MANY": -1.0, "REPEATED": 0.0}  # whatever clusters there are count as texts


def words(home: Path, params: str, *sets: str) -> list[str]:
    encoder = f"encoders={{e: {{use: whisper, params: {{model: '{tiny_whisper(home / 'checkpoint')}', {params}}}}}}}"
    paths = ["paths={labelled: e, unlabelled: e}", "dynamics={use: none}", f"output.dir={json.dumps(str(home / 'runs'))}"]
    return [*SMALL, encoder, *paths, *sets]


def material(home: Path, params: str, *sets: str) -> Material:
    return gather(make_plan(load("sere_default", sets=words(home, params, *sets))), torch.device("cpu"), Speaker(quiet=True))


def standardised(home: Path, params: str, *sets: str, change: Callable[[nn.Module], object] = lambda layers: None) -> Any:
    """The streams of a fold, their network, and what was made of each utterance's frames: (corpus, speaker, before, after) by stream."""
    found = material(home, params, *sets)
    fold = found.plan.task.folds[0]
    streams, method = found.streams(fold), found.builder(fold, torch.device("cpu")).method()
    backbone = network(method.backbone)
    change(backbone.encoders["e"])
    found.standardise(fold, method)
    rows = {}
    for name in ("labelled", "source", "target", "test"):
        for each, recording in zip(streams[name].items, getattr(fold, name), strict=True):
            rows[recording.key] = (recording.corpus, recording.speaker, *outputs(backbone, streams[name], streams[name].items.index(each)))
    return list(rows.values())


def outputs(backbone: Backbone, stream: StreamSet, index: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of an utterance's output before and after, in float64."""
    inputs = stream.collate([index], torch.device("cpu")).inputs
    assert inputs is not None and inputs.scaling is not None
    backbone.eval()
    with torch.no_grad():
        values = cast(Any, backbone.encoders["e"])(inputs.frames).values[0].double().mean(dim=0)
    shift, factor = inputs.scaling[0].double()
    return values.numpy(), ((values - shift) * factor).numpy()


def trained_otherwise(encoder: nn.Module) -> None:
    """As after some training."""
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(1.3)


@pytest.mark.parametrize("params", ["train: top, top_layers: 1", "train: all", "layer: [1, 2], train: top, top_layers: 1"])
@pytest.mark.parametrize("change", [lambda layers: None, trained_otherwise], ids=["at first", "later"])
def test_outputs_have_mean_zero_and_deviation_one_by_speaker(params: str, change: Any, tmp_path: Path) -> None:
    rows = standardised(tmp_path, params, "task.normalise=speaker", change=change)
    for speaker in {row[:2] for row in rows}:
        before, after = (np.stack([row[part] for row in rows if row[:2] == speaker]) for part in (2, 3))
        np.testing.assert_allclose(after, (before - before.mean(axis=0)) / before.std(axis=0), atol=2e-4)


def test_by_corpus_t_e_has_no_part_in_it(tmp_path: Path) -> None:
    rows = standardised(tmp_path, "train: top, top_layers: 1", "task.normalise=corpus")
    target = np.stack([row[3] for row in rows if row[0] == "xb"])
    source = np.stack([row[3] for row in rows if row[0] == "xa"])
    np.testing.assert_allclose(source.mean(axis=0), 0, atol=1e-4)
    assert np.abs(target.mean(axis=0)).max() > 1e-2  # T_e among them, which another half of the speakers standardises


def test_not_standardised_is_as_the_layers_return_it(tmp_path: Path) -> None:
    found = material(tmp_path, "train: top, top_layers: 1", "task.normalise=none")
    (batch,) = (found.streams(fold)["target"].collate([0], torch.device("cpu")) for fold in found.plan.task.folds[:1])
    assert batch.inputs is not None and batch.inputs.scaling is None


def test_texts_are_taken_off_what_a_trained_layer_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by the frozen last layer beside it, whose columns become 0; their means are of the outputs as they are."""
    for name, value in ANY.items():
        monkeypatch.setattr(f"sere_core.data.texts.{name}", value)
    sets = ("task.by_text=true", "task.setting=transductive", "task.normalise=corpus")
    found = material(tmp_path, "layer: [1, 2], train: top, top_layers: 1", *sets)
    fold = found.plan.task.folds[0]
    streams, method = found.streams(fold), found.builder(fold, torch.device("cpu")).method()
    backbone = network(method.backbone)
    trained_otherwise(backbone.encoders["e"])
    found.standardise(fold, method)
    texts = found.texts[0]["e"]["xb"]
    assert texts.count > 1 and texts.means.shape[1] == 4 * HIDDEN
    before, after = (
        np.stack(each) for each in zip(*(outputs(backbone, streams["target"], i) for i in range(len(fold.target))), strict=True)
    )
    z = (before - before.mean(axis=0)) / before.std(axis=0)
    frozen = np.stack([np.asarray(found.features.mean(each, "e"), np.float64) for each in fold.target])
    frozen = ((frozen - frozen.mean(axis=0)) / frozen.std(axis=0))[:, HIDDEN:]
    distance = np.linalg.norm((frozen @ texts.axes[:HIDDEN])[:, None] - texts.centres[None], axis=2)
    nearest = np.where(distance.min(axis=1) <= texts.reach[distance.argmin(axis=1)], distance.argmin(axis=1), -1)
    assert len(set(nearest.tolist()) - {-1}) == texts.count
    for number in set(nearest.tolist()) - {-1}:
        rows = z[nearest == number]
        expected = rows - rows.sum(axis=0) / (len(rows) + SHRINKAGE)
        np.testing.assert_allclose(after[nearest == number, :HIDDEN], expected[:, :HIDDEN], atol=2e-3)
    assert not after[:, HIDDEN:].any()


@pytest.mark.parametrize("method", ["method={use: logistic}", "method.use=joint"])
def test_a_mixture_with_nothing_is_the_utterance(method: str, tmp_path: Path) -> None:
    """Its vector and its scaling are mixed as its frames are."""
    sets = (method, "losses=null") if "logistic" in method else (method,)
    found = material(tmp_path, "layer: [1, 2], train: top, top_layers: 1", "task.normalise=speaker", *sets)
    fold, device = found.plan.task.folds[0], torch.device("cpu")
    streams, made = found.streams(fold), found.builder(fold, device).method()
    made.eval()  # type: ignore[attr-defined]
    with torch.no_grad():
        for value in cast(nn.Module, made).state_dict().values():
            value.copy_(torch.randn_like(value) if value.is_floating_point() else value)
    found.standardise(fold, made)
    plain, every = predict(made, streams["target"], None, device)["posteriors"], torch.arange(len(streams["target"]))
    mixtures = predict_mixtures(made, streams["target"], None, device, every, every.flip(0), 1.0)
    torch.testing.assert_close(mixtures, plain, atol=1e-5, rtol=0)


def test_s_l_is_encoded_once_a_step_and_anew_once_it_is_standardised_otherwise(tmp_path: Path) -> None:
    found = material(tmp_path, "train: top, top_layers: 1", "task.normalise=speaker", "resonance={use: cosine}", "losses.adapt={use: tric}")
    fold, device = found.plan.task.folds[0], torch.device("cpu")
    streams, method = found.streams(fold), found.builder(fold, device).method()
    found.standardise(fold, method)
    batches = BatchMaker(streams, found.plan.resolved.config.train, 0, device)
    first = batches.draw(frozenset({"labelled", "support"}), 0)
    assert first["support"] is first["labelled"]
    trained_otherwise(network(method.backbone).encoders["e"])
    found.standardise(fold, method)
    batches.forget()
    again = batches.draw(frozenset({"labelled"}), 1)["labelled"]
    assert again.inputs is not None and again.inputs.scaling is not None
    assert torch.equal(again.inputs.scaling[0], streams["labelled"].items[0].scaling)  # type: ignore[arg-type]


def test_what_was_not_standardised_shows(tmp_path: Path) -> None:
    found = material(tmp_path, "train: top, top_layers: 1", "task.normalise=speaker")
    fold, device = found.plan.task.folds[0], torch.device("cpu")
    streams, method = found.streams(fold), found.builder(fold, device).method()
    with pytest.raises(SereError) as caught:
        predict(method, streams["target"], None, device)
    assert caught.value.problems[0].code == "B403"


def test_a_run_that_goes_on_ends_in_the_same_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = ("task.normalise=speaker", "train.epochs=3", "method={use: joint, params: {ema: 0.5}}", "task.folds=2")

    def run(folder: str, *more: str) -> Record:
        given = [*words(tmp_path, "train: top, top_layers: 1", *sets), f"output.dir={json.dumps(str(tmp_path / folder))}"]
        flags = [part for word in given for part in ("--set", word)]
        code = main(["run", "sere_default", "--quiet", *flags, *more])
        capsys.readouterr()
        return Record.read(next((tmp_path / folder).glob("*/done")).parent) if code == 0 else cast(Any, code)

    whole = run("whole")
    stops: Any = pytest.MonkeyPatch()
    from sere_core.train.fold import FoldTrainer

    save, count = FoldTrainer._save, [0]

    def killed(self: Any, *args: Any) -> None:
        save(self, *args)
        count[0] += 1
        if count[0] == 2:
            raise KeyboardInterrupt

    stops.setattr(FoldTrainer, "_save", killed)
    assert cast(Any, run("broken")) == 130
    stops.undo()
    resumed = run("broken", "--resume")
    assert [each.posteriors for each in resumed.predictions] == [each.posteriors for each in whole.predictions]
    pictures = [np.load(each.path / "embeddings" / "picture.npz") for each in (whole, resumed)]
    for name in ("initial", "trained"):
        assert np.array_equal(pictures[0][name], pictures[1][name]) and pictures[0][name].std(axis=0).max() > 0


def test_an_encoder_learns_at_its_own_rate() -> None:
    fast, slow = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    train = Train(optimizer=Optimizer(use="sgd", params={"lr": 0.5}), encoder_rate=0.1)
    made = make_optimizer(Group([fast, slow]), train, lambda path: Place(path=path), {slow})
    assert made is not None
    fast.grad, slow.grad = torch.ones(1), torch.ones(1)
    made.step(0.0)
    assert fast.item() == pytest.approx(-0.5) and slow.item() == pytest.approx(-0.05)


def test_layers_that_return_no_number_are_named(tmp_path: Path) -> None:
    def broken(layers: nn.Module) -> None:
        with torch.no_grad():
            next(layers.parameters()).fill_(torch.nan)

    with pytest.raises(SereError) as caught:
        standardised(tmp_path, "train: top, top_layers: 1", "task.normalise=speaker", change=broken)
    (problem,) = caught.value.problems
    assert problem.code == "B403" and problem.place.path == "encoders.e"


@pytest.mark.parametrize(("params", "expected"), [("train: top, top_layers: 1", 1), ("train: frozen", 0)])
def test_a_method_on_vectors_says_that_it_reads_no_trained_layer(params: str, expected: int, tmp_path: Path) -> None:
    sets = [part for each in words(tmp_path, params, "method={use: logistic}", "losses=null") for part in ("--set", each)]
    assert main(["run", "sere_default", *sets, "--quiet"]) == 0
    (record,) = (Record.read(path.parent) for path in tmp_path.glob("runs/*/done"))
    assert sum("does not count" in line for line in record.manifest["notes"].get("warnings", [])) == expected
