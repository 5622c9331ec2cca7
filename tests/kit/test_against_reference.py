"""The kit's comparison: two rows, proven equal but for the component, and refused where they are not."""

from __future__ import annotations

import pytest

from sere_core.testing.harness import entry_of
from sere_core.testing.integration import ROWS, compare, config, reference
from sere_core.testing.subject import Subject
from sere_registry import SereError
from sere_registry.errors import Place
from tests.kit.test_broken import catalog, spec


@pytest.fixture
def subject() -> Subject:
    given = catalog(spec("loss", "GoodLoss"))
    entry = entry_of("loss", "xyz.thing", given)
    entry.load(Place())
    return Subject(entry, given)


def test_each_row_of_the_table_has_a_line(subject: Subject) -> None:
    made = config(subject)
    assert reference(subject)["losses"]["checked"]["use"] == "sere.tric" and made["losses"]["checked"]["use"] == "xyz.thing"
    lines = compare(subject, made).splitlines()
    assert all(any(line.split()[:1] == [row] for line in lines) for row in ROWS), "\n".join(lines)


def test_rows_of_other_budgets_are_refused(subject: Subject) -> None:
    with pytest.raises(SereError, match=r"C311.*the row 'checked' has another budget"):
        compare(subject, config(subject), {"train": {"epochs": 2}})


def test_what_changes_the_scored_utterances_is_refused(subject: Subject) -> None:
    with pytest.raises(SereError, match=r"T506.*rows differ in .*digests.folds"):
        compare(subject, config(subject), {"task": {"folds": "speakers"}})
