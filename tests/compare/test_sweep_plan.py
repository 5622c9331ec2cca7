"""What a sweep would run: the same number of draws for every row, from declared ranges only, each a job of its own."""

from __future__ import annotations

import functools
import operator
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sere_core.cli import main
from sere_core.compare.grammar import Flags
from sere_core.compare.sweep import Range, Sweep, draw, plan_sweep
from sere_core.config import load
from sere_registry.errors import SereError
from tests.compare.tiny import planned

TUNED = """\
sere: 1
compare: little
base: base.yaml
rows:
  floor: {losses: {adapt: null}}
  ours: {}
  closed: {losses: null, method: {use: logistic}}
  theirs: {losses: {adapt: {use: coral}}}
  ceiling: {losses: {adapt: null}}
floor: floor
ceiling: ceiling
reference: ours
pairs: [xa>xb, xb>xa]
tune: {trials: 3, repeats: 2, select: entropy}
"""


def sweep(text: str = TUNED, **flags: Any) -> Sweep:
    """The plan of a sweep in the working directory; nothing is written."""
    Path("comparison.yaml").write_text(text)
    return plan_sweep("comparison.yaml", Flags(**flags))


def problem(text: str = TUNED, **flags: Any) -> str:
    """What is wrong with it."""
    with pytest.raises(SereError) as caught:
        sweep(text, **flags)
    return str(caught.value)


def settings(found: Sweep) -> dict[tuple[str, str, int], list[Mapping[str, Any]]]:
    return {(place.row, place.pair, place.seed): [trial.setting for trial in place.trials] for place in found.places}


def test_every_row_gets_the_same_number_of_trials_in_every_pair_and_repeat(home: Path) -> None:
    found = sweep()
    counts = Counter({(place.row, place.pair, place.seed): len(place.trials) for place in found.places})
    assert len(counts) == 5 * 2 * 2
    assert {count for (row, _, _), count in counts.items() if row != "ceiling"} == {3}
    assert {count for (row, _, _), count in counts.items() if row == "ceiling"} == {1}, "a ceiling is no method and is not tuned"
    jobs = {trial.job for place in found.places for trial in place.trials}
    assert jobs == set(found.planned.configs), "and each has its config"
    tuning = {row.name: row.tuning for row in found.planned.plan.rows}
    assert tuning.pop("ceiling") == "none"
    assert set(tuning.values()) == {"random search, 3 trials, sere.entropy, 2 repeats"}


def test_a_row_without_ranges_has_as_many_trials_which_are_one_run(home: Path) -> None:
    found = sweep(params=("losses.adapt",))
    (place,) = (place for place in found.places if (place.row, place.pair, place.seed) == ("floor", "xa>xb", 0))
    assert [dict(trial.setting) for trial in place.trials] == [{}, {}, {}]
    assert len({trial.job for trial in place.trials}) == 1


def test_draws_stay_within_what_is_declared_and_reach_the_configs(home: Path) -> None:
    found = sweep()
    for place in found.places:
        for trial in place.trials:
            (home / "job.yaml").write_text(found.planned.configs[trial.job])
            resolved = load("job.yaml")
            assert resolved.digest() == trial.job and resolved.config.seed == place.seed
            for path, value in trial.setting.items():
                assert functools.reduce(operator.getitem, path.split("."), resolved.config.model_dump()) == value
            if place.row == "closed":
                assert list(trial.setting) == ["method.params.C"] and 1e-4 <= trial.setting["method.params.C"] <= 1e2
            if place.row == "floor":
                assert 0 <= trial.setting["losses.classify.params.label_smoothing"] <= 0.3


def test_draws_belong_to_their_place_and_do_not_move(home: Path) -> None:
    first = settings(sweep())
    assert len({str(drawn) for place, drawn in first.items() if place[0] == "ours"}) == 4, "pairs and repeats have draws of their own"
    assert settings(sweep()) == first
    more = settings(sweep(trials=4))
    assert all(more[place][:3] == drawn for place, drawn in first.items() if place[0] != "ceiling"), (
        "a larger search begins with the smaller"
    )
    fewer = settings(sweep(TUNED.replace("  closed: {losses: null, method: {use: logistic}}\n", "")))
    assert all(drawn == first[place] for place, drawn in fewer.items()), "nor does another row move them"


def test_every_kind_of_range_is_drawn_from() -> None:
    ranges = [
        Range("a", "log", (1e-3, 1e3)),
        Range("b", "uniform", (-1.0, 1.0)),
        Range("c", "int", (1, 3), True),
        Range("d", "choice", (None, [1, 2], "x")),
        Range("e", "log", (1, 64), True),
    ]
    drawn = draw(ranges, 200, 0)
    assert 60 < sum(one["a"] < 1 for one in drawn) < 140, "evenly in the logarithm"
    assert 60 < sum(one["b"] < 0 for one in drawn) < 140
    assert {one["c"] for one in drawn} == {1, 2, 3}
    assert [value for value in (None, [1, 2], "x") if not any(one["d"] == value for one in drawn)] == []
    assert all(type(one["e"]) is int and 1 <= one["e"] <= 64 for one in drawn)
    with pytest.raises(SereError, match=r"a: \[C302\] \[2, 1\] \(uniform\) is no range"):
        draw([Range("a", "uniform", (2, 1))], 1, 0)


def test_only_what_is_named_is_searched(home: Path) -> None:
    found = sweep(params=("losses.adapt.params.dual_weight",))
    assert {row.name: row.tuned for row in found.planned.plan.rows}["ours"] == ("losses.adapt.params.dual_weight",)
    assert "losses.adapt.params.dual_weight" in {row.name: row for row in found.planned.plan.rows}["ours"].varied
    for path in ("losses.adapt.params.dual_wait", "method.params.iterations"):
        line = problem(params=(path,))
        assert "[C308]" in line and f"'{path}'" in line, "no parameter, or one without a range"


def test_repeats_take_the_seeds_that_were_listed(home: Path) -> None:
    assert sweep(TUNED + "seeds: [7, 5, 3]\n").planned.plan.seeds == (7, 5)
    assert "comparison.yaml:15:1: seeds: [C311] 2 repeats, but 1 seeds" in problem(TUNED + "seeds: [7]\n")


@pytest.mark.parametrize(
    ("select", "line"),
    [
        ("last", "[C311] the selector 'sere.last' looks at epochs"),
        ("entropie", "tune.select: [R201]"),
        ("{use: snd, params: {temperature: -1}}", "[C302]"),
        ("null", "[C311] nothing says by which rule settings are chosen"),
    ],
)
def test_a_rule_that_cannot_choose_is_refused_before_anything_runs(select: str, line: str, home: Path) -> None:
    assert line.removeprefix("tune.select: ") in problem(TUNED.replace("select: entropy", f"select: {select}"))
    assert not (home / "runs").exists() and "--trials 0" in problem(trials=0)


def test_a_comparison_that_is_to_be_tuned_is_not_compared_untuned(home: Path) -> None:
    with pytest.raises(SereError, match=r"tune: \[C311\] the settings of these rows are to be searched"):
        planned(TUNED)


def test_without_optuna_there_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("comparison.yaml").write_text(TUNED)
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["sweep", "comparison.yaml"]) == 3
    printed = capsys.readouterr().err
    assert "[P108] `sere sweep` needs the distribution 'optuna'" in printed and 'pip install "sere[sweep]"' in printed


def test_a_factory_that_does_not_exist_and_what_is_disabled_in_vain_are_lines_when_a_sweep_is_planned(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = 'LOSS = ComponentSpec(kind="loss", name="typo", factory=f"{__name__}:Tipo", params=NoParams, summary="misspelt")\n'
    (home / "typo.py").write_text(f"from sere_registry import ComponentSpec, NoParams\n{spec}class Typo: ...\n")
    printed = problem(TUNED.replace("use: coral", "use: 'file:./typo.py:LOSS'"))
    assert "[P104]" in printed and printed.count(":Tipo does not exist") == 1 and "comparison.yaml:8:" in printed, printed
    monkeypatch.setenv("SERE_DISABLE", "seere")
    assert any("[P107] SERE_DISABLE leaves nothing out" in warning for warning in sweep().planned.warnings)
