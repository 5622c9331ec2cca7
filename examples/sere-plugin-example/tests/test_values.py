"""What the loss says of distributions that are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from sere_example.losses import Mmd
from sere_example.specs import MmdParams

from sere_registry import BuildContext


class Rows(SimpleNamespace):
    """All of a batch that the loss reads."""

    def __len__(self) -> int:
        return len(self.embedding)


def mmd(source: torch.Tensor, target: torch.Tensor) -> float:
    left: Any = Rows(embedding=source)
    right: Any = Rows(embedding=target)
    return float(Mmd(MmdParams(), BuildContext("mmd"))(left, right)["mmd"])


def test_the_same_rows_have_no_discrepancy_and_a_shift_has() -> None:
    rows = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    assert abs(mmd(rows, rows.flip(0))) < 1e-6
    near, far = mmd(rows, rows + 0.5), mmd(rows, rows + 3.0)
    assert 0 < near < far


def test_it_does_not_depend_on_scale() -> None:
    rows = torch.randn(20, 5, generator=torch.Generator().manual_seed(1))
    assert abs(mmd(rows, rows + 1) - mmd(10 * rows, 10 * (rows + 1))) < 1e-5
