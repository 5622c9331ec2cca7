"""`extends`: maps merge, lists replace, null removes, a changed `use` drops the old params."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sere_core
from sere_core.config import Resolved, load
from sere_core.config.files import bundled
from sere_registry import SereError
from tests.config.conftest import matches

Read = Callable[..., Resolved]
Lines = Callable[..., list[str]]


def test_maps_merge_the_nearest_file_wins_and_names_are_relative_to_it(read: Read, good: str) -> None:
    resolved = read("extends: base.yaml\nname: mine\ntask: {shots: 7}\n", files={"base.yaml": good})
    assert (resolved.config.name, resolved.config.task.shots, resolved.config.task.source) == ("mine", 7, "german")
    assert [file.name for file in resolved.sources] == ["a.yaml", "base.yaml"]
    resolved = read("extends: [b.yaml, c.yaml]", files={"b.yaml": good, "c.yaml": "seed: 5\nname: third"})
    assert (resolved.config.seed, resolved.config.name) == (5, "third")
    files = {"deep/b.yaml": "extends: [../c.yaml, d.yaml]", "c.yaml": good, "deep/d.yaml": "seed: 3"}
    assert read("extends: deep/b.yaml", files=files).config.seed == 3


def test_lists_replace_and_null_removes(read: Read, good: str) -> None:
    base = good + "views: {weak: [{use: gain}, {use: gain}], strong: [{use: gain}]}\n"
    resolved = read("extends: b.yaml\nviews: {weak: [{use: gain}]}", files={"b.yaml": base})
    assert [path for path in resolved.components if path.startswith("views")] == ["views.weak.0", "views.strong.0"]
    base = good + "resonance: {use: field}\ntrain: {clip: 1.0}\n"
    resolved = read("extends: b.yaml\nresonance: null\nlosses: {adapt: ~}\ntrain: {clip: null}", files={"b.yaml": base})
    assert resolved.config.resonance is None and list(resolved.config.losses) == ["classify"] and resolved.config.train.clip is None


def test_null_is_a_value_where_a_parameter_may_be_null_and_its_default_elsewhere(read: Read, good: str) -> None:
    resolved = read("extends: b.yaml\nlosses: {adapt: {params: {floor: null, temperature: null}}}", files={"b.yaml": good})
    params = resolved.components["losses.adapt"].params
    assert (params.floor, params.temperature) == (None, 0.5)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("use", "kept"), [("tric", True), ("sere.tric", True), ("plain", False)])
def test_a_changed_use_drops_the_params_of_the_other_component(read: Read, good: str, use: str, kept: bool) -> None:
    resolved = read(f"extends: b.yaml\nlosses: {{adapt: {{use: {use}}}}}", files={"b.yaml": good})
    block = resolved.config.losses["adapt"]
    assert (block.params.get("temperature") == 0.1) == kept and block.weight == 0.5


def test_a_changed_optimizer_drops_its_arguments_too(read: Read, good: str) -> None:
    base = good + "train: {optimizer: {use: adam, params: {betas: [0.9, 0.99]}}}\n"
    resolved = read("extends: b.yaml\ntrain: {optimizer: {use: sgd, params: {lr: 0.1}}}", files={"b.yaml": base})
    assert resolved.config.train.optimizer.params == {"lr": 0.1}


def test_a_mistake_is_placed_in_the_file_where_it_stands(lines: Lines, good: str) -> None:
    base, mine = lines("extends: sub/b.yaml\nseed: -1", files={"sub/b.yaml": good.replace("use: tiny", "use: tinny")})
    assert base.startswith("sub/b.yaml:8:17: encoders.anchor.use: [R201]") and mine.startswith("a.yaml:2:7: seed: [C302]")


def test_a_circle_is_told_once(lines: Lines) -> None:
    (line,) = lines("extends: b.yaml", files={"b.yaml": "extends: [a.yaml]"})
    assert matches(line, "b.yaml:1:11: extends: [C304] a.yaml -> b.yaml -> a.yaml")


@pytest.mark.parametrize(
    ("extends", "says"),
    [
        ("none.yaml", "a.yaml:1:10: extends: [C304] none.yaml"),
        (".", "a.yaml:1:10: extends: [C304]"),
        ("[5]", "a.yaml:1:11: extends: [C302]"),
        ("''", "a.yaml:1:10: extends: [C304]"),
        ("x" * 5000, "a.yaml:1:10: extends: [C304]"),
    ],
)
def test_a_file_that_is_not_there_is_told_where_it_is_named(lines: Lines, extends: str, says: str) -> None:
    assert any(matches(line, says) for line in lines(f"extends: {extends}\nsere: 1"))


def test_a_mistake_in_yaml_of_a_base_is_told_alone(lines: Lines) -> None:
    (line,) = lines("extends: b.yaml", files={"b.yaml": "a: [1"})
    assert line.startswith("b.yaml:2:1: [C310]")


@pytest.fixture
def house(folder: Path, monkeypatch: pytest.MonkeyPatch, good: str) -> Path:
    """An installed sere with two configs of its own, and a working directory elsewhere."""
    package = folder / "site" / "sere_core"
    (package / "configs" / "paper").mkdir(parents=True)
    (package / "configs" / "sere_default.yaml").write_text(good)
    (package / "configs" / "paper" / "table.yaml").write_text("extends: sere_default\nname: table")
    monkeypatch.setattr(sere_core, "__file__", str(package / "__init__.py"))
    return folder


@pytest.mark.parametrize(
    "name", ["sere_default", "sere_default.yaml", "configs/sere_default.yaml", "paper/table", "configs/paper/table.yaml"]
)
def test_configs_that_come_with_sere_are_found_by_name(house: Path, catalog: Any, name: str) -> None:
    assert load(name, catalog=catalog).config.name == ("table" if "table" in name else "small")


def test_a_file_of_the_user_comes_before_the_bundled_one(house: Path, catalog: Any, good: str) -> None:
    (house / "configs").mkdir()
    (house / "configs" / "sere_default.yaml").write_text(good.replace("name: small", "name: mine"))
    assert load("configs/sere_default.yaml", catalog=catalog).config.name == "mine"
    assert load("sere_default", catalog=catalog).config.name == "small"


def test_an_unknown_name_gets_a_suggestion(house: Path, catalog: Any) -> None:
    with pytest.raises(SereError) as caught:
        load("sere_defualt", catalog=catalog)
    assert matches(str(caught.value), "sere_defualt: [C304] sere_defualt, sere_default, paper/table")


@pytest.mark.parametrize("name", ["", "a\0b", "../" * 30 + "etc", "/no/such.yaml", "."])
def test_odd_names_are_one_coded_line(house: Path, catalog: Any, name: str) -> None:
    with pytest.raises(SereError) as caught:
        load(name, catalog=catalog)
    assert [problem.code for problem in caught.value.problems] == ["C304"]


def test_in_a_checkout_the_configs_are_those_of_the_repository() -> None:
    repository = Path(sere_core.__file__).parent.parent
    assert bundled()["sere_default"] == repository / "configs" / "sere_default.yaml"
