"""Label-free selection, against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sere_plugins.specs.selectors import ENTROPY, INFORMATION_MAX, LAST, SND
from sere_registry import BuildContext, ComponentSpec

SURE = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
UNSURE = torch.full((2, 2), 0.5)
COLLAPSED = torch.tensor([[1.0, 0.0], [1.0, 0.0]])


def build(spec: ComponentSpec, **params: Any) -> Any:
    return spec.load()(spec.params(**params), BuildContext("select"))


def test_last_prefers_later_epochs() -> None:
    assert build(LAST).score(epoch=4) > build(LAST).score(epoch=3)


def test_entropy_by_hand() -> None:
    assert build(ENTROPY).score(target=SURE) == 0.0, "0 log 0 is 0"
    assert build(ENTROPY).score(target=UNSURE) == pytest.approx(-math.log(2))
    assert build(ENTROPY).score(target=torch.tensor([[0.25, 0.75]])) == pytest.approx(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert build(ENTROPY).score(target=COLLAPSED) == build(ENTROPY).score(target=SURE), "its known weakness"


def test_information_max_by_hand() -> None:
    assert build(INFORMATION_MAX).score(target=SURE) == pytest.approx(math.log(2))
    assert build(INFORMATION_MAX).score(target=UNSURE) == pytest.approx(0.0)
    assert build(INFORMATION_MAX).score(target=COLLAPSED) == pytest.approx(0.0), "one prediction for everything says nothing"


def test_snd_by_hand() -> None:
    """Three utterances, two alike: each twin sees its twin at similarity 1 and the third at 0; the third sees both at 0."""
    posteriors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    near = 1 / (1 + math.exp(-1 / 0.5))
    twin = -near * math.log(near) - (1 - near) * math.log(1 - near)
    assert build(SND, temperature=0.5).score(target=posteriors) == pytest.approx((2 * twin + math.log(2)) / 3)
    assert build(SND).score(target=torch.ones(9, 1)) == pytest.approx(math.log(8)), "the densest: every other is as near"
    assert build(SND).score(target=posteriors[:1]) == 0.0


def test_snd_in_blocks_is_snd_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    posteriors = torch.rand(50, 4, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    whole = build(SND).score(target=posteriors)
    monkeypatch.setattr("sere_plugins.selectors.posteriors.ROWS", 7)
    assert build(SND).score(target=posteriors) == pytest.approx(whole, abs=1e-12)


@given(st.integers(0, 1000), st.integers(2, 30), st.integers(2, 7))
@settings(max_examples=30, deadline=None)
def test_ranges_and_the_order_of_utterances(seed: int, n: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    posteriors = (3 * torch.randn(n, classes, generator=generator)).softmax(dim=1)
    shuffled = posteriors[torch.randperm(n, generator=generator)]
    bounds = {ENTROPY: (-math.log(classes), 0.0), INFORMATION_MAX: (0.0, math.log(classes)), SND: (0.0, math.log(n - 1))}
    for spec, (low, high) in bounds.items():
        value = build(spec).score(target=posteriors)
        assert low - 1e-9 <= value <= high + 1e-9, spec.name
        assert build(spec).score(target=shuffled) == pytest.approx(value, abs=1e-9)
