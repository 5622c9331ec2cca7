"""The fields beside `irf` against plain loops in float64: values, gradients, and what makes each of them what it is."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from librosa.sequence import dtw as librosa_dtw
from torch import Tensor

from sere_plugins.resonance import base
from sere_plugins.resonance.base import FrameField
from sere_plugins.resonance.dtw import Dtw, warping_paths
from sere_plugins.resonance.irf import Irf
from sere_plugins.resonance.neighbours import Attention, Cosine, Mean, Sinkhorn
from sere_plugins.resonance.variants import ShuffledIrf, build
from sere_plugins.specs.resonance import AttentionParams, DtwParams, IrfParams, SinkhornParams
from sere_registry import NoParams, SereError
from tests.sere import reference
from tests.sere.batches import BURSTS, CONTEXT, WIDTH, Utterance, batch, every_pair, gradients, leaves, utterances
from tests.sere.situations import probe

Matrix = list[list[Tensor]]


def cosines(a: Utterance, b: Utterance) -> Matrix:
    return [[reference.cosine(za, zb) for zb in b[0]] for za in a[0]]


def softmax(row: list[Tensor]) -> list[Tensor]:
    powers = [torch.exp(value) for value in row]
    return [power / sum(powers[1:], powers[0]) for power in powers]


def attention(scores: Matrix, p: AttentionParams) -> Matrix:
    return [softmax([score / p.temperature for score in row]) for row in scores]


def sinkhorn(scores: Matrix, p: SinkhornParams) -> Matrix:
    """Scaling of exp(c / epsilon) itself, without logarithms: a's sums exactly 1 / T_a, b's with exponent `balance`."""
    height, width = len(scores), len(scores[0])
    kernel = [[torch.exp(score / p.epsilon) for score in row] for row in scores]
    columns = [torch.ones((), dtype=torch.float64) for _ in range(width)]
    for _ in range(p.iterations):
        rows = [1 / height / sum((kernel[i][j] * columns[j] for j in range(width)), torch.zeros(())) for i in range(height)]
        matched = [sum((kernel[i][j] * rows[i] for i in range(height)), torch.zeros(())) for j in range(width)]
        columns = [(1 / width / value) ** p.balance for value in matched]
    plan = [[kernel[i][j] * columns[j] for j in range(width)] for i in range(height)]
    return [[value / sum(row[1:], row[0]) for value in row] for row in plan]


def dtw(scores: Matrix, p: DtwParams) -> Matrix:
    height, width = len(scores), len(scores[0])
    total: dict[tuple[int, int], float] = {}
    origin: dict[tuple[int, int], tuple[int, int]] = {}
    for i, j in itertools.product(range(height), range(width)):
        ways = [place for place in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if place in total]
        best = min(ways, key=lambda place: total[place], default=None)
        stray = abs(i / max(height - 1, 1) - j / max(width - 1, 1)) > p.band
        total[i, j] = 1 - float(scores[i][j].detach()) + 1e4 * stray + (0 if best is None else total[best])
        if best is not None:
            origin[i, j] = best
    place, path = (height - 1, width - 1), {(height - 1, width - 1)}
    while place in origin:
        place = origin[place]
        path.add(place)
    met = [sum((i, j) in path for j in range(width)) for i in range(height)]
    return [[torch.tensor(((i, j) in path) / met[i], dtype=torch.float64) for j in range(width)] for i in range(height)]


def in_loops(a: Utterance, b: Utterance, rule: Callable[..., Matrix], p: Any) -> tuple[Tensor, Tensor]:
    """S(a, b) and zt_{a<-b}."""
    scores = cosines(a, b)
    alignment = rule(scores, p)
    similarity, aligned = torch.zeros((), dtype=torch.float64), torch.zeros(b[0].shape[1], dtype=torch.float64)
    for i, j in itertools.product(range(len(a[0])), range(len(b[0]))):
        similarity = similarity + alignment[i][j] * scores[i][j] / len(a[0])
        aligned = aligned + alignment[i][j] * b[0][j] / len(a[0])
    return similarity, aligned


def hard(scores: Matrix, p: NoParams) -> Matrix:
    """Each frame of a with the most similar one of b, the first of equals."""
    best = [max(range(len(row)), key=lambda j: float(row[j].detach())) for row in scores]
    return [[torch.tensor(float(j == place), dtype=torch.float64) for j in range(len(scores[0]))] for place in best]


FIELDS: list[tuple[type[FrameField], Callable[..., Matrix], Any]] = [
    (Attention, attention, AttentionParams()),
    (Attention, attention, AttentionParams(temperature=1.0)),
    (Dtw, dtw, DtwParams()),
    (Dtw, dtw, DtwParams(band=0.2)),
    (Sinkhorn, sinkhorn, SinkhornParams(epsilon=0.3)),
    (Sinkhorn, sinkhorn, SinkhornParams(epsilon=0.5, balance=0.9, iterations=3)),
    (Cosine, hard, NoParams()),
]
NAMES = [f"{kind.__name__}({p!r})" for kind, _, p in FIELDS]
LENGTHS = [([3, 1], [4, 2, 1]), ([1], [1]), ([5], [1]), ([1], [6]), ([4, 4], [4, 4]), ([7, 2], [3, 9])]


#: one of each kind, with those that compare by the search and by whole utterances
EACH = [*(kind(p, CONTEXT) for kind, _, p in FIELDS[::2]), Mean(NoParams(), CONTEXT)]
IRFS = [
    build(IrfParams(combine=combine, control=control), CONTEXT).double()  # type: ignore[arg-type]
    for combine in ("product", "sum")
    for control in ("none", "shuffled")
]
each_field = pytest.mark.parametrize("field", [*EACH, *IRFS], ids=lambda field: type(field).__name__)


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize(("kind", "rule", "params"), FIELDS, ids=NAMES)
def test_values_and_gradients_in_loops(kind: Any, rule: Callable[..., Matrix], params: Any, lengths: tuple[list[int], list[int]]) -> None:
    a, b = utterances(lengths[0], 5), utterances(lengths[1], 6)
    field, cells = kind(params, CONTEXT), [[in_loops(u, v, rule, params) for v in b] for u in a]
    found = every_pair(field, batch(a), batch(b, extra=2))
    similarity, aligned = (torch.stack([torch.stack([cell[part] for cell in row]) for row in cells]) for part in (0, 1))
    torch.testing.assert_close(field.similarity(batch(a), batch(b, extra=2)), similarity.detach(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.similarity, similarity, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.aligned, aligned, rtol=1e-10, atol=1e-10)
    mine = gradients(probe(found.similarity) + probe(found.aligned), leaves(a, b))
    theirs = gradients(probe(similarity) + probe(aligned), leaves(a, b))
    for left, right in zip(mine, theirs, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)
    reverse = field.aligned(batch(a), batch(b), torch.zeros(len(a), dtype=torch.long), both=True).reverse
    wanted = torch.stack([in_loops(b[0], u, rule, params)[1] for u in a])
    torch.testing.assert_close(reverse, wanted, rtol=1e-10, atol=1e-10)
    for left, right in zip(gradients(probe(reverse), leaves(a, b)), gradients(probe(wanted), leaves(a, b)), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kind", "rule", "params"), FIELDS, ids=NAMES)
def test_float32_stays_near(kind: Any, rule: Callable[..., Matrix], params: Any) -> None:
    a, b = utterances([5], 3, torch.float32), utterances([4], 4, torch.float32)
    found = kind(params, CONTEXT).aligned(batch(a), batch(b))
    wide = [(side[0][0].double(), side[0][1].double()) for side in (a, b)]
    similarity, aligned = in_loops(wide[0], wide[1], rule, params)
    torch.testing.assert_close(found.similarity[0].double(), similarity, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.aligned[0].double(), aligned, rtol=1e-5, atol=1e-5)


@each_field
@pytest.mark.parametrize("padding", [1e30, -1e30, float("nan"), float("inf")])
def test_what_stands_in_padded_frames_never_matters(padding: float, field: Any) -> None:
    a, b = utterances([3, 5], 1), utterances([4, 1, 2], 2)
    results = []
    for fill, extra in ((0.0, 0), (padding, 4)):
        left, right = batch(a, padding=fill, extra=extra), batch(b, padding=fill, extra=extra)
        found = field.aligned(left, right, torch.tensor([2, 0]), both=True)
        parts = [found.similarity, found.aligned, found.reverse]
        results.append([field.similarity(left, right), *parts, *gradients(sum(map(probe, parts)), leaves(a, b))])
    for clean, dirty in zip(*results, strict=True):
        torch.testing.assert_close(clean, dirty, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("field", [*EACH[:-1], *IRFS[:2]], ids=lambda field: type(field).__name__)
def test_frames_may_be_missing_at_the_front(field: Any) -> None:
    """A cropped view clears the mask on both sides of its window."""
    whole, b = batch(utterances([6], 1), extra=0), batch(utterances([4], 2))
    cut = batch([(z[2:5], d[2:5]) for z, d in utterances([6], 1)])
    window = torch.tensor([[False, False, True, True, True, False]])
    cropped = type(whole)(**{**vars(whole), "frames": type(whole.frames)(whole.frames.values, window, 50.0)})
    for side in ("aligned", "reverse"):
        found, wanted = (getattr(field.aligned(each, b, both=True), side) for each in (cropped, cut))
        torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(field.similarity(b, cropped), field.similarity(b, cut))


@each_field
def test_what_has_no_direction_is_not_turned(field: Any) -> None:
    """A zero vector's cosine is 0 whatever it is compared with, and its gradient is 0, not that of some eps."""
    side, other = [tuple(torch.zeros_like(part).requires_grad_() for part in u) for u in utterances([3, 2], 1)], utterances([4, 1], 2)
    if isinstance(field, Irf) and field.params.combine == "sum":
        return
    for a, b in ((side, other), (other, side)):
        found = field.aligned(batch(a), batch(b), both=True)  # type: ignore[arg-type]
        assert not found.similarity.any() and not field.similarity(batch(a), batch(b)).any()  # type: ignore[arg-type]
        assert not any(grad.any() for grad in gradients(found.similarity.sum(), leaves(side)[::2]))  # type: ignore[arg-type]
        grads = gradients(found.similarity.sum() + found.aligned.sum() + found.reverse.sum(), leaves(side, other))  # type: ignore[arg-type]
        assert all(torch.isfinite(grad).all() for grad in grads)


@each_field
def test_empty_batches(field: Any) -> None:
    none, some = batch([]), batch(utterances([4, 2], 2))
    assert field.similarity(none, some).shape == (0, 2) and field.similarity(some, none).shape == (2, 0)
    for left, right in ((none, none), (none, some)):
        found = field.aligned(left, right, torch.zeros(0, dtype=torch.long), both=True)
        assert found.similarity.shape == (0,) and found.aligned.shape == found.reverse.shape == (0, WIDTH)


@each_field
def test_what_does_not_fit_is_refused(field: Any) -> None:
    one, wider, two = batch(utterances([3], 1)), batch(utterances([3], 2, width=WIDTH + 1)), batch(utterances([3, 2], 2))
    for call in (field.similarity, field.aligned, *([] if isinstance(field, Mean) else [field.frame_map])):
        with pytest.raises(SereError, match="B402"):
            call(one, wider)
    with pytest.raises(SereError, match="B402"):
        field.aligned(one, two)
    with pytest.raises(SereError, match="B402"):
        field.aligned(two, one, torch.tensor([0]))


@pytest.mark.parametrize("field", EACH[:3], ids=lambda field: type(field).__name__)
def test_small_blocks_change_nothing(field: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, picks = batch(utterances([7, 9, 3], 1)), batch(utterances([4, 6, 6], 2)), torch.tensor([2, 0, 2])
    whole, similarity = field.aligned(a, b, picks, both=True), field.similarity(a, b)
    monkeypatch.setattr(base, "_BLOCK", 1)
    torch.testing.assert_close(field.similarity(a, b), similarity)
    for name, value in vars(field.aligned(a, b, picks, both=True)).items():
        torch.testing.assert_close(value, getattr(whole, name))


def test_the_backward_pass_keeps_no_matrix_of_frames() -> None:
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel() if tensor.dim() > 2 and tensor.shape[-1] == tensor.shape[-2] else 0)
        return tensor

    a, b = batch(utterances([200] * 3, 1), extra=0), batch(utterances([200] * 2, 2), extra=0)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        found = Sinkhorn(SinkhornParams(), CONTEXT).aligned(a, b, torch.tensor([0, 1, 1]), both=True)
    assert found.similarity.requires_grad and sum(kept) == 0


def test_mean_compares_embeddings() -> None:
    a, b, field = batch(utterances([3, 1], 1)), batch(utterances([4, 2], 2)), Mean(NoParams(), CONTEXT)
    wanted = torch.cosine_similarity(a.embedding.unsqueeze(1), b.embedding.unsqueeze(0), dim=2)
    torch.testing.assert_close(field.similarity(a, b), wanted.detach())
    found = field.aligned(a, b, torch.tensor([1, 1]), both=True)
    torch.testing.assert_close(found.similarity, wanted[:, 1])
    assert torch.equal(found.aligned, b.embedding[[1, 1]]) and torch.equal(found.reverse, a.embedding)


# -- attention and sinkhorn: what lies at their ends -----------------------------------------------------------------------


def test_cold_attention_is_the_hard_choice() -> None:
    a, b = batch(utterances([5, 3], 1)), batch(utterances([4, 6], 2))
    soft, hard = (every_pair(field, a, b) for field in (Attention(AttentionParams(temperature=1e-4), CONTEXT), Cosine(NoParams(), CONTEXT)))
    torch.testing.assert_close(soft.similarity, hard.similarity)
    torch.testing.assert_close(soft.aligned, hard.aligned)


def test_hot_attention_aligns_with_the_mean() -> None:
    a, b = batch(utterances([5, 3], 1)), batch(utterances([4, 6], 2))
    torch.testing.assert_close(Attention(AttentionParams(temperature=1e8), CONTEXT).aligned(a, b).aligned, b.embedding)


def test_sinkhorn_without_balance_is_attention() -> None:
    a, b = batch(utterances([5, 3], 1)), batch(utterances([4, 6], 2))
    free = every_pair(Sinkhorn(SinkhornParams(epsilon=0.2, balance=0.0), CONTEXT), a, b)
    soft = every_pair(Attention(AttentionParams(temperature=0.2), CONTEXT), a, b)
    torch.testing.assert_close(free.similarity, soft.similarity)
    torch.testing.assert_close(free.aligned, soft.aligned)


def test_near_balance_all_frames_are_matched_alike() -> None:
    """Which is why balance 1 is not offered: every aligned representation would be the mean of b."""
    a, b = batch(utterances([8], 1)), batch(utterances([6], 2))
    params = [SinkhornParams(epsilon=0.1, balance=share, iterations=200) for share in (0.0, 0.99)]
    free, even = (Sinkhorn(each, CONTEXT).frame_map(a, b).alignment.mean(dim=0) for each in params)
    assert float(free.max()) > 1.5 * float(even.max())
    assert even.tolist() == pytest.approx([1 / 6] * 6, rel=0.05)


def test_a_hub_wins_less_with_balance() -> None:
    """One frame of b near every frame of a, the others near one each."""
    hub = torch.ones(1, WIDTH, dtype=torch.float64)
    corners = torch.eye(WIDTH, dtype=torch.float64) * 0.6 + 0.4
    near = corners * 0.2 + hub
    a, b = (batch([(z, torch.zeros(len(z), BURSTS, dtype=torch.float64))]) for z in (near, torch.cat([hub, corners])))
    params = [SinkhornParams(epsilon=0.02, balance=part) for part in (0.0, 0.5, 0.9)]
    share = [float(Sinkhorn(each, CONTEXT).frame_map(a, b).alignment[:, 0].mean()) for each in params]
    assert share[0] > 2 * share[2] and share[0] > share[1] > share[2]


# -- dynamic time warping --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (6, 1), (5, 5), (9, 14), (30, 21)])
def test_the_path_is_librosa_s(height: int, width: int) -> None:
    cost = torch.rand(3, height, width, generator=torch.Generator().manual_seed(height), dtype=torch.float64)
    paths = warping_paths(cost, torch.ones(3, height, dtype=torch.bool), torch.ones(3, width, dtype=torch.bool))
    for one, path in zip(cost.numpy(), paths, strict=True):
        _, theirs = librosa_dtw(C=one)
        assert sorted(map(tuple, theirs.tolist())) == [tuple(cell) for cell in path.nonzero().tolist()]


def test_the_path_keeps_the_order_of_time() -> None:
    """The same frames backwards: `cosine` finds every one of them, `dtw` may not jump."""
    z, d = (part.detach() for part in utterances([9], 3)[0])
    there, back = batch([(z, d)]), batch([(z.flip(0), d.flip(0))])
    assert float(Cosine(NoParams(), CONTEXT).similarity(there, back)) == pytest.approx(1.0)
    assert float(Dtw(DtwParams(), CONTEXT).similarity(there, back)) < 0.7
    assert float(Dtw(DtwParams(), CONTEXT).similarity(there, there)) == pytest.approx(1.0)


def test_a_band_keeps_the_path_near_the_diagonal() -> None:
    a, b = batch(utterances([12], 1)), batch(utterances([20], 2))
    alignment = Dtw(DtwParams(band=0.15), CONTEXT).frame_map(a, b).alignment
    stray = [abs(i / 11 - j / 19) for i, j in alignment.nonzero().tolist()]
    assert max(stray) <= 0.15


# -- the map, and the control ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", [*(kind(p, CONTEXT) for kind, _, p in FIELDS), *IRFS], ids=lambda field: type(field).__name__)
def test_a_frame_map_adds_up_to_similarity_and_representation(field: Any) -> None:
    a, b = batch(utterances([5, 8], 1)), batch(utterances([7, 3], 2))
    for left, right in ((a, b), (b.take([1]), a.take([1]))):
        seen, found = field.frame_map(left, right), field.aligned(left.take([0]), right.take([0]))
        torch.testing.assert_close(((seen.alignment * seen.resonance).sum(dim=1) * seen.weights).sum(), found.similarity[0])
        torch.testing.assert_close(seen.alignment.mean(dim=0) @ right.frames.values[0][right.frames.mask[0]], found.aligned[0])
        torch.testing.assert_close(seen.alignment.sum(dim=1), torch.ones(len(seen.alignment), dtype=torch.float64))
        assert not seen.resonance.requires_grad
        assert (seen.strength_a is None) == (not isinstance(field, Irf))


@each_field
def test_half_precision_is_widened_with_autocast_and_without(field: Any) -> None:
    """Cosines of bfloat16 rows have two digits, too few to choose by; half precision in gives float32 out."""
    field = copy.deepcopy(field).float()
    a, b = (batch(utterances(lengths, 1, torch.bfloat16)) for lengths in ([7, 3], [5, 6]))
    wide = [batch([(z.float(), d.float()) for z, d in utterances(lengths, 1, torch.bfloat16)]) for lengths in ([7, 3], [5, 6])]
    for half, full in zip((a, b), wide, strict=True):
        object.__setattr__(full, "embedding", half.embedding.float())
        object.__setattr__(full, "bursts", half.bursts.float())
    similarity, want = field.similarity(*wide), field.aligned(*wide, both=True)
    for autocast, given in itertools.product((False, True), ((a, b), wide)):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            found, every = field.aligned(*given, both=True), field.similarity(*given)
        assert found.similarity.dtype == every.dtype == torch.float32
        torch.testing.assert_close(every, similarity, rtol=1e-6, atol=1e-6)
        for name, value in vars(want).items():
            torch.testing.assert_close(getattr(found, name).float(), value, rtol=1e-6, atol=1e-6)


def test_the_shuffled_control_aligns_with_other_frames() -> None:
    a, b = batch(utterances([6, 9], 1)), batch(utterances([7, 2], 2))
    right, wrong = IRFS[:2]
    assert isinstance(wrong, ShuffledIrf) and not isinstance(right, ShuffledIrf)
    seen, instead = right.frame_map(a, b), wrong.frame_map(a, b)
    torch.testing.assert_close(seen.resonance, instead.resonance)
    assert not (seen.alignment * instead.alignment).any(), "no frame keeps its match"
    assert float(wrong.similarity(a, b)[0, 0]) < float(right.similarity(a, b)[0, 0])
    alone = batch(utterances([1, 1], 3))
    torch.testing.assert_close(wrong.aligned(a, alone).aligned, right.aligned(a, alone).aligned)


def test_the_shuffled_control_is_the_same_every_time() -> None:
    a, b = batch(utterances([6, 9], 1)), batch(utterances([7, 2], 2))
    first, second = (build(IrfParams(control="shuffled"), CONTEXT) for _ in range(2))
    assert torch.equal(first.similarity(a, b), second.similarity(a, b))
    assert torch.equal(first.aligned(a, b).aligned, second.aligned(a, b).aligned)
