"""`irf` with `control: shuffled`: equations 5 and 6, where who resonates with a frame is told another one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sere_plugins.resonance.control import ShuffledIrf
from sere_plugins.specs.resonance import IrfParams
from sere_registry import BuildContext
from tests.sere import reference
from tests.sere.batches import BURSTS, WIDTH, batch, gradients, leaves, utterances
from tests.sere.situations import PRECISIONS, SITUATIONS, assert_equal, cast, padded, streams

CONTEXT = BuildContext(id="field", dim=WIDTH - BURSTS, dynamics_dim=BURSTS)


def sent(field: ShuffledIrf, count: int) -> list[int]:
    """Where each frame's listeners are sent, asked of the field itself: frame j of b alone resonates with frame j of a."""
    z = torch.eye(count, WIDTH, dtype=torch.float64)
    one = batch([(z, torch.zeros(count, BURSTS, dtype=torch.float64))])
    places: list[int] = field.frame_map(one, one).heard.argmax(dim=1).tolist()
    return places


@pytest.mark.parametrize("combine", ["product", "sum"])
@pytest.mark.parametrize("aligned", [False, True])
def test_it_is_the_equation_with_frames_exchanged(combine: str, aligned: bool) -> None:
    field = ShuffledIrf(IrfParams(control="shuffled", combine=combine), CONTEXT).double()  # type: ignore[arg-type]
    a, b = utterances([4, 6], 1), utterances([5, 3], 2)
    found = (field.aligned if aligned else field)(batch(a), batch(b, extra=2))
    alpha = field.weights.detach().requires_grad_()
    rows = [list(zip(a, b, strict=True))] if aligned else [[(u, v) for v in b] for u in a]
    grid = [[reference.resonate(u, v, alpha, field.params, sent(field, len(v[0]))) for u, v in row] for row in rows]
    similarity, told = (torch.stack([torch.stack([cell[part] for cell in row]) for row in grid]) for part in (0, 1))
    similarity, told = (similarity[0], told[0]) if aligned else (similarity, told)
    torch.testing.assert_close(found.similarity, similarity, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.told, told, rtol=1e-9, atol=1e-9)
    mine = gradients(found.similarity.sum() + found.told.square().sum(), [field.weights, *leaves(a, b)])
    theirs = gradients(similarity.sum() + told.square().sum(), [alpha, *leaves(a, b)])
    for left, right in zip(mine, theirs, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-8, atol=1e-9)


READINGS: list[dict[str, Any]] = [
    {},
    {"burst": "signed", "highlight": "all"},
    {"combine": "sum", "sync": "exp_square", "highlight": "top_quantile", "quantile": 0.5},
    {"alpha": "softplus", "sync": "exp_square"},
]


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: "-".join(map(str, reading.values())) or "default")
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_reading_in_every_situation(situation: str, reading: dict[str, Any]) -> None:
    a, b = streams(situation, 2, 2)
    field = ShuffledIrf(IrfParams(control="shuffled", **reading), CONTEXT)
    with torch.no_grad():
        field.weights.add_(torch.tensor([0.3, -0.1, 0.2, 0.05]))
    weights = field.weights.detach().double().requires_grad_()
    alpha = torch.log1p(weights.exp()) if field.params.alpha == "softplus" else weights
    places = {len(z): sent(field.double(), len(z)) for z, _ in b}
    grid = [[reference.resonate(u, v, alpha, field.params, places[len(v[0])]) for v in b] for u in a]
    similarity, told = (torch.stack([torch.stack([cell[part] for cell in row]) for row in grid]) for part in (0, 1))
    leaf = [weights, *leaves(a, b)]
    for dtype, tolerance in PRECISIONS:
        mine, ours = field.to(dtype), (cast(a, dtype), cast(b, dtype))
        left, right = padded(ours[0], situation), padded(ours[1], situation, extra=3)
        found = mine(left, right)
        assert_equal([found.similarity], [similarity], tolerance, "S")
        assert_equal([mine.similarity(left, right)], [similarity], tolerance, "S alone")
        assert_equal([found.told], [told], tolerance, "told")
        for name, got, want in (("S", found.similarity, similarity), ("told", found.told, told)):
            probe = torch.randn(want.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
            grads = gradients((got.double() * probe).sum(), [mine.weights, *leaves(*ours)])
            assert_equal(grads, gradients((want * probe).sum(), leaf), tolerance, f"gradient of {name}")


@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_frame_stays_and_none_is_left_out(count: int) -> None:
    places = sent(ShuffledIrf(IrfParams(control="shuffled"), CONTEXT).double(), count)
    assert sorted(places) == list(range(count)) and all(place != j for j, place in enumerate(places))
