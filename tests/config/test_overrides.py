"""`--set` and `--unset`: what they change, and that a mistake in one is placed at the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sere_core.config import Resolved
from tests.config.conftest import matches

Read = Callable[..., Resolved]
Lines = Callable[..., list[str]]


def get(resolved: Resolved, path: str) -> Any:
    data: Any = resolved.config.model_dump()
    for part in path.split("."):
        data = data[int(part)] if isinstance(data, list) else data[part]
    return data


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("train.epochs=5", "train.epochs", 5),
        ("losses.adapt.weight=3e-4", "losses.adapt.weight", 3e-4),
        ("losses.adapt.weight={end: 2}", "losses.adapt.weight.end", 2),
        ("losses.adapt.params.steps=9", "losses.adapt.params.steps", 9),
        ("task.classes=[anger, neutral]", "task.classes", ["anger", "neutral"]),
        ("name='no'", "name", "no"),
        ("losses.extra={use: plain, weight: 2}", "losses.extra.weight", 2),
        ("paths.unlabelled={de: anchor}", "paths.unlabelled.de", "anchor"),
        ("train.batch.source=4", "train.batch.source", 4),
        ("output.dir=runs/x=y", "output.dir", "runs/x=y"),
        ("views.weak=[{use: gain}]", "views.weak.0.use", "sere.gain"),
        ("corpora.german.params.speakers=['03', '08']", "corpora.german.params.speakers", ["03", "08"]),
    ],
)
def test_a_value_is_yaml(read: Read, good: str, change: str, path: str, value: Any) -> None:
    assert get(read(good, change), path) == value


def test_later_changes_win_and_a_change_of_use_comes_first(read: Read, good: str) -> None:
    resolved = read(good, "seed=1", "losses.new.weight=2", "losses.new.use=tric", "losses.new.params.steps=4", "seed=2")
    assert resolved.config.seed == 2
    assert (get(resolved, "losses.new.weight"), get(resolved, "losses.new.params.steps")) == (2, 4)
    assert get(read(good, "losses.adapt.use=plain"), "losses.adapt.params") == {}
    assert get(read(good, "losses.adapt.use=sere.tric"), "losses.adapt.params.temperature") == 0.1


def test_null_removes_and_so_does_unset(read: Read, good: str) -> None:
    assert list(read(good, "losses.adapt=null").config.losses) == ["classify"]
    assert list(read(good, "losses.adapt=").config.losses) == ["classify"]
    resolved = read(good, unsets=["losses.adapt.params.temperature", "losses.classify"])
    assert list(resolved.config.losses) == ["adapt"] and get(resolved, "losses.adapt.params.temperature") == 0.5


def test_items_of_lists_are_numbered_and_the_seed_has_a_flag(read: Read, good: str, lines: Lines) -> None:
    text = good + "views: {weak: [{use: gain}, {use: gain}]}\n"
    assert len(read(text, unsets=["views.weak.0"]).config.views.weak) == 1
    (line,) = lines(text, "views.weak.2.use=gain")
    assert matches(line, "--set views.weak.2.use=gain: views.weak.2.use: [C305] views.weak, 2, from 0 to 1")
    assert read(good + "seed: 4\n", seed=9).config.seed == 9
    (line,) = lines(good, seed=-3)
    assert line.startswith("--seed -3: seed: [C302]")


def test_variables_can_be_set(read: Read, good: str) -> None:
    text = good.replace("/data/de", "${vars.data}/de")
    assert get(read(text, "vars.data=/x"), "corpora.german.params.root") == "/x/de"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("losses.adapt.weight=abc", "losses.adapt.weight: [C302] abc"),
        ("losses.adapt.params.steps=yes", "losses.adapt.params.steps: [C307]"),
        ("losses.adapt.params.step=1", "losses.adapt.params.step: [C302] steps"),
        ("losses.adapt.use=trik", "losses.adapt.use: [R201] trik, tric"),
        ("losses.adpat.weight=1", "losses.adpat.weight: [C305] adpat, adapt"),
        ("losess.adapt.weight=1", "losess.adapt.weight: [C305] losess, losses"),
        ("train.epoch=1", "train.epoch: [C305] epoch, epochs"),
        ("train.optimizer.lr=1", "train.optimizer.lr: [C305] lr"),
        ("losses.adapt.weigth=1", "losses.adapt.weigth: [C305] weigth, weight"),
        ("seed.x=1", "seed.x: [C305]"),
        ("task.source.x=1", "task.source.x: [C305]"),
        ("extends=b.yaml", "extends: [C305] extends"),
        ("a..b=1", "a..b: [C305] a..b"),
        ("train.epochs=[1", "train.epochs: [C305]"),
        ("train.epochs=!!int 3", "train.epochs: [C305]"),
        ("name=a\x00", "name: [C305]"),
        ("seed=\udc80", "seed: [C305]"),
        ("losses.adapt.params." + "a." * 2000 + "a=1", None),
        ("sere=2", "sere: [C309] sere: 1"),
    ],
)
def test_a_mistake_is_placed_at_the_change_that_made_it(lines: Lines, good: str, change: str, line: str | None) -> None:
    (got,) = lines(good, change)
    if line is None:
        assert got.endswith("[C305] the path has more than 24 keys")
        return
    assert matches(got, f"--set {change}: {line}")


def test_a_change_without_a_value_and_unset_of_what_is_not_set_are_mistakes(lines: Lines, good: str) -> None:
    (line,) = lines(good, "train.epochs")
    assert matches(line, "--set train.epochs: [C305] --set a.b=VALUE")
    misspelt, absent = lines(good, unsets=["losses.adpat", "train.clip"])
    assert matches(misspelt, "--unset losses.adpat: losses.adpat: [C305] adpat, adapt")
    assert matches(absent, "--unset train.clip: train.clip: [C305] train, corpora")


def test_a_mistake_in_the_file_keeps_its_place_beside_one_of_the_command_line(lines: Lines, good: str) -> None:
    assert [line.split(" [")[0] for line in lines(good.replace("tiny", "tinny"), "seed=x")] == [
        "a.yaml:8:17: encoders.anchor.use:",
        "--set seed=x: seed:",
    ]
