"""Tensor functions and small modules that the engine and any plugin may use: each is said here once.

Rows are `[n, D]`, logits and posteriors `[n, C]`, frames `[B, T, ...]` with a mask `[B, T]`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sere_core.rng import derive
from sere_registry import Backbone
from sere_registry.training import AnyBatch

M = TypeVar("M")


def wide(values: Tensor) -> Tensor:
    """At least float32: bfloat16 has too few digits for norms, means and distances; float64 stays.

    >>> wide(torch.ones(1, dtype=torch.bfloat16)).dtype, wide(torch.ones(1).double()).dtype
    (torch.float32, torch.float64)
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))


def power_spectra(samples: Tensor, window: Tensor, step: int, size: int | None = None) -> Tensor:
    """|DFT|^2 of windowed frames, `[B, N]` -> `[B, 1 + (N - W) // step, size // 2 + 1]`, as a convolution, which ONNX has.

    Args:
        samples: at least one window of them.
        window: `[W]`.
        step: samples between frames.
        size: of the DFT, from W on; default: W.

    >>> power_spectra(torch.ones(1, 6), torch.ones(4), 2).round().tolist()
    [[[16.0, 0.0, 0.0], [16.0, 0.0, 0.0]]]
    """
    width = len(window)
    size = size or width
    turns = torch.arange(size // 2 + 1, dtype=torch.float64)[:, None] * torch.arange(width, dtype=torch.float64) / size
    waves = torch.cat([(2 * torch.pi * turns).cos(), (2 * torch.pi * turns).sin()]) * window.double()
    real, imaginary = functional.conv1d(samples[:, None], waves.to(samples)[:, None], stride=step).chunk(2, dim=1)
    return (real.square() + imaginary.square()).transpose(1, 2)


def unit_rows(rows: Tensor) -> Tensor:
    """`[..., D]` at length 1; a zero row stays one and gets gradient 0: it has no direction.

    >>> unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    norms: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    unit: Tensor = rows / norms.masked_fill(norms == 0, torch.inf)
    return unit


def entropy(posteriors: Tensor) -> Tensor:
    """`-sum_c p_c log p_c` in nats, `[..., C]` -> `[...]`; 0 log 0 is 0.

    >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
    tensor([0.6931, 0.0000])
    """
    nats: Tensor = torch.special.entr(posteriors).sum(dim=-1)
    return nats


class _Reversed(torch.autograd.Function):
    honest = False  # is the gradient that of the function, which is the identity?

    @staticmethod
    def forward(ctx: Any, values: Tensor, strength: float) -> Tensor:
        ctx.strength = -1.0 if _Reversed.honest else strength
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return -ctx.strength * grad, None


def reverse_gradient(values: Tensor, strength: float = 1.0) -> Tensor:
    """The same values; their gradient is multiplied by `-strength` (gradient reversal, arXiv:1505.07818).

    >>> x = torch.ones(2, requires_grad=True)
    >>> reverse_gradient(x, 0.5).sum().backward()
    >>> x.grad
    tensor([-0.5000, -0.5000])
    """
    return _Reversed.apply(values, strength)  # type: ignore[no-any-return, no-untyped-call]


@contextmanager
def without_reversal() -> Iterator[None]:
    """In this context `reverse_gradient` has the gradient of its function: what finite differences are compared with."""
    _Reversed.honest = True
    try:
        yield
    finally:
        _Reversed.honest = False


def diversity(posteriors: Tensor, eps: float = 0.0) -> Tensor:
    """`sum_c pbar_c log(pbar_c + eps)` of `[n, C]`, pbar the mean prediction: minus its entropy.

    It is least, -log C, where pbar is uniform.  Minimised, it keeps predictions from collapsing, and assumes
    that the classes are about equally frequent.

    >>> diversity(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    tensor(-0.6931)
    """
    mean = posteriors.mean(dim=0)
    return (mean * (mean + eps).log()).sum() if eps else -entropy(mean)


# -- pseudo-labels -------------------------------------------------------------------------------------------


def pseudo_label_loss(guide: Tensor, student: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """`(1/B) sum_j 1[max p_j >= threshold] CE(argmax p_j, q_j)`, equation 4 of FixMatch (arXiv:2001.07685).

    Divided by B, not by how many are kept, as in the authors' code; no gradient reaches the guide.

    Args:
        guide: logits `[B, C]` whose softmax is p.
        student: logits `[B, C]` whose softmax is q.
        threshold: the least confidence that teaches.

    Returns:
        The scalar, and the mask `[B]` of those that are kept.

    >>> guide = torch.tensor([[5.0, 0.0], [0.1, 0.0]])
    >>> loss, mask = pseudo_label_loss(guide, torch.zeros(2, 2), threshold=0.9)
    >>> loss, mask
    (tensor(0.3466), tensor([ True, False]))
    """
    confidence, guess = guide.detach().softmax(dim=-1).max(dim=-1)
    mask = confidence >= threshold
    each = functional.cross_entropy(student, guess, reduction="none")
    return torch.where(mask, each, 0.0).sum() / len(guess), mask


class Shares(NamedTuple):
    """Q `[n, C]` of (B1) in the dtype of the logits, and v `[C]` in float64."""

    posteriors: Tensor
    offsets: Tensor


def equal_shares(logits: Tensor, rounds: int, among: Tensor | None = None, given: Tensor | None = None) -> Shares:
    """Pseudo-labels in equal shares from logits `[n, C]`, whose softmax is p, by scaling rows and columns in turn.

        Q = argmax_Q  sum_jc Q_jc log p_jc + H(Q)   s.t.  sum_c Q_jc = 1,  sum_j Q_jc = n / C        (B1)

    The scaling is Cuturi's (arXiv:1306.0895); as a way to pseudo-labels it is due to Asano et al.
    (arXiv:1911.05371).  The optimum is Q_jc = softmax_c(log p_jc + v_c): the offsets v can be added to the log
    posterior of an utterance that took no part.  Assumption: about as many utterances of each class; where not,
    some pseudo-labels are wrong by construction.  With `given` shares k, sum_j Q_jc = n k_c: these are assumed.

    Args:
        rounds: how often columns and rows are scaled.
        among: `[C]` bool, the classes that take part; the others get no share and no offset.
        given: k `[C]`, at least 0, in any scale; a class of share 0 takes no part.

    >>> shares = equal_shares(torch.tensor([[2.0, 0.0], [1.0, 0.0]]), rounds=100)
    >>> shares.posteriors.argmax(dim=1), shares.offsets.diff().round(decimals=6)
    (tensor([0, 1]), tensor([1.5000], dtype=torch.float64))
    >>> equal_shares(torch.zeros(4, 2), rounds=1, given=torch.tensor([3.0, 1.0])).posteriors[0]
    tensor([0.7500, 0.2500])
    """
    if given is not None:
        among = given > 0 if among is None else among & (given > 0)
    if among is None:
        return _in_shares(logits, rounds)
    found = _in_shares(logits[:, among], rounds, None if given is None else given[among])
    shares = Shares(logits.new_zeros(logits.shape), found.offsets.new_zeros(logits.shape[1]))
    shares.posteriors[:, among], shares.offsets[among] = found
    return shares


def _in_shares(logits: Tensor, rounds: int, given: Tensor | None = None) -> Shares:
    scores = logits.double().log_softmax(dim=1)
    offsets = scores.new_zeros(scores.shape[1])
    share = torch.log(torch.tensor(len(scores) / scores.shape[1], dtype=torch.float64, device=scores.device))
    if given is not None:
        share = torch.log(len(scores) * given.to(scores) / given.sum())
    for _ in range(rounds):
        steps = share - scores.logsumexp(dim=0)
        offsets = offsets + steps
        scores = scores + steps
        scores = scores - scores.logsumexp(dim=1, keepdim=True)
    return Shares(scores.exp().to(logits.dtype), offsets)


# -- neighbours ----------------------------------------------------------------------------------------------


class Neighbourhood(NamedTuple):
    """The nearest rows `near` `[B, K]` of each row, nearest first, and the `expanded` `[B, K, M]` nearest of those.

    Neighbours are `reciprocal` `[B, K]` that have the row itself among their M nearest.
    """

    near: Tensor
    expanded: Tensor
    reciprocal: Tensor


@torch.no_grad()
def nearest(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """Of unit rows `[n, D]` the `count` most similar to each row at `index` `[...]`, without itself: `[..., count]`.

    It is left out by its position: of two equal rows, the first of the ranking may be the other one.  Fewer
    where there are fewer others.

    >>> nearest(torch.eye(2)[[0, 0, 1]], torch.tensor([1]), 1)
    tensor([[0]])
    """
    flat = index.reshape(-1)
    with torch.autocast(rows.device.type, enabled=False):
        similarity = rows[flat] @ rows.T
    similarity.scatter_(1, flat[:, None], -torch.inf)
    count = min(count, len(rows) - 1)
    return similarity.topk(count, dim=1).indices.reshape(*index.shape, count)


def neighbourhood(rows: Tensor, index: Tensor, near: int, expanded: int) -> Neighbourhood:
    """K = `near` neighbours of the unit rows `[n, D]` at `index` `[B]`, and M = `expanded` of each of these.

    >>> neighbourhood(torch.eye(2)[[0, 0, 1]], torch.tensor([1]), near=1, expanded=1).reciprocal
    tensor([[True]])
    """
    first = nearest(rows, index, near)
    second = nearest(rows, first, expanded)
    return Neighbourhood(first, second, (second == index[:, None, None]).any(dim=-1))


@torch.no_grad()
def neighbour_graph(rows: Tensor, count: int) -> Tensor:
    """The symmetric graph of nearest neighbours of unit rows `[n, D]`: a sparse matrix `[n, n]` of ones, and zeros on its diagonal.

    i and j have an edge where j is among the `count` most similar to i, or i among those of j.

    >>> neighbour_graph(torch.eye(2)[[0, 0, 1]], 1).to_dense()
    tensor([[0., 1., 1.],
            [1., 0., 0.],
            [1., 0., 0.]])
    """
    others = nearest(rows, torch.arange(len(rows), device=rows.device), count)
    ends = torch.stack([torch.arange(len(rows), device=rows.device).repeat_interleave(others.shape[1]), others.flatten()])
    both = torch.unique(torch.cat([ends, ends.flip(0)], dim=1), dim=1)
    return torch.sparse_coo_tensor(both, rows.new_ones(both.shape[1]), (len(rows), len(rows)), is_coalesced=True, check_invariants=False)


def normalised_graph(graph: Tensor, loops: bool = False) -> Tensor:
    """`D^-1/2 W D^-1/2` of a sparse symmetric W `[n, n]`, or of W + I with `loops`; D are the sums of its rows.

    All eigenvalues lie in [-1, 1].  A row without an edge stays one of zeros.

    >>> normalised_graph(neighbour_graph(torch.eye(2), 1), loops=True).to_dense()
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    if loops:
        same, ones = torch.arange(len(graph), device=graph.device).expand(2, -1), graph.values().new_ones(len(graph))
        graph = (graph + torch.sparse_coo_tensor(same, ones, graph.shape, check_invariants=False)).coalesce()
    sums = torch.sparse.sum(graph, dim=1).to_dense()
    root = torch.where(sums > 0, sums.rsqrt(), 0.0)
    first, second = graph.indices()
    values = root[first] * graph.values() * root[second]
    return torch.sparse_coo_tensor(graph.indices(), values, graph.shape, is_coalesced=True, check_invariants=False)


# -- kernels -------------------------------------------------------------------------------------------------


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """`||a_i - b_j||^2`, `[n, D]` and `[m, D]` -> `[n, m]`; from differences, so that equal rows give exactly 0.

    >>> squared_distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor([[25.]])
    """
    return (wide(a).unsqueeze(1) - wide(b).unsqueeze(0)).square().sum(dim=2)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """`||a_i - b_j||`, `[n, D]` and `[m, D]` -> `[n, m]`, in little memory, and the same whatever else is in the batch.

    >>> distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor([[5.]])
    """
    # not by a product of matrices, whose rounding would depend on the size of the batch
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def bandwidths(rows: Tensor, count: int = 5, factor: float = 2.0) -> list[float]:
    """`h factor^(k - count // 2)` for k < count, h the mean squared distance of two different rows of `[n, D]`.

    >>> bandwidths(torch.tensor([[0.0], [2.0]]), count=3)
    [2.0, 4.0, 8.0]
    """
    total = squared_distances(rows.detach(), rows.detach()).sum()
    centre = float(total) / max(len(rows) * (len(rows) - 1), 1)
    return [centre * factor ** (step - count // 2) for step in range(count)]


def gaussian_kernel(a: Tensor, b: Tensor, widths: Sequence[float]) -> Tensor:
    """`sum_h exp(-||a_i - b_j||^2 / h)` over the bandwidths h, `[n, m]`.

    >>> gaussian_kernel(torch.zeros(1, 1), torch.ones(1, 1), widths=[1.0, 2.0])
    tensor([[0.9744]])
    """
    gaps = squared_distances(a, b)
    return torch.stack([torch.exp(-gaps / width) for width in widths]).sum(dim=0)


def linear_kernel(a: Tensor, b: Tensor) -> Tensor:
    """`a_i . b_j`, `[n, m]`.

    >>> linear_kernel(torch.ones(1, 2), torch.eye(2))
    tensor([[1., 1.]])
    """
    with torch.autocast(a.device.type, enabled=False):
        return wide(a) @ wide(b).T


def mmd(within_a: Tensor, within_b: Tensor, across: Tensor, unbiased: bool = False) -> Tensor:
    """The squared maximum mean discrepancy of two samples, from kernel matrices (Gretton et al., JMLR 13, 2012).

        mean k(a, a') + mean k(b, b') - 2 mean k(a, b)

    The V-statistic has all pairs, is biased and never below 0, and 0 for equal samples; the `unbiased`
    U-statistic leaves out the pairs of a row with itself, needs two rows on each side, and may be below 0.
    Matrices multiplied entry by entry are a joint kernel.

    Args:
        within_a: `[n, n]`.
        within_b: `[m, m]`.
        across: `[n, m]`.

    >>> a, b = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [3.0]])
    >>> matrices = [linear_kernel(left, right) for left, right in ((a, a), (b, b), (a, b))]
    >>> mmd(*matrices), mmd(*matrices, unbiased=True)
    (tensor(1.), tensor(-1.))
    """
    if not unbiased:
        return within_a.mean() + within_b.mean() - 2 * across.mean()

    def off_diagonal(kernel: Tensor) -> Tensor:
        return (kernel.sum() - kernel.diagonal().sum()) / (len(kernel) * (len(kernel) - 1))

    return off_diagonal(within_a) + off_diagonal(within_b) - 2 * across.mean()


# -- frames without their padding, `[N, ...]` ----------------------------------------------------------------


def on_real_frames(layer: Callable[[Tensor], Tensor], values: Tensor, mask: Tensor) -> Tensor:
    """`layer` of every real frame of `values` `[B, T, F]`, and zeros in padding: `[B, T, d]`.

    What stands in padding is not read, and gets no gradient.

    >>> on_real_frames(lambda rows: rows + 1, torch.zeros(1, 2, 1), torch.tensor([[True, False]])).flatten().tolist()
    [1.0, 0.0]
    """
    flat, places = values.flatten(0, 1), mask.flatten()
    slots = places.nonzero().squeeze(1)
    if len(slots) == len(places):  # no padding
        return layer(flat).view(*values.shape[:2], -1)
    return pad_rows(layer(pack_rows(flat, slots, places)), slots, places).view(*values.shape[:2], -1)


def pack_rows(flat: Tensor, slots: Tensor, places: Tensor) -> Tensor:
    """The real rows of a flattened padded batch, `[B * T, ...]` -> `[N, ...]`; gradients flow back, zeros into padding.

    Args:
        slots: `[N]` long, where the real rows stand.
        places: `[B * T]` bool, the same as a mask.

    >>> pack_rows(torch.tensor([[1.0], [9.0], [2.0]]), torch.tensor([0, 2]), torch.tensor([True, False, True])).flatten()
    tensor([1., 2.])
    """
    if not (flat.requires_grad and torch.is_grad_enabled()):
        return flat.index_select(0, slots)
    return _Pack.apply(flat, slots, places)  # type: ignore[no-any-return, no-untyped-call]


def pad_rows(rows: Tensor, slots: Tensor, places: Tensor) -> Tensor:
    """`[N, ...]` -> `[B * T, ...]`, zeros in padding: the inverse of `pack_rows`."""
    return _Pad.apply(rows, slots, places)  # type: ignore[no-any-return, no-untyped-call]


def padded(rows: Tensor, places: Tensor) -> Tensor:
    """Rows at the true places, zeros at the others; reading whole rows is several times faster than writing them there."""
    origin = places.cumsum(0).mul_(places)
    return torch.cat([rows.new_zeros(1, *rows.shape[1:]), rows]).index_select(0, origin)


class _Pack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, flat: Tensor, slots: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return flat.index_select(0, slots)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return padded(grad, *ctx.saved_tensors), None, None


class _Pad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, slots: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(slots)
        return padded(rows, places)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return grad.index_select(0, *ctx.saved_tensors), None, None


# -- labels in the embedding space ---------------------------------------------------------------------------


def supervised_contrastive(
    rows: Tensor, labels: Tensor, temperature: float = 0.07, base_temperature: float = 0.07, weights: Tensor | None = None
) -> Tensor:
    """Rows of a class attract each other, against all other rows: equation 2 of SupCon (arXiv:2004.11362).

        L = tau / tau_base mean_i - sum_{p in P(i)} w_ip log softmax_{a != i}(h_i . h_a / tau)_p / sum_{p in P(i)} w_ip

    P(i) are the other rows with the label of i; a row without any contributes 0 and stays in the mean, as in the
    authors' code.

    Args:
        rows: h, `[n, D]`, of length 1.
        labels: `[n]`.
        weights: w, `[n, n]`, not below 0; None: 1.

    >>> supervised_contrastive(torch.eye(2)[[0, 0, 0, 0]], torch.zeros(4)), torch.tensor(3.0).log()
    (tensor(1.0986), tensor(1.0986))
    """
    if len(rows) < 2:
        return 0.0 * rows.sum()
    itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    positive = (labels[:, None] == labels[None, :]) & ~itself
    pull = positive.to(rows.dtype) if weights is None else torch.where(positive, weights.to(rows.dtype), 0.0)
    scores = linear_kernel(rows, rows) / temperature
    logarithms = scores - scores.masked_fill(itself, -torch.inf).logsumexp(dim=1, keepdim=True)
    total = pull.sum(dim=1)
    each = -(pull * logarithms).sum(dim=1) / total.masked_fill(total == 0, 1.0)
    return temperature / base_temperature * each.mean()


def centre_loss(rows: Tensor, labels: Tensor, centres: Tensor) -> Tensor:
    """`(1/2B) sum_i ||h_i - c_{y_i}||^2`, equation 2 of centre loss (Wen et al., ECCV 2016), by the number of rows.

    >>> centre_loss(torch.tensor([[3.0], [1.0]]), torch.tensor([0, 1]), torch.tensor([[1.0], [1.0]]))
    tensor(1.)
    """
    return (wide(rows) - centres[labels]).square().sum(dim=1).mean() / 2


@torch.no_grad()
def moved_centres(centres: Tensor, rows: Tensor, labels: Tensor, rate: float) -> Tensor:
    """`c_k - a sum_{i: y_i = k} (c_k - h_i) / (1 + n_k)`, equations 3 and 4 there: `[C, D]`; without rows c_k stays.

    Args:
        rate: a, between 0 and 1.

    >>> moved_centres(torch.zeros(2, 1), torch.tensor([[3.0], [3.0]]), torch.tensor([0, 0]), rate=0.5)
    tensor([[1.],
            [0.]])
    """
    members = functional.one_hot(labels, len(centres)).to(centres.dtype)
    counts = members.sum(dim=0).unsqueeze(1)
    return centres - rate * (counts * centres - members.T @ rows.to(centres.dtype)) / (1 + counts)


# -- adversaries ---------------------------------------------------------------------------------------------


def reversal_ramp(fraction: float, steepness: float = 10.0) -> float:
    """`2 / (1 + exp(-a t)) - 1`: how strongly gradients are reversed at t of the stage, from 0 to almost 1 (arXiv:1505.07818).

    >>> reversal_ramp(0.0), round(reversal_ramp(0.1), 3), round(reversal_ramp(0.5), 3)
    (0.0, 0.462, 0.987)
    """
    return 2.0 / (1.0 + math.exp(-steepness * fraction)) - 1.0


def domain_loss(source: Tensor, target: Tensor, weights: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """`(mean_i -w_i log D_i + mean_j -w_j log(1 - D_j)) / 2`: each domain counts half, however many rows it has.

    Args:
        source: logits `[n]` whose sigmoid D is the chance of the source domain.
        target: the same, `[m]`.
        weights: w of both sides; None: 1.

    >>> domain_loss(torch.zeros(3), torch.zeros(1))
    tensor(0.6931)
    """
    on_source, on_target = functional.softplus(-wide(source)), functional.softplus(wide(target))
    if weights is not None:
        on_source, on_target = on_source * weights[0], on_target * weights[1]
    return (on_source.mean() + on_target.mean()) / 2


class BatchNorm(nn.BatchNorm1d):
    """A single row has no batch statistics: it is normalised by the running ones, which it leaves as they are.

    >>> BatchNorm(2)(torch.ones(1, 2)).shape
    torch.Size([1, 2])
    """

    def forward(self, rows: Tensor) -> Tensor:
        batched = self.training and len(rows) > 1
        mean, variance = self.running_mean, self.running_var
        return functional.batch_norm(rows, mean, variance, self.weight, self.bias, batched, 0.1, self.eps)


class Discriminator(nn.Module):
    """Rows `[n, D]` -> logits `[n, outputs]`, `[n]` for a single output: three linear layers, BatchNorm and ReLU after two.

    As in Transfer-Learning-Library.  Domains are passed together, so that BatchNorm cannot tell them apart.

    >>> Discriminator(dim=4, hidden=8)(torch.zeros(1, 4)).shape, Discriminator(4, 8, outputs=3)(torch.zeros(2, 4)).shape
    (torch.Size([1]), torch.Size([2, 3]))
    """

    def __init__(self, dim: int, hidden: int, outputs: int = 1) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for width in (dim, hidden):
            parts += [nn.Linear(width, hidden, bias=False), BatchNorm(hidden), nn.ReLU()]
        self.layers = nn.Sequential(*parts, nn.Linear(hidden, outputs))

    def forward(self, rows: Tensor) -> Tensor:
        with torch.autocast(rows.device.type, enabled=False):
            logits: Tensor = self.layers(wide(rows))
        return logits.squeeze(1)


# -- modules that hold state ---------------------------------------------------------------------------------


def frozen_copy(module: M) -> M:
    """A copy of a `nn.Module` that needs no gradient: a teacher, or the network as it was."""
    copied = copy.deepcopy(module)
    cast(nn.Module, copied).requires_grad_(False)
    return copied


@torch.no_grad()
def update_average(average: object, student: object, decay: float, step: int | None = None) -> None:
    """Move the exponential moving average towards the student, after optimizer step number `step` (from 0).

    average <- d average + (1 - d) student,  d = min(decay, 1 - 1 / (step + 2)): without that the first steps
    would be stuck at the initial weights.  Without `step`, d = decay.  Buffers are copied.

    >>> student = nn.Linear(1, 1)
    >>> teacher = frozen_copy(student)
    >>> update_average(teacher, student, decay=0.99, step=0)
    """
    decay = decay if step is None else min(decay, 1.0 - 1.0 / (step + 2))
    mine, theirs = cast(nn.Module, average), cast(nn.Module, student)
    for mean, value in zip(mine.parameters(), theirs.parameters(), strict=True):
        mean.lerp_(value, 1.0 - decay)
    for kept, now in zip(mine.buffers(), theirs.buffers(), strict=True):
        kept.copy_(now)


def mlp(*widths: int, norm: Callable[[int], nn.Module] = nn.LayerNorm) -> nn.Sequential:
    """Linear layers of these widths, `norm` and ReLU between two of them.

    With LayerNorm a row's result does not depend on the rows beside it.

    >>> [type(layer).__name__ for layer in mlp(2, 4, 3)]
    ['Linear', 'LayerNorm', 'ReLU', 'Linear']
    """
    layers: list[nn.Module] = []
    for width, following in pairwise(widths):
        layers += [nn.Linear(width, following), norm(following), nn.ReLU()]
    return nn.Sequential(*layers[:-2])


class StepDraws(nn.Module):
    """Random numbers of a loss's own, by step: they change nobody else's, and no one changes them.

    Their seed is drawn where the loss is built, which the run's seed and the loss's place in the config decide, and is
    part of the state: a resumed run draws the same.

    >>> draws = StepDraws()
    >>> torch.equal(*(torch.rand(2, generator=draws(step)) for step in (3, 3)))
    True
    """

    seed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seed", torch.randint(2**62, ()))

    def forward(self, step: int) -> torch.Generator:
        """The generator of a step, on the CPU; `initial_seed()` seeds one of numpy."""
        return torch.Generator().manual_seed(derive(int(self.seed), step))


@contextmanager
def undisturbed_draws(device: torch.device) -> Iterator[None]:
    """What is drawn in this context, by dropout say, leaves the global generators as they were.

    >>> before = torch.get_rng_state()
    >>> with undisturbed_draws(torch.device("cpu")):
    ...     _ = torch.rand(1)
    >>> torch.equal(torch.get_rng_state(), before)
    True
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


class MovingAverage(nn.Module):
    """An exponential moving average of a network, without gradient: a teacher or a target network.

    It is part of the state of the loss that holds it; the network, which it follows, is not.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.network: Backbone = frozen_copy(backbone)
        self._followed = (backbone,)  # in a tuple, so that its parameters do not become this module's

    @torch.no_grad()
    def encode(self, batch: AnyBatch) -> AnyBatch:
        """The same utterances, encoded by the average; its dropout disturbs no other draw."""
        with undisturbed_draws(batch.embedding.device):
            return self.network.encode(batch)

    def follow(self, decay: float, step: int | None = None) -> None:
        """See `update_average`."""
        update_average(self.network, self._followed[0], decay, step)


class ResizableBuffers(nn.Module):
    """A module with state whose size comes from the data: banks, pseudo-labels, a fitted matrix.

    `resizable` names such buffers, each with the dimension that is free: it may be 0 at first and be assigned
    at any size; loading a state takes over its size, so that a checkpoint restores it.

    >>> class Assigned(ResizableBuffers):
    ...     resizable = {"rows": 0}
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.register_buffer("rows", torch.zeros(0, 2))
    >>> full, empty = Assigned(), Assigned()
    >>> full.rows = torch.ones(3, 2)
    >>> empty.load_state_dict(full.state_dict())
    <All keys matched successfully>
    >>> empty.rows.shape
    torch.Size([3, 2])
    """

    resizable: Mapping[str, int] = {}

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *args: Any) -> None:
        for name, free in self.resizable.items():
            buffer, stored = getattr(self, name), state_dict.get(prefix + name)
            if stored is not None and stored.dim() == buffer.dim():
                sizes = list(buffer.shape)
                sizes[free] = stored.shape[free]
                setattr(self, name, buffer.new_empty(sizes))
        super()._load_from_state_dict(state_dict, prefix, *args)


class MemoryBank(ResizableBuffers):
    """Unit embeddings `[n, D]` and posteriors `[n, C]` of a stream's utterances, by their position in it.

    Empty until filled; both are part of the state.  Nothing in them has a gradient.

    >>> bank = MemoryBank(dim=2, classes=3)
    >>> bank.fill(torch.tensor([[3.0, 4.0]]), torch.full((1, 3), 1 / 3))
    >>> bank.embeddings
    tensor([[0.6000, 0.8000]])
    """

    resizable: Mapping[str, int] = {"embeddings": 0, "posteriors": 0}
    embeddings: Tensor
    posteriors: Tensor

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("embeddings", torch.zeros(0, dim))
        self.register_buffer("posteriors", torch.zeros(0, classes))

    def __len__(self) -> int:
        return len(self.embeddings)

    @torch.no_grad()
    def fill(self, embeddings: Tensor, posteriors: Tensor) -> None:
        """Take over a whole stream, in its order."""
        self.embeddings, self.posteriors = unit_rows(wide(embeddings)), wide(posteriors).clone()

    @torch.no_grad()
    def write(self, index: Tensor, embeddings: Tensor, posteriors: Tensor) -> None:
        """Overwrite the rows at `index` `[B]`; of an utterance that is there twice, the last counts."""
        positions, group = torch.unique(index, return_inverse=True)
        turn = torch.arange(len(index), device=index.device)
        last = torch.zeros_like(positions).scatter_reduce_(0, group, turn, "amax", include_self=False)
        self.embeddings[positions] = unit_rows(wide(embeddings))[last].to(self.embeddings.dtype)
        self.posteriors[positions] = wide(posteriors)[last].to(self.posteriors.dtype)
