"""EM of class Gaussians: a round by hand, what identical domains and empty classes leave, and shares."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sere_plugins.methods.em_gaussians import EmGaussians
from sere_plugins.methods.logistic import fitted
from sere_plugins.specs.transductive import EmGaussiansParams
from tests.probes.driver import Toy, accuracy, posteriors, solved


def made(toy: Toy, **params: Any) -> tuple[Any, dict[str, list[float]]]:
    return solved(lambda context: EmGaussians(EmGaussiansParams(**params), context), toy)


def test_a_round_by_hand() -> None:
    toy = Toy.make(count=20)
    x, t, y = toy.vectors["labelled"].double(), toy.vectors["target"].double(), toy.labels
    prior = fitted(EmGaussiansParams(), 3, x.numpy(), y.numpy())

    def log_odds(means: torch.Tensor, sigma: torch.Tensor, pi: torch.Tensor) -> torch.Tensor:
        normal = [torch.distributions.MultivariateNormal(mean, sigma).log_prob(t) for mean in means]  # type: ignore[no-untyped-call]
        return torch.stack(normal, dim=1) + pi.log() + 0.7 * prior.logits(t).log_softmax(dim=1)

    def shrunk(total: torch.Tensor) -> torch.Tensor:
        return 0.6 * total + 0.4 * total.trace() / 4 * torch.eye(4).double()

    pi = torch.full((3,), 1 / 3).double()
    means = torch.stack([x[y == c].mean(dim=0) for c in range(3)])
    sigma = shrunk((x - means[y]).T @ (x - means[y]) / 15)
    r = log_odds(means, sigma, pi).softmax(dim=1)
    w = torch.exp((r * r.log()).nan_to_num().sum(dim=1))
    fresh, total = [], torch.zeros(4, 4).double()
    for c in range(3):
        mass = 2 * (y == c).sum() + (w * r[:, c]).sum()
        mean = (2 * x[y == c].sum(dim=0) + ((w * r[:, c])[:, None] * t).sum(dim=0)) / mass
        total += 2 * (x[y == c] - mean).T @ (x[y == c] - mean) + ((w * r[:, c])[:, None] * (t - mean)).T @ (t - mean)
        fresh.append(mean)
    pi = 0.8 * (w[:, None] * r).sum(dim=0) / w.sum() + 0.2 / 3
    expected = log_odds(torch.stack(fresh), shrunk(total / (30 + w.sum())), pi).softmax(dim=1)
    method, _ = made(toy, rounds=1, anchor=2.0, shrinkage=0.4, source_prior=0.7)
    torch.testing.assert_close(posteriors(method, toy.vectors["target"]), expected.float(), rtol=1e-3, atol=1e-4)


def test_identical_domains_leave_the_source_solution() -> None:
    toy = Toy.make(shots=20, spread=0.4, shift=0.0)
    same = Toy({**toy.vectors, "target": toy.vectors["labelled"]}, toy.labels, toy.labels)
    start, end = (made(same, rounds=rounds)[0] for rounds in (0, 20))
    torch.testing.assert_close(posteriors(end, same.vectors["target"]), posteriors(start, same.vectors["target"]), rtol=0, atol=1e-3)


def test_a_class_that_the_target_lacks_keeps_its_start() -> None:
    toy = Toy.make(shift=0.0, spread=0.4)
    kept = toy.truth != 1
    fewer = Toy({**toy.vectors, "target": toy.vectors["target"][kept]}, toy.labels, toy.truth[kept])
    method, trace = made(fewer)
    found = posteriors(method, toy.vectors["target"]).argmax(dim=1)
    assert bool((found == toy.truth).all()) and trace["least_share"][0] < 0.1


@pytest.mark.parametrize("shares", ["equal", (0.2, 0.3, 0.5)])
def test_shares_may_be_fixed(shares: Any) -> None:
    toy = Toy.make()
    free, fixed = made(toy), made(toy, shares=shares)
    assert not torch.equal(free[0].bias, fixed[0].bias)
    wanted = (1 / 3, 1 / 3) if shares == "equal" else (0.2, 0.5)
    assert (fixed[1]["least_share"][0], fixed[1]["largest_share"][0]) == pytest.approx(wanted)


def test_it_follows_a_shift_with_other_shares() -> None:
    gains = []
    for seed in range(3):
        toy = Toy.make(seed, shift=1.5, count=90)
        kept = torch.cat([(toy.truth == c).nonzero().flatten()[:many] for c, many in enumerate((30, 15, 5))])
        skewed = Toy({**toy.vectors, "target": toy.vectors["target"][kept]}, toy.labels, toy.truth[kept])
        gains.append(accuracy(made(skewed)[0], skewed) - accuracy(made(skewed, rounds=0)[0], skewed))
    assert min(gains) >= 0, gains
