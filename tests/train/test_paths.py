"""S_l through every encoder that the paths use: what is taught, and by what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from sere_core.testing.toy import CLASSES, CONTOURS, CPU, DIM, MORE, WIDTH, on_three_paths, streams, toy_network
from sere_core.train.checkpoint import Checkpoint
from sere_core.train.network import OwnPath
from sere_core.train.streams import BatchMaker
from sere_registry import BuildContext, LabelledBatch
from sere_registry.training import over_paths
from tests.train.recipes import RECIPES, VIEWS, irf


def labelled() -> LabelledBatch:
    """S_l of the toy through three encoders."""
    network = toy_network(WIDTH, DIM, CONTOURS, CLASSES, more=MORE)
    batch = network.encode(on_three_paths()["labelled"].collate(range(9), CPU))
    assert isinstance(batch, LabelledBatch)
    return batch


def test_s_l_is_read_by_every_encoder_and_a_loss_is_the_mean_over_them() -> None:
    batch = labelled()
    assert [each.path for each in batch.every_path()] == ["toy", "second", "third"]
    assert [each.inputs.frames.values.shape[2] for each in batch.every_path() if each.inputs] == [WIDTH, *MORE.values()]
    found = over_paths(lambda labelled: {"ce": cross_entropy(labelled.logits, labelled.labels)}, labelled=batch)
    each = [cross_entropy(one.logits, batch.labels) for one in (batch, *batch.others)]  # type: ignore[attr-defined]
    torch.testing.assert_close(found["ce"], sum(each) / 3)
    assert len({float(one.detach()) for one in each}) == 3


def test_rows_and_paths_of_a_batch_go_together() -> None:
    batch = labelled()
    rows = batch.take([4, 2])
    third = rows.through("third")
    assert torch.equal(third.embedding, batch.through("third").embedding[[4, 2]]) and third.through("toy").path == "toy"
    assert batch.through("nowhere") is batch and batch.through("") is batch


def test_all_vectors_are_of_the_encoder_that_predicts() -> None:
    batch = labelled()
    assert {each.vectors.shape[1] for each in batch.every_path()} == {MORE["third"]}
    assert torch.equal(batch.vectors, batch.through("third").vectors)


def test_a_field_within_one_encoder_compares_frames_of_the_reader_s() -> None:
    network, given = toy_network(WIDTH, DIM, CONTOURS, CLASSES, more=MORE), on_three_paths()
    target = network.encode(given["target"].collate(range(5), CPU))
    batch = labelled()
    field: Any = irf(BuildContext("field", CLASSES, dim=DIM, dynamics_dim=CONTOURS))
    own = OwnPath(field)
    assert torch.equal(own.similarity(target, batch), field.similarity(target, batch.through("third")))
    assert not torch.equal(own.similarity(target, batch), field.similarity(target, batch))
    picks = torch.tensor([3, 0, 0, 8, 1])
    assert torch.equal(own.aligned(target, batch, picks).aligned, field.aligned(target, batch.through("third"), picks).aligned)


def own_irf(context: BuildContext) -> object:
    """The field within one encoder: across three that are not trained yet its cosines say nothing."""
    return OwnPath(irf(context))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_learns_on_three_paths(tmp_path: Path, name: str) -> None:
    toy = replace(RECIPES[name], paths=True, resonance=own_irf if RECIPES[name].resonance else None)
    result = toy.trainer(tmp_path, views=VIEWS, epochs=8).run()
    assert (result.posteriors.argmax(dim=1) == torch.arange(15) % 3).float().mean() > 0.5


def test_without_labels_on_its_path_the_target_s_projection_is_not_taught(tmp_path: Path) -> None:
    """The mistake that `supervise: all` mends: source-only trains nothing that T_e passes but the classifier."""
    given, toy = on_three_paths(), replace(RECIPES["source_only"], paths=True)
    moved = {}
    for name, stream in (("all", given["labelled"]), ("labelled", replace(given["labelled"], others=()))):
        trainer = toy.trainer(tmp_path / name, streams_={**given, "labelled": stream})
        before = toy.method().backbone.projections["third"].linear.weight  # type: ignore[attr-defined]
        trainer.run()
        after = Checkpoint.load(trainer.path).under("method")["backbone.projections.third.linear.weight"]
        moved[name] = not torch.equal(before, after)
    assert moved == {"all": True, "labelled": False}


def test_views_of_s_l_are_made_on_every_path() -> None:
    network = toy_network(WIDTH, DIM, CONTOURS, CLASSES, more=MORE)
    maker = BatchMaker(on_three_paths(), RECIPES["coral"].trainer(Path()).train, 0, CPU, VIEWS)
    batch = maker.encode(network, maker.draw(frozenset({"labelled"}), 0), frozenset({"labelled"}), 0)["labelled"]
    for each in batch.every_path():
        assert each.views is not None and each.views.strong.path == each.path and not each.views.strong.others


def test_streams_of_one_path_have_no_others() -> None:
    assert all(not stream.others for stream in streams().values())
