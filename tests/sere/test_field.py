"""The resonance fields: lengths, blocks, padding and order; what each reading says is in `test_section_4`."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sere_plugins.resonance import base as base_module
from sere_plugins.resonance import search as search_module
from sere_plugins.resonance.cosine import Cosine
from sere_plugins.resonance.irf import Irf
from sere_plugins.resonance.mean import Mean
from sere_plugins.resonance.workers import run_everywhere
from sere_plugins.specs.resonance import IrfParams
from sere_registry import BuildContext, Frames, NoParams, Resonance, SereError
from tests.sere import reference
from tests.sere.batches import BURSTS, WIDTH, Utterance, batch, gradients, leaves, utterances

CONTEXT = BuildContext(id="field", dim=WIDTH - BURSTS, dynamics_dim=BURSTS)


def irf(dtype: torch.dtype = torch.float64, **params: Any) -> Irf:
    """With weights that differ, so that the contours do."""
    field = Irf(IrfParams(**params), CONTEXT).to(dtype)
    with torch.no_grad():
        field.weights.add_(torch.tensor([0.3, -0.1, 0.2, 0.05]).to(dtype))
    return field


def in_loops(field: Irf, a: Sequence[Utterance], b: Sequence[Utterance], aligned: bool = False) -> tuple[Resonance, list[Tensor]]:
    """The reference's answer and its leaves, all in float64."""
    weights = field.weights.detach().double().requires_grad_()
    alpha = torch.log1p(weights.exp()) if field.params.alpha == "softplus" else weights
    left, right = ([tuple(part.detach().double().requires_grad_() for part in u) for u in side] for side in (a, b))
    if aligned:
        pairs = [reference.resonate(u, v, alpha, field.params) for u, v in zip(left, right, strict=True)]  # type: ignore[arg-type]
        found = Resonance(torch.stack([s for s, _ in pairs]), torch.stack([told for _, told in pairs]))
    else:
        grid = [[reference.resonate(u, v, alpha, field.params) for v in right] for u in left]  # type: ignore[arg-type]
        similarity, told = (torch.stack([torch.stack([cell[part] for cell in row]) for row in grid]) for part in (0, 1))
        found = Resonance(similarity, told)
    return found, [*leaves(left, right), weights]  # type: ignore[arg-type]


def probe(found: Resonance) -> Tensor:
    """A scalar in which every entry of S and of zt counts differently."""
    generator = torch.Generator().manual_seed(9)
    s, told = (torch.randn(part.shape, generator=generator, dtype=torch.float64) for part in (found.similarity, found.told))
    return (found.similarity.double() * s).sum() + (found.told.double() * told).sum()


def check(field: Irf, a: Sequence[Utterance], b: Sequence[Utterance], tolerance: float, aligned: bool = False) -> None:
    got = (field.aligned if aligned else field)(batch(a), batch(b, extra=2))
    want, theirs = in_loops(field, a, b, aligned)
    torch.testing.assert_close(got.similarity.double(), want.similarity, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(got.told.double(), want.told, rtol=tolerance, atol=tolerance)
    if not aligned:
        torch.testing.assert_close(field.similarity(batch(a), batch(b)).double(), want.similarity, rtol=tolerance, atol=tolerance)
    mine = [*leaves(a, b), field.weights]
    for left, right in zip(gradients(probe(got), mine), gradients(probe(want), theirs), strict=True):
        torch.testing.assert_close(left.double(), right, rtol=10 * tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("lengths", [([1], [1]), ([5], [1]), ([1], [6]), ([4, 4], [4, 4]), ([2, 6, 1], [3, 5])])
def test_lengths(lengths: tuple[list[int], list[int]]) -> None:
    check(irf(), utterances(lengths[0], 5), utterances(lengths[1], 6), 1e-10)


@pytest.mark.parametrize("combine", ["product", "sum"])
def test_aligned_pairs(combine: str) -> None:
    check(irf(combine=combine), utterances([3, 1, 5], 7), utterances([2, 4, 1], 8), 1e-10, aligned=True)


def test_aligned_is_the_diagonal_of_every_pair() -> None:
    a, b = batch(utterances([3, 1, 5], 7)), batch(utterances([2, 4, 1], 8))
    every, rows = irf()(a, b), irf().aligned(a, b)
    torch.testing.assert_close(rows.similarity, every.similarity.diagonal())
    torch.testing.assert_close(rows.told, torch.stack([every.told[i, i] for i in range(3)]))


def test_aligned_refuses_batches_of_different_size() -> None:
    with pytest.raises(SereError, match="B402"):
        irf().aligned(batch(utterances([3], 7)), batch(utterances([2, 4], 8)))


def test_frames_of_different_width_are_refused() -> None:
    with pytest.raises(SereError, match="B402"):
        irf()(batch(utterances([3], 7)), batch(utterances([2], 8, width=WIDTH + 1)))


@pytest.mark.parametrize("reading", [{}, {"combine": "sum"}, {"highlight": "top_quantile"}])
def test_an_utterance_resonates_fully_with_itself(reading: dict[str, Any]) -> None:
    same = utterances([5, 1], 1)
    found = irf(**reading)(batch(same), batch(same))
    full = 2.0 if reading.get("combine") == "sum" else 1.0
    torch.testing.assert_close(found.similarity.diagonal(), torch.full((2,), full, dtype=torch.float64))
    torch.testing.assert_close(torch.stack([found.told[i, i] for i in range(2)]), batch(same).embedding)


def test_utterances_without_bursts_have_only_highlights() -> None:
    """Of equal strengths the rounded mean may exceed them all: still, every frame counts."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(7, WIDTH, generator=generator, dtype=torch.float64)
    for level in (0.0, 0.1, 0.7):
        side = [(z.clone().requires_grad_(), torch.full((7, BURSTS), level, dtype=torch.float64).requires_grad_())]
        check(irf(), side, utterances([4], 2), 1e-10)
        assert float(irf().highlights(torch.full((1, 7), level), torch.ones(1, 7, dtype=torch.bool)).sum()) == 7


def test_of_equal_frames_the_first_is_told() -> None:
    z, d = (part.detach() for part in utterances([1], 3)[0])
    b = [(z.repeat(3, 1).requires_grad_(), d.repeat(3, 1).requires_grad_())]
    told = irf()(batch(utterances([4], 4)), batch(b)).told
    assert [bool(row.any()) for row in gradients(told.sum(), leaves(b))[0]] == [True, False, False]


def test_a_silent_frame_resonates_with_nothing_and_breaks_no_gradient() -> None:
    side = [(torch.zeros(3, WIDTH, dtype=torch.float64).requires_grad_(), torch.zeros(3, BURSTS, dtype=torch.float64).requires_grad_())]
    found = irf()(batch(side), batch(utterances([4], 2)))
    assert float(found.similarity.detach()) == 0.0
    assert all(torch.isfinite(grad).all() for grad in gradients(probe(found), leaves(side)))


@pytest.mark.parametrize("padding", [1e30, -1e30, float("nan"), float("inf")])
@pytest.mark.parametrize("field", [irf(), irf(highlight="top_quantile", combine="sum"), Cosine(NoParams(), CONTEXT)])
def test_what_stands_in_padded_frames_never_matters(padding: float, field: Any) -> None:
    a, b = utterances([3, 5], 1), utterances([4, 1, 2], 2)
    answers = []
    for fill, extra in ((0.0, 0), (padding, 4)):
        found = field(batch(a, padding=fill, extra=extra), batch(b, padding=fill, extra=extra))
        answers.append([found.similarity, found.told, *gradients(probe(found), leaves(a, b))])
    for clean, dirty in zip(*answers, strict=True):
        torch.testing.assert_close(clean, dirty, rtol=1e-13, atol=1e-13)


def test_a_pair_does_not_depend_on_its_batch() -> None:
    a, b = utterances([3, 5], 1), utterances([4, 1, 2], 2)
    every = irf()(batch(a), batch(b))
    for i, j in itertools.product(range(2), range(3)):
        one = irf()(batch([a[i]]), batch([b[j]]))
        torch.testing.assert_close(one.similarity[0, 0], every.similarity[i, j])
        torch.testing.assert_close(one.told[0, 0], every.told[i, j])


def test_the_order_of_utterances_is_only_an_order() -> None:
    a, b = utterances([3, 5, 2], 1), utterances([4, 1], 2)
    found, turned = irf()(batch(a), batch(b)), irf()(batch([a[2], a[0], a[1]]), batch([b[1], b[0]]))
    torch.testing.assert_close(turned.similarity, found.similarity[[2, 0, 1]][:, [1, 0]])
    torch.testing.assert_close(turned.told, found.told[[2, 0, 1]][:, [1, 0]])


def test_the_field_is_directed() -> None:
    a, b = batch(utterances([3, 5], 1)), batch(utterances([4, 1], 2))
    assert Irf.directed and not Mean.directed
    assert not torch.allclose(irf().similarity(a, b), irf().similarity(b, a).T)


@pytest.mark.parametrize("reading", [{}, {"combine": "sum", "sync": "exp_square", "alpha": "softplus", "burst": "signed"}])
def test_gradcheck(reading: dict[str, Any]) -> None:
    field, shapes = irf(**reading), ([3, 2], [4, 1])
    sides = [utterances(lengths, 11 + place) for place, lengths in enumerate(shapes)]

    def answer(weights: Tensor, *parts: Tensor) -> tuple[Tensor, Tensor]:
        rows = list(zip(parts[::2], parts[1::2], strict=True))
        named = dict(field.named_parameters())
        found = torch.func.functional_call(field, {**named, "weights": weights}, (batch(rows[:2]), batch(rows[2:])))
        return found.similarity, found.told

    torch.autograd.gradcheck(answer, (field.weights, *leaves(*sides)))


def test_alpha_is_reached_through_similarity_alone() -> None:
    field = irf()
    found = field(batch(utterances([3, 5], 1)), batch(utterances([4, 2], 2)))
    assert gradients(found.similarity.sum(), [field.weights])[0].all()
    assert not gradients(found.told.sum(), [field.weights])[0].any()


@pytest.mark.parametrize("combine", ["product", "sum"])
def test_without_dynamics_it_is_the_cosine_field(combine: str) -> None:
    a, b = (batch([(z, d[:, :0]) for z, d in utterances(lengths, 1)]) for lengths in ([3, 5], [4, 2]))
    field = Irf(IrfParams(combine=combine), BuildContext(id="irf", dim=WIDTH))  # type: ignore[arg-type]
    found, plain = field(a, b), Cosine(NoParams(), CONTEXT)(a, b)
    torch.testing.assert_close(found.similarity, plain.similarity + (combine == "sum"))
    torch.testing.assert_close(found.told, plain.told)
    assert not {name for name in field.diagnostics() if name.startswith("alpha")}


def test_cosine_in_loops() -> None:
    a, b = utterances([3, 1], 1), utterances([4, 2], 2)
    found = Cosine(NoParams(), CONTEXT)(batch(a), batch(b))
    params = SimpleNamespace(burst="abs", sync="exp_abs", combine="product", highlight="all", quantile=0.5, temperature=1.0)
    for i, j in itertools.product(range(2), range(2)):
        similarity, told = reference.resonate(a[i], b[j], torch.zeros(BURSTS, dtype=torch.float64), params)
        torch.testing.assert_close(found.similarity[i, j], similarity)
        torch.testing.assert_close(found.told[i, j], told)


def test_mean_compares_embeddings() -> None:
    a, b = batch(utterances([3, 1], 1)), batch(utterances([4, 2], 2))
    found = Mean(NoParams(), CONTEXT)(a, b)
    torch.testing.assert_close(found.similarity[1, 0], torch.cosine_similarity(a.embedding[1], b.embedding[0], dim=0))
    torch.testing.assert_close(found.told, b.embedding.expand(2, 2, WIDTH))
    rows = Mean(NoParams(), CONTEXT).aligned(a, b)
    torch.testing.assert_close(rows.similarity, found.similarity.diagonal())
    torch.testing.assert_close(rows.told, b.embedding)


@pytest.mark.parametrize("field", [irf(), Mean(NoParams(), CONTEXT)])
def test_empty_batches(field: Any) -> None:
    parts = utterances([4, 2], 2)
    none, some = batch([]), batch(parts)
    assert field(none, some).similarity.shape == (0, 2)
    assert field(some, none).told.shape == (2, 0, WIDTH)
    assert field.aligned(none, none).told.shape == (0, WIDTH)
    for a, b in ((some, none), (none, some)):
        found = field(a, b)
        grads = torch.autograd.grad(found.similarity.sum() + found.told.sum(), parts[0], retain_graph=True, materialize_grads=True)
        assert not any(grad.any() for grad in grads)


def test_an_utterance_without_a_real_frame_is_told_nothing() -> None:
    a, b = batch(utterances([3, 2], 1)), batch(utterances([4, 2], 2))
    a.frames.mask[1] = False
    field = irf()(a, b)
    assert field.told[1].abs().max() == 0 and field.similarity[1].abs().max() == 0
    torch.testing.assert_close(field.told[:1], irf()(a.take([0]), b).told)


def test_small_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = batch(utterances([70, 90, 33], 1)), batch(utterances([40, 65], 2))
    whole = irf()(a, b)
    monkeypatch.setattr(search_module, "CPU_BLOCK", 1)
    blocks = irf()(a, b)
    torch.testing.assert_close(whole.similarity, blocks.similarity)
    torch.testing.assert_close(whole.told, blocks.told)


def test_threads_change_nothing_and_leave_torch_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = batch(utterances([70, 90, 33], 1)), batch(utterances([40, 65], 2))
    alone = irf()(a, b)
    before = torch.get_num_threads()
    monkeypatch.setattr(search_module, "CPU_BLOCK", 1)
    monkeypatch.setattr(search_module, "THREADS_FROM", 1)
    torch.set_num_threads(3)
    try:
        together, pairs = irf()(a, b), irf().aligned(b, b)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(alone.similarity, together.similarity)
    torch.testing.assert_close(alone.told, together.told)
    torch.testing.assert_close(pairs.similarity, torch.ones(2, dtype=torch.float64))
    assert together.similarity.requires_grad


def test_of_equal_maxima_the_first_row_is_named_also_beside_what_is_no_number() -> None:
    scores = torch.tensor([[0.5, torch.nan], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    best, at = search_module.Top(len(scores) + 3, scores)(scores.clone())
    assert at.tolist() == [1, 0]
    assert best[0] == 1.0 and best[1].isnan()


def test_every_thread_has_two_blocks_where_threads_are_worth_starting() -> None:
    before, cpu = torch.get_num_threads(), torch.device("cpu")
    torch.set_num_threads(4)
    try:
        pairs = search_module.THREADS_FROM
        assert search_module.worth_threads(pairs, cpu) and pairs / search_module.block_size(pairs, cpu) > 7.9
        assert search_module.block_size(1 << 30, cpu) == search_module.block_size(pairs - 1, cpu) == search_module.CPU_BLOCK
        assert not search_module.worth_threads(pairs, torch.device("cuda"))
    finally:
        torch.set_num_threads(before)


def test_a_mistake_in_a_thread_is_not_lost() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            run_everywhere(lambda: 1 / 0, enough=True)  # type: ignore[arg-type, return-value]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_without_gradient_the_answer_is_the_same() -> None:
    a, b = batch(utterances([7, 9], 1)), batch(utterances([4, 6], 2))
    with_gradient = irf()(a, b)
    with torch.no_grad():
        without = irf()(a, b)
    assert torch.equal(with_gradient.similarity, without.similarity)
    assert torch.equal(with_gradient.told, without.told)


def test_the_backward_pass_keeps_no_frame_by_frame_matrix() -> None:
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    length = 300
    a, b = batch(utterances([length] * 4, 1), extra=0), batch(utterances([length] * 3, 2), extra=0)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        found = irf()(a, b)
    assert found.similarity.requires_grad
    assert sum(kept) < 4 * 3 * length * length / 10


def test_half_precision_frames_are_compared_in_float32() -> None:
    a, b = batch(utterances([7, 9], 1, torch.bfloat16)), batch(utterances([4, 6], 2, torch.bfloat16))
    found = irf(torch.float32)(a, b)
    assert found.similarity.dtype == found.told.dtype == torch.float32
    assert all(torch.isfinite(grad).all() for grad in gradients(probe(found), [a.frames.values, b.frames.values]))


def test_diagnostics() -> None:
    field = irf()
    field(batch(utterances([7, 9], 1)), batch(utterances([4, 6], 2)))
    found = field.diagnostics()
    assert found["alpha/0"] == pytest.approx(0.55)
    assert found["alpha_drift"] == pytest.approx(0.3)
    assert 0 < found["highlight_share"] < 1


@pytest.mark.parametrize("rows", [slice(0, 1), slice(0, 2)])
def test_strengths_that_are_no_numbers_have_no_highlights_and_stop_nothing(rows: slice) -> None:
    """A run that diverges is told so by its loss, not by an error from here."""
    a, b = batch(utterances([3, 5], 1), extra=0), batch(utterances([4, 4, 2], 2))
    sick = replace(a, bursts=a.bursts.detach().clone())
    sick.bursts[rows] = torch.nan
    with torch.no_grad():
        found = irf().similarity(sick, b)
    assert not found[rows].any()
    torch.testing.assert_close(found[rows.stop :], irf().similarity(a, b)[rows.stop :].detach())


def test_the_spread_of_burst_strengths_is_told_in_units_of_tau() -> None:
    """Of the real frames of the utterances that were asked about last: as a of S, they alone are looked at for highlights."""
    field = irf(temperature=0.2)
    a, b = utterances([7, 2], 1), utterances([4, 6], 2)
    with torch.no_grad():
        field.similarity(batch(a, padding=1e3, extra=3), batch(b))
    e = torch.cat([torch.stack(reference.strengths(d, field.alpha, "abs")) for _, d in a]).detach()
    found = field.diagnostics()
    assert found["burst_spread"] == pytest.approx(float(((e - e.mean()).square().sum() / 9).sqrt() / 0.2))
    highlights = [len(reference.highlights(reference.strengths(d, field.alpha, "abs"), "above_mean", 0.0)) for _, d in a]
    assert found["highlight_share"] == pytest.approx(sum(highlights) / 9)


def test_the_distributions_of_resonance_and_of_the_burst_term() -> None:
    """Over all pairs of real frames of the last two batches, from the equations alone."""
    field = irf(temperature=0.4)
    a, b = utterances([3, 5], 1), utterances([4, 2], 2)
    field(batch(a, padding=1e3), batch(b, padding=1e3, extra=3))
    values, synchronies = [], []
    for u, v in itertools.product(a, b):
        ea, eb = (reference.strengths(part[1], field.alpha, "abs") for part in (u, v))
        for i, j in itertools.product(range(len(ea)), range(len(eb))):
            synchronies.append(float(torch.exp(-abs(ea[i] - eb[j]) / 0.4).detach()))
            values.append(float(reference.cosine(u[0][i], v[0][j]).detach()) * synchronies[-1])
    found = field.diagnostics()
    for name, all_of_them in (("resonance", values), ("synchrony", synchronies)):
        for level in (5, 50, 95):
            expected = torch.tensor(all_of_them).quantile(level / 100)
            assert found[f"{name}/q{level:02d}"] == pytest.approx(float(expected), abs=1e-6)
    assert found["synchrony/low"] == pytest.approx(sum(value < 0.05 for value in synchronies) / len(synchronies))
    assert found["synchrony/high"] == pytest.approx(sum(value > 0.95 for value in synchronies) / len(synchronies))


def test_a_saturated_burst_term_shows() -> None:
    """A tau far too small lets nothing resonate; one far too large says nothing."""
    shares = {}
    for tau in (1e-4, 1e4):
        field = irf(temperature=tau)
        field(batch(utterances([7, 9], 1)), batch(utterances([4, 6], 2)))
        shares[tau] = [field.diagnostics()[f"synchrony/{end}"] for end in ("low", "high")]
    assert shares[1e-4][0] > 0.9 and shares[1e4] == [0.0, 1.0]


def test_watching_keeps_no_graph_and_changes_no_answer() -> None:
    field = irf()
    a, b = batch(utterances([3, 5], 1)), batch(utterances([4, 2], 2))
    before = field(a, b)
    field.diagnostics()
    assert torch.equal(field(a, b).similarity, before.similarity)
    assert all(not side.frames.values.requires_grad and not side.bursts.requires_grad for side in field._watch._sides)


@pytest.mark.parametrize("field", [irf(), irf(combine="sum", sync="exp_square"), Cosine(NoParams(), CONTEXT)])
@pytest.mark.parametrize("padding", [0.0, float("nan")])
def test_an_exchange_says_what_two_aligned_calls_say(field: Any, padding: float) -> None:
    a, b = utterances([3, 1, 5, 2], 1), utterances([4, 6, 1], 2)
    picks = torch.tensor([1, 0, 1, 2])
    left, right = batch(a, padding=padding), batch(b, padding=padding, extra=2)
    forth, back = field.exchange(left, right, picks, back=True)
    met = right.take(picks)
    wanted = field.aligned(left, met).told, field.aligned(met, left).told
    for mine, theirs in zip((forth, back), wanted, strict=True):
        torch.testing.assert_close(mine, theirs)
        grads = (gradients((told * told.detach().cos()).sum(), leaves(a, b)) for told in (mine, theirs))
        for got, want in zip(*grads, strict=True):
            torch.testing.assert_close(got, want)
    assert field.exchange(left, right, picks, back=False)[1] is None


def test_an_exchange_of_long_utterances_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, picks = batch(utterances([3, 5], 1)), batch(utterances([4, 2], 2)), torch.tensor([1, 1])
    short = irf().exchange(a, b, picks, back=True)
    monkeypatch.setattr(base_module, "SHORT", 1)
    for mine, theirs in zip(short, irf().exchange(a, b, picks, back=True), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("lengths", [[1], [5, 5, 5], [16, 18, 17, 1, 40, 19, 2], []])
@pytest.mark.parametrize("block", [1, 300, 400, 1 << 19])
def test_grouping_utterances_by_length_changes_no_similarity(lengths: list[int], block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = batch(utterances([70, 3], 1)), batch(utterances(lengths, 2))
    wanted = irf()(a, b).similarity
    monkeypatch.setattr(search_module, "CPU_BLOCK", block)
    with torch.no_grad():
        torch.testing.assert_close(irf().similarity(a, b), wanted.detach())


def test_what_is_known_of_a_batch_is_forgotten_when_it_changes() -> None:
    field, a, b = irf(), batch(utterances([3, 5], 1)), batch(utterances([4, 2], 2))
    with torch.no_grad():
        field.similarity(a, b)
        for change in (a.frames.values, b.bursts, field.weights):
            change.add_(torch.linspace(0.1, 0.9, change.numel(), dtype=torch.float64).view(change.shape))
            torch.testing.assert_close(field.similarity(a, b), field(a, b).similarity)
        a.frames.mask[0, 2] = False
        torch.testing.assert_close(field.similarity(a, b), field(a, b).similarity)
        other = irf(temperature=0.1)
        torch.testing.assert_close(other.similarity(a, b), other(a, b).similarity)


class _Scaled(Irf):
    """Equation 3 with a factor that stands in a module of its own."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.factor = torch.nn.Linear(1, 1, bias=False)

    def strength(self, batch: Any) -> Tensor | None:
        strength = super().strength(batch)
        return None if strength is None else strength * self.factor.weight.squeeze()


def test_what_is_known_of_a_field_is_forgotten_when_a_module_of_it_changes() -> None:
    field = _Scaled(IrfParams(), CONTEXT).double()
    a, b = batch(utterances([3, 5], 1)), batch(utterances([4, 2], 2))
    with torch.no_grad():
        field.similarity(a, b)
        field.factor.weight.mul_(3)
        torch.testing.assert_close(field.similarity(a, b), field(a, b).similarity)


@pytest.mark.parametrize("part", ["frames", "bursts", "mask"])
def test_nothing_is_taken_as_known_of_what_does_not_tell_whether_it_changed(part: str) -> None:
    """Tensors of inference mode count no versions: they are looked at anew each time."""
    field, a, b = irf(), batch(utterances([3, 5], 1)), batch(utterances([4, 2], 2))
    with torch.inference_mode():
        values, mask, bursts = a.frames.values.detach(), a.frames.mask, a.bursts.detach()
        values, mask = values.clone() if part == "frames" else values, mask.clone() if part == "mask" else mask
        bursts = bursts.clone() if part == "bursts" else bursts
        given = replace(a, frames=Frames(values, mask, 50.0), bursts=bursts)
        before = field.similarity(given, b)
        if part == "mask":
            mask[0, 2] = False
        else:
            change = values if part == "frames" else bursts
            change.add_(torch.linspace(0.1, 2.9, change.numel(), dtype=torch.float64).view(change.shape))
        found = field.similarity(given, b)
        assert not torch.equal(found, before)
        torch.testing.assert_close(found, field(given, b).similarity)


def test_what_is_known_keeps_no_batch_alive() -> None:
    field, batches = irf(), [batch(utterances([3, 5], 1)), batch(utterances([4, 2], 2))]
    with torch.no_grad():
        field.similarity(*batches)
    field._watch._sides.clear()
    alive = [weakref.ref(each.frames.values) for each in batches]
    batches.clear()
    assert [ref() for ref in alive] == [None, None]
