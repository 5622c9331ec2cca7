"""The table says all that a row's name must say, in 80 columns, from the record alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from sere_core.score.metrics import from_confusion
from sere_core.score.records import Record, RunFolder
from sere_core.score.table import print_summary
from sere_registry.emotions import EMOTIONS

Write = Callable[[Path], RunFolder]


@pytest.fixture
def record(write_run: Write, tmp_path: Path) -> Record:
    return Record.read(write_run(tmp_path).path)


def printed(record: Record, terminal: bool = False, encoding: str = "utf-8") -> str:
    buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_summary(record, Console(file=buffer, width=80, force_terminal=terminal))
    buffer.seek(0)
    return buffer.read()


def scored(record: Record, classes: Sequence[str], confusion: list[list[int]]) -> None:
    pooled = record.scores["pooled"] | asdict(from_confusion(confusion, classes))
    record.scores.update(classes=list(classes), pooled=pooled)  # type: ignore[attr-defined]


def test_everything_is_there_in_80_columns(record: Record) -> None:
    text = printed(record)
    assert all(len(line) <= 80 for line in text.splitlines())
    for expected in (
        "emodb>emovo 2-shot inductive 3 folds speaker-disjoint norm=speaker", "reconstructed", "last",
        record.folds["sha256"][:8], "anchor efefefef",
        "UAR", "WAR", "macro F1", "chance (UAR)", "14.3", "target labels opened 4 times by scorer",
    ):  # fmt: skip
        assert expected in text, expected
    mean, std = record.scores["mean"]["uar"], record.scores["std"]["uar"]
    assert f"{100 * mean:.1f}±{100 * std:.1f}" in text
    row = next(line for line in text.splitlines() if "happiness" in line)
    counts = [int(word) for word in row.split()[2:]]
    assert counts == [9, *record.scores["pooled"]["confusion"][3]], "n, then the confusion matrix's row"


def test_it_is_plain_where_there_is_no_terminal(record: Record) -> None:
    assert "\x1b" not in printed(record) and "─" not in printed(record)
    assert "\x1b" in printed(record, terminal=True)
    assert "+-" in printed(record, encoding="ascii")


def test_twelve_classes_of_large_corpora_fit(record: Record) -> None:
    confusion = [[0 if row != column else 9999 for column in range(12)] for row in range(12)]
    scored(record, EMOTIONS, confusion)
    text = printed(record)
    assert all(len(line) <= 80 for line in text.splitlines()) and text.count("9999") == 24 and "..." not in text and "…" not in text


def test_titles_are_not_broken_by_narrow_tables(record: Record) -> None:
    scored(record, EMOTIONS[:2], [[3, 1], [0, 4]])
    lines = printed(record).splitlines()
    assert "rows true, columns predicted, summed over folds" in map(str.rstrip, lines)


def test_ceilings_and_warnings_are_not_to_be_overlooked(record: Record) -> None:
    record.folds.update(uses_target_labels=True, warnings=["[emovo]: the sentence tells the emotion"])  # type: ignore[attr-defined]
    record.scores.update(complete=False)  # type: ignore[attr-defined]
    twice = ["[emovo]: the sentence tells the emotion", "fold 0: identical audio in T_u and T_e: a, b"]
    record.manifest["notes"].update(warnings=twice, normalisation=["speaker statistics of T_u"])
    text = printed(record)
    assert text.count("the sentence tells") == 1 and "identical audio" in text and "note: speaker statistics of T_u" in text
    assert "TRAINED ON TARGET LABELS" in text and "warning: [emovo]: the sentence tells" in text and "not all folds" in text
