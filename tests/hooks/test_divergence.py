"""The watch over a training: what is noted, when, how often, and the same after an interruption."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sere_core.hookbus import HookBus
from sere_plugins.specs.hooks import DIVERGENCE
from sere_registry import BuildContext
from sere_registry.hookspecs import RunInfo


def watch(
    run: RunInfo, series: dict[str, list[float | None]], *, first: int = 0, last: int | None = None, fold: int = 0, **params: Any
) -> int | None:
    """Tell the hook of every epoch, and the history too, as the engine does; returns the epoch at which it stops the stage.

    Series whose name ends in `norm` or `spread` are diagnostics.
    """
    bus = HookBus({"watch": DIVERGENCE.load()(DIVERGENCE.params(**params), BuildContext("watch"))})
    length = len(next(iter(series.values())))
    bus.call("sere_stage_start", run=run, fold=fold, stage="joint", epochs=length, steps=1, first_epoch=first)
    for epoch in range(first, length if last is None else last):
        now = {name: values[epoch] for name, values in series.items()}
        diagnostics = {name: value for name, value in now.items() if name.endswith(("norm", "spread"))}
        losses = {name: value for name, value in now.items() if name not in diagnostics}
        with open(run.folder / "history.jsonl", "a") as file:
            entry = {"fold": fold, "stage": "joint", "epoch": epoch, "losses": losses, "diagnostics": diagnostics}
            file.write(json.dumps(entry) + "\n")
        bus.call("sere_epoch_end", run=run, fold=fold, stage="joint", epoch=epoch, losses=losses, diagnostics=diagnostics)
        if bus.call("sere_should_stop", run=run, fold=fold, stage="joint", epoch=epoch) is not None:
            return epoch
    return None


def notes(run: RunInfo) -> list[dict[str, Any]]:
    path = run.folder / "notes.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_term_that_stays_far_above_its_minimum_is_noted_once(run: RunInfo, capsys: pytest.CaptureFixture[str]) -> None:
    assert watch(run, {"adapt.dual": [1.0, 0.5, 4.0, 6.0, 7.0, 8.0, 9.0]}, epochs=3) is None
    (note,) = notes(run)
    assert (note["fold"], note["stage"], note["epoch"], note["name"], note["value"]) == (0, "joint", 5, "adapt.dual", 8.0)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: fold 1 of 2, stage joint, epoch 6: ") and line.endswith(note["message"])
    assert {"'adapt.dual'", "8", "0.5", "3"} <= set(line.split())


def test_a_single_peak_is_no_divergence_and_terms_below_or_near_zero_are_measured_by_their_size(run: RunInfo) -> None:
    watch(run, {"a": [1.0, 50.0, 60.0, 1.0, 50.0, 60.0, 1.0]})
    calm: list[float | None] = [-5.0, -4.0, -1.0, 0.0, 1.0, 1.0]
    watch(run, {"neighbours": calm, "small": [1e-6, 1e-3, 1e-2, 0.1, 0.1, 0.1]}, epochs=1)
    assert notes(run) == []
    watch(run, {"neighbours": [-1.0, 8.5], "small": [1e-6, 0.6]}, epochs=1)
    assert [note["name"] for note in notes(run)] == ["neighbours", "small"]


def test_a_diagnostic_that_collapses_is_noted_and_one_that_is_not_watched_is_not(run: RunInfo, capsys: pytest.CaptureFixture[str]) -> None:
    falls: list[float | None] = [10.0, 2.0, 0.4, 0.1]
    watch(run, {"adapt.prototype_spread": falls, "burst_spread": falls, "adapt.embedding_norm": [10.0, 8.0, 6.0, 5.0]})
    assert [(note["name"], note["epoch"]) for note in notes(run)] == [("adapt.prototype_spread", 2)]
    assert {"'adapt.prototype_spread'", "10", "0.4"} <= set(capsys.readouterr().err.split())


def test_what_is_to_be_ignored_is_and_missing_values_are_passed_over(run: RunInfo) -> None:
    watch(run, {"ramped": [0.1, 5.0, 9.0], "a.spread": [1.0, 0.0, 0.0], "b": [None, 1.0, None]}, epochs=1, ignore=["ramped", "a.spread"])
    assert notes(run) == []
    watch(run, {"c": [1.0, 2.0, 3.0], "a.spread": [1.0, float("nan"), 1.0]})
    assert [(note["name"], note["epoch"]) for note in notes(run)] == [("a.spread", 1)]


def test_it_stops_the_stage_when_asked_to_and_a_quiet_run_prints_nothing(run: RunInfo, capsys: pytest.CaptureFixture[str]) -> None:
    quiet, series = replace(run, quiet=True), {"a": [0.1, 5.0, 5.0, 5.0]}
    assert watch(quiet, series, epochs=2) is None  # type: ignore[arg-type]
    assert watch(quiet, series, epochs=2, stop=True) == 2  # type: ignore[arg-type]
    assert len(notes(run)) == 1 and capsys.readouterr().err == ""


@pytest.mark.parametrize("resumed_at", [1, 3, 4, 5])
def test_an_interrupted_run_ends_with_the_same_notes(run: RunInfo, resumed_at: int) -> None:
    """It died after epoch 4; the checkpoint it goes on from is of `resumed_at`."""
    series: dict[str, list[float | None]] = {"a": [1.0, 0.2, 3.0, 3.0, 3.0, 3.0, 9.0], "embedding_norm": [9, 9, 9, 9, 0.1, 0.1, 0.1]}
    watch(run, series, fold=1)
    watch(run, series)
    unbroken = (run.folder / "notes.jsonl").read_text()
    assert len(unbroken.splitlines()) == 4
    (run.folder / "notes.jsonl").unlink()
    (run.folder / "history.jsonl").unlink()
    watch(run, series, fold=1)
    watch(run, series, last=5)
    history = (run.folder / "history.jsonl").read_text().splitlines(keepends=True)
    (run.folder / "history.jsonl").write_text("".join(history[: 7 + resumed_at]))  # as a checkpoint of then keeps it
    watch(run, series, first=resumed_at)
    assert (run.folder / "notes.jsonl").read_text() == unbroken
