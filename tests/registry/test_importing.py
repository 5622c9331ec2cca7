"""Packages that are imported before, in and after runs of one process."""

from __future__ import annotations

from sere_registry.guard import importing, running


def test_what_stood_there_during_a_run_is_not_missed_after_it() -> None:
    with running(), importing("one_package", "loss 'one' of one"):
        pass
    with importing("another_package", "loss 'other' of another"):
        pass
