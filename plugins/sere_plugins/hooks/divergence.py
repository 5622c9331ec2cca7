"""An early note when training goes wrong: a loss term that grows, or a diagnostic that collapses."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sere_plugins.specs.hooks import DivergenceParams
from sere_registry import BuildContext
from sere_registry.files import write_atomically
from sere_registry.hookspecs import RunInfo, hookimpl

NOTES = "notes.jsonl"


@dataclass
class _Watched:
    """One stage so far: each loss term's smallest value and bad epochs in a row, each diagnostic's first value, the notes."""

    least: dict[str, float] = field(default_factory=dict)
    bad: dict[str, int] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    noted: dict[str, str] = field(default_factory=dict)  # term or diagnostic -> message


class DivergenceHook:
    """Writes a warning and a line of `<run folder>/notes.jsonl` for each term or diagnostic of a stage that goes wrong.

    A loss term v has grown when v - m > (growth - 1) max(|m|, floor) for `epochs` epochs in a row, m its smallest value so
    far; for m > floor that is v > growth m.  A diagnostic has collapsed when it is below `collapse` times its first value.
    With `stop: true` the stage ends after that epoch, and the next one begins.

    A resumed stage reads its earlier epochs from `history.jsonl`, so that the notes are those of an unbroken run.
    """

    def __init__(self, params: DivergenceParams, context: BuildContext) -> None:
        self._params = params
        self._state = _Watched()

    @hookimpl
    def sere_stage_start(self, run: RunInfo, fold: int, stage: str, first_epoch: int) -> None:
        """Forget the stage before; take in what an interrupted run recorded; drop the notes of epochs that are trained again."""
        self._state = _Watched()
        for entry in _lines(run, "history.jsonl"):
            if (entry["fold"], entry["stage"]) == (fold, stage) and entry["epoch"] < first_epoch:
                self._state.noted.update(self._wrong(entry["losses"], entry["diagnostics"]))
        notes = list(_lines(run, NOTES))
        kept = [note for note in notes if (note["fold"], note["stage"]) != (fold, stage) or note["epoch"] < first_epoch]
        if len(kept) < len(notes):
            write_atomically(run.folder / NOTES, "".join(map(_line, kept)).encode())

    @hookimpl
    def sere_epoch_end(
        self, run: RunInfo, fold: int, stage: str, epoch: int, losses: Mapping[str, float], diagnostics: Mapping[str, float]
    ) -> None:
        """Note what is wrong with the epoch's values and was not noted yet."""
        for name, message in self._wrong(losses, diagnostics).items():
            self._state.noted[name] = message
            if not run.quiet:  # a progress bar moves out of the way of stderr
                print(f"warning: fold {fold + 1} of {run.folds}, stage {stage}, epoch {epoch + 1}: {message}", file=sys.stderr)
            value = {**diagnostics, **losses}[name]
            note = {"fold": fold, "stage": stage, "epoch": epoch, "name": name, "value": value, "message": message}
            with open(run.folder / NOTES, "a", encoding="utf-8") as file:
                file.write(_line(note))

    @hookimpl
    def sere_should_stop(self) -> str | None:
        """The stage's first note, with `stop: true`."""
        return next(iter(self._state.noted.values()), None) if self._params.stop else None

    def _wrong(self, losses: Mapping[str, float | None], diagnostics: Mapping[str, float | None]) -> dict[str, str]:
        """Term or diagnostic -> message, of what goes wrong with these values and was not noted; keeps the values."""
        found: dict[str, str | None] = {}
        for name, value in losses.items():
            if value is not None and name not in self._params.ignore:
                found[name] = self._grown(name, value)
        for name, value in diagnostics.items():
            if value is not None and name.rpartition(".")[2] in self._params.watch and name not in self._params.ignore:
                found[name] = self._collapsed(name, value) or found.get(name)
        return {name: message for name, message in found.items() if message and name not in self._state.noted}

    def _grown(self, name: str, value: float) -> str | None:
        state, params = self._state, self._params
        least = state.least[name] = min(value, state.least.get(name, value))
        grown = value - least > (params.growth - 1) * max(abs(least), params.floor)
        state.bad[name] = state.bad.get(name, 0) + 1 if grown else 0
        if state.bad[name] < params.epochs:
            return None
        for_long = f" for {params.epochs} epochs" if params.epochs > 1 else ""
        return f"the loss term '{name}' is {value:.4g} and far above its smallest value {least:.4g}{for_long}"

    def _collapsed(self, name: str, value: float) -> str | None:
        if not math.isfinite(value):
            return f"'{name}' is {value}"
        first = self._state.first.setdefault(name, value)
        collapsed = first > 0 and value < self._params.collapse * first
        return f"'{name}' has collapsed from {first:.4g} to {value:.4g}" if collapsed else None


def _line(entry: Mapping[str, object]) -> str:
    return json.dumps(entry, ensure_ascii=False) + "\n"


def _lines(run: RunInfo, name: str) -> Iterator[Any]:
    """The lines of a JSONL file of the record; one that a killed run left unfinished is skipped."""
    path = run.folder / name
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)
