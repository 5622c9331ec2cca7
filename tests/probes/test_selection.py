"""Selectors that read more than the target's posteriors: their formulas, odd input, and what the trainer gives them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import selection
from sere_core.testing.toy import CPU, stream, streams
from sere_core.train.whole import predict, predict_mixtures
from sere_plugins.selectors.mixval import between, within
from sere_plugins.selectors.validation import controlled, density_ratio, losses
from sere_plugins.specs.selectors import DEV, IMPORTANCE_WEIGHTING, MIXVAL, SOURCE_VALIDATION
from sere_registry import BuildContext, ComponentSpec, SereError
from sere_registry.protocols import KEPT
from tests.train.recipes import RECIPES, toy

P = torch.tensor([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7]], dtype=torch.float64)
Y = torch.tensor([0, 0, 1])


def build(spec: ComponentSpec, **params: Any) -> Any:
    return spec.load()(spec.params(**params), BuildContext("select"))


def rows(count: int, width: int, shift: float = 0.0, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def test_source_validation_by_hand() -> None:
    assert build(SOURCE_VALIDATION).score(validation=P, validation_labels=Y) == pytest.approx(2 / 3)
    entropy = (math.log(0.8) + math.log(0.4) + math.log(0.7)) / 3
    assert build(SOURCE_VALIDATION, loss="cross_entropy").score(validation=P, validation_labels=Y) == pytest.approx(entropy)


def test_the_density_ratio_of_two_gaussians() -> None:
    """N(0, 1) and N(1, 1): w(x) = exp(x - 1/2), whose logarithm a logistic classifier can fit; more of one changes nothing."""
    at = torch.tensor([[-1.0], [0.0], [1.0]])
    found = density_ratio(rows(6000, 1), rows(3000, 1, shift=1.0, seed=1), at, strength=100.0)
    assert np.log(found) == pytest.approx((at - 0.5).flatten().numpy(), abs=0.12)
    same = density_ratio(rows(3000, 2), rows(3000, 2, seed=1), rows(500, 2, seed=2), strength=1.0)
    assert same.mean() == pytest.approx(1.0, abs=0.05)


def test_the_control_variate_by_hand_and_what_it_is_for() -> None:
    weights, error = np.array([0.2, 0.5, 1.4, 2.1]), np.array([0.0, 1.0, 1.0, 0.0])
    covariance = np.cov(np.stack([weights * error, weights]))
    eta = -covariance[0, 1] / covariance[1, 1]
    assert controlled(weights, error) == pytest.approx((weights * error).mean() + eta * (weights.mean() - 1))
    assert controlled(np.full(4, 0.7), error) == pytest.approx(0.35), "weights that do not vary: eta is 0"
    assert controlled(np.array([1.3]), np.array([1.0])) == pytest.approx(1.3), "nor does one"
    draw = np.random.default_rng(0)
    plain, less = [], []
    for _ in range(400):  # mean w = 1, and errors that have little to do with w
        weights, error = np.exp(draw.normal(-0.5, 1.0, 40)), (draw.random(40) < 0.7).astype(float)
        plain.append((weights * error).mean())
        less.append(controlled(weights, error))
    assert np.mean(less) == pytest.approx(0.7, abs=0.03) and np.std(less) < 0.7 * np.std(plain)


def test_weighted_risks_by_hand() -> None:
    """Both are the formulas of their parts, in the space that each reads."""
    source, target, held = rows(30, 4), rows(20, 4, shift=0.5, seed=1), rows(3, 4, seed=2)
    weights = density_ratio(source, target, held, 1.0)
    parts = {"source": source, "target": target, "validation": held}
    vectors = {f"{name}_vectors": value for name, value in parts.items()}
    found = build(IMPORTANCE_WEIGHTING).score(validation=P, validation_labels=Y, **vectors)
    assert found == pytest.approx(-weights[1] / 3), "the second of three is wrong"
    embeddings = {f"{name}_embedding": value for name, value in parts.items()}
    found = build(DEV, loss="cross_entropy").score(validation=P, validation_labels=Y, **embeddings)
    assert found == pytest.approx(-controlled(weights, losses("cross_entropy", P, Y)))


@pytest.mark.parametrize("spec", [IMPORTANCE_WEIGHTING, DEV])
def test_odd_samples_give_finite_scores(spec: ComponentSpec) -> None:
    kind = "vectors" if spec is IMPORTANCE_WEIGHTING else "embedding"

    def score(source: Tensor, target: Tensor, held: Tensor) -> float:
        parts = {f"source_{kind}": source, f"target_{kind}": target, f"validation_{kind}": held}
        found: float = build(spec).score(validation=P[: len(held)], validation_labels=Y[: len(held)], **parts)
        return found

    wide = [rows(12, 600), rows(9, 600, shift=50.0, seed=1), rows(3, 600, shift=-50.0, seed=2)]
    cases = {
        "d much larger than n, and domains far apart": wide,
        "a constant dimension": [torch.ones(5, 2), torch.ones(4, 2), torch.ones(3, 2)],
        "duplicates": [rows(1, 3).repeat(6, 1), rows(1, 3, seed=1).repeat(5, 1), rows(1, 3).repeat(3, 1)],
        "one of each": [rows(1, 3), rows(1, 3, seed=1), rows(1, 3, seed=2)],
        "a held-out one far from all": [rows(50, 3), rows(50, 3, shift=4.0, seed=1), torch.full((3, 3), 1e9)],
    }
    for name, parts in cases.items():
        assert math.isfinite(score(*parts)), name
    with pytest.raises(SereError, match="B402"):
        score(rows(5, 3), rows(5, 4), rows(3, 3))


def linear(posteriors: Tensor) -> Any:
    def mixture(first: Tensor, second: Tensor, share: float) -> Tensor:
        return share * posteriors[first] + (1 - share) * posteriors[second]

    return mixture


def test_mixval_by_hand() -> None:
    sure, flat = torch.eye(2)[[0, 0, 1, 1]], torch.tensor([[0.51, 0.49], [0.9, 0.1], [0.2, 0.8], [0.1, 0.9]])
    assert build(MIXVAL).score(target=sure, mixture=linear(sure)) == 1.0
    assert build(MIXVAL, pairs="within").score(target=flat, mixture=linear(flat)) == 1.0
    assert build(MIXVAL, pairs="between").score(target=flat, mixture=linear(flat)) == 0.75, "0.55 * 0.51 + 0.45 * 0.2 < 1/2"
    assert build(MIXVAL).score(target=flat, mixture=linear(flat)) == 0.875


def test_mixval_where_there_are_no_pairs() -> None:
    one = torch.eye(3)[[0] * 6]
    assert build(MIXVAL).score(target=one, mixture=linear(one)) == 0.5, "one class for all is no border"
    for few in (torch.eye(3)[[1]], torch.eye(3)):
        assert 0.0 <= build(MIXVAL).score(target=few, mixture=linear(few)) <= 0.5
    assert len(within(torch.tensor([0]))[0]) == len(between(torch.tensor([0]))[0]) == 0


def test_pairs_are_of_one_class_or_of_two() -> None:
    predicted = torch.randint(5, (61,), generator=torch.Generator().manual_seed(0))
    first, second = within(predicted)
    assert torch.equal(predicted[first], predicted[second]) and not (first == second).any() and len(first) >= 56
    first, second = between(predicted)
    assert (predicted[first] != predicted[second]).all() and len(first) > 30


@pytest.mark.parametrize("name", RECIPES)
def test_a_mixture_with_all_of_one_is_that_one(name: str) -> None:
    """For every method, whatever it predicts from: frames, vectors or the labelled set; in the order that was asked for."""
    method, parts = RECIPES[name].method(), streams()
    support = parts["labelled"] if "labelled" in method.stages()[-1].sees else None
    alone = predict(method, parts["target"], support, CPU)["posteriors"]
    first, second = torch.arange(22).flip(0).repeat(4), torch.arange(88) % 22
    found = predict_mixtures(method, parts["target"], support, CPU, first, second, 1.0)
    torch.testing.assert_close(found, alone[first], atol=1e-6, rtol=1e-5)


def test_a_mixture_lies_between() -> None:
    parts = streams()["target"]
    one, other = parts.items[0], parts.items[1]
    method = toy().method()
    seen: list[Any] = []
    plain = method.predict
    method.predict = lambda batch, **more: (seen.append(batch), plain(batch, **more))[1]  # type: ignore[method-assign, func-returns-value]
    predict_mixtures(method, parts, None, CPU, torch.tensor([0]), torch.tensor([1]), 0.6)
    (batch,) = seen
    repeated = other.frames[torch.arange(len(one.frames)) % len(other.frames)]
    torch.testing.assert_close(batch.inputs.frames.values[0], 0.6 * one.frames + 0.4 * repeated)
    torch.testing.assert_close(batch.vectors[0], batch.inputs.frames.values[0].mean(dim=0))
    assert torch.equal(parts.items[0].frames, one.frames), "what was mixed stays as it is"


class _Reader:
    """Keeps what it is given, and prefers the second epoch."""

    given: dict[str, Any]

    def score(self, epoch: int, validation: Tensor, validation_labels: Tensor, source_vectors: Tensor, target_embedding: Tensor) -> float:
        self.given = {name: value for name, value in locals().items() if name != "self"}
        return float(epoch == 1)


def test_the_trainer_gives_what_is_named_and_keeps_what_a_sweep_may_read(tmp_path: Path) -> None:
    held = {**streams(), "validation": stream("validation", 6)}
    reader = _Reader()
    trainer = toy().trainer(tmp_path, selector=reader, streams_=held)
    assert trainer.run().kept_epoch == 1
    assert reader.given["validation"].shape == (6, 3) and reader.given["validation_labels"].tolist() == [0, 1, 2, 0, 1, 2]
    assert reader.given["source_vectors"].shape == (20, 6) and reader.given["target_embedding"].shape == (22, 10)
    from sere_core.train.checkpoint import Checkpoint

    kept = Checkpoint.load(trainer.path).under("result")
    assert set(kept) >= KEPT and torch.equal(kept["validation_labels"], reader.given["validation_labels"])


def test_where_all_of_the_source_is_labelled_that_is_the_source(tmp_path: Path) -> None:
    held = {name: value for name, value in streams().items() if name != "source"} | {"validation": stream("validation", 3)}
    reader = _Reader()
    toy().trainer(tmp_path, selector=reader, streams_=held).run()
    assert reader.given["source_vectors"].shape == (9, 6)


def test_without_held_out_labels_the_selector_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    trainer = toy().trainer(tmp_path, selector=_Reader())
    with pytest.raises(SereError, match=r"\[C311\].*validation"):
        trainer.run()
    assert not trainer.path.exists()


def test_after_a_source_free_stage_the_source_is_not_asked(tmp_path: Path) -> None:
    held = {**streams(), "validation": stream("validation", 6)}
    trainer = RECIPES["nrc"].trainer(tmp_path, selector=_Reader(), streams_=held)
    with pytest.raises(SereError, match=r"\[C311\].*may not see the source"):
        trainer.run()
    from sere_core.train.checkpoint import Checkpoint

    done = RECIPES["nrc"].trainer(tmp_path, selector=build(MIXVAL), streams_=held)
    assert done.run().kept_epoch is not None
    assert KEPT & set(Checkpoint.load(done.path).under("result")) == {"target"}


def test_the_benchmark_tells_regrets_by_pair_and_which_rule_loses_little() -> None:
    good = {"last": {"p": [50.0, 52.0], "q": [40.0, 40.0]}, "entropy": {"p": [52.0, 52.0], "q": [41.0, 40.0]}}
    good |= {"oracle": {"p": [52.0, 54.0], "q": [41.0, 41.0]}}
    poor = {"last": {"p": [30.0]}, "entropy": {"p": [36.0]}, "oracle": {"p": [36.0]}}
    rule, last, entropy, oracle = selection.lines(good)
    assert rule.split()[-2:] == ["worst", "pair"]
    assert last.split() == ["last", "45.5", "+0.0", "1.5", "2.0", "±", "0.6"]
    assert entropy.split()[:5] == ["entropy", "46.2", "+0.8", "0.8", "1.0"] and oracle.split()[:5] == [
        "oracle",
        "47.0",
        "+1.5",
        "0.0",
        "0.0",
    ]
    assert selection.verdict({"a": good, "b": poor}).splitlines() == [
        "mean regret over methods: entropy 0.4, last 3.8",
        "at most 1 point: entropy",
    ]
    assert selection.verdict({"b": {name: poor[name] for name in ("last", "oracle")}}).endswith("at most 1 point: none")
