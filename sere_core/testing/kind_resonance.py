"""The checks of resonance fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sere_core.testing.batches import SHAPES, Shape, encoded, leaves
from sere_core.testing.comparing import close, same, shaken
from sere_core.testing.subject import Checks, Subject
from sere_registry import Resonance

CHECKS = Checks()
SHAPE = SHAPES[0]


def build(subject: Subject, shape: Shape = SHAPE, seed: int = 0) -> Any:
    """In evaluation mode."""
    return subject.build(shape.context, seed=seed).to(shape.dtype).eval()


def sides(shape: Shape = SHAPE, *, equal: bool = False, **more: Any) -> tuple[Any, Any]:
    """Two sides; zeros in their padding unless `more` says otherwise."""
    filled = {"padding": 0.0, **more}
    return encoded(shape.source, shape, 1, **filled), encoded(shape.source if equal else shape.target, shape, 2, **filled)


@CHECKS("resonance.shapes", "build.defaults")
def shapes(subject: Subject) -> None:
    """Every pair: similarity `[A, B]` and told `[A, B, D]`, for many sizes."""
    for shape in SHAPES:
        field = build(subject, shape)
        missing = [name for name in ("directed", "similarity", "aligned") if not hasattr(field, name)]
        assert not missing, f"it has no {', '.join(missing)}"
        assert isinstance(field.directed, bool), "`directed` is not True or False"
        a, b = sides(shape)
        heard = field(a, b)
        assert isinstance(heard, Resonance), f"it returns a {type(heard).__name__}, not a Resonance"
        wide = (len(a), len(b), a.embedding.shape[1])
        assert heard.similarity.shape == wide[:2], f"similarity has shape {tuple(heard.similarity.shape)}, not {wide[:2]}"
        assert heard.told.shape == wide, f"told has shape {tuple(heard.told.shape)}, not {wide}"


@CHECKS("resonance.finite", "resonance.shapes")
def finite(subject: Subject) -> None:
    """Similarities, what is told, and their gradients are finite."""
    for shape in SHAPES:
        a, b = sides(shape)
        heard = build(subject, shape)(a, b)
        assert bool(torch.isfinite(heard.similarity).all()), f"a similarity is not finite for sizes {shape}"
        assert bool(torch.isfinite(heard.told).all()), f"what is told is not finite for sizes {shape}"
        inputs = [leaf for side in (a, b) for leaf in leaves(side).values()]
        for grad in torch.autograd.grad(heard.similarity.sum() + heard.told.square().sum(), inputs, allow_unused=True):
            assert grad is None or bool(torch.isfinite(grad).all()), f"a gradient is not finite for sizes {shape}"


@CHECKS("resonance.deterministic", "resonance.finite")
def deterministic(subject: Subject) -> None:
    """The same pair gives the same bits in evaluation mode: in `forward`, `similarity` and `aligned`."""
    field = build(subject)
    a, b = sides(equal=True)
    for name, ask in (("forward", field), ("aligned", field.aligned)):
        first, second = ask(a, b), ask(a, b)
        repeats = same(first.similarity, second.similarity) and same(first.told, second.told)
        assert repeats, f"{name} does not repeat in evaluation mode"
    assert same(field.similarity(a, b), field.similarity(a, b)), "similarity does not repeat in evaluation mode"


@CHECKS("resonance.aligned", "resonance.deterministic")
def aligned(subject: Subject) -> None:
    """`forward`, `similarity` and `aligned` say the same of a pair, with and without gradient."""
    field = build(subject)
    a, b = sides(equal=True)
    rows = torch.arange(len(a))
    heard = field(a, b)
    assert close(field.similarity(a, b), heard.similarity), "similarity(a, b) is not forward(a, b).similarity"
    with torch.no_grad():
        quiet = field(a, b), field.aligned(a, b)
    for pairs in (field.aligned(a, b), quiet[1]):
        assert close(pairs.similarity, heard.similarity[rows, rows]), "aligned(a, b).similarity is not the diagonal of forward's"
        assert close(pairs.told, heard.told[rows, rows]), "aligned(a, b).told is not the diagonal of forward's"
    assert close(quiet[0].similarity, heard.similarity) and close(quiet[0].told, heard.told), "it says something else without gradient"


@CHECKS("resonance.map", "resonance.deterministic")
def frame_map(subject: Subject) -> None:
    """Where it has a map of frames, the map adds up to its similarity and to what is told."""
    field = build(subject)
    if not hasattr(field, "frame_map"):
        return
    for a, b in (sides(), sides(extra=3)[::-1]):
        seen, said = field.frame_map(a, b), field(a.take([0]), b.take([0]))
        frames = b.frames.values[0][b.frames.mask[0]]
        shape = (int(a.frames.mask[0].sum()), len(frames))
        assert seen.resonance.shape == seen.heard.shape == shape, f"the map has shape {tuple(seen.resonance.shape)}, not {shape}"
        assert not seen.resonance.requires_grad and not seen.heard.requires_grad, "the map carries a gradient"
        assert close(seen.heard.sum(dim=1), torch.ones_like(seen.heard[:, 0])), "rows of `heard` do not sum to 1"
        total = ((seen.heard * seen.resonance).sum(dim=1) * seen.shares).sum()
        assert close(total, said.similarity[0, 0]), "the map does not add up to the similarity"
        assert close(seen.heard.mean(dim=0) @ frames, said.told[0, 0]), "the map does not add up to what is told"


@CHECKS("resonance.bounded", "resonance.finite")
def bounded(subject: Subject) -> None:
    """A similarity lies in [-1, 1], however large the frames are."""
    field = build(subject)
    for scale in (1e-2, 1.0, 1e3):
        a, b = (_scaled(side, scale) for side in sides())
        found = field(a, b).similarity
        low, high = found.min().item(), found.max().item()
        assert low >= -1 - 1e-6 and high <= 1 + 1e-6, f"similarities reach from {low:.4g} to {high:.4g} for frames times {scale:g}"


@CHECKS("resonance.symmetry", "resonance.deterministic")
def symmetry(subject: Subject) -> None:
    """S(a, b) = S(b, a) if, and only if, it is not `directed`."""
    field = build(subject)
    a, b = sides()
    symmetric = close(field.similarity(a, b), field.similarity(b, a).T)
    assert symmetric or field.directed, "it says `directed = False`, and S(a, b) is not S(b, a)"
    assert not (symmetric and field.directed), "it says `directed = True`, and S(a, b) is S(b, a): losses ask a directed field twice"


@CHECKS("resonance.padding", "resonance.deterministic")
def padding(subject: Subject) -> None:
    """What stands in padded frames, and how many there are, changes nothing."""
    field = build(subject)
    clean = field(*sides(extra=0))
    for rubbish in (1e3, float("nan")):
        dirty = field(*sides(padding=rubbish, extra=3))
        assert close(clean.similarity, dirty.similarity), f"similarities change with {rubbish:g} in padded frames"
        assert close(clean.told, dirty.told), f"what is told changes with {rubbish:g} in padded frames"


@CHECKS("resonance.company", "resonance.deterministic")
def company(subject: Subject) -> None:
    """A pair resonates as it would alone."""
    field = build(subject)
    a, b = sides()
    heard = field(a, b)
    for row in range(len(a)):
        alone = field(a.take([row]), b.take([0]))
        assert close(alone.similarity[0, 0], heard.similarity[row, 0]), "a similarity depends on the other utterances of the batch"
        assert close(alone.told[0, 0], heard.told[row, 0]), "what is told depends on the other utterances of the batch"


@CHECKS("resonance.gradient", "resonance.deterministic")
def gradient(subject: Subject) -> None:
    """Its gradients are those of its function: finite differences in float64."""
    small = Shape(frames=4, bursts=2)
    field = build(subject, small)
    a, b = encoded(2, small, 1, padding=0.0), encoded(2, small, 2, padding=0.0)
    names = list(dict(field.named_parameters()))

    def heard(za: Tensor, zb: Tensor, da: Tensor, db: Tensor, ga: Tensor, gb: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        left = replace(a, frames=replace(a.frames, values=za), bursts=da, embedding=ga)
        right = replace(b, frames=replace(b.frames, values=zb), bursts=db, embedding=gb)
        found = torch.func.functional_call(field, dict(zip(names, weights, strict=True)), (left, right))
        return found.similarity, found.told.square()

    inputs = [leaf for pair in zip(*(list(leaves(side).values())[:3] for side in (a, b)), strict=True) for leaf in pair]
    torch.autograd.gradcheck(heard, (*inputs, *field.parameters()), fast_mode=True)


@CHECKS("resonance.state", "resonance.deterministic")
def state(subject: Subject) -> None:
    """Its `state_dict` is all there is: another instance that takes it over gives the same bits."""
    field, other = shaken(build(subject, seed=1)), build(subject, seed=2)
    other.load_state_dict(field.state_dict())
    first, second = (each(*sides()) for each in (field, other))
    assert same(first.similarity, second.similarity) and same(first.told, second.told), (
        "a second instance with its state_dict says something else"
    )


def _scaled(side: Any, scale: float) -> Any:
    values = (side.frames.values * scale).detach()
    return replace(side, frames=replace(side.frames, values=values), embedding=(side.embedding * scale).detach())
