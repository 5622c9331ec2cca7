"""Is it built as a run builds it?"""

from __future__ import annotations

from sere_core.testing.subject import Checks, NotRun, Subject
from sere_registry import SereError

CHECKS = Checks()

#: kinds that the engine trains or saves, so that they must be modules
MODULES = ("encoder", "dynamics", "resonance", "loss")


@CHECKS("build.params", "static.schema")
def params(subject: Subject) -> None:
    """Its parameters have defaults (or values were given), and keep what they are given."""
    if subject.missing:
        raise NotRun(f"it needs values for {', '.join(subject.missing)}: --set {subject.missing[0]}=VALUE, or `params` in a test")
    made = subject.spec.params(**subject.params)
    assert subject.spec.params.model_validate_json(made.model_dump_json()) == made, "its parameters change on a way through JSON"


@CHECKS("build.defaults", "build.params")
def defaults(subject: Subject) -> None:
    """Its factory makes an object of its kind; of what is trained, a torch.nn.Module."""
    from torch import nn

    subject.spec.load()
    if subject.entry.kind == "method":
        return  # which is built on a backbone: see method.declares
    from sere_core.testing.batches import Shape

    try:
        made = subject.build(Shape().context if subject.entry.kind in ("loss", "resonance", "dynamics") else None)
    except SereError as problem:
        if problem.problems[0].code == "X703":
            raise NotRun(f"its weights are not on this machine: {problem.problems[0].message}") from None
        raise
    if subject.entry.kind in MODULES:
        assert isinstance(made, nn.Module), f"its factory makes a {type(made).__name__}, not a torch.nn.Module"
