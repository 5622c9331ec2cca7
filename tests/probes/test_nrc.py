"""NRC: the golden gradients and neighbours, its bank, and two stages that share nothing but the network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sere_core.functional import nearest, neighbourhood, unit_rows
from sere_plugins.methods.nrc import Nrc, attraction
from sere_plugins.specs.source_free import NrcParams
from tests.probes.driver import Driver, Seen, TinyBackbone, Toy, accuracy, batch, context, copy_of, same
from tests.probes.golden import (
    NRC_EXPANDED_ROW_0,
    NRC_GRADIENT_NORM,
    NRC_GRADIENT_ROW_0,
    NRC_NEAR_ROW_0,
    NRC_VALUE,
    NRC_WEIGHT_ROW_0,
    det,
)

EMBEDDINGS, LOGITS = det(20, 6, 0.15), 2 * det(20, 5, 0.35)
INDEX = torch.arange(8)


def golden_method(**params: float) -> Nrc:
    method = Nrc(NrcParams(**params), context(classes=tuple("abcde")))  # type: ignore[arg-type]
    method.bank.fill(EMBEDDINGS, LOGITS.softmax(dim=1))
    return method


def adapt(method: Nrc, logits: Tensor, embeddings: Tensor = EMBEDDINGS[:8], index: Tensor = INDEX) -> dict[str, Tensor]:
    return dict(method.adapt(batch(embeddings, logits, index=index)))  # type: ignore[arg-type]


def gradient(**params: float) -> tuple[float, Tensor]:
    logits = LOGITS[:8].clone().requires_grad_()
    total = torch.stack(list(adapt(golden_method(**params), logits).values())).sum()
    total.backward()
    assert logits.grad is not None
    return total.item(), logits.grad


def test_golden_neighbours() -> None:
    around = neighbourhood(unit_rows(EMBEDDINGS), INDEX, 3, 2)
    assert around.near[0].tolist() == NRC_NEAR_ROW_0
    assert around.expanded[0].tolist() == NRC_EXPANDED_ROW_0
    assert torch.where(around.reciprocal, 1.0, 0.1)[0].tolist() == pytest.approx(NRC_WEIGHT_ROW_0)


def test_golden_gradient() -> None:
    value, found = gradient()
    assert value == pytest.approx(NRC_VALUE, rel=1e-8)
    torch.testing.assert_close(found[0], torch.tensor(NRC_GRADIENT_ROW_0, dtype=torch.float64), rtol=0, atol=1e-9)
    assert found.norm().item() == pytest.approx(NRC_GRADIENT_NORM, rel=1e-7)


def test_reference_by_hand() -> None:
    """The whole objective with its self term, by loops."""
    unit, scores = unit_rows(EMBEDDINGS), LOGITS.softmax(dim=1)

    def ranked(i: int, count: int) -> list[int]:
        order = sorted((j for j in range(20) if j != i), key=lambda j: -float(unit[i] @ unit[j]))
        return order[:count]

    total = torch.zeros((), dtype=torch.float64)
    for i in range(8):
        for k in ranked(i, 4):
            total -= (1.0 if i in ranked(k, 3) else 0.3) * scores[k] @ scores[i] / 8
            for m in ranked(k, 3):
                total -= 0.2 * scores[m] @ scores[i] / 8
        total -= scores[i] @ scores[i] / 8
    mean = scores[:8].mean(dim=0)
    total += 0.5 * (mean * (mean + 1e-5).log()).sum()
    value, _ = gradient(neighbours=4, expanded=3, affinity=0.3, expanded_affinity=0.2, self_term=True, diversity=0.5)
    assert value == pytest.approx(total.item(), rel=1e-12)


def test_all_affinities_one_and_nothing_else_is_plain_attraction() -> None:
    """What AaD keeps with alpha = 0."""
    terms = adapt(golden_method(affinity=1.0, expanded_affinity=0.0, diversity=0.0), LOGITS[:8])
    near = nearest(unit_rows(EMBEDDINGS), INDEX, 3)
    scores = LOGITS.softmax(dim=1)
    expected = -torch.stack([(scores[near[i]] @ scores[i]).sum() for i in range(8)]).mean()
    torch.testing.assert_close(terms["neighbours"], expected)
    assert terms["expanded"].item() == 0.0 and "diversity" not in terms


def test_mutual_nearest_neighbours_alone_give_the_gradient_of_minus_s_p() -> None:
    pair = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1]], dtype=torch.float64)
    logits = det(4, 5, 0.2).requires_grad_()
    around = neighbourhood(unit_rows(pair), torch.arange(4), 1, 1)
    assert around.near.flatten().tolist() == [1, 0, 3, 2] and around.reciprocal.all()
    scores = det(4, 5, 0.9).softmax(dim=1)
    attraction(logits.softmax(dim=1), scores, around, 0.1, 0.0)["neighbours"].backward()
    other = logits.detach().requires_grad_()
    (-(scores[[1, 0, 3, 2]] * other.softmax(dim=1)).sum() / 4).backward()
    torch.testing.assert_close(logits.grad, other.grad)


def test_with_r_zero_only_reciprocal_neighbours_pull() -> None:
    _, found = gradient(neighbours=1, expanded=1, affinity=0.0, expanded_affinity=0.0, diversity=0.0)
    around = neighbourhood(unit_rows(EMBEDDINGS), INDEX, 1, 1)
    pulled = around.reciprocal.any(dim=1)
    assert pulled.any() and not pulled.all()
    assert torch.equal(found.abs().sum(dim=1) > 0, pulled)


def test_without_diversity_collapse_is_the_optimum_and_the_diagnostics_show_it() -> None:
    method = golden_method(diversity=0.0)
    method.bank.posteriors[:] = torch.eye(5, dtype=torch.float64)[0]
    one_hot = torch.zeros(8, 5, dtype=torch.float64)
    one_hot[:, 0] = 50.0
    collapsed = torch.stack(list(adapt(method, one_hot).values())).sum().item()
    assert method.diagnostics()["spread"] == pytest.approx(0.0, abs=1e-12)
    for phase in range(5):
        method.bank.posteriors[:] = torch.eye(5, dtype=torch.float64)[0]
        assert torch.stack(list(adapt(method, 3 * det(8, 5, phase)).values())).sum().item() > collapsed


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_stream_smaller_than_k(count: int) -> None:
    method = Nrc(NrcParams(), context(classes=tuple("abcde")))
    method.bank.fill(EMBEDDINGS[:count], LOGITS[:count].softmax(dim=1))
    terms = adapt(method, LOGITS[:count].clone().requires_grad_(), EMBEDDINGS[:count], torch.arange(count))
    assert torch.stack(list(terms.values())).isfinite().all()


def test_rows_are_overwritten_before_the_search_and_carry_no_gradient() -> None:
    method = golden_method()
    embeddings = -EMBEDDINGS[:8].clone().requires_grad_()
    logits = det(8, 5, 0.8).requires_grad_()
    adapt(method, logits, embeddings)
    torch.testing.assert_close(method.bank.embeddings[:8], unit_rows(-EMBEDDINGS[:8]))
    torch.testing.assert_close(method.bank.posteriors[:8], logits.detach().softmax(dim=1))
    torch.testing.assert_close(method.bank.posteriors[8:], LOGITS[8:].softmax(dim=1))
    assert not method.bank.posteriors.requires_grad and not method.bank.embeddings.requires_grad


def make(seed: int = 0, **params: float) -> Nrc:
    torch.manual_seed(seed)
    return Nrc(NrcParams(**params), context(TinyBackbone()))  # type: ignore[arg-type]


def source_trained(toy: Toy) -> Nrc:
    method = make()
    Driver(method, method.stages()[0], toy, lr=0.5).run(0, 60)
    return method


def test_stages_and_budgets() -> None:
    source, last = make(source_budget=0.25).stages()
    assert (source.name, source.sees, source.budget) == ("source", {"labelled"}, 0.25)
    assert (last.name, last.sees, last.budget) == ("adapt", {"target"}, 0.75)


def test_the_features_learn_at_their_own_rate_and_may_decay() -> None:
    groups = make(features_scale=0.1).parameters_by_group()
    assert [(name, group.scale, group.schedule) for name, group in groups.items()] == [("features", 0.1, None), ("classifier", 1.0, None)]
    for group in make(decay=True).parameters_by_group().values():
        assert group.schedule is not None and group.schedule.factor(0.5) == pytest.approx(6**-0.75)


def test_label_smoothing() -> None:
    labels = torch.arange(8) % 5
    loss = golden_method(smoothing=0.2).learn(batch(EMBEDDINGS[:8], LOGITS[:8], labels=labels))["ce"]  # type: ignore[arg-type]
    soft = 0.8 * torch.nn.functional.one_hot(labels, 5) + 0.2 / 5
    torch.testing.assert_close(loss, -(soft * LOGITS[:8].log_softmax(dim=1)).sum(dim=1).mean())


def test_begin_leaves_a_full_bank_alone() -> None:
    toy = Toy.make()
    method = make()
    data = Seen(toy, method.backbone, frozenset({"target"}))
    method.begin(data)
    before = copy_of([method.bank.embeddings, method.bank.posteriors])
    with torch.no_grad():
        method.backbone.layer.weight.add_(1.0)
    method.begin(data)
    assert same(before, [method.bank.embeddings, method.bank.posteriors])


def test_adapting_helps_on_a_toy() -> None:
    gains = []
    for seed in range(3):
        toy = Toy.make(seed, shift=2.5)
        method = source_trained(toy)
        before = accuracy(method, toy)
        Driver(method, method.stages()[1], toy, lr=0.3).run(0, 60)
        gains.append(accuracy(method, toy) - before)
    assert sum(gains) > 0.1, gains
