"""`irf` with `control: shuffled`: equations 5 and 6, where what resonates with a frame is replaced by another one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sere_plugins.resonance.variants import ShuffledIrf
from sere_plugins.specs.resonance import IrfParams
from sere_registry import BuildContext
from tests.sere.batches import BURSTS, WIDTH, batch, every_pair, gradients, leaves
from tests.sere.situations import PRECISIONS, SITUATIONS, assert_equal, cast, irf_in_loops, padded, probe, streams

CONTEXT = BuildContext(id="field", dim=WIDTH - BURSTS, dynamics_dim=BURSTS)


def moved(field: ShuffledIrf, count: int) -> list[int]:
    """The permutation of so many frames, read off the field itself: frame j of b alone resonates with frame j of a."""
    z = torch.eye(count, WIDTH, dtype=torch.float64)
    one = batch([(z, torch.zeros(count, BURSTS, dtype=torch.float64))])
    places: list[int] = field.frame_map(one, one).alignment.argmax(dim=1).tolist()
    return places


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
    field = ShuffledIrf(IrfParams(control="shuffled", **reading), CONTEXT).double()
    with torch.no_grad():
        field.weights.add_(torch.tensor([0.3, -0.1, 0.2, 0.05]))
    similarity, aligned, theirs = irf_in_loops(field, a, b, moved={len(z): moved(field, len(z)) for z, _ in b})
    for dtype, tolerance in PRECISIONS:
        mine, ours = field.to(dtype), (cast(a, dtype), cast(b, dtype))
        left, right = padded(ours[0], situation), padded(ours[1], situation, extra=3)
        found = every_pair(mine, left, right)
        assert_equal([mine.similarity(left, right)], [similarity], tolerance, "the search")
        for name, got, want in (("S", found.similarity, similarity), ("zt", found.aligned, aligned)):
            assert_equal([got], [want], tolerance, name)
            grads = gradients(probe(got), [mine.weights, *leaves(*ours)])
            assert_equal(grads, gradients(probe(want), theirs), tolerance, f"gradient of {name}")


@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_frame_stays_and_none_is_left_out(count: int) -> None:
    places = moved(ShuffledIrf(IrfParams(control="shuffled"), CONTEXT).double(), count)
    assert sorted(places) == list(range(count)) and all(place != j for j, place in enumerate(places))
