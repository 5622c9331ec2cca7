"""DANN and CDAN: golden numbers with fixed discriminators, reversal, who gets which gradient, and a toy on which the domains merge."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sere_core.functional import Discriminator, domain_loss, entropy, reversal_ramp, reverse_gradient
from sere_plugins.losses.cdan import Cdan, certainty_weights, products
from sere_plugins.losses.dann import Dann
from sere_plugins.methods.joint import Joint
from sere_plugins.specs.adversarial import CDAN as CDAN_SPEC
from sere_plugins.specs.adversarial import DANN as DANN_SPEC
from sere_plugins.specs.adversarial import CdanParams, DannParams
from sere_plugins.specs.methods import JointParams
from sere_registry import Loss, Progress, WeightedLoss
from sere_registry.protocols import completed
from tests.probes.driver import Driver, TinyBackbone, Toy, batch, context, copy_of, same
from tests.probes.golden import CDAN, CDAN_E, DANN, det
from tests.train.recipes import classify, made

S, T = det(8, 6, 0.0), det(8, 6, 1.0)
P_S, P_T = det(8, 5, 0.2).softmax(dim=1), det(8, 5, 0.7).softmax(dim=1)
HALF = Progress(3, 1, 0.5)
SPECS = {"dann": DANN_SPEC, "cdan": CDAN_SPEC}


class Fixed(nn.Module):
    """The golden numbers' discriminator: logits `T . w`."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, rows: Tensor) -> Tensor:
        return rows @ self.weights


def test_golden_numbers() -> None:
    dann = Fixed(det(1, 6, 0.5)[0])
    assert domain_loss(dann(S), dann(T)).item() == pytest.approx(DANN, rel=1e-12)
    cdan, both = Fixed(0.2 * det(1, 30, 0.4)[0]), torch.cat([P_S, P_T])
    logits = cdan(products(S, P_S)), cdan(products(T, P_T))
    assert domain_loss(*logits).item() == pytest.approx(CDAN, rel=1e-12)
    library_s = -(both * (both + 1e-5).log()).sum(dim=1)
    weights = certainty_weights(library_s)
    assert domain_loss(*logits, (weights[:8], weights[8:])).item() == pytest.approx(CDAN_E, rel=1e-12)
    ours = certainty_weights(entropy(both))
    assert domain_loss(*logits, (ours[:8], ours[8:])).item() == pytest.approx(CDAN_E, rel=1e-7)


@pytest.mark.parametrize("use_entropy, golden", [(False, CDAN), (True, CDAN_E)])
def test_the_losses_reach_the_golden_numbers_with_these_discriminators(use_entropy: bool, golden: float) -> None:
    five = tuple("abcde")
    labelled, target = batch(S, det(8, 5, 0.2), labels=torch.arange(8) % 5), batch(T, det(8, 5, 0.7))
    dann = Dann(DannParams(use_source=False), context(TinyBackbone(4, 6, 5), classes=five))
    dann.adversary.discriminator = Fixed(det(1, 6, 0.5)[0])  # type: ignore[assignment]
    assert dann(HALF, labelled, target)["domain"].item() == pytest.approx(DANN, rel=1e-12)
    cdan = Cdan(CdanParams(use_source=False, entropy=use_entropy), context(TinyBackbone(4, 6, 5), classes=five))
    cdan.adversary.discriminator = Fixed(0.2 * det(1, 30, 0.4)[0])  # type: ignore[assignment]
    assert cdan(HALF, labelled, target)["domain"].item() == pytest.approx(golden, rel=1e-7)


def test_a_discriminator_in_doubt_costs_log_2_and_swapped_domains_the_same() -> None:
    assert domain_loss(S.new_zeros(5), S.new_zeros(2)).item() == pytest.approx(math.log(2))
    logits = S[:, 0], T[:3, 1]
    torch.testing.assert_close(domain_loss(*logits), domain_loss(-logits[1], -logits[0]))
    assert domain_loss(S.new_full((2,), 1e4), S.new_full((2,), -1e4)).item() == 0.0


def test_each_domain_counts_half_whatever_its_size() -> None:
    expected = (torch.nn.functional.softplus(-S[:, 0]).mean() + torch.nn.functional.softplus(T[0, 0])) / 2
    torch.testing.assert_close(domain_loss(S[:, 0], T[:1, 0]), expected)


def test_the_ramp_is_the_paper_s() -> None:
    assert [reversal_ramp(t) for t in (0.0, 0.5, 1.0)] == pytest.approx([0.0, 0.9866142981514303, 0.9999092042625951])
    assert reversal_ramp(1.0, 1.0) == pytest.approx(0.46211715726)  # the library's after its 1000 steps


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_behind_the_reversal_the_gradient_is_minus_the_strength_times_the_plain_one(strength: float) -> None:
    fixed, rows = Fixed(det(1, 6, 0.5)[0]), S.clone().requires_grad_()
    (plain,) = torch.autograd.grad(domain_loss(fixed(rows), fixed(T)), rows)
    (reversed_,) = torch.autograd.grad(domain_loss(fixed(reverse_gradient(rows, strength)), fixed(T)), rows)
    torch.testing.assert_close(reversed_, -strength * plain)
    step = 1e-6 * det(8, 6, 0.9)
    slope = (domain_loss(fixed(S + step), fixed(T)) - domain_loss(fixed(S - step), fixed(T))) / 2
    torch.testing.assert_close((plain * step).sum(), slope, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("name", SPECS)
def test_the_network_gets_the_reversed_gradient_and_the_discriminator_the_plain_one(name: str) -> None:
    loss: Any = made(SPECS[name], hidden=8)(context())
    gradients = {}
    for fraction in (0.0, 0.5):
        embeddings = [rows.float().clone().requires_grad_() for rows in (S[:3], S[3:], T)]
        logits = [det(len(rows), 3, 0.2).float().requires_grad_() for rows in embeddings]
        labelled, source, target = (batch(*pair) for pair in zip(embeddings, logits, strict=True))
        loss.zero_grad()
        loss(progress=Progress(0, 0, fraction), labelled=labelled, source=source, target=target)["domain"].backward()
        assert all(each.grad is None for each in logits)  # predictions carry no gradient
        gradients[fraction] = [each.grad for each in embeddings], [each.grad.clone() for each in loss.adversary.discriminator.parameters()]
    assert not any(grad.any() for grad in gradients[0.0][0]) and all(grad.any() for grad in gradients[0.5][0])
    for first, second in zip(gradients[0.0][1], gradients[0.5][1], strict=True):
        assert first.any() and torch.equal(first, second)


def test_products_by_class_weights_and_one_class() -> None:
    one_hot = torch.eye(5, dtype=torch.float64)[torch.tensor([2, 0, 4])]
    joined = products(S[:3], one_hot).view(3, 5, 6)
    assert all(torch.equal(joined[row, kept], S[row]) for row, kept in enumerate((2, 0, 4)))
    assert joined.count_nonzero().item() == S[:3].count_nonzero().item()
    torch.testing.assert_close(products(S, torch.full((8, 5), 0.2).double()), (S / 5).repeat(1, 5))
    torch.testing.assert_close(products(S, torch.ones(8, 1).double()), S)
    raw = 1 + torch.exp(-entropy(torch.cat([P_S, torch.eye(5).double(), torch.full((1, 5), 0.2).double()])))
    assert raw.min().item() == pytest.approx(1 + 1 / 5) and raw.max().item() == pytest.approx(2)
    torch.testing.assert_close(certainty_weights(torch.full((7,), 0.4)), torch.ones(7))
    assert certainty_weights(entropy(P_S)).mean().item() == pytest.approx(1)


def test_above_the_limit_a_random_map_keeps_inner_products_on_average_and_is_part_of_the_state() -> None:
    torch.manual_seed(0)
    loss = Cdan(CdanParams(hidden=4, largest=17, random_dim=20_000), context())
    embeddings, posteriors = S.float(), det(8, 3, 0.2).softmax(dim=1).float()
    joined = loss.joined(embeddings, posteriors)
    assert joined.shape == (8, 20_000) and {"embedding_map", "posterior_map"} <= set(loss.state_dict())
    torch.testing.assert_close(joined @ joined.T, (exact := products(embeddings, posteriors)) @ exact.T, atol=0.15, rtol=0.1)
    assert not hasattr(Cdan(CdanParams(hidden=4, largest=18), context()), "embedding_map")


def test_a_discriminator_takes_a_single_row_and_repeated_ones() -> None:
    module = Discriminator(6, 8)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert module(S[:1].float()).isfinite().all()
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    module(S.float())
    assert not torch.equal(before["layers.1.running_mean"], module.layers[1].running_mean)  # type: ignore[arg-type]
    repeated = S[[0, 0]].float().requires_grad_()
    module(repeated).sum().backward()
    assert repeated.grad is not None and repeated.grad.isfinite().all()


def trained(name: str, weight: float | None, task: Toy, steps: int, seed: int = 0) -> TinyBackbone:
    """The network after joint training with this weight; None: without the loss."""
    torch.manual_seed(seed)
    backbone = TinyBackbone()
    given = context(backbone)
    losses = {"classify": WeightedLoss(completed(classify(given), Loss), 1.0, 1.0)}
    if weight is not None:
        adapt = made(SPECS[name], hidden=16)(given)
        losses["adapt"] = WeightedLoss(completed(adapt, Loss), weight, weight)
    method = Joint(JointParams(), context(backbone, losses=losses))
    Driver(method, method.stages()[0], task, lr=0.2).run(0, steps)
    return backbone


@pytest.mark.parametrize("name", SPECS)
def test_weight_zero_is_source_only_to_the_bit(name: str) -> None:
    only, zero, one = (trained(name, weight, Toy.make(), 5) for weight in (None, 0.0, 1.0))
    assert same(copy_of(only.parameters()), zero.parameters()) and not same(copy_of(only.parameters()), one.parameters())


@pytest.mark.parametrize("name", ["dann", pytest.param("cdan", marks=pytest.mark.slow)])
def test_on_a_toy_the_shifted_domain_is_drawn_in(name: str) -> None:
    """The distance of the domains' mean embeddings falls to less than half of what it is without, and the classes stay.

    Adversarial training circles round its end, so where one start is caught differs between processors; the middle of five does not.
    """
    task, ratios = Toy.make(shift=2.0), []
    for seed in range(5):
        ends = {}
        for weight in (0.0, 1.0):
            backbone = trained(name, weight, task, 150, seed)
            source, target = (torch.tanh(backbone.layer(task.vectors[stream])) for stream in ("source", "target"))
            ends[weight] = (source.mean(dim=0) - target.mean(dim=0)).norm().item()
            assert (backbone.classifier(source).argmax(dim=1) == task.truth).float().mean() > 0.9
        ratios.append(ends[1.0] / ends[0.0])
    assert sorted(ratios)[2] < 0.5, ratios
