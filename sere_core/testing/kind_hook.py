"""The checks of hooks."""

from __future__ import annotations

from typing import Any

from sere_core.hookbus import HookBus
from sere_core.testing.subject import Checks, Subject
from sere_registry.hookspecs import HookSpecs, RunInfo

CHECKS = Checks()
KNOWN = {name for name in vars(HookSpecs) if name.startswith("sere_")}


@CHECKS("hook.known", "build.defaults")
def known(subject: Subject) -> None:
    """It listens to hooks that exist, with arguments that they have."""
    hook = subject.build()
    bus = HookBus({"checked": hook})
    named = {name for name in dir(hook) if name.startswith("sere_")}
    deaf = sorted(name for name in named if name not in KNOWN or not bus.listens(name))
    assert not deaf, f"it has the method {deaf[0]}, which nothing calls"


@CHECKS("hook.lives", "hook.known")
def lives(subject: Subject) -> None:
    """It is told of a whole run, and of one that fails, without failing itself."""
    for failure in (None, RuntimeError("the run's own")):
        bus = HookBus({"checked": subject.build()})
        run = RunInfo("toy", "1f3a", subject.fresh("run"), 1, ("anger", "fear"), interactive=False, quiet=True)
        stage: dict[str, Any] = {"fold": 0, "stage": "joint"}
        scores = {"uar": 0.5, "war": 0.5}
        bus.call("sere_run_start", run=run)
        bus.call("sere_component_built", run=run, kind="loss", id="adapt", name="sere.coral")
        bus.call("sere_stage_start", run=run, **stage, epochs=1, steps=1, first_epoch=0)
        if failure is None:
            bus.call("sere_step_end", run=run, **stage, epoch=0, step=0, losses={"ce": 1.0})
            bus.call("sere_epoch_end", run=run, **stage, epoch=0, losses={"ce": 1.0}, diagnostics={"spread": 0.2})
            bus.call("sere_checkpoint_saved", run=run, fold=0, path=run.folder / "fold-0.safetensors")
            answer = bus.call("sere_should_stop", run=run, **stage, epoch=0)
            assert answer is None or isinstance(answer, str), "sere_should_stop answers neither None nor a reason"
            bus.call("sere_fold_scored", run=run, fold=0, scores=scores, confusion=[[1, 1], [0, 2]], embeddings=None)
        bus.call("sere_run_end", run=run, scores=None if failure else scores, error=failure)
        notes = getattr(failure, "__notes__", [])
        assert not notes, notes[0] if notes else ""
