"""The checks of resonance fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sere_core.testing.batches import SHAPES, Shape, encoded, leaves
from sere_core.testing.comparing import close, same, shaken
from sere_core.testing.subject import Checks, Subject
from sere_registry import Resonance, ResonanceField
from sere_registry.protocols import completed

CHECKS = Checks()
SHAPE = SHAPES[0]


def build(subject: Subject, shape: Shape = SHAPE, seed: int = 0) -> Any:
    """In evaluation mode."""
    return completed(subject.build(shape.context, seed=seed).to(shape.dtype).eval(), ResonanceField)


def sides(shape: Shape = SHAPE, *, equal: bool = False, **more: Any) -> tuple[Any, Any]:
    """Two sides; zeros in their padding unless `more` says otherwise."""
    filled = {"padding": 0.0, **more}
    return encoded(shape.source, shape, 1, **filled), encoded(shape.source if equal else shape.target, shape, 2, **filled)


def every_pair(field: Any, a: Any, b: Any) -> Resonance:
    """S and both aligned representations of each utterance of a with each of b, those of a's first utterance first."""
    rows, picks = torch.arange(len(a)).repeat_interleave(len(b)), torch.arange(len(b)).repeat(len(a))
    found: Resonance = field.aligned(a.take(rows), b, picks, both=True)
    return found


@CHECKS("resonance.shapes", "build.defaults")
def shapes(subject: Subject) -> None:
    """Every pair's similarity `[A, B]`, and of chosen pairs similarity `[P]` and aligned representations `[P, D]`, for many sizes."""
    for shape in SHAPES:
        field = build(subject, shape)
        missing = [name for name in ("directed", "similarity", "aligned") if not hasattr(field, name)]
        assert not missing, f"it has no {', '.join(missing)}"
        assert isinstance(field.directed, bool), "`directed` is not True or False"
        a, b = sides(shape)
        similarity, wide = field.similarity(a, b), (len(a), a.embedding.shape[1])
        assert similarity.shape == (len(a), len(b)), f"similarity has shape {tuple(similarity.shape)}, not {(len(a), len(b))}"
        assert not similarity.requires_grad, "similarity(a, b) carries a gradient"
        picks = similarity.argmax(dim=1)
        for both in (False, True):
            found = field.aligned(a, b, picks, both=both)
            assert isinstance(found, Resonance), f"aligned returns a {type(found).__name__}, not a Resonance"
            assert found.similarity.shape == wide[:1], f"aligned's similarity has shape {tuple(found.similarity.shape)}, not {wide[:1]}"
            assert found.aligned.shape == wide, f"aligned has shape {tuple(found.aligned.shape)}, not {wide}"
            reverse = None if found.reverse is None else found.reverse.shape
            assert reverse == (wide if both else None), f"with both={both} reverse has shape {reverse}"


@CHECKS("resonance.finite", "resonance.shapes")
def finite(subject: Subject) -> None:
    """Similarities, aligned representations and their gradients are finite."""
    for shape in SHAPES:
        a, b = sides(shape)
        found = every_pair(build(subject, shape), a, b)
        for name, value in vars(found).items():
            assert bool(torch.isfinite(value).all()), f"{name} is not finite for sizes {shape}"
        inputs = [leaf for side in (a, b) for leaf in leaves(side).values()]
        total = found.similarity.sum() + found.aligned.square().sum() + found.reverse.square().sum()  # type: ignore[union-attr]
        for grad in torch.autograd.grad(total, inputs, allow_unused=True):
            assert grad is None or bool(torch.isfinite(grad).all()), f"a gradient is not finite for sizes {shape}"


@CHECKS("resonance.deterministic", "resonance.finite")
def deterministic(subject: Subject) -> None:
    """The same pair gives the same bits in evaluation mode: in `similarity` and `aligned`."""
    field = build(subject)
    a, b = sides(equal=True)
    first, second = (vars(field.aligned(a, b, both=True)) for _ in range(2))
    assert all(same(first[name], second[name]) for name in first), "aligned does not repeat in evaluation mode"
    assert same(field.similarity(a, b), field.similarity(a, b)), "similarity does not repeat in evaluation mode"


@CHECKS("resonance.aligned", "resonance.deterministic")
def aligned(subject: Subject) -> None:
    """`similarity` and `aligned` agree, with picks and without, in both directions, with and without gradient."""
    field = build(subject)
    a, b = sides(equal=True)
    picks, rows = torch.arange(len(a)).flip(0), torch.arange(len(a))
    similarity, partners = field.similarity(a, b), b.take(picks)
    plain, turned, chosen = field.aligned(a, partners), field.aligned(partners, a), field.aligned(a, b, picks, both=True)
    assert close(plain.similarity, similarity[rows, picks]), "aligned(a, b).similarity is not the diagonal of similarity(a, b)"
    assert close(chosen.similarity, plain.similarity), "aligned(a, b, picks).similarity is not aligned(a, b.take(picks)).similarity"
    assert close(chosen.aligned, plain.aligned), "aligned(a, b, picks).aligned is not aligned(a, b.take(picks)).aligned"
    assert close(chosen.reverse, turned.aligned), "aligned(a, b, both=True).reverse is not aligned(b, a).aligned"
    with torch.no_grad():
        quiet = field.aligned(a, b, picks, both=True)
    for name, value in vars(quiet).items():
        assert close(value, getattr(chosen, name)), f"{name} is another one without gradient"


@CHECKS("resonance.map", "resonance.deterministic")
def frame_map(subject: Subject) -> None:
    """Where it has a map of frames, the map adds up to its similarity and to its aligned representation."""
    field = build(subject)
    for a, b in (sides(), sides(extra=3)[::-1]):
        seen = field.frame_map(a, b)
        if seen is None:
            return
        found, frames = field.aligned(a.take([0]), b.take([0])), b.frames.values[0][b.frames.mask[0]]
        shape = (int(a.frames.mask[0].sum()), len(frames))
        assert seen.resonance.shape == seen.alignment.shape == shape, f"the map has shape {tuple(seen.resonance.shape)}, not {shape}"
        assert not seen.resonance.requires_grad and not seen.alignment.requires_grad, "the map carries a gradient"
        assert close(seen.alignment.sum(dim=1), torch.ones_like(seen.alignment[:, 0])), "rows of `alignment` do not sum to 1"
        total = ((seen.alignment * seen.resonance).sum(dim=1) * seen.weights).sum()
        assert close(total, found.similarity[0]), "the map does not add up to the similarity"
        assert close(seen.alignment.mean(dim=0) @ frames, found.aligned[0]), "the map does not add up to the aligned representation"


@CHECKS("resonance.bounded", "resonance.finite")
def bounded(subject: Subject) -> None:
    """A similarity lies in [-1, 1], however large the frames are."""
    field = build(subject)
    for scale in (1e-2, 1.0, 1e3):
        found = field.similarity(*(_scaled(side, scale) for side in sides()))
        low, high = found.min().item(), found.max().item()
        assert low >= -1 - 1e-6 and high <= 1 + 1e-6, f"similarities reach from {low:.4g} to {high:.4g} for frames times {scale:g}"


@CHECKS("resonance.symmetry", "resonance.deterministic")
def symmetry(subject: Subject) -> None:
    """S(a, b) = S(b, a) if, and only if, it is not `directed`."""
    field = build(subject)
    a, b = sides()
    symmetric = close(field.similarity(a, b), field.similarity(b, a).T)
    assert symmetric or field.directed, "it says `directed = False`, and S(a, b) is not S(b, a)"
    assert not (symmetric and field.directed), "it says `directed = True`, and S(a, b) is S(b, a)"


@CHECKS("resonance.padding", "resonance.deterministic")
def padding(subject: Subject) -> None:
    """The values of padded frames, and their number, change nothing."""
    field = build(subject)
    clean, similarity = every_pair(field, *sides(extra=0)), field.similarity(*sides(extra=0))
    for rubbish in (1e3, float("nan")):
        dirty = sides(padding=rubbish, extra=3)
        assert close(similarity, field.similarity(*dirty)), f"similarities change with {rubbish:g} in padded frames"
        for name, value in vars(every_pair(field, *dirty)).items():
            assert close(getattr(clean, name), value), f"{name} changes with {rubbish:g} in padded frames"


@CHECKS("resonance.company", "resonance.deterministic")
def company(subject: Subject) -> None:
    """A pair resonates as it would alone."""
    field = build(subject)
    a, b = sides()
    similarity, found = field.similarity(a, b), field.aligned(a, b, torch.zeros(len(a), dtype=torch.long), both=True)
    for row in range(len(a)):
        alone = field.aligned(a.take([row]), b.take([0]), both=True)
        assert close(field.similarity(a.take([row]), b.take([0])), similarity[row : row + 1, :1]), (
            "a similarity depends on the other utterances of the batch"
        )
        for name, value in vars(alone).items():
            assert close(value[0], getattr(found, name)[row]), f"{name} depends on the other utterances of the batch"


class _Aligned(torch.nn.Module):
    """The field as a function of tensors, for `functional_call`."""

    def __init__(self, field: Any) -> None:
        super().__init__()
        self.field = field

    def forward(self, a: Any, b: Any) -> tuple[Tensor, Tensor, Tensor]:
        found = every_pair(self.field, a, b)
        return found.similarity, found.aligned.square(), found.reverse.square()  # type: ignore[union-attr]


@CHECKS("resonance.gradient", "resonance.deterministic")
def gradient(subject: Subject) -> None:
    """Its gradients are those of its function: finite differences in float64."""
    small = Shape(frames=4, bursts=2)
    field = _Aligned(build(subject, small))
    a, b = encoded(2, small, 1, padding=0.0), encoded(2, small, 2, padding=0.0)
    names = list(dict(field.named_parameters()))

    def found(za: Tensor, zb: Tensor, da: Tensor, db: Tensor, ga: Tensor, gb: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        left = replace(a, frames=replace(a.frames, values=za), bursts=da, embedding=ga)
        right = replace(b, frames=replace(b.frames, values=zb), bursts=db, embedding=gb)
        given = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(field, given, (left, right))  # type: ignore[no-any-return]

    inputs = [leaf for pair in zip(*(list(leaves(side).values())[:3] for side in (a, b)), strict=True) for leaf in pair]
    torch.autograd.gradcheck(found, (*inputs, *field.parameters()), fast_mode=True)


@CHECKS("resonance.state", "resonance.deterministic")
def state(subject: Subject) -> None:
    """Its `state_dict` is all there is: another instance that takes it over gives the same bits."""
    field, other = shaken(build(subject, seed=1)), build(subject, seed=2)
    other.load_state_dict(field.state_dict())
    first, second = ({"S": each.similarity(*sides()), **vars(every_pair(each, *sides()))} for each in (field, other))
    assert all(same(first[name], second[name]) for name in first), "a second instance with its state_dict gives other values"


def _scaled(side: Any, scale: float) -> Any:
    values = (side.frames.values * scale).detach()
    return replace(side, frames=replace(side.frames, values=values), embedding=(side.embedding * scale).detach())
