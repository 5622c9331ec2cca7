"""IDFE's units, contours and diagnostics; what each reading of equation 1 says is in `test_section_3`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sere_plugins.dynamics.idfe import FEATURES, Idfe, pitch
from sere_plugins.dynamics.plain import Delta, DeltaDelta, Static
from sere_plugins.specs.dynamics import ContourParams, IdfeParams
from sere_registry import BuildContext, Frames, SereError

CONTEXT = BuildContext(id="dynamics", dim=5)


@pytest.fixture
def idfe() -> Idfe:
    torch.manual_seed(0)
    return Idfe(IdfeParams(), CONTEXT).double()


def frames(values: torch.Tensor) -> Frames:
    return Frames(values[None], torch.ones(1, len(values), dtype=torch.bool), 50.0)


def draw(length: int, width: int) -> Frames:
    return frames(torch.randn(length, width, generator=torch.Generator().manual_seed(width), dtype=torch.float64))


def test_the_unit_of_a_contour_does_not_matter(idfe: Idfe) -> None:
    contours, context = draw(9, 4), draw(9, 5)
    once, scaled = (idfe(frames(contours.values[0] * factor), context).values for factor in (1.0, 250.0))
    torch.testing.assert_close(once, scaled, rtol=1e-6, atol=0)


def test_the_scales_of_its_neighbours() -> None:
    """Delta: the mean absolute difference is 1; static: mean 0 and deviation 1; delta_delta: differences, and theirs."""
    contours, context, none = draw(9, 4), draw(9, 5), torch.zeros(4, dtype=torch.float64)
    steps = Delta(ContourParams(), CONTEXT)(contours, context).values[0]
    torch.testing.assert_close(steps[1:].abs().mean(dim=0), none + 1, rtol=1e-6, atol=0)
    values = Static(ContourParams(), CONTEXT)(contours, context).values[0]
    torch.testing.assert_close(values.mean(dim=0), none, rtol=0, atol=1e-12)
    torch.testing.assert_close(values.std(dim=0, correction=0), none + 1, rtol=1e-6, atol=0)
    squares = torch.tensor([[0.0], [1.0], [4.0], [9.0], [16.0]], dtype=torch.float64).expand(5, 4)
    values = DeltaDelta(ContourParams(), CONTEXT)(frames(squares), draw(5, 5)).values[0]
    torch.testing.assert_close(values[:, 0], torch.tensor([0.0, 1, 3, 5, 7], dtype=torch.float64) / 4, rtol=1e-6, atol=0)
    torch.testing.assert_close(values[:, 4], torch.tensor([0.0, 0, 1, 1, 1], dtype=torch.float64), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("unvoiced", "expected"),
    [
        ("interpolate", [100, 100, 125, 150, 175, 200, 200]),
        ("hold", [100, 100, 100, 100, 100, 200, 200]),
        ("zero", [0, 100, 0, 0, 0, 200, 0]),
    ],
)
def test_f0_where_there_is_no_voice(unvoiced: Any, expected: list[float]) -> None:
    f0, voiced = np.array([700.0, 100, 300, 0, np.nan, 200, 50]), np.array([0.1, 0.9, 0.2, 0.1, 0.9, 0.6, 0.4])
    assert pitch(f0, voiced, ContourParams(unvoiced=unvoiced)).tolist() == expected
    assert not pitch(f0, np.zeros(7), ContourParams(unvoiced=unvoiced, f0_scale="semitone")).any()


def test_semitones_are_interpolated_as_semitones() -> None:
    filled = pitch(np.array([110.0, 1.0, 440.0]), np.array([1.0, 0.0, 1.0]), ContourParams(f0_scale="semitone"))
    np.testing.assert_allclose(filled, [12.0, 24.0, 36.0])


@pytest.mark.parametrize("count", [1, 5])
def test_prepare_keeps_the_order_f0_rms_mfcc2_centroid(idfe: Idfe, count: int) -> None:
    contours = {name: np.full(count, level, np.float32) for level, name in enumerate(idfe.contours, start=1)}
    static = idfe.prepare(contours)
    assert static.dtype == np.float32
    assert static.tolist() == [[1.0, 3.0, 4.0, 5.0]] * count  # periodicity, the second contour, only decides about f0


def test_contours_on_another_grid_are_refused(idfe: Idfe) -> None:
    with pytest.raises(SereError, match="B402"):
        idfe(draw(4, 4), draw(5, 5))


def test_diagnostics_are_the_mean_of_each_gate_of_the_last_batch(idfe: Idfe) -> None:
    assert idfe.diagnostics() == {}
    for length in (4, 1):
        context = draw(length, 5)
        idfe(draw(length, 4), context)
        means = torch.sigmoid(idfe.gate(context.values[0])).mean(dim=0).tolist()
        assert [idfe.diagnostics()[f"gate/{name}"] for name in FEATURES] == pytest.approx(means)
    assert idfe._gates is not None and not idfe._gates.requires_grad, "what is watched keeps no graph"
    idfe(draw(0, 4), draw(0, 5))
    assert idfe.diagnostics()["gate/f0"] == idfe.diagnostics()["gate_closed"] == 0.0


def test_gates_that_close_and_drift_show(idfe: Idfe) -> None:
    given = draw(4, 4), draw(4, 5)
    idfe(*given)
    assert idfe.diagnostics()["gate_drift"] == idfe.diagnostics()["gate_closed"] == 0.0
    with torch.no_grad():
        idfe.gate.weight.mul_(1.5)
        idfe.gate.bias.fill_(-20.0)
    idfe(*given)
    assert idfe.diagnostics()["gate_drift"] == pytest.approx(0.5) and idfe.diagnostics()["gate_closed"] == 1.0
