"""The contract of selectors, run on every one in each of its variants."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from tests.contracts.components import Case, cases

CASES = cases("selector")
GENERATOR = torch.Generator().manual_seed(0)
#: what posteriors on T_u may look like
POSTERIORS = {
    "random": torch.randn(30, 4, generator=GENERATOR).softmax(dim=1),
    "one utterance": torch.tensor([[0.2, 0.3, 0.5]]),
    "two utterances": torch.tensor([[0.2, 0.8], [0.9, 0.1]]),
    "one answer for all": torch.eye(3)[[0] * 10],
    "certain": torch.eye(3)[torch.arange(12) % 3],
    "uniform": torch.full((9, 3), 1 / 3),
    "float64": torch.randn(8, 3, generator=GENERATOR, dtype=torch.float64).softmax(dim=1),
    "two thousand": torch.randn(2000, 5, generator=GENERATOR).softmax(dim=1),
}


def score(case: Case, target: torch.Tensor, epoch: int = 0) -> float:
    selector: Any = case.build()
    reads = set(inspect.signature(selector.score).parameters)
    given = {"target": target, "embedding": target, "epoch": epoch}
    assert reads and reads <= set(given), "there are no labels to read"
    found = selector.score(**{name: given[name] for name in reads})
    assert isinstance(found, float)
    return found


@pytest.mark.parametrize("name", POSTERIORS)
@pytest.mark.parametrize("case", CASES)
def test_scores_are_finite_and_repeat(case: Case, name: str) -> None:
    kept = POSTERIORS[name].clone()
    first, second = score(case, POSTERIORS[name]), score(case, POSTERIORS[name])
    assert first == second and abs(first) < float("inf")
    assert torch.equal(POSTERIORS[name], kept)


@pytest.mark.parametrize("case", CASES)
def test_an_obviously_better_epoch_scores_higher(case: Case) -> None:
    """Confident answers in clear clusters, spread over the classes, against answers scattered all over; and later against earlier."""
    generator = torch.Generator().manual_seed(1)
    scattered = (2 * torch.randn(90, 7, generator=generator)).softmax(dim=1)
    clear = (6 * torch.eye(7)[torch.arange(90) % 7] + 0.1 * torch.randn(90, 7, generator=generator)).softmax(dim=1)
    assert score(case, clear, epoch=9) > score(case, scattered, epoch=2)
