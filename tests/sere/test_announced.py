"""How near each of sere's recipes is to its source, and what its dynamics hand on."""

from __future__ import annotations

import pytest

from sere_plugins.specs import closed_form, dynamics, losses, methods, resonance, source_free, transductive
from sere_registry import BuildContext, ComponentSpec

LOSSES = [
    losses.CROSS_ENTROPY,
    losses.TRIC,
    losses.TRIC_BALANCED,
    losses.TRIC_POOLED,
    losses.CORAL,
    losses.FIXMATCH,
    losses.MEAN_TEACHER,
]
METHODS = [methods.JOINT, methods.MCD, source_free.NRC, closed_form.JDAR, methods.LOGISTIC, transductive.LOGISTIC_BALANCED, methods.SVM]
METHODS += [closed_form.JIASL, closed_form.LRJDA, closed_form.CORAL_CLASSICAL]
METHODS += [closed_form.TCA, closed_form.JDA, closed_form.BDA, closed_form.WBDA]
METHODS += [source_free.SHOT, source_free.AAD, source_free.ECAN]
DYNAMICS = {dynamics.IDFE: 4, dynamics.STATIC: 4, dynamics.DELTA: 4, dynamics.DELTA_DELTA: 8, dynamics.NONE: 0}


def test_what_is_a_reconstruction_or_ours_says_so() -> None:
    found = {spec.name: spec.evidence for spec in [*LOSSES, *METHODS] if spec.evidence != "confirmed"}
    ours = dict.fromkeys(("tric_balanced", "tric_pooled", "logistic_balanced"), "ours")
    named = ("tric", "jdar", "jiasl_reconstructed", "lrjda_reconstructed", "ecan_reconstructed")
    assert found == {**dict.fromkeys(named, "reconstructed"), **ours}
    for spec in (dynamics.IDFE, resonance.IRF, losses.TRIC):
        assert (spec.cite, spec.evidence) == ("arXiv:2604.07417", "reconstructed")
    assert all(spec.cite for spec in [*LOSSES[1:], *METHODS[1:]])


@pytest.mark.parametrize("spec", DYNAMICS, ids=lambda spec: spec.name)
def test_dynamics_say_how_many_features_they_make(spec: ComponentSpec) -> None:
    built = spec.load()(spec.params(), BuildContext(id="x", classes=("anger", "fear"), dim=8, dynamics_dim=4))
    assert built.dim == DYNAMICS[spec]
