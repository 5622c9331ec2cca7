"""`irf` with `control: shuffled`: equations 5 and 6, where what resonates with a frame is replaced by another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from sere_plugins.resonance.variants import ShuffledIrf
from sere_plugins.specs.resonance import IrfParams
from tests.sere.batches import BURSTS, CONTEXT, WIDTH, Utterance, batch
from tests.sere.situations import SITUATIONS, check_field, irf_in_loops, streams


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
def test_every_reading_in_every_situation(situation: str, reading: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = streams(situation, 2, 2)
    field = ShuffledIrf(IrfParams(control="shuffled", **reading), CONTEXT)
    with torch.no_grad():
        field.weights.add_(torch.tensor([0.3, -0.1, 0.2, 0.05]))
    field.double()

    def in_loops(field: ShuffledIrf, a: Sequence[Utterance], b: Sequence[Utterance]) -> Any:
        return irf_in_loops(field, a, b, moved={len(z): moved(field.double(), len(z)) for z, _ in b})

    check_field(field, in_loops, a, b, situation, monkeypatch)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_frame_stays_and_none_is_left_out(count: int) -> None:
    places = moved(ShuffledIrf(IrfParams(control="shuffled"), CONTEXT).double(), count)
    assert sorted(places) == list(range(count)) and all(place != j for j, place in enumerate(places))
