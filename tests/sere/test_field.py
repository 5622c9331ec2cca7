"""IRF: the search's blocks and threads, order, what gets no gradient, and diagnostics; what each reading says is in `test_section_4`."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sere_plugins.resonance import search
from sere_plugins.resonance.irf import Irf
from sere_plugins.resonance.neighbours import Cosine
from sere_plugins.specs.resonance import IrfParams
from sere_registry import BuildContext, NoParams
from tests.sere import reference
from tests.sere.batches import BURSTS, CONTEXT, WIDTH, batch, every_pair, gradients, leaves, utterances
from tests.sere.situations import irf_in_loops, probe


def irf(dtype: torch.dtype = torch.float64, **params: Any) -> Irf:
    """With weights that differ, so that the contours do."""
    field = Irf(IrfParams(**params), CONTEXT).to(dtype)
    with torch.no_grad():
        field.weights.add_(torch.tensor([0.3, -0.1, 0.2, 0.05]).to(dtype))
    return field


@pytest.mark.parametrize("reading", [{}, {"combine": "sum"}, {"highlight": "top_quantile"}])
def test_an_utterance_resonates_fully_with_itself(reading: dict[str, Any]) -> None:
    same = batch(utterances([5, 1], 1))
    found = irf(**reading).aligned(same, same, both=True)
    full = 2.0 if reading.get("combine") == "sum" else 1.0
    torch.testing.assert_close(found.similarity, torch.full((2,), full, dtype=torch.float64))
    for aligned in (found.aligned, found.reverse):
        torch.testing.assert_close(aligned, same.embedding)


def test_utterances_without_bursts_have_only_highlights() -> None:
    """Of equal strengths the rounded mean may exceed them all: still, every frame counts."""
    z, other = utterances([7], 3)[0][0].detach(), utterances([4], 2)
    for level in (0.0, 0.1, 0.7):
        side = [(z.clone().requires_grad_(), torch.full((7, BURSTS), level, dtype=torch.float64).requires_grad_())]
        similarity, _, theirs = irf_in_loops(irf(), side, other)
        found = every_pair(irf(), batch(side), batch(other)).similarity
        torch.testing.assert_close(found, similarity)
        for got, want in zip(gradients(probe(found), leaves(side, other)), gradients(probe(similarity), theirs)[1:], strict=True):
            torch.testing.assert_close(got, want)
        assert float(irf().highlights(torch.full((1, 7), level), torch.ones(1, 7, dtype=torch.bool)).sum()) == 7


@pytest.mark.parametrize("together", [1, search.TOGETHER])
def test_of_equal_frames_the_first_is_matched(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "TOGETHER", together)
    a, (z, d) = utterances([1], 4), (part.detach() for part in utterances([1], 3)[0])
    b = [(z.repeat(3, 1).requires_grad_(), d.repeat(3, 1).requires_grad_())]
    found = irf().aligned(batch(a), batch(b)).aligned, irf().aligned(batch(b), batch(a), both=True).reverse
    for aligned in found:
        assert [bool(row.any()) for row in gradients(aligned.sum(), leaves(b))[0]] == [True, False, False]


def test_the_order_of_utterances_is_only_an_order() -> None:
    a, b = utterances([3, 5, 2], 1), utterances([4, 1], 2)
    found, turned = irf().similarity(batch(a), batch(b)), irf().similarity(batch([a[2], a[0], a[1]]), batch([b[1], b[0]]))
    torch.testing.assert_close(turned, found[[2, 0, 1]][:, [1, 0]])


@pytest.mark.parametrize("combine", ["product", "sum"])
def test_without_dynamics_it_is_the_cosine_field(combine: str) -> None:
    a, b = (batch([(z, d[:, :0]) for z, d in utterances(lengths, 1)]) for lengths in ([3, 5], [4, 2]))
    field, cosine = Irf(IrfParams(combine=combine), BuildContext(id="irf", dim=WIDTH)), Cosine(NoParams(), CONTEXT)  # type: ignore[arg-type]
    found, plain = every_pair(field, a, b), every_pair(cosine, a, b)
    torch.testing.assert_close(found.similarity, plain.similarity + (combine == "sum"))
    torch.testing.assert_close(found.aligned, plain.aligned)
    torch.testing.assert_close(field.similarity(a, b), cosine.similarity(a, b) + (combine == "sum"))
    assert not {name for name in field.diagnostics() if not name.startswith("resonance/")}


def test_an_utterance_without_a_real_frame_is_aligned_with_nothing() -> None:
    a, b, field = batch(utterances([3, 2], 1)), batch(utterances([4, 2], 2)), irf()
    a.frames.mask[1] = False
    found = field.aligned(a, b)
    assert found.aligned[1].abs().max() == 0 and found.similarity[1].abs().max() == field.similarity(a, b)[1].abs().max() == 0
    torch.testing.assert_close(found.aligned[:1], field.aligned(a.take([0]), b.take([0])).aligned)
    assert all(torch.isfinite(grad).all() for grad in gradients(found.aligned.sum() + found.similarity.sum(), [b.frames.values]))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("lengths", [[1], [5, 5, 5], [16, 18, 17, 1, 40, 19, 2]])
@pytest.mark.parametrize("block", [1, 300, 400, 1 << 19])
def test_neither_blocks_nor_threads_change_a_similarity(
    lengths: list[int], block: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = batch(utterances([70, 3, 33], 1)), batch(utterances(lengths, 2))
    wanted = every_pair(irf(), a, b).similarity
    before = torch.get_num_threads()
    monkeypatch.setattr(search, "CPU_BLOCK", block)
    monkeypatch.setattr(search, "THREADS_FROM", 1)
    torch.set_num_threads(threads)
    try:
        found = irf().similarity(a, b)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, wanted.detach())


def test_an_error_in_a_thread_is_not_lost() -> None:
    before = torch.get_num_threads()
    try:
        with pytest.raises(ZeroDivisionError):
            search._run(lambda number: 1 / number, [(1,), (0,)], 2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_backward_pass_keeps_no_frame_by_frame_matrix() -> None:
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(0 if tensor is a.frames.values or tensor is b.frames.values else tensor.numel())
        return tensor

    length = 300
    a, b = batch(utterances([length] * 4, 1), extra=0), batch(utterances([length] * 3, 2), extra=0)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        found = irf().aligned(a, b, torch.tensor([0, 1, 2, 0]), both=True)
    assert found.similarity.requires_grad and found.aligned.requires_grad
    assert sum(kept) < 4 * length * length / 10


@pytest.mark.parametrize("rows", [slice(0, 1), slice(0, 2)])
def test_strengths_that_are_no_numbers_have_no_highlights_and_stop_nothing(rows: slice) -> None:
    """It is the loss that ends a run that diverges, not an error from here."""
    a, b = batch(utterances([3, 5], 1), extra=0), batch(utterances([4, 4, 2], 2))
    sick = replace(a, bursts=a.bursts.detach().clone())
    sick.bursts[rows] = torch.nan
    found = irf().similarity(sick, b)
    assert not found[rows].any()
    torch.testing.assert_close(found[rows.stop :], irf().similarity(a, b)[rows.stop :])
    irf().aligned(sick, b, torch.tensor([0, 2]), both=True)


# -- diagnostics ----------------------------------------------------------------------------------------------------------


def test_diagnostics_of_the_last_search() -> None:
    """Highlights and the spread of e, in units of tau, of a's real frames; R and the synchrony of all pairs of real frames."""
    field = irf(temperature=0.4)
    assert set(field.diagnostics()) == {"alpha/0", "alpha/1", "alpha/2", "alpha/3", "alpha_drift"}
    a, b = utterances([3, 5], 1), utterances([4, 2], 2)
    field.similarity(batch(a, padding=1e3), batch(b, padding=1e3, extra=3))
    found = field.diagnostics()
    assert found["alpha/0"] == pytest.approx(0.55) and found["alpha_drift"] == pytest.approx(0.3)
    strengths = [reference.strengths(d, field.alpha, "abs") for _, d in a]
    e = torch.stack([value for each in strengths for value in each]).detach()
    assert found["burst_spread"] == pytest.approx(float(((e - e.mean()).square().sum() / 8).sqrt() / 0.4))
    assert found["highlight_share"] == pytest.approx(sum(len(reference.highlights(each, "above_mean", 0.0)) for each in strengths) / 8)
    values, synchronies = [], []
    for u, v in itertools.product(a, b):
        ea, eb = (reference.strengths(part[1], field.alpha, "abs") for part in (u, v))
        for i, j in itertools.product(range(len(ea)), range(len(eb))):
            synchronies.append(float(torch.exp(-abs(ea[i] - eb[j]) / 0.4).detach()))
            values.append(float(reference.cosine(u[0][i], v[0][j]).detach()) * synchronies[-1])
    for name, all_of_them in (("resonance", values), ("synchrony", synchronies)):
        for level in (5, 50, 95):
            expected = torch.tensor(all_of_them).quantile(level / 100)
            assert found[f"{name}/q{level:02d}"] == pytest.approx(float(expected), abs=1e-6)
    assert found["synchrony/low"] == pytest.approx(sum(value < 0.05 for value in synchronies) / len(synchronies))
    assert found["synchrony/high"] == pytest.approx(sum(value > 0.95 for value in synchronies) / len(synchronies))


def test_a_saturated_burst_term_shows() -> None:
    """A tau far too small lets nothing resonate; one far too large makes no difference between frames."""
    shares = {}
    for tau in (1e-4, 1e4):
        field = irf(temperature=tau)
        field.similarity(batch(utterances([7, 9], 1)), batch(utterances([4, 6], 2)))
        shares[tau] = [field.diagnostics()[f"synchrony/{end}"] for end in ("low", "high")]
    assert shares[1e-4][0] > 0.9 and shares[1e4] == [0.0, 1.0]


def test_diagnostics_keep_no_graph_and_change_no_value() -> None:
    field, a, b = irf(), batch(utterances([3, 5], 1)), batch(utterances([4, 2], 2))
    before = field.similarity(a, b)
    field.diagnostics()
    assert torch.equal(field.similarity(a, b), before)
    assert field._last is not None and not any(part.requires_grad for side in field._last for part in side)
