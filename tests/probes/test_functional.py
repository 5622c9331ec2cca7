"""The shared tensor functions: every example, published numbers, and the properties that recipes rely on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sere_core.functional import (
    MemoryBank,
    StepDraws,
    bandwidths,
    centre_loss,
    diversity,
    equal_shares,
    gaussian_kernel,
    linear_kernel,
    mmd,
    moved_centres,
    nearest,
    neighbour_graph,
    normalised_graph,
    pseudo_label_loss,
    supervised_contrastive,
    unit_rows,
    update_average,
)
from tests.probes.golden import MMD_GAUSSIAN, MMD_LINEAR, SUPCON, det

S, T = det(8, 6, 0.0), det(8, 6, 1.0)


# -- kernels -------------------------------------------------------------------------------------------------


def discrepancy(a: Tensor, b: Tensor, widths: list[float] | None = None, unbiased: bool = False) -> Tensor:
    """With the linear kernel, or with Gaussian ones."""
    pairs = ((a, a), (b, b), (a, b))
    return mmd(*(linear_kernel(*pair) if widths is None else gaussian_kernel(*pair, widths) for pair in pairs), unbiased=unbiased)


def test_golden_discrepancies() -> None:
    widths = bandwidths(torch.cat([S, T]), count=5, factor=2.0)
    assert discrepancy(S, T, widths).item() == pytest.approx(MMD_GAUSSIAN, rel=1e-12)
    assert discrepancy(S, T).item() == pytest.approx(MMD_LINEAR, rel=1e-12)
    assert discrepancy(S, T).item() == pytest.approx((S.mean(dim=0) - T.mean(dim=0)).square().sum().item(), rel=1e-12)


def test_the_unbiased_statistic_by_loops_over_unequal_sizes() -> None:
    a, b, widths = S[:5], T[:3], [0.5, 4.0]

    def k(x: Tensor, y: Tensor) -> float:
        return sum(float(torch.exp(-(x - y).square().sum() / width)) for width in widths)

    within = [sum(k(r[i], r[j]) for i in range(len(r)) for j in range(len(r)) if i != j) / len(r) / (len(r) - 1) for r in (a, b)]
    across = sum(k(x, y) for x in a for y in b) / 15
    assert discrepancy(a, b, widths, unbiased=True).item() == pytest.approx(sum(within) - 2 * across, rel=1e-12)


def test_equal_samples_have_no_biased_discrepancy_and_gradients_are_right() -> None:
    assert discrepancy(S, S.flip(0), [1.0, 2.0]).item() == pytest.approx(0.0, abs=1e-14)
    for unbiased in (False, True):
        given = (S[:4].clone().requires_grad_(), T[:3].clone().requires_grad_())
        assert torch.autograd.gradcheck(lambda a, b, u=unbiased: discrepancy(a, b, [1.0, 8.0], u), given)


def test_kernels_are_computed_in_float32_under_autocast() -> None:
    a, b = S.float(), T.float()
    expected = [linear_kernel(a, b), gaussian_kernel(a, b, [2.0])]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close([linear_kernel(a, b), gaussian_kernel(a, b, [2.0])], expected, rtol=0, atol=0)
    assert linear_kernel(a.bfloat16(), b.bfloat16()).dtype == torch.float32


# -- equal shares --------------------------------------------------------------------------------------------


def test_shares_are_equal_and_the_entropic_optimum() -> None:
    """(B1) says Q_jc = p_jc u_j v_c: log Q - log p is a sum of a row term and a column term, and v is kept."""
    torch.manual_seed(0)
    logits = (3 * torch.randn(60, 4) + torch.tensor([4.0, 0.0, 0.0, -2.0])).double()
    assert logits.argmax(dim=1).bincount(minlength=4).max() > 40, "one class would get nearly everything"
    shares = equal_shares(logits, rounds=500)
    torch.testing.assert_close(shares.posteriors.sum(dim=1), torch.ones(60).double())
    torch.testing.assert_close(shares.posteriors.sum(dim=0), torch.full((4,), 15.0).double(), rtol=1e-6, atol=1e-6)
    gap = shares.posteriors.log() - logits
    gap = gap - gap[:1] - gap[:, :1] + gap[0, 0]
    torch.testing.assert_close(gap, torch.zeros_like(gap), atol=1e-9, rtol=0)
    torch.testing.assert_close((logits + shares.offsets).softmax(dim=1), shares.posteriors, rtol=1e-12, atol=1e-12)
    assert shares.offsets[0] < shares.offsets[1] < shares.offsets[3], "what was too frequent is held back"


def test_large_logits_do_not_overflow() -> None:
    assert torch.isfinite(equal_shares(torch.tensor([[900.0, -900.0], [800.0, -800.0]]), rounds=50).posteriors).all()


def test_given_shares_are_met_and_equal_ones_are_those_of_before() -> None:
    logits = 3 * det(40, 4, 0.3)
    given = torch.tensor([4.0, 2.0, 0.0, 2.0])
    shares = equal_shares(logits, rounds=500, given=given)
    torch.testing.assert_close(shares.posteriors.sum(dim=0), torch.tensor([20.0, 10.0, 0.0, 10.0]).double(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(equal_shares(logits, rounds=9, given=torch.ones(4)), equal_shares(logits, rounds=9), rtol=1e-12, atol=1e-12)
    among = torch.tensor([True, False, True, True])
    assert equal_shares(logits, rounds=9, among=among, given=given).posteriors.sum(dim=0)[1:3].tolist() == [0.0, 0.0]


# -- graphs of neighbours ------------------------------------------------------------------------------------


def test_a_graph_of_neighbours_is_symmetric_and_its_spectral_radius_is_one() -> None:
    graph = neighbour_graph(unit_rows(det(30, 6, 0.2)), 4)
    dense = graph.to_dense()
    assert torch.equal(dense, dense.T) and not dense.diagonal().any() and (dense.sum(dim=1) >= 4).all()
    for loops in (False, True):
        eigenvalues = torch.linalg.eigvalsh(normalised_graph(graph, loops).to_dense())
        assert eigenvalues.max().item() == pytest.approx(1.0, abs=1e-12) and eigenvalues.min() >= -1 - 1e-12


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_graph_of_fewer_rows_than_neighbours_and_of_equal_rows(count: int) -> None:
    dense = neighbour_graph(unit_rows(torch.ones(count, 3)), 5).to_dense()
    assert torch.equal(dense, 1 - torch.eye(count))
    assert normalised_graph(neighbour_graph(torch.ones(count, 3), 5)).to_dense().isfinite().all()
    assert normalised_graph(neighbour_graph(torch.ones(count, 3), 5), loops=True).to_dense().sum(dim=1).tolist() == pytest.approx(
        [1.0] * count
    )


# -- pseudo-labels of one view for the other -----------------------------------------------------------------

WEAK, STRONG = 4 * det(9, 5, 0.2), 2 * det(9, 5, 0.7)


def test_the_pseudo_label_loss_by_hand() -> None:
    weak, strong = WEAK.clone().requires_grad_(), STRONG.clone().requires_grad_()
    loss, mask = pseudo_label_loss(weak, strong, 0.8)
    kept = [row for row in range(9) if WEAK[row].softmax(dim=0).max() >= 0.8]
    assert 0 < len(kept) < 9 and mask.nonzero().flatten().tolist() == kept
    total = sum(-STRONG[row].log_softmax(dim=0)[WEAK[row].argmax()].item() for row in kept)
    assert loss.item() == pytest.approx(total / 9, rel=1e-12)  # over B, not over those kept
    loss.backward()
    expected = (STRONG.softmax(dim=1) - functional.one_hot(WEAK.argmax(dim=1), 5)) * mask[:, None] / 9
    torch.testing.assert_close(strong.grad, expected)
    assert weak.grad is None


def test_the_mask_shrinks_as_the_threshold_grows_to_exactly_nothing() -> None:
    shares = [pseudo_label_loss(WEAK, STRONG, threshold)[1].sum().item() for threshold in torch.linspace(0.1, 1.1, 30).tolist()]
    assert shares == sorted(shares, reverse=True) and shares[0] == 9 and shares[-1] == 0
    strong = STRONG.clone().requires_grad_()
    loss, _ = pseudo_label_loss(WEAK, strong, 1.5)
    loss.backward()
    assert loss.item() == 0.0 and strong.grad is not None and not strong.grad.any()


# -- rows, neighbours, banks, averages -----------------------------------------------------------------------


def test_a_zero_row_has_no_direction_and_gets_no_gradient() -> None:
    rows = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    unit_rows(rows)[:, 0].sum().backward()
    assert rows.grad is not None and not rows.grad[0].any() and rows.grad[1].any()


def test_diversity_is_least_where_the_mean_is_uniform() -> None:
    uniform, one_hot = torch.full((6, 5), 0.2).double(), torch.eye(5).double()[[0] * 6]
    for eps, tolerance in ((0.0, 1e-12), (1e-5, 1e-4)):
        assert diversity(uniform, eps).item() == pytest.approx(-torch.tensor(5.0).log().item(), abs=max(tolerance, 1e-6))
        assert diversity(one_hot, eps).item() == pytest.approx(0.0, abs=tolerance)
    uneven = one_hot.lerp(uniform, 0.5).requires_grad_()
    assert torch.autograd.gradcheck(diversity, (uneven,))


def test_a_row_is_never_its_own_neighbour_even_among_duplicates() -> None:
    near = nearest(unit_rows(det(6, 4, 0.1)[[0, 0, 0, 1, 2, 3]]), torch.arange(6), 5)
    assert all(i not in near[i].tolist() and len(set(near[i].tolist())) == 5 for i in range(6))


def test_a_bank_keeps_the_last_of_two_writes_and_takes_over_the_size_of_a_state_alone() -> None:
    bank, posteriors = MemoryBank(6, 5), det(20, 5, 0.3).softmax(dim=1)
    bank.fill(det(20, 6, 0.1), posteriors)
    bank.write(torch.tensor([4, 2, 4]), det(20, 6, 0.1)[[7, 8, 9]], posteriors[[7, 8, 9]].requires_grad_())
    torch.testing.assert_close(bank.posteriors[[4, 2]], posteriors[[9, 8]])
    torch.testing.assert_close(bank.embeddings[4], unit_rows(det(20, 6, 0.1))[9])
    assert not bank.posteriors.requires_grad
    for count in (20, 3):
        bank.fill(det(count, 6, 0.1), posteriors[:count])
        other = MemoryBank(6, 5).double()
        other.load_state_dict(bank.state_dict())
        assert torch.equal(other.embeddings, bank.embeddings) and len(other) == count
    with pytest.raises(RuntimeError, match="size mismatch for embeddings"):
        MemoryBank(7, 5).load_state_dict(bank.state_dict())
    with pytest.raises(RuntimeError, match="posteriors"):
        MemoryBank(6, 5).load_state_dict({"embeddings": bank.embeddings})


def test_buffers_of_an_average_are_copied() -> None:
    student, average = (torch.nn.BatchNorm1d(3) for _ in range(2))
    student(det(8, 3, 0.2).float())
    update_average(average, student, decay=0.9, step=100)
    assert torch.equal(average.running_mean, student.running_mean) and torch.equal(average.num_batches_tracked, torch.tensor(1))


def test_an_average_without_a_step_follows_its_decay_alone() -> None:
    student, average = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    before = average.weight.detach().clone()
    update_average(average, student, decay=1.0)
    assert torch.equal(average.weight, before)
    update_average(average, student, decay=0.9)
    torch.testing.assert_close(average.weight, 0.9 * before + 0.1 * student.weight)


def test_draws_of_a_loss_s_own_are_part_of_its_state_and_touch_no_other() -> None:
    first, other = StepDraws(), StepDraws()
    before = torch.get_rng_state()
    numbers = {torch.rand((), generator=draws(step)).item() for draws in (first, other) for step in range(3)}
    assert len(numbers) == 6 and torch.equal(torch.get_rng_state(), before)
    other.load_state_dict(first.double().state_dict())
    assert torch.equal(torch.rand(5, generator=first(7)), torch.rand(5, generator=other(7)))


# -- labels in the embedding space ---------------------------------------------------------------------------

UNIT, LABELS = unit_rows(det(6, 5, 0.3)), torch.tensor([0, 0, 1, 1, 2, 0])


def test_golden_supervised_contrast() -> None:
    for temperature, golden in SUPCON.items():
        assert supervised_contrastive(UNIT, LABELS, temperature, temperature).item() == pytest.approx(golden, rel=1e-12)
        assert supervised_contrastive(UNIT, LABELS, temperature, 1.0).item() == pytest.approx(temperature * golden, rel=1e-12)


def test_supervised_contrast_of_pairs_is_nt_xent_and_of_strangers_nothing() -> None:
    pairs = torch.tensor([0, 1, 2, 0, 1, 2])
    scores = (UNIT @ UNIT.T / 0.5).fill_diagonal_(-torch.inf)
    nt_xent = functional.cross_entropy(scores, torch.tensor([3, 4, 5, 0, 1, 2]))
    torch.testing.assert_close(supervised_contrastive(UNIT, pairs, 0.5, 0.5), nt_xent)
    assert supervised_contrastive(UNIT, torch.arange(6)).item() == 0.0
    assert supervised_contrastive(UNIT[:1], LABELS[:1]).item() == 0.0
    rotation, _ = torch.linalg.qr(det(5, 5, 0.4))
    torch.testing.assert_close(supervised_contrastive(UNIT @ rotation, LABELS), supervised_contrastive(UNIT, LABELS))


def test_weights_of_supervised_contrast_choose_among_positives() -> None:
    """Equal weights are none, and a weight of 0 takes a positive away, but leaves it in the denominator."""
    plain = supervised_contrastive(UNIT, LABELS)
    torch.testing.assert_close(supervised_contrastive(UNIT, LABELS, weights=torch.full((6, 6), 3.0)), plain)
    weights = torch.ones(6, 6)
    weights[0, 1] = weights[1, 0] = 0.0
    scores = (UNIT @ UNIT.T / 0.07).fill_diagonal_(-torch.inf).log_softmax(dim=1)
    each = [scores[0, 5], scores[1, 5], scores[2, 3], scores[3, 2], UNIT.new_zeros(()), scores[5, :2].mean()]
    torch.testing.assert_close(supervised_contrastive(UNIT, LABELS, weights=weights), -torch.stack(each).mean())
    rows = UNIT[[0, 0, 2, 2]].clone().requires_grad_()
    supervised_contrastive(rows, LABELS[[0, 0, 2, 4]], weights=torch.zeros(4, 4)).backward()
    assert rows.grad is not None and not rows.grad.any()  # no positive with a weight
    assert torch.autograd.gradcheck(lambda r: supervised_contrastive(r, LABELS, weights=weights), (UNIT.clone().requires_grad_(),))


def test_centre_loss_is_0_at_the_centres_alone_and_centres_move_towards_class_means() -> None:
    centres = det(3, 5, 0.1)
    assert centre_loss(centres[LABELS], LABELS, centres).item() == 0.0
    expected = sum((UNIT[i] - centres[LABELS[i]]).square().sum() for i in range(6)) / 12
    assert centre_loss(UNIT, LABELS, centres).item() == pytest.approx(float(expected), rel=1e-12)
    moved = moved_centres(centres, UNIT, LABELS, 0.5)
    for label in range(3):
        mean, count = UNIT[label == LABELS].mean(dim=0), int((label == LABELS).sum())
        torch.testing.assert_close(moved[label], centres[label] + 0.5 * count / (1 + count) * (mean - centres[label]))
    assert torch.equal(moved_centres(centres, UNIT[2:4], LABELS[2:4], 0.5)[[0, 2]], centres[[0, 2]])
    assert torch.equal(moved_centres(centres, UNIT, LABELS, 0.0), centres)
