"""The contract of hooks, run on every one in each of its variants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sere_core.hookbus import HookBus
from sere_registry.hookspecs import HookSpecs, RunInfo
from tests.contracts.components import Case, cases

CASES = cases("hook")
KNOWN = {name for name in vars(HookSpecs) if name.startswith("sere_")}


@pytest.mark.parametrize("case", CASES)
def test_it_listens_to_known_hooks_only(case: Case) -> None:
    """`HookBus` refuses unknown hooks and arguments, and methods that look like hooks and are not marked."""
    hook = case.build()
    bus = HookBus({"mine": hook})
    assert any(bus.listens(name) for name in KNOWN), "a hook that listens to nothing"
    assert {name for name in dir(hook) if name.startswith("sere_")} == {name for name in KNOWN if bus.listens(name)}


@pytest.mark.parametrize("failed", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_it_lives_through_a_run(case: Case, failed: bool, tmp_path: Path) -> None:
    """Told everything in order, once with scores and once with the error that ended the run early."""
    bus = HookBus({"mine": case.build()})
    run = RunInfo(name="toy", job="1f3a", folder=tmp_path, folds=1, classes=("anger", "fear"), interactive=False)
    error = RuntimeError("the run's own") if failed else None
    scores = {"uar": 0.5, "war": 0.5}
    stage: dict[str, Any] = {"fold": 0, "stage": "joint"}
    bus.call("sere_run_start", run=run)
    bus.call("sere_component_built", run=run, kind="loss", id="adapt", name="sere.coral")
    bus.call("sere_stage_start", run=run, **stage, epochs=1, steps=1, first_epoch=0)
    if not failed:
        bus.call("sere_step_end", run=run, **stage, epoch=0, step=0, losses={"ce": 1.0})
        bus.call("sere_epoch_end", run=run, **stage, epoch=0, losses={"ce": 1.0}, diagnostics={"spread": 0.2})
        bus.call("sere_checkpoint_saved", run=run, fold=0, path=tmp_path / "fold-0.safetensors")
        answer = bus.call("sere_should_stop", run=run, **stage, epoch=0)
        assert answer is None or isinstance(answer, str)
        bus.call("sere_fold_scored", run=run, fold=0, scores=scores, confusion=[[1, 1], [0, 2]], embeddings=None)
    bus.call("sere_run_end", run=run, scores=None if failed else scores, error=error)
    assert not getattr(error, "__notes__", []), "a hook failed at the end of a run"
