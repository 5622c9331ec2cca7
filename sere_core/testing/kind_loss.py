"""The checks of losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sere_core.testing.batches import SHAPES, Shape, leaves, streams
from sere_core.testing.comparing import all_same, close
from sere_core.testing.slopes import check_slope
from sere_core.testing.softfield import SoftField
from sere_core.testing.subject import Checks, NotRun, Subject
from sere_registry import Encoded
from sere_registry.training import READABLE, reads

CHECKS = Checks()
STREAMS = ("labelled", "support", "source", "target")
SHAPE, SINGLE = Shape(), Shape(labelled=1, source=1, target=1)


def build(subject: Subject, shape: Shape, seed: int = 0) -> Any:
    return subject.build(shape.context, seed=seed).to(shape.dtype)


def given(loss: Any, shape: Shape, **more: Any) -> dict[str, Any]:
    """What the loss reads; zeros in the padding unless `more` says otherwise."""
    views = tuple(getattr(loss, "views", ()))
    everything = {**streams(shape, views=views, **{"padding": 0.0, **more}), "field": SoftField().to(shape.dtype)}
    return {name: everything[name] for name in reads(loss)}


def terms_of(loss: Any, parts: Mapping[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """Its terms, on draws that repeat: the engine seeds every step."""
    torch.manual_seed(seed)
    return dict(loss(**parts))


def total(terms: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def batches(parts: Mapping[str, Any]) -> dict[str, Encoded]:
    return {name: part for name, part in parts.items() if name in STREAMS}


def gradients(value: Tensor, batch: Encoded) -> Sequence[Tensor | None]:
    return torch.autograd.grad(value, list(leaves(batch).values()), retain_graph=True, allow_unused=True)


@CHECKS("loss.reads", "build.defaults")
def signature(subject: Subject) -> None:
    """It says what it reads, in `reads` or in the signature of its `forward`, and nothing that does not exist."""
    loss = build(subject, SHAPE)
    named = reads(loss)
    assert named, "its forward reads nothing"
    assert named <= READABLE, f"its forward reads {', '.join(sorted(named - READABLE))}; there are {', '.join(sorted(READABLE))}"
    views = set(getattr(loss, "views", frozenset()))
    assert views <= named & {"labelled", "source", "target"}, f"it wants views of {sorted(views)} and reads {sorted(named)}"
    if hasattr(loss, "parameters_by_group"):
        grouped = [id(parameter) for group in loss.parameters_by_group().values() for parameter in group.parameters]
        assert len(set(grouped)) == len(grouped), "a parameter is in two groups"
        assert set(grouped) <= {id(parameter) for parameter in loss.parameters()}, "a group holds a parameter that is not the loss's"


@CHECKS("loss.scalar", "loss.reads")
def scalar(subject: Subject) -> None:
    """It returns a mapping from names to scalar tensors."""
    loss = build(subject, SHAPE)
    terms = loss(**given(loss, SHAPE))
    assert isinstance(terms, Mapping) and terms, f"its forward returns {type(terms).__name__}, not a mapping of terms"
    for name, term in terms.items():
        assert isinstance(name, str) and name, "a term has no name"
        assert isinstance(term, Tensor), f"the term '{name}' is a {type(term).__name__}, not a tensor"
        assert term.dim() == 0, f"the term '{name}' has shape {tuple(term.shape)}, it must be a scalar"
        assert term.is_floating_point(), f"the term '{name}' is of {term.dtype}"


@CHECKS("loss.finite", "loss.scalar")
def finite(subject: Subject) -> None:
    """Its terms and their gradients are finite: in float32 and float64, for one frame, for unequal batches, without bursts."""
    for shape in SHAPES:
        if shape != SINGLE:
            _finite(subject, shape)


@CHECKS("loss.batch_of_one", "loss.finite")
def batch_of_one(subject: Subject) -> None:
    """One utterance of each stream is enough for finite terms and gradients."""
    _finite(subject, SINGLE)


def _finite(subject: Subject, shape: Shape) -> None:
    loss = build(subject, shape)
    parts = given(loss, shape)
    terms = terms_of(loss, parts)
    for name, term in terms.items():
        assert bool(torch.isfinite(term)), f"the term '{name}' is {term.item()} for sizes {shape}"
    value = total(terms)
    for stream, batch in batches(parts).items() if value.requires_grad else ():
        for grad in gradients(value, batch):
            assert grad is None or bool(torch.isfinite(grad).all()), f"the gradient of {stream} is not finite for sizes {shape}"


@CHECKS("loss.gradient", "loss.finite")
def gradient(subject: Subject) -> None:
    """A gradient reaches every stream that it reads and every parameter that it has."""
    loss = build(subject, SHAPE)
    parts = given(loss, SHAPE)
    value = total(terms_of(loss, parts))
    assert value.requires_grad, "its terms have no gradient"
    for stream, batch in batches(parts).items():
        moved = any(grad is not None and bool((grad != 0).any()) for grad in gradients(value, batch))
        assert moved, f"no gradient reaches {stream}, which it reads"
    own = {name: parameter for name, parameter in loss.named_parameters() if parameter.requires_grad}
    found = torch.autograd.grad(value, list(own.values()), allow_unused=True) if own else ()
    for name, grad in zip(own, found, strict=True):
        assert grad is not None and bool((grad != 0).any()), f"no gradient reaches its parameter '{name}'"


@CHECKS("loss.deterministic", "loss.scalar")
def deterministic(subject: Subject) -> None:
    """The same weights, batches and seed give the same bits."""
    loss = build(subject, SHAPE)
    state = {name: value.clone() for name, value in loss.state_dict().items()}
    parts = given(loss, SHAPE)
    first = terms_of(loss, parts)
    loss.load_state_dict(state)
    assert all_same(terms_of(loss, parts), first), "its terms differ when it is asked again"


@CHECKS("loss.padding", "loss.finite", "loss.deterministic")
def padding(subject: Subject) -> None:
    """What stands in padded frames, and how many there are, changes no term."""
    loss = build(subject, SHAPE)
    state = {name: value.clone() for name, value in loss.state_dict().items()}
    clean = terms_of(loss, given(loss, SHAPE, extra=0))
    for rubbish in (1e3, float("nan")):
        loss.load_state_dict(state)
        dirty = terms_of(loss, given(loss, SHAPE, padding=rubbish, extra=3))
        for name in clean:
            assert close(clean[name], dirty[name]), (
                f"the term '{name}' is {clean[name].item():.6g}, and {dirty[name].item():.6g} with padding"
            )


@CHECKS("loss.permutation", "loss.finite", "loss.deterministic")
def permutation(subject: Subject) -> None:
    """The order of the utterances of a batch changes no term."""
    loss = build(subject, SHAPE)
    state = {name: value.clone() for name, value in loss.state_dict().items()}
    parts = given(loss, SHAPE)
    before = terms_of(loss, parts)
    for name, batch in batches(parts).items():
        parts[name] = batch.take(torch.randperm(len(batch), generator=torch.Generator().manual_seed(1)))
    loss.load_state_dict(state)
    after = terms_of(loss, parts)
    for name in before:
        assert close(before[name], after[name]), (
            f"the term '{name}' is {before[name].item():.6g}, and {after[name].item():.6g} in another order"
        )


@CHECKS("loss.state", "loss.deterministic")
def state(subject: Subject) -> None:
    """Its `state_dict` is all there is: another instance that takes it over gives the same bits."""
    loss, other = build(subject, SHAPE, seed=1), build(subject, SHAPE, seed=2)
    parts = given(loss, SHAPE)
    terms_of(loss, parts)  # whatever it remembers of a step, it must have written down
    if hasattr(loss, "after_step"):
        from sere_registry import Progress

        loss.after_step(Progress(step=0, epoch=0, fraction=0.0))
    other.load_state_dict({name: value.clone() for name, value in loss.state_dict().items()})
    assert all_same(terms_of(other, parts), terms_of(loss, parts)), "a second instance with its state_dict gives other terms"


@CHECKS("loss.float64", "loss.gradient", "loss.deterministic")
def float64(subject: Subject) -> None:
    """Its gradient is that of its function: finite differences in float64."""
    shape = Shape(labelled=3, source=2, target=3, frames=3, bursts=2)
    loss = build(subject, shape)
    parts = given(loss, shape)
    every = [leaf for batch in batches(parts).values() for leaf in leaves(batch).values()]
    value = total(terms_of(loss, parts))
    if not value.requires_grad:
        raise NotRun("its terms have no gradient on a tiny batch")
    used = [leaf for leaf, grad in zip(every, torch.autograd.grad(value, every, allow_unused=True), strict=True) if grad is not None]
    for leaf in used:
        check_slope(lambda: total(terms_of(loss, parts)), [leaf], "a derivative")
