"""The digests of the drawing order: of what is really drawn, the same for every method, and changed by what changes the order."""

from __future__ import annotations

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sere_core.config.model import Train
from sere_core.data.plan import Fold
from sere_core.testing.toy import streams
from sere_core.train.streams import StreamSet, fold_seed, order_digests
from sere_registry import BuildContext, Recording
from tests.train.recipes import toy

NAMES = ("labelled", "source", "target")


def train(**more: Any) -> Train:
    return Train(**{"epochs": 3, "steps_per_epoch": 2, "batch": {"labelled": 4, "source": 5, "target": 6}, **more})


def as_fold(toy: Mapping[str, StreamSet]) -> Fold:
    """The toy's streams as recordings, whose keys are the items' names."""

    def recordings(name: str) -> tuple[Recording, ...]:
        return tuple(Recording(item.name.partition("/")[2], Path("x"), item.name.partition("/")[0], "xa", "s") for item in toy[name].items)

    labelled, source, target = (recordings(name) for name in NAMES)
    return Fold(0, labelled, tuple(0 for _ in labelled), source, target, target)


class Recorder(nn.Module):
    """A loss that writes down which utterances it is given."""

    drawn: dict[str, list[tuple[str, ...]]]

    def __init__(self, context: BuildContext) -> None:
        super().__init__()

    def forward(self, labelled: Any, source: Any, target: Any) -> Mapping[str, Tensor]:
        for name, batch in zip(NAMES, (labelled, source, target), strict=True):
            type(self).drawn[name].append(batch.ids)
        return {"nothing": torch.zeros(())}


def test_the_digest_is_of_what_is_drawn(tmp_path: Path) -> None:
    given, config = streams(), train()
    Recorder.drawn = defaultdict(list)
    toy(record=Recorder, seed=fold_seed(7, 0)).trainer(tmp_path, streams_=given, **config.model_dump()).run()
    digests = order_digests([as_fold(given)], config, 7)
    assert set(digests) == set(NAMES)
    for name in NAMES:
        assert len(Recorder.drawn[name]) == 6, "three epochs of two steps"
        position = {id: number for number, id in enumerate(given[name].names(range(len(given[name]))))}
        seen = hashlib.sha256("\n".join(item.name for item in given[name].items).encode() + b"\0")
        for ids in Recorder.drawn[name]:
            seen.update(array("I", [position[id] for id in ids]).tobytes())
        assert digests[name] == seen.hexdigest(), name


@pytest.mark.parametrize(
    ("change", "other"),
    [
        ({"batch": {"labelled": 3, "source": 5, "target": 6}}, {"labelled"}),
        ({"batch": {"labelled": 4, "source": 6, "target": 6}}, {"source"}),
        ({"batch": {"labelled": 4, "source": 5, "target": 7}}, {"target"}),
        ({"epochs": 4}, set(NAMES)),
        ({"steps_per_epoch": 3}, set(NAMES)),
        ({"optimizer": {"use": "sgd"}, "clip": 1.0}, set()),
    ],
)
def test_what_changes_the_order_changes_its_digest(change: dict[str, Any], other: set[str]) -> None:
    fold = as_fold(streams())
    before, after = order_digests([fold], train(), 0), order_digests([fold], train(**change), 0)
    assert {name for name in NAMES if before[name] != after[name]} == other


def test_seed_folds_and_members_change_it() -> None:
    fold = as_fold(streams())
    here = order_digests([fold], train(), 0)
    elsewhere = Fold(0, fold.labelled, fold.labels, fold.source[::-1], fold.target[:-1], fold.test)
    for others in (
        order_digests([fold], train(), 1),
        order_digests([fold, Fold(1, *[getattr(fold, name) for name in ("labelled", "labels", "source", "target", "test")])], train(), 0),
    ):
        assert all(here[name] != others[name] for name in NAMES)
    moved = order_digests([elsewhere], train(), 0)
    assert [name for name in NAMES if here[name] != moved[name]] == ["source", "target"]
    assert set(order_digests([Fold(0, fold.labelled, fold.labels, (), fold.target, fold.test)], train(), 0)) == {"labelled", "target"}
