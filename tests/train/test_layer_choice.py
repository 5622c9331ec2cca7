"""The rule of `layer: auto` by itself: errors of left-out speakers, and the layer that is taken."""

from __future__ import annotations

import numpy as np
import pytest

from sere_core.train.layer_choice import best_layer, left_out_errors

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("speakers", [["a", "a", "b", "b", "c", "c"], ["a"] * 6], ids=["by speaker", "one by one"])
def test_an_utterance_is_scored_by_the_normal_equations_of_the_others(speakers: list[str]) -> None:
    values, labels, who = RNG.normal(size=(6, 3)), np.array([0, 1, 2, 0, 1, 2]), np.array(speakers)
    found = left_out_errors(values, labels, who)
    for place in range(6):
        rest = who != who[place] if len(set(speakers)) > 1 else np.arange(6) != place
        centre = values[rest].mean(axis=0)
        near, truth = values[rest] - centre, np.eye(3)[labels]
        weights = np.linalg.solve(near.T @ near + 3 * np.eye(3), near.T @ truth[rest])
        score = (values[place] - centre) @ weights + truth[rest].mean(axis=0)
        assert found[place] == pytest.approx(((score - truth[place]) ** 2).sum(), rel=1e-10)


def test_the_layer_that_carries_the_classes_is_taken_however_far_from_the_middle() -> None:
    labels = np.tile(np.arange(4), 10)
    speakers = np.repeat([f"s{i}" for i in range(5)], 8)
    errors = {}
    for layer in range(1, 7):
        values = RNG.normal(size=(40, 16))
        if layer == 6:
            values[:, :4] += 8.0 * np.eye(4)[labels]
        errors[layer] = left_out_errors(values, labels, speakers)
    assert best_layer(errors) == 6


def test_without_evidence_the_middle_is_taken_and_order_says_nothing() -> None:
    one = RNG.uniform(0.4, 0.8, size=30)
    errors = {layer: RNG.permutation(one) for layer in range(1, 13)}
    errors[9] = errors[9] - 0.01  # the best by a little
    assert best_layer(errors) == best_layer(dict(reversed(errors.items()))) == 6


def test_of_two_layers_as_near_to_the_middle_the_better_is_taken() -> None:
    one = RNG.uniform(0.4, 0.8, size=30)
    assert best_layer({1: one + 1.0, 2: RNG.permutation(one) + 0.001, 4: RNG.permutation(one), 6: one + 1.0}) == 4
