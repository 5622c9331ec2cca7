"""NRC: the golden gradients and neighbours, the bank as state, and two stages that share nothing but the network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sere_plugins.methods.bank import Bank
from sere_plugins.methods.nearest import nearest, neighbourhood
from sere_plugins.methods.nrc import Nrc, attraction, diversity
from sere_plugins.specs.methods import NrcParams
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
    around = neighbourhood(torch.nn.functional.normalize(EMBEDDINGS, dim=1), INDEX, 3, 2)
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
    unit, scores = torch.nn.functional.normalize(EMBEDDINGS, dim=1), LOGITS.softmax(dim=1)

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
    near = nearest(torch.nn.functional.normalize(EMBEDDINGS, dim=1), INDEX, 3)
    scores = LOGITS.softmax(dim=1)
    expected = -torch.stack([(scores[near[i]] @ scores[i]).sum() for i in range(8)]).mean()
    torch.testing.assert_close(terms["neighbours"], expected)
    assert terms["expanded"].item() == 0.0 and "diversity" not in terms


def test_mutual_nearest_neighbours_alone_give_the_gradient_of_minus_s_p() -> None:
    pair = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1]], dtype=torch.float64)
    logits = det(4, 5, 0.2).requires_grad_()
    around = neighbourhood(torch.nn.functional.normalize(pair, dim=1), torch.arange(4), 1, 1)
    assert around.near.flatten().tolist() == [1, 0, 3, 2] and around.reciprocal.all()
    scores = det(4, 5, 0.9).softmax(dim=1)
    attraction(logits.softmax(dim=1), scores, around, 0.1, 0.0)["neighbours"].backward()
    other = logits.detach().requires_grad_()
    (-(scores[[1, 0, 3, 2]] * other.softmax(dim=1)).sum() / 4).backward()
    torch.testing.assert_close(logits.grad, other.grad)


def test_with_r_zero_only_reciprocal_neighbours_pull() -> None:
    _, found = gradient(neighbours=1, expanded=1, affinity=0.0, expanded_affinity=0.0, diversity=0.0)
    around = neighbourhood(torch.nn.functional.normalize(EMBEDDINGS, dim=1), INDEX, 1, 1)
    pulled = around.reciprocal.any(dim=1)
    assert pulled.any() and not pulled.all()
    assert torch.equal(found.abs().sum(dim=1) > 0, pulled)


def test_without_diversity_collapse_is_the_optimum_and_the_diagnostics_show_it() -> None:
    method = golden_method(diversity=0.0)
    method.bank.scores[:] = torch.eye(5, dtype=torch.float64)[0]
    one_hot = torch.zeros(8, 5, dtype=torch.float64)
    one_hot[:, 0] = 50.0
    collapsed = torch.stack(list(adapt(method, one_hot).values())).sum().item()
    assert method.diagnostics()["spread"] == pytest.approx(0.0, abs=1e-12)
    for phase in range(5):
        method.bank.scores[:] = torch.eye(5, dtype=torch.float64)[0]
        assert torch.stack(list(adapt(method, 3 * det(8, 5, phase)).values())).sum().item() > collapsed


def test_diversity_is_least_where_the_mean_is_uniform() -> None:
    uniform, one_hot = torch.full((6, 5), 0.2, dtype=torch.float64), torch.eye(5, dtype=torch.float64)[[0] * 6]
    assert diversity(uniform).item() == pytest.approx(-torch.tensor(5.0).log().item(), abs=1e-4)
    assert diversity(one_hot).item() == pytest.approx(0.0, abs=1e-4)


def test_an_utterance_is_never_its_own_neighbour_even_among_duplicates() -> None:
    rows = torch.nn.functional.normalize(det(6, 4, 0.1)[[0, 0, 0, 1, 2, 3]], dim=1)
    near = nearest(rows, torch.arange(6), 5)
    assert all(i not in near[i].tolist() and len(set(near[i].tolist())) == 5 for i in range(6))


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
    torch.testing.assert_close(method.bank.embeddings[:8], torch.nn.functional.normalize(-EMBEDDINGS[:8], dim=1))
    torch.testing.assert_close(method.bank.scores[:8], logits.detach().softmax(dim=1))
    torch.testing.assert_close(method.bank.scores[8:], LOGITS[8:].softmax(dim=1))
    assert not method.bank.scores.requires_grad and not method.bank.embeddings.requires_grad


def test_the_last_of_two_equal_positions_is_written() -> None:
    bank = Bank(6, 5)
    bank.fill(EMBEDDINGS, LOGITS.softmax(dim=1))
    bank.write(torch.tensor([4, 2, 4]), EMBEDDINGS[[7, 8, 9]], LOGITS[[7, 8, 9]].softmax(dim=1))
    torch.testing.assert_close(bank.scores[[4, 2]], LOGITS[[9, 8]].softmax(dim=1))


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


def test_the_features_learn_at_their_own_rate() -> None:
    method = make(features_scale=0.1)
    groups = method.parameters_by_group()
    assert (groups["features"].scale, groups["classifier"].scale) == (0.1, 1.0)
    parameters = [parameter for group in groups.values() for parameter in group.parameters]
    assert [id(parameter) for parameter in parameters] == [id(parameter) for parameter in method.parameters()]


@pytest.mark.parametrize("number", [0, 1])
def test_gradient_reaches_every_parameter_in_both_stages(number: int) -> None:
    toy = Toy.make()
    method = source_trained(toy)
    Driver(method, method.stages()[number], toy).run(0, 1)
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in method.parameters())


def test_label_smoothing() -> None:
    labels = torch.arange(8) % 5
    loss = golden_method(smoothing=0.2).learn(batch(EMBEDDINGS[:8], LOGITS[:8], labels=labels))["ce"]  # type: ignore[arg-type]
    soft = 0.8 * torch.nn.functional.one_hot(labels, 5) + 0.2 / 5
    torch.testing.assert_close(loss, -(soft * LOGITS[:8].log_softmax(dim=1)).sum(dim=1).mean())


def test_the_adapt_stage_runs_in_a_new_instance_without_the_source() -> None:
    toy = Toy.make()
    state = source_trained(toy).state_dict()
    poisoned = Toy({"target": toy.vectors["target"]}, torch.empty(0), toy.truth)  # no labelled, no source: touching them fails
    method = make(seed=5)
    method.load_state_dict(state)
    Driver(method, method.stages()[1], poisoned).run(0, 3)
    assert len(method.bank) == 60


@pytest.mark.parametrize("through_disk", [False, True])
def test_a_resumed_run_goes_on_to_the_same_bits(through_disk: bool, tmp_path: Path) -> None:
    toy = Toy.make()
    whole = source_trained(toy)
    source = {name: value.clone() for name, value in whole.state_dict().items()}
    Driver(whole, whole.stages()[1], toy, lr=0.5).run(0, 8)

    def through(state: dict[str, Tensor]) -> dict[str, Tensor]:
        if through_disk:
            save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "state.safetensors")
            return load_file(tmp_path / "state.safetensors")
        return {name: value.clone() for name, value in state.items()}

    first = make(seed=1)
    first.load_state_dict(through(source))  # the bank is empty here: a stage's beginning
    Driver(first, first.stages()[1], toy, lr=0.5).run(0, 4)
    second = make(seed=2)
    second.load_state_dict(through(first.state_dict()))  # and full here: a resume
    Driver(second, second.stages()[1], toy, lr=0.5).run(4, 8)
    assert same(copy_of(whole.state_dict().values()), second.state_dict().values())


def test_begin_leaves_a_full_bank_alone() -> None:
    toy = Toy.make()
    method = make()
    data = Seen(toy, method.backbone, frozenset({"target"}))
    method.begin(data)
    before = copy_of([method.bank.embeddings, method.bank.scores])
    with torch.no_grad():
        method.backbone.layer.weight.add_(1.0)
    method.begin(data)
    assert same(before, [method.bank.embeddings, method.bank.scores])


def test_an_unknown_key_in_a_state_is_still_an_error() -> None:
    method = make()
    state = dict(method.state_dict())
    del state["bank.scores"]
    with pytest.raises(RuntimeError, match=r"bank\.scores"):
        make().load_state_dict(state)


def test_adapting_helps_on_a_toy() -> None:
    gains = []
    for seed in range(3):
        toy = Toy.make(seed, shift=2.5)
        method = source_trained(toy)
        before = accuracy(method, toy)
        Driver(method, method.stages()[1], toy, lr=0.3).run(0, 60)
        gains.append(accuracy(method, toy) - before)
    assert sum(gains) > 0.1, gains
