"""Hooks: checked before the run, called in order, blamed by name."""

from __future__ import annotations

from typing import Any

import pytest

from sere_core.hookbus import HookBus
from sere_registry.errors import SereError, error
from sere_registry.hookspecs import RunInfo, hookimpl

NAMES = {"mine": "sere-plugin-xyz watcher", "other": "sere-plugin-abc logger"}


class Watcher:
    def __init__(self, heard: list[Any], answer: str | None = None, fails: Exception | None = None) -> None:
        self.heard, self.answer, self.fails = heard, answer, fails

    @hookimpl
    def sere_epoch_end(self, epoch: int, fold: int) -> None:
        self.heard.append((self.answer, fold, epoch))

    @hookimpl
    def sere_should_stop(self, epoch: int) -> str | None:
        self.heard.append("asked")
        return self.answer if epoch > 2 else None

    @hookimpl
    def sere_run_end(self, error: BaseException | None) -> None:
        self.heard.append(("end", error))
        if self.fails is not None:
            raise self.fails


def epoch_end(bus: HookBus, run: RunInfo, epoch: int = 0) -> None:
    bus.call("sere_epoch_end", run=run, fold=1, stage="train", epoch=epoch, losses={}, diagnostics={})


def test_listeners_get_what_they_ask_for_in_the_order_of_the_config(run: RunInfo) -> None:
    heard: list[Any] = []
    bus = HookBus({"mine": Watcher(heard, "first"), "other": Watcher(heard, "second")})
    epoch_end(bus, run, 4)
    assert heard == [("first", 1, 4), ("second", 1, 4)]


def test_a_hook_that_nobody_implements_costs_nothing_and_can_be_asked_for(run: RunInfo) -> None:
    bus = HookBus({"mine": Watcher([])})
    assert bus.listens("sere_epoch_end") and not bus.listens("sere_step_end")
    assert bus.call("sere_step_end", run=run, fold=0, stage="train", epoch=0, step=0, losses={}) is None
    assert not any(HookBus({}).listens(name) for name in ("sere_run_start", "sere_run_end"))


def test_the_first_reason_to_stop_counts(run: RunInfo) -> None:
    heard: list[Any] = []
    bus = HookBus({"quiet": Watcher(heard), "mine": Watcher(heard, "enough"), "other": Watcher(heard, "too much")})
    assert bus.call("sere_should_stop", run=run, fold=0, stage="train", epoch=1) is None and len(heard) == 3
    assert bus.call("sere_should_stop", run=run, fold=0, stage="train", epoch=3) == "enough" and len(heard) == 5


def test_a_failing_hook_is_named_with_its_plugin_and_its_own_exception(run: RunInfo) -> None:
    class Broken:
        @hookimpl
        def sere_epoch_end(self, epoch: int) -> None:
            raise ZeroDivisionError("by zero")

    with pytest.raises(SereError) as caught:
        epoch_end(HookBus({"mine": Broken()}, NAMES), run)
    assert str(caught.value) == (
        "hooks.mine: [P106] hook 'mine' (sere-plugin-xyz watcher) failed in sere_epoch_end: ZeroDivisionError: by zero\n"
        "    take `mine` out of `hooks` to run without it"
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError) and caught.value.exit_code == 3


def test_coded_errors_and_interrupts_pass_as_they_are(run: RunInfo) -> None:
    class Full:
        @hookimpl
        def sere_epoch_end(self) -> None:
            raise error("X705", "the disk is full")

        @hookimpl
        def sere_run_end(self) -> None:
            raise KeyboardInterrupt

    bus = HookBus({"mine": Full()})
    with pytest.raises(SereError, match="X705"):
        epoch_end(bus, run)
    with pytest.raises(KeyboardInterrupt):
        bus.call("sere_run_end", run=run, scores=None, error=None)


def test_the_end_of_a_run_reaches_every_hook_and_hides_no_error(run: RunInfo) -> None:
    heard: list[Any] = []
    bus = HookBus({"mine": Watcher(heard, fails=OSError("gone")), "other": Watcher(heard)}, NAMES)
    with pytest.raises(SereError, match=r"P106.*watcher.*OSError: gone"):
        bus.call("sere_run_end", run=run, scores={}, error=None)
    assert len(heard) == 2
    first = error("T501", "a loss is nan")
    bus.call("sere_run_end", run=run, scores=None, error=first)
    assert "OSError: gone" in first.__notes__[0] and heard[-1] == ("end", first)


def test_everything_that_is_wrong_with_hooks_is_said_at_once() -> None:
    class Typo:
        @hookimpl
        def sere_epoch_ends(self, epoch: int) -> None: ...

    class Arguments:
        @hookimpl
        def sere_epoch_end(self, epochs: int, labels: object) -> None: ...

    class Unmarked:
        def sere_run_start(self, run: RunInfo) -> None: ...

    class Wrapper:
        @hookimpl(wrapper=True)
        def sere_run_end(self) -> Any:
            return (yield)

    with pytest.raises(SereError) as caught:
        HookBus({"mine": Typo(), "other": Arguments(), "un": Unmarked(), "wrap": Wrapper(), "none": object()}, NAMES)
    problems = caught.value.problems
    assert {each.code for each in problems} == {"P106"}
    text = str(caught.value)
    for line in (
        "hooks.mine: [P106] hook 'mine' (sere-plugin-xyz watcher): there is no hook named 'sere_epoch_ends'\n    did you mean",
        "hooks.other: [P106] hook 'other' (sere-plugin-abc logger): sere_epoch_end has no argument 'epochs'\n    did you mean 'epoch'?",
        "sere_epoch_end has no argument 'labels'",
        "hook 'un': sere_run_start is not marked\n    put @hookimpl above it",
        "hook 'wrap': sere_run_end is a wrapper",
        "hook 'none' listens to nothing",
    ):
        assert line in text, line


def test_wrong_arguments_of_the_caller_are_a_bug(run: RunInfo) -> None:
    with pytest.raises(TypeError, match="sere_epoch_end takes run, fold, stage, epoch, losses, diagnostics, not run"):
        HookBus({"mine": Watcher([])}).call("sere_epoch_end", run=run)


def test_hooks_that_are_not_given_are_not_called(run: RunInfo) -> None:
    """Two buses in one process know nothing of each other: no global plugin manager."""
    one: list[Any] = []
    two: list[Any] = []
    HookBus({"mine": Watcher(one)})
    epoch_end(HookBus({"mine": Watcher(two)}), run)
    assert one == [] and len(two) == 1
