"""What utterances may look like: the situations in which every reading of an equation is held against its loops.

Numbers are float32's, so that one result of the loops judges the plugins in both precisions.  What stands in padding is NaN.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from sere_plugins.resonance import search
from tests.sere import reference
from tests.sere.batches import Utterance, batch, gradients, leaves, terms, utterances

LENGTHS = [4, 1, 3, 2, 5]
SITUATIONS = [
    "lengths",
    "hidden frames",
    "one utterance",
    "one frame",
    "constant contours",
    "unvoiced",
    "identical utterances",
    "silence",
]
#: (precision, what a result may be off by, relative to the largest entry)
PRECISIONS = [(torch.float64, 1e-9), (torch.float32, 1e-5)]


def streams(situation: str, *counts: int) -> list[list[Utterance]]:
    """So many utterances (z, d) for each stream, float64 leaves."""
    made = []
    for stream, count in enumerate(counts):
        size = 1 if situation == "one utterance" else count
        lengths = [1] * size if situation == "one frame" else [LENGTHS[(stream + row) % len(LENGTHS)] for row in range(size)]
        seed = 1 + stream
        if situation == "identical utterances":
            lengths, seed = [LENGTHS[row % len(LENGTHS)] for row in range(size)], 1
        parts = [tuple(part.detach().float().double() for part in u) for u in utterances(lengths, seed)]
        for row, (z, d) in enumerate(parts):
            if situation == "constant contours":
                d.zero_()
            elif situation == "unvoiced":
                d[:, 0] = 0
            elif situation == "silence":
                z[: None if row == 1 else 1] = 0  # the second utterance wholly, others at their start
                d[: None if row == 1 else 1] = 0
        made.append([(z.requires_grad_(), d.requires_grad_()) for z, d in parts])
    return made


def cast(parts: Sequence[Utterance], dtype: torch.dtype) -> list[Utterance]:
    """The same utterances, as leaves of another graph."""
    return [(z.detach().to(dtype).requires_grad_(), d.detach().to(dtype).requires_grad_()) for z, d in parts]


def padded(parts: Sequence[Utterance], situation: str, labels: Sequence[int] | None = None, extra: int = 2) -> Any:
    return batch(parts, labels, padding=float("nan"), extra=extra, gaps=situation == "hidden frames")


def assert_equal(found: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float, about: str = "") -> None:
    """All entries, relative to the largest of them (or to 0.1 where all of them should be smaller)."""
    got, want = (torch.cat([part.detach().double().flatten() for part in parts]) for parts in (found, expected))
    assert got.shape == want.shape
    if not len(want):
        return
    assert torch.isfinite(want).all(), "the loops themselves must have a result"
    allowed = tolerance * max(float(want.abs().max()), 0.1)
    worst = float((got - want).abs().max())
    assert worst <= allowed, f"{about}: off by {worst:.2e} where {allowed:.2e} is allowed"  # NaN is refused too


def irf_in_loops(field: Any, a: Sequence[Utterance], b: Sequence[Utterance], params: Any = None, moved: Any = None) -> Any:
    """S `[A, B]` and zt_{a<-b} `[A, B, D]` of every pair as the reference computes them, and the leaves, alpha's first.

    Args:
        params: `field.params`, if not given.
        moved: number of frames -> the permutation of the shuffled control.
    """
    weights = field.weights.detach().double().requires_grad_()
    alpha, params = torch.log1p(weights.exp()) if field.params.alpha == "softplus" else weights, params or field.params
    grid = [[reference.resonate(u, v, alpha, params, moved and moved[len(v[0])]) for v in b] for u in a]
    similarity, aligned = (torch.stack([torch.stack([cell[part] for cell in row]) for row in grid]) for part in (0, 1))
    return similarity, aligned, [weights, *leaves(a, b)]


def probe(found: Tensor) -> Tensor:
    """A scalar in which every entry counts differently."""
    return (found.double() * torch.randn(found.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)).sum()


def check_field(
    field: Any, in_loops: Callable[..., Any], a: Sequence[Utterance], b: Sequence[Utterance], situation: str, patch: pytest.MonkeyPatch
) -> None:
    """The search, and every pair aligned in both directions: all at once, and by one row of one matrix after the other."""
    (similarity, aligned, theirs), (_, reverse, leaves_back) = in_loops(field, a, b), in_loops(field, b, a)
    first = 1 + 2 * len(b)
    rows = torch.arange(len(a))
    for partners in {(*range(len(a)),), (len(b) - 1,) * len(a)}:
        picks = torch.tensor(partners)
        wanted = {"similarity": similarity[rows, picks], "aligned": aligned[rows, picks], "reverse": reverse[picks, rows]}
        grads = {name: gradients(probe(value), theirs) for name, value in wanted.items() if name != "reverse"}
        back = gradients(probe(wanted["reverse"]), leaves_back)
        grads["reverse"] = [back[0], *back[first:], *back[1:first]]
        for (dtype, tolerance), together in itertools.product(PRECISIONS, (search.TOGETHER, 1)):
            patch.setattr(search, "TOGETHER", together)
            mine, ours = field.to(dtype), (cast(a, dtype), cast(b, dtype))
            left, right = padded(ours[0], situation), padded(ours[1], situation, extra=3)
            assert_equal([mine.similarity(left, right)], [similarity], tolerance, "the search")
            found = vars(mine.aligned(left, right, picks, both=True))
            for name, value in wanted.items():
                assert found[name].dtype == dtype
                assert_equal([found[name]], [value], tolerance, name)
                got = gradients(probe(found[name]), [mine.weights, *leaves(*ours)])
                assert_equal(got, grads[name], tolerance, f"gradient of {name}")
            patch.undo()


def check_tric(make: Callable[[Any], Any], field: Any, parts: Sequence[Any], labels: Sequence[int], situation: str = "lengths") -> None:
    """Both terms and their gradients, in both precisions.

    Args:
        make: the batch of T_u -> the loss, the batch that it gets instead, and the pseudo-labels that it was given, if any.
    """
    weights = field.weights.detach().double().requires_grad_()
    alpha = torch.log1p(weights.exp()) if field.params.alpha == "softplus" else weights
    theirs, wanted = [weights, *leaves(*parts)], None
    for dtype, tolerance in PRECISIONS:
        cut = [cast(stream, dtype) for stream in parts]
        support, source, target = (padded(p, situation, y, n) for n, (p, y) in enumerate(zip(cut, (labels, None, None), strict=True)))
        loss, target, given = make(target)
        if wanted is None or given is not None:
            wanted = reference.tric(parts[0], [*labels], parts[1], parts[2], alpha, field.params, loss.params, 3, given)
        found = terms(loss, support, source, target, field.to(dtype))
        for name, want in zip(("prototype", "dual"), wanted, strict=True):
            assert_equal([found[name]], [want], tolerance, name)
            if situation == "identical utterances" and not loss.params.squared:
                continue  # a distance of 0 has no direction
            mine = gradients(found[name], [field.weights, *leaves(*cut)])
            assert_equal(mine, gradients(want, theirs), tolerance, f"gradient of {name}")
