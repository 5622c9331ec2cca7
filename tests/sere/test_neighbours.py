"""The fields beside `irf` against plain loops in float64: values, gradients, and what makes each of them what it is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from librosa.sequence import dtw as librosa_dtw
from torch import Tensor

from sere_plugins.resonance import pairwise as pairwise_module
from sere_plugins.resonance.attention import Attention
from sere_plugins.resonance.control import ShuffledIrf, build
from sere_plugins.resonance.cosine import Cosine
from sere_plugins.resonance.dtw import Dtw, warping_paths
from sere_plugins.resonance.irf import Irf
from sere_plugins.resonance.mean import Mean
from sere_plugins.resonance.pairwise import PairwiseField
from sere_plugins.resonance.sinkhorn import Sinkhorn
from sere_plugins.specs.resonance import AttentionParams, DtwParams, IrfParams, SinkhornParams
from sere_registry import BuildContext, NoParams, SereError
from tests.sere import reference
from tests.sere.batches import BURSTS, WIDTH, Utterance, batch, gradients, leaves, utterances

CONTEXT = BuildContext(id="field", dim=WIDTH - BURSTS, dynamics_dim=BURSTS)
Heard = list[list[Tensor]]


def cosines(a: Utterance, b: Utterance) -> Heard:
    return [[reference.cosine(za, zb) for zb in b[0]] for za in a[0]]


def softmax(row: list[Tensor]) -> list[Tensor]:
    powers = [torch.exp(value) for value in row]
    return [power / sum(powers[1:], powers[0]) for power in powers]


def attention(scores: Heard, p: AttentionParams) -> Heard:
    return [softmax([score / p.temperature for score in row]) for row in scores]


def sinkhorn(scores: Heard, p: SinkhornParams) -> Heard:
    """Scaling of exp(c / epsilon) itself, without logarithms: a's sums exactly 1 / T_a, b's with exponent `balance`."""
    height, width = len(scores), len(scores[0])
    kernel = [[torch.exp(score / p.epsilon) for score in row] for row in scores]
    columns = [torch.ones((), dtype=torch.float64) for _ in range(width)]
    for _ in range(p.iterations):
        rows = [1 / height / sum((kernel[i][j] * columns[j] for j in range(width)), torch.zeros(())) for i in range(height)]
        asked = [sum((kernel[i][j] * rows[i] for i in range(height)), torch.zeros(())) for j in range(width)]
        columns = [(1 / width / value) ** p.balance for value in asked]
    plan = [[kernel[i][j] * columns[j] for j in range(width)] for i in range(height)]
    return [[value / sum(row[1:], row[0]) for value in row] for row in plan]


def dtw(scores: Heard, p: DtwParams) -> Heard:
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


def in_loops(a: Utterance, b: Utterance, rule: Callable[..., Heard], p: Any) -> tuple[Tensor, Tensor]:
    """S(a, b) and what a is told."""
    scores = cosines(a, b)
    heard = rule(scores, p)
    similarity, told = torch.zeros((), dtype=torch.float64), torch.zeros(b[0].shape[1], dtype=torch.float64)
    for i, j in itertools.product(range(len(a[0])), range(len(b[0]))):
        similarity = similarity + heard[i][j] * scores[i][j] / len(a[0])
        told = told + heard[i][j] * b[0][j] / len(a[0])
    return similarity, told


FIELDS: list[tuple[type[PairwiseField], Callable[..., Heard], Any]] = [
    (Attention, attention, AttentionParams()),
    (Attention, attention, AttentionParams(temperature=1.0)),
    (Dtw, dtw, DtwParams()),
    (Dtw, dtw, DtwParams(band=0.2)),
    (Sinkhorn, sinkhorn, SinkhornParams(epsilon=0.3)),
    (Sinkhorn, sinkhorn, SinkhornParams(epsilon=0.5, balance=0.9, iterations=3)),
]
NAMES = [f"{kind.__name__}({p!r})" for kind, _, p in FIELDS]
LENGTHS = [([3, 1], [4, 2, 1]), ([1], [1]), ([5], [1]), ([1], [6]), ([4, 4], [4, 4]), ([7, 2], [3, 9])]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize(("kind", "rule", "params"), FIELDS, ids=NAMES)
def test_values_and_gradients_in_loops(kind: Any, rule: Callable[..., Heard], params: Any, lengths: tuple[list[int], list[int]]) -> None:
    a, b = utterances(lengths[0], 5), utterances(lengths[1], 6)
    found = kind(params, CONTEXT)(batch(a), batch(b, extra=2))
    cells = [[in_loops(u, v, rule, params) for v in b] for u in a]
    similarity, told = (torch.stack([torch.stack([cell[part] for cell in row]) for row in cells]) for part in (0, 1))
    torch.testing.assert_close(found.similarity, similarity, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.told, told, rtol=1e-10, atol=1e-10)
    generator = torch.Generator().manual_seed(9)
    weigh = [torch.randn(part.shape, generator=generator, dtype=torch.float64) for part in (similarity, told)]
    mine = gradients((found.similarity * weigh[0]).sum() + (found.told * weigh[1]).sum(), leaves(a, b))
    theirs = gradients((similarity * weigh[0]).sum() + (told * weigh[1]).sum(), leaves(a, b))
    for left, right in zip(mine, theirs, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kind", "rule", "params"), FIELDS, ids=NAMES)
def test_float32_stays_near(kind: Any, rule: Callable[..., Heard], params: Any) -> None:
    a, b = utterances([5, 2], 3, torch.float32), utterances([4, 1], 4, torch.float32)
    found = kind(params, CONTEXT)(batch(a), batch(b))
    wide = [[(z.double(), d.double()) for z, d in side] for side in (a, b)]
    similarity, told = in_loops(wide[0][0], wide[1][0], rule, params)
    torch.testing.assert_close(found.similarity[0, 0].double(), similarity, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.told[0, 0].double(), told, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("field", [kind(p, CONTEXT) for kind, _, p in FIELDS], ids=NAMES)
@pytest.mark.parametrize("padding", [1e30, float("nan"), float("inf")])
def test_what_stands_in_padded_frames_never_matters(padding: float, field: Any) -> None:
    a, b = utterances([3, 5], 1), utterances([4, 1, 2], 2)
    answers = []
    for fill, extra in ((0.0, 0), (padding, 4)):
        found = field(batch(a, padding=fill, extra=extra), batch(b, padding=fill, extra=extra))
        answers.append([found.similarity, found.told, *gradients(found.similarity.sum() + found.told.square().sum(), leaves(a, b))])
    for clean, dirty in zip(*answers, strict=True):
        torch.testing.assert_close(clean, dirty, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("field", [kind(p, CONTEXT) for kind, _, p in FIELDS[::2]], ids=NAMES[::2])
def test_frames_may_be_missing_at_the_front(field: Any) -> None:
    """A cropped view clears the mask on both sides of its window."""
    whole, b = batch(utterances([6], 1), extra=0), batch(utterances([4], 2))
    cut = batch([(z[2:5], d[2:5]) for z, d in utterances([6], 1)])
    window = torch.tensor([[False, False, True, True, True, False]])
    cropped = type(whole)(**{**vars(whole), "frames": type(whole.frames)(whole.frames.values, window, 50.0)})
    torch.testing.assert_close(field(cropped, b).told, field(cut, b).told)
    torch.testing.assert_close(field.similarity(b, cropped), field.similarity(b, cut))


@pytest.mark.parametrize("field", [kind(p, CONTEXT) for kind, _, p in FIELDS[::2]], ids=NAMES[::2])
def test_a_silent_frame_breaks_no_gradient(field: Any) -> None:
    side = [(torch.zeros(3, WIDTH, dtype=torch.float64).requires_grad_(), torch.zeros(3, BURSTS, dtype=torch.float64).requires_grad_())]
    found = field(batch(side), batch(utterances([4], 2)))
    assert float(found.similarity.detach()) == 0.0
    assert all(torch.isfinite(grad).all() for grad in gradients(found.similarity.sum() + found.told.sum(), leaves(side)))


#: one of each kind, with those that compare by the search and by whole utterances
EACH = [*(kind(p, CONTEXT) for kind, _, p in FIELDS[::2]), Cosine(NoParams(), CONTEXT), Mean(NoParams(), CONTEXT)]


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("field", EACH, ids=lambda field: type(field).__name__)
def test_what_has_no_direction_is_not_turned(field: Any, rows: bool) -> None:
    """A zero vector's cosine is 0 whatever it meets; as in the field itself its gradient is 0, and not that of some eps."""
    side, other = [tuple(torch.zeros_like(part).requires_grad_() for part in u) for u in utterances([3, 2], 1)], utterances([4, 1], 2)
    for a, b in ((side, other), (other, side)):
        found = (field.aligned if rows else field)(batch(a), batch(b))  # type: ignore[arg-type]
        assert not found.similarity.any()
        assert not any(grad.any() for grad in gradients(found.similarity.sum(), leaves(side)))  # type: ignore[arg-type]


@pytest.mark.parametrize("field", [kind(p, CONTEXT) for kind, _, p in FIELDS[::2]], ids=NAMES[::2])
def test_empty_batches_and_wrong_ones(field: Any) -> None:
    none, some = batch([]), batch(utterances([4, 2], 2))
    assert field(none, some).similarity.shape == (0, 2)
    assert field(some, none).told.shape == (2, 0, WIDTH)
    assert field.aligned(none, none).told.shape == (0, WIDTH)
    with pytest.raises(SereError, match="B402"):
        field.aligned(some, batch(utterances([3], 1)))
    with pytest.raises(SereError, match="B402"):
        field(some, batch(utterances([3], 1, width=WIDTH + 1)))


@pytest.mark.parametrize("field", [kind(p, CONTEXT) for kind, _, p in FIELDS[::2]], ids=NAMES[::2])
def test_small_blocks_change_nothing(field: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = batch(utterances([7, 9, 3], 1)), batch(utterances([4, 6, 6], 2))
    whole, rows = field(a, b), field.aligned(a, b)
    monkeypatch.setattr(pairwise_module, "_BLOCK", 1)
    for found, expected in ((field(a, b), whole), (field.aligned(a, b), rows)):
        torch.testing.assert_close(found.similarity, expected.similarity)
        torch.testing.assert_close(found.told, expected.told)


def test_the_backward_pass_keeps_no_matrix_of_frames() -> None:
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel() if tensor.dim() > 2 and tensor.shape[-1] == tensor.shape[-2] else 0)
        return tensor

    a, b = batch(utterances([200] * 3, 1), extra=0), batch(utterances([200] * 2, 2), extra=0)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        found = Sinkhorn(SinkhornParams(), CONTEXT)(a, b)
    assert found.similarity.requires_grad and sum(kept) == 0


# -- attention and sinkhorn: what lies at their ends -----------------------------------------------------------------------


def test_cold_attention_is_the_hard_choice() -> None:
    a, b = batch(utterances([5, 3], 1)), batch(utterances([4, 6], 2))
    soft, hard = Attention(AttentionParams(temperature=1e-4), CONTEXT)(a, b), Cosine(NoParams(), CONTEXT)(a, b)
    torch.testing.assert_close(soft.similarity, hard.similarity)
    torch.testing.assert_close(soft.told, hard.told)


def test_hot_attention_tells_the_mean() -> None:
    a, b = batch(utterances([5, 3], 1)), batch(utterances([4, 6], 2))
    told, mean = Attention(AttentionParams(temperature=1e8), CONTEXT)(a, b).told, Mean(NoParams(), CONTEXT)(a, b).told
    torch.testing.assert_close(told, mean)


def test_sinkhorn_without_balance_is_attention() -> None:
    a, b = batch(utterances([5, 3], 1)), batch(utterances([4, 6], 2))
    free = Sinkhorn(SinkhornParams(epsilon=0.2, balance=0.0), CONTEXT)(a, b)
    soft = Attention(AttentionParams(temperature=0.2), CONTEXT)(a, b)
    torch.testing.assert_close(free.similarity, soft.similarity)
    torch.testing.assert_close(free.told, soft.told)


def test_near_balance_all_frames_are_heard_alike() -> None:
    """Which is why balance 1 is not offered: what is told would be the mean of b, whoever asks."""
    a, b = batch(utterances([8], 1)), batch(utterances([6], 2))
    heard = [Sinkhorn(SinkhornParams(epsilon=0.1, balance=share, iterations=200), CONTEXT).frame_map(a, b).heard for share in (0.0, 0.99)]
    least, most = heard[1].mean(dim=0).min(), heard[1].mean(dim=0).max()
    assert float(heard[0].mean(dim=0).max()) > 1.5 * float(heard[1].mean(dim=0).max())
    assert float(least) == pytest.approx(1 / 6, rel=0.05) and float(most) == pytest.approx(1 / 6, rel=0.05)


def test_a_hub_wins_less_with_balance() -> None:
    """One frame of b near every frame of a, the others near one each."""
    hub = torch.ones(1, WIDTH, dtype=torch.float64)
    corners = torch.eye(WIDTH, dtype=torch.float64) * 0.6 + 0.4
    asked = corners * 0.2 + hub
    a, b = (batch([(z, torch.zeros(len(z), BURSTS, dtype=torch.float64))]) for z in (asked, torch.cat([hub, corners])))
    share = [
        float(Sinkhorn(SinkhornParams(epsilon=0.02, balance=part), CONTEXT).frame_map(a, b).heard[:, 0].mean()) for part in (0.0, 0.5, 0.9)
    ]
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
    heard = Dtw(DtwParams(band=0.15), CONTEXT).frame_map(a, b).heard
    stray = [abs(i / 11 - j / 19) for i, j in heard.nonzero().tolist()]
    assert max(stray) <= 0.15


# -- the map, and the control ----------------------------------------------------------------------------------------------

MAPPED = [
    *(kind(p, CONTEXT) for kind, _, p in FIELDS),
    Cosine(NoParams(), CONTEXT),
    *(
        build(IrfParams(combine=combine, control=control), CONTEXT).double()
        for combine in ("product", "sum")
        for control in ("none", "shuffled")
    ),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("field", MAPPED, ids=lambda field: type(field).__name__)
def test_a_frame_map_adds_up_to_what_the_field_says(field: Any) -> None:
    a, b = batch(utterances([5, 8], 1)), batch(utterances([7, 3], 2))
    for left, right in ((a, b), (b.take([1]), a.take([1]))):
        seen, said = field.frame_map(left, right), field(left.take([0]), right.take([0]))
        torch.testing.assert_close(((seen.heard * seen.resonance).sum(dim=1) * seen.shares).sum(), said.similarity[0, 0])
        torch.testing.assert_close(seen.heard.mean(dim=0) @ right.frames.values[0][right.frames.mask[0]], said.told[0, 0])
        torch.testing.assert_close(seen.heard.sum(dim=1), torch.ones(len(seen.heard), dtype=torch.float64))
        assert not seen.resonance.requires_grad
        assert (seen.strength_a is None) == (not isinstance(field, Irf))


@pytest.mark.parametrize("field", MAPPED, ids=lambda field: type(field).__name__)
def test_frames_of_different_width_are_refused_whoever_asks(field: Any) -> None:
    one, wider, two = batch(utterances([3], 1)), batch(utterances([3], 2, width=WIDTH + 1)), batch(utterances([3, 2], 2))
    for ask in (field, field.similarity, field.aligned, field.frame_map):
        with pytest.raises(SereError, match="B402"):
            ask(one, wider)
    with pytest.raises(SereError, match="B402"):
        field.aligned(one, two)


@pytest.mark.parametrize("field", [*EACH, *MAPPED[-2:]], ids=lambda field: type(field).__name__)
def test_half_precision_is_widened_with_autocast_and_without(field: Any) -> None:
    """Cosines of bfloat16 rows have two digits, too few to choose by; what is asked in half precision is answered in float32."""
    field = field.float()
    a, b = (batch(utterances(lengths, 1, torch.bfloat16)) for lengths in ([7, 3], [5, 6]))
    wide = [batch([(z.float(), d.float()) for z, d in utterances(lengths, 1, torch.bfloat16)]) for lengths in ([7, 3], [5, 6])]
    for half, full in zip((a, b), wide, strict=True):
        object.__setattr__(full, "embedding", half.embedding.float())
        object.__setattr__(full, "bursts", half.bursts.float())
    for ask in (field, field.aligned):
        want = ask(*wide)
        for autocast in (False, True):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                for given in ((a, b), wide):
                    found = ask(*given)
                    assert found.similarity.dtype == torch.float32
                    torch.testing.assert_close(found.similarity, want.similarity, rtol=1e-6, atol=1e-6)
                    torch.testing.assert_close(found.told.float(), want.told, rtol=1e-6, atol=1e-6)


def test_the_shuffled_control_tells_other_frames() -> None:
    a, b = batch(utterances([6, 9], 1)), batch(utterances([7, 2], 2))
    right, wrong = (build(IrfParams(control=control), CONTEXT) for control in ("none", "shuffled"))  # type: ignore[arg-type]
    assert isinstance(wrong, ShuffledIrf) and not isinstance(right, ShuffledIrf)
    seen, instead = right.frame_map(a, b), wrong.frame_map(a, b)
    torch.testing.assert_close(seen.resonance, instead.resonance)
    assert not (seen.heard * instead.heard).any(), "no frame is told what resonates with it"
    assert float(wrong.similarity(a, b)[0, 0].detach()) < float(right.similarity(a, b)[0, 0].detach())
    alone = batch(utterances([1], 3))
    torch.testing.assert_close(wrong(a, alone).told, right(a, alone).told)


def test_the_shuffled_control_is_the_same_every_time() -> None:
    a, b = batch(utterances([6, 9], 1)), batch(utterances([7, 2], 2))
    first, second = (build(IrfParams(control="shuffled"), CONTEXT)(a, b) for _ in range(2))
    assert torch.equal(first.similarity, second.similarity) and torch.equal(first.told, second.told)
    assert math.isfinite(float(first.similarity.detach().sum()))
