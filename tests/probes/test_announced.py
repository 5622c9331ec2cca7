"""They stand where the entry points say, build from their defaults, and are announced without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from torch import nn

from sere_plugins.specs import losses, methods
from sere_registry import ComponentSpec
from tests.probes.driver import build_context, context

LOSSES = [losses.CORAL, losses.FIXMATCH]
METHODS = [methods.MCD, methods.NRC, methods.JDAR, methods.LOGISTIC, methods.LOGISTIC_BALANCED, methods.SVM]


@pytest.mark.parametrize("spec", [*LOSSES, *METHODS], ids=lambda spec: spec.name)
def test_builds_from_its_defaults(spec: ComponentSpec) -> None:
    made = spec.load()(spec.params(), context() if spec.kind == "method" else build_context())
    assert isinstance(made, nn.Module) and spec.cite
    if spec.kind == "method":
        assert hasattr(made, "predict")
        assert {id(p) for g in made.parameters_by_group().values() for p in g.parameters} <= {id(p) for p in made.parameters()}


@pytest.mark.parametrize("spec", [*LOSSES, *METHODS], ids=lambda spec: spec.name)
def test_every_parameter_says_what_it_is(spec: ComponentSpec) -> None:
    assert all(field.description for field in spec.params.model_fields.values())


def test_what_is_a_reconstruction_says_so() -> None:
    confirmed = dict.fromkeys(("mcd", "nrc", "logistic", "svm"), "confirmed")
    assert {spec.name: spec.evidence for spec in METHODS} == {**confirmed, "jdar": "reconstructed", "logistic_balanced": "stand-in"}


def test_announcing_needs_no_torch() -> None:
    modules = ", ".join(f"sere_plugins.specs.{name}" for name in ("losses", "methods", "views"))
    code = f"import sys, {modules}; print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == ["False", "False"]
