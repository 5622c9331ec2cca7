"""TIM and alpha-TIM: entropies, the objective and its steps by hand, and what each term does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from sere_core.functional import entropy, unit_rows
from sere_plugins.methods.tim import AlphaTim, Tim, alpha_entropy
from sere_plugins.specs.transductive import AlphaTimParams, TimShannonParams
from tests.probes.driver import CLASSES, Toy, context, posteriors, solved
from tests.probes.golden import det

P = det(7, 4, 0.3).softmax(dim=1)


def made(toy: Toy, **params: Any) -> tuple[Any, dict[str, list[float]]]:
    return solved(lambda context: Tim(TimShannonParams(**params), context), toy)


def test_entropies() -> None:
    torch.testing.assert_close(alpha_entropy(P, 1.0), entropy(P))
    torch.testing.assert_close(alpha_entropy(P, 1.0 + 1e-6), entropy(P), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(alpha_entropy(P, 3.0), (1 - P.pow(3).sum(dim=1)) / 2)
    assert alpha_entropy(torch.eye(3), 5.0).tolist() == pytest.approx([0.0] * 3, abs=1e-6)


@pytest.mark.parametrize("alpha", [1.0, 2.0, 5.0])
def test_relative_entropy_is_largest_at_the_shares(alpha: float) -> None:
    shares = torch.tensor([0.4, 0.3, 0.2, 0.1]).double()
    best = alpha_entropy(shares, alpha, 4 * shares)
    assert bool((alpha_entropy(P, alpha, 4 * shares) < best).all())
    torch.testing.assert_close(alpha_entropy(P, alpha, torch.ones(4)), alpha_entropy(P, alpha))


def test_the_objective_and_a_step_by_hand() -> None:
    toy = Toy.make()
    method, trace = made(toy, steps=2, lr=0.01, labelled_weight=0.5, marginal_weight=0.7, conditional_weight=0.3)
    rows = {name: unit_rows(vectors.double()) for name, vectors in toy.vectors.items()}
    means = torch.stack([rows["labelled"][toy.labels == c].mean(dim=0) for c in range(3)]).requires_grad_()
    optimizer = torch.optim.Adam([means], lr=0.01)
    for step in range(2):
        logits = {name: 15 * functional.cosine_similarity(each[:, None], means[None], dim=2) for name, each in rows.items()}
        p = logits["target"].softmax(dim=1)
        parts = [
            0.5 * functional.cross_entropy(logits["labelled"], toy.labels),
            0.7 * (p.mean(dim=0) * p.mean(dim=0).log()).sum(),
            -0.3 * (p * p.log()).sum(dim=1).mean(),
        ]
        assert [trace[name][step] for name in ("ce", "marginal", "conditional")] == pytest.approx([part.item() for part in parts], rel=1e-9)
        optimizer.zero_grad()
        torch.stack(parts).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    torch.testing.assert_close(method.weight, means.detach().float())


def test_alpha_tim_is_tim_with_other_defaults() -> None:
    toy = Toy.make()
    declared = AlphaTimParams(steps=5)
    assert (declared.alpha, declared.labelled_weight, declared.conditional_weight) == (5.0, 1.0, 1.0)
    ours, _ = solved(lambda context: AlphaTim(declared, context), toy)
    same, _ = made(toy, steps=5, alpha=5.0, labelled_weight=1.0, conditional_weight=1.0)
    assert torch.equal(ours.weight, same.weight) and ours.stages()[0].name == "alpha_tim"
    assert AlphaTim(declared, context(classes=CLASSES)).params.alpha == 5.0


def test_without_steps_the_class_means_answer() -> None:
    toy = Toy.make()
    method, trace = made(toy, steps=0)
    rows = unit_rows(toy.vectors["labelled"].double())
    torch.testing.assert_close(method.weight, torch.stack([rows[toy.labels == c].mean(dim=0) for c in range(3)]).float())
    assert trace["ce"] == []


def test_the_marginal_term_keeps_every_class_and_alpha_gives_way() -> None:
    """T_u holds one class alone: Shannon's entropy spreads it over all, alpha 5 less."""
    toy = Toy.make(count=60, spread=0.5)
    one = Toy({**toy.vectors, "target": toy.vectors["target"][toy.truth == 0]}, toy.labels, toy.truth[toy.truth == 0])

    def largest(alpha: float, marginal: float) -> float:
        method, _ = made(one, alpha=alpha, marginal_weight=marginal, labelled_weight=0.0, conditional_weight=0.1, steps=150, lr=0.01)
        return float(posteriors(method, one.vectors["target"]).mean(dim=0).max())

    none, shannon, five = largest(1.0, 0.0), largest(1.0, 1.0), largest(5.0, 1.0)
    assert none > five > shannon and none > 0.9 and shannon < 0.5
