"""Mistakes in a comparison file: one coded line each, at the place where it was written, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from sere_core.compare.grammar import Flags, read_request
from sere_registry.errors import SereError
from tests.compare.tiny import COMPARISON, made


def lines(text: str, **flags: object) -> list[str]:
    """The coded lines that a comparison leads to."""
    with pytest.raises(SereError) as caught:
        made(text, **flags)
    return [str(problem).splitlines()[0] for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("pars: [xa>xb]", "comparison.yaml:11:1: pars: [C302]"),
        ("pairs: [xa>xb, xa]", "comparison.yaml:11:16: pairs: [C302]"),
        ("pairs: [xa>xb, xa>xb]", "comparison.yaml:11:16: pairs: [C302]"),
        ("pairs: [xa>xa]", "comparison.yaml:11:9: pairs: [C302]"),
        ("pairs: [xa>xd]", "comparison.yaml:11:9: task.target: [C308]"),
        ("seeds: 0", "comparison.yaml:11:8: seeds: [C302]"),
        ("budget: {epochs: 0}", "comparison.yaml:11:18: budget.epochs: [C302]"),
        ("allow: everything", "comparison.yaml:11:8: allow: [C302]"),
        ("allow: [digest.features]", "comparison.yaml:11:9: allow.0: [C308]"),
        ("vary: {losses.adapt.weight: []}", "comparison.yaml:11:8: vary.losses.adapt.weight: [C302]"),
        ("vary: {losses.adopt.weight: [1]}", "comparison.yaml:11:8: vary.losses.adopt.weight: [C305]"),
        ("vary: {losses.adapt.params.weigth: [1]}", "losses.adapt.params.weigth: [C302]"),
        ("vary: {train.epochs: [1, 2]}", "train.epochs: [C311]"),
        ("set: {seed: 4}", "comparison.yaml:11:7: set.seed: [C302]"),
        ("set: {name: x, task: {shotz: 1}}", "comparison.yaml:11:7: set.name: [C302]"),
        ("set: {task: {shotz: 1}}", "comparison.yaml:11:14: task.shotz: [C302]"),
        ("set: {losses: {adapt: {use: trik}}}", "comparison.yaml:11:29: losses.adapt.use: [R201]"),
        ("set: {task: {shots: 99}}", "comparison.yaml:11:21: task.shots: [D607]"),
    ],
)
def test_a_mistake_is_a_line_with_its_place(home: Path, change: str, expected: str) -> None:
    found = lines(f"{COMPARISON}{change}\n")
    assert any(expected in line for line in found), found


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("sere: 1", "sere: 2", "comparison.yaml:1:7: sere: [C309]"),
        ("base: base.yaml", "base: nothing.yaml", "comparison.yaml:3:7: base: [C304]"),
        ("base: base.yaml\n", "", "base: [C302]"),
        ("compare: little", "compare: a/b", "comparison.yaml:2:10: compare: [C302]"),
        ("floor: floor", "floor: flor", "comparison.yaml:8:8: floor: [C308]"),
        ("floor: floor", "floor: [floor, ceiling]", "ceiling: [C311]"),
        ("reference: ours", "reference: theirs", "comparison.yaml:10:12: reference: [C308]"),
        ("ours: {}", "floor: {}", "comparison.yaml:6:3: rows.floor: [C301]"),
        ("ours: {}", "ours: {output: x}", "comparison.yaml:6:10: rows.ours.output: [C302]"),
        ("ours: {}", "ours: {train: {epochs: 9}}", "comparison.yaml:6:26: train.epochs: [C311]"),
        ("ours: {}", "ours: {train: {batch: {target: 2}}}", "train.batch.target: [C311]"),
        ("ours: {}", "ours: {losses: {adapt: {weight: heavy}}}", "comparison.yaml:6:35: losses.adapt.weight: [C302]"),
        ("ours: {}", "ours: [1]", "comparison.yaml:6:3: rows.ours: [C302]"),
    ],
)
def test_a_mistake_in_what_is_there(home: Path, old: str, new: str, expected: str) -> None:
    assert old in COMPARISON
    found = lines(COMPARISON.replace(old, new))
    assert any(expected in line for line in found), found


def test_problems_of_all_rows_are_reported_together(home: Path) -> None:
    text = COMPARISON.replace("ours: {}", "ours: {losses: {adapt: {use: trik}}}\n  theirs: {method: {use: mdc}, losses: null}")
    text = text.replace("reference: ours\n", "")
    assert [line.split(": ")[1] for line in lines(text)] == ["losses.adapt.use", "method.use"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"vary": ("losses.adapt.weight",)}, "--vary losses.adapt.weight: [C305]"),
        ({"vary": ("losses.adapt.weight=[1",)}, "[C305]"),
        ({"pairs": "xa>xq"}, "--pairs xa>xq: task.target: [C308]"),
        ({"seeds": "many"}, "--seeds many: seeds: [C302]"),
        ({"sets": ("task.shotz=1",)}, "--set task.shotz=1: task.shotz: [C305]"),
        ({"reference": "nobody"}, "--reference nobody: reference: [C308]"),
    ],
)
def test_a_mistake_on_the_command_line(home: Path, flags: dict[str, object], expected: str) -> None:
    found = lines(COMPARISON, **flags)
    assert any(expected in line for line in found), found


def test_the_file_and_the_command_line_ask_for_the_same(home: Path) -> None:
    Path("comparison.yaml").write_text(f"{COMPARISON}pairs: [xa>xb, xb>xa]\nseeds: 2\nvary: {{losses.adapt.weight: [0, 0.1]}}\n")
    written = read_request("comparison.yaml", Flags()).comparison
    Path("comparison.yaml").write_text(COMPARISON)
    flags = Flags(pairs="xa>xb,xb>xa", seeds="2", vary=("losses.adapt.weight=0,0.1",))
    assert read_request("comparison.yaml", flags).comparison == written
