"""The specs lead to components that satisfy their protocols."""

from __future__ import annotations

import pytest

from sere_plugins.specs import dynamics, losses, resonance
from sere_registry import BuildContext, ComponentSpec

CONTEXT = BuildContext(id="x", classes=("anger", "fear"), dim=8, dynamics_dim=4)


DYNAMICS = [dynamics.IDFE, dynamics.STATIC, dynamics.DELTA, dynamics.DELTA_DELTA, dynamics.NONE]


@pytest.mark.parametrize("spec", DYNAMICS, ids=lambda spec: spec.name)
def test_dynamics(spec: ComponentSpec) -> None:
    built = spec.load()(spec.params(), CONTEXT)
    assert built.dim >= 0
    assert built.dim == {"none": 0, "delta_delta": 8}.get(spec.name, 4)


@pytest.mark.parametrize("spec", [resonance.IRF, resonance.COSINE, resonance.MEAN], ids=lambda spec: spec.name)
def test_resonance(spec: ComponentSpec) -> None:
    assert spec.load()(spec.params(), CONTEXT).directed in (True, False)


@pytest.mark.parametrize("spec", [losses.CROSS_ENTROPY, losses.TRIC], ids=lambda spec: spec.name)
def test_losses(spec: ComponentSpec) -> None:
    built = spec.load()(spec.params(), CONTEXT)
    assert callable(built.forward)


def test_sere_is_marked_as_a_reconstruction_of_its_paper() -> None:
    for spec in (dynamics.IDFE, resonance.IRF, losses.TRIC):
        assert (spec.cite, spec.evidence) == ("arXiv:2604.07417", "reconstructed")
