"""IDFE and its neighbours: padding, units, contours; what each reading of equation 1 says is in `test_section_3`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sere_plugins.dynamics.idfe import Idfe, pitch
from sere_plugins.dynamics.plain import Delta, DeltaDelta, NoDynamics, Static
from sere_plugins.specs.dynamics import ContourParams, IdfeParams
from sere_registry import BuildContext, Frames, NoParams, SereError

CONTEXT = BuildContext(id="dynamics", dim=5)


def idfe(dtype: torch.dtype = torch.float64, **params: Any) -> Idfe:
    torch.manual_seed(0)
    return Idfe(IdfeParams(**params), CONTEXT).to(dtype)


def padded(rows: list[torch.Tensor], padding: float = 0.0, extra: int = 1) -> Frames:
    frames = max(len(row) for row in rows) + extra
    values = torch.stack([torch.cat([row, row.new_full((frames - len(row), row.shape[1]), padding)]) for row in rows])
    return Frames(values, torch.arange(frames) < torch.tensor([len(row) for row in rows]).unsqueeze(1), 50.0)


def draw(lengths: list[int], width: int, seed: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, width, generator=generator, dtype=torch.float64).to(dtype) for length in lengths]


@pytest.mark.parametrize("padding", [1e30, float("nan"), float("inf")])
def test_what_stands_in_padded_frames_never_matters(padding: float) -> None:
    module = idfe()
    contours, context = draw([4, 2], 4, 1), draw([4, 2], 5, 2)
    results = []
    for fill, extra in ((0.0, 0), (padding, 3)):
        values = module(padded(contours, fill, extra), padded(context, fill, extra)).values
        results.append((values[:, :4], *torch.autograd.grad(values.square().sum(), list(module.parameters()))))
    for clean, dirty in zip(*results, strict=True):
        torch.testing.assert_close(clean, dirty, rtol=1e-12, atol=1e-12)


def test_a_constant_contour_and_a_single_frame_have_no_bursts() -> None:
    module = idfe(torch.float32)
    constant = [torch.full((6, 4), 0.1), torch.full((1, 4), 200.0)]
    assert not module(padded(constant), padded(draw([6, 1], 5, 0, torch.float32))).values.any()


def test_the_unit_of_a_contour_does_not_matter() -> None:
    module = idfe()
    contours, context = draw([9], 4, 1), draw([9], 5, 2)
    once, scaled = (module(padded([contours[0] * factor]), padded(context)).values for factor in (1.0, 250.0))
    torch.testing.assert_close(once, scaled, rtol=1e-6, atol=0)


def test_the_mean_absolute_difference_is_one_before_the_gate() -> None:
    contours = draw([9], 4, 1)
    steps = Delta(ContourParams(), CONTEXT)(padded(contours), padded(draw([9], 5, 2))).values[0, 1:9]
    torch.testing.assert_close(steps.abs().mean(dim=0), torch.ones(4, dtype=torch.float64), rtol=1e-6, atol=0)


def test_a_frame_hidden_by_a_view_takes_both_its_differences_along() -> None:
    contours, context = padded(draw([6], 4, 1), extra=0), padded(draw([6], 5, 2), extra=0)
    mask = context.mask.clone()
    mask[0, 2] = False
    values = Delta(ContourParams(), CONTEXT)(Frames(contours.values, mask, 50.0), Frames(context.values, mask, 50.0)).values
    assert [bool(row.any()) for row in values[0]] == [False, True, False, False, True, True]


F0 = np.array([700.0, 100.0, 300.0, 0.0, np.nan, 200.0, 50.0])
VOICED = np.array([0.1, 0.9, 0.2, 0.1, 0.9, 0.6, 0.4])


@pytest.mark.parametrize(
    ("unvoiced", "expected"),
    [
        ("interpolate", [100, 100, 125, 150, 175, 200, 200]),
        ("hold", [100, 100, 100, 100, 100, 200, 200]),
        ("zero", [0, 100, 0, 0, 0, 200, 0]),
    ],
)
def test_f0_where_there_is_no_voice(unvoiced: Any, expected: list[float]) -> None:
    assert pitch(F0, VOICED, ContourParams(unvoiced=unvoiced)).tolist() == expected


def test_semitones_are_interpolated_as_semitones() -> None:
    filled = pitch(np.array([110.0, 1.0, 440.0]), np.array([1.0, 0.0, 1.0]), ContourParams(f0_scale="semitone"))
    np.testing.assert_allclose(filled, [12.0, 24.0, 36.0])


@pytest.mark.parametrize("unvoiced", ["interpolate", "hold", "zero"])
@pytest.mark.parametrize("scale", ["hz", "semitone"])
def test_an_utterance_without_voice_has_a_flat_f0(unvoiced: Any, scale: Any) -> None:
    assert not pitch(F0, np.zeros(7), ContourParams(unvoiced=unvoiced, f0_scale=scale)).any()


@pytest.mark.parametrize("frames", [1, 5])
def test_prepare_keeps_the_order_f0_rms_mfcc2_centroid(frames: int) -> None:
    module = idfe()
    contours: dict[str, Any] = {name: np.full(frames, level, np.float32) for level, name in enumerate(module.contours, start=1)}
    static = module.prepare(contours)
    assert static.dtype == np.float32
    assert static.tolist() == [[1.0, 3.0, 4.0, 5.0]] * frames  # periodicity, the second contour, only decides about f0


def test_contours_on_another_grid_are_refused() -> None:
    with pytest.raises(SereError, match="B402"):
        idfe()(padded(draw([4], 4, 1)), padded(draw([5], 5, 2)))


def test_diagnostics_name_each_gate() -> None:
    module = idfe()
    assert module.diagnostics() == {}
    with torch.no_grad():
        module.gate.weight.zero_()
        module.gate.bias.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0]))
    module(padded(draw([4, 2], 4, 1)), padded(draw([4, 2], 5, 2)))
    assert module._gates is not None and not module._gates.requires_grad, "what is watched keeps no graph"
    expected = torch.sigmoid(torch.arange(4.0)).tolist()
    found = {name: value for name, value in module.diagnostics().items() if name.startswith("gate/")}
    assert found == pytest.approx(dict(zip(("gate/f0", "gate/rms", "gate/mfcc2", "gate/centroid"), expected, strict=True)))


def test_the_gates_of_a_single_frame_are_their_own_mean() -> None:
    module = idfe()
    module(padded(draw([1], 4, 1)), padded(draw([1], 5, 2)))
    gates = torch.sigmoid(module.gate(draw([1], 5, 2)[0])).detach()[0].tolist()
    assert [module.diagnostics()[f"gate/{name}"] for name in ("f0", "rms", "mfcc2", "centroid")] == pytest.approx(gates)
    nothing = Frames(torch.zeros(2, 0, 4).double(), torch.ones(2, 0, dtype=torch.bool), 50.0)
    module(nothing, Frames(torch.zeros(2, 0, 5).double(), nothing.mask, 50.0))
    assert module.diagnostics()["gate/f0"] == module.diagnostics()["gate_closed"] == 0.0


def test_static_standardises_within_the_utterance() -> None:
    contours = [*draw([9], 4, 1), torch.full((3, 4), 0.1, dtype=torch.float64)]
    values = Static(ContourParams(), CONTEXT)(padded(contours, 1e9), padded(draw([9, 3], 5, 2))).values
    torch.testing.assert_close(values[0, :9].mean(dim=0), torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(values[0, :9].std(dim=0, correction=0), torch.ones(4, dtype=torch.float64), rtol=1e-6, atol=0)
    assert not values[1].any()


def test_delta_delta_holds_the_differences_and_theirs() -> None:
    contours = [torch.tensor([[0.0], [1.0], [4.0], [9.0], [16.0]], dtype=torch.float64).expand(5, 4)]
    values = DeltaDelta(ContourParams(), CONTEXT)(padded(contours, 7.0), padded(draw([5], 5, 2))).values[0, :5]
    torch.testing.assert_close(values[:, 0], torch.tensor([0.0, 1, 3, 5, 7], dtype=torch.float64) / 4, rtol=1e-6, atol=0)
    torch.testing.assert_close(values[:, 4], torch.tensor([0.0, 0, 1, 1, 1], dtype=torch.float64), rtol=1e-6, atol=0)


def test_none_has_no_features() -> None:
    module = NoDynamics(NoParams(), CONTEXT)
    context = padded(draw([4, 2], 5, 2))
    assert module(context, context).values.shape == (2, 5, 0)
    assert module.prepare({}).shape == (0, 0)


def test_gates_that_close_and_drift_show() -> None:
    idfe = Idfe(IdfeParams(), BuildContext(id="idfe", dim=3))
    mask = torch.ones(1, 5, dtype=torch.bool)
    given = Frames(torch.rand(1, 5, 4), mask, 50.0), Frames(torch.rand(1, 5, 3), mask, 50.0)
    idfe(*given)
    found = idfe.diagnostics()
    assert found["gate_drift"] == 0.0 and found["gate_closed"] == 0.0
    with torch.no_grad():
        idfe.gate.weight.mul_(1.5)
        idfe.gate.bias.fill_(-20.0)
    idfe(*given)
    found = idfe.diagnostics()
    assert found["gate_drift"] == pytest.approx(0.5) and found["gate_closed"] == 1.0
