"""What losses, fields, encoders and dynamics all promise, said once: finite, repeatable, blind to padding, right gradients, whole state."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from sere_core.functional import without_reversal
from sere_core.testing.data import all_finite, all_same, check_slope, close, shaken
from sere_core.testing.subject import Checks, NotRun, Subject

G = TypeVar("G")
Leaves = dict[str, list[Tensor]]


class Kind(ABC, Generic[G]):
    """How the checks below handle a kind; `G` is what its `forward` is given.

    Attributes:
        name: of the kind.
        first: the check that all of these come after.
        single: does each utterance have results of its own?
        training: the mode in which gradients are looked at.
    """

    name: str
    first: str
    single = True
    training = True

    @abstractmethod
    def build(self, subject: Subject, seed: int = 0) -> nn.Module:
        """A new component, in the mode in which it is checked."""
        ...

    @abstractmethod
    def given(self, module: nn.Module, *, padding: float = 0.0, extra: int = 1, row: int | None = None, small: bool = False) -> G:
        """What it is given; of one utterance only if `row` says which; little enough for finite differences if `small`."""
        ...

    @abstractmethod
    def results(self, module: nn.Module, given: G) -> dict[str, Tensor]:
        """Its results by name, without padding."""
        ...

    def leaves(self, given: G) -> Leaves:
        """The tensors of what it is given that gradients may reach, by where they belong."""
        return {}

    @abstractmethod
    def hard(self, subject: Subject) -> Iterator[tuple[str, nn.Module, G]]:
        """What results must be finite for: what it is called, the component, and what it is given."""
        ...

    def frozen(self, module: nn.Module) -> dict[str, Tensor]:
        """What it makes before anything is trained, and the engine keeps."""
        return {}

    def end_step(self, module: nn.Module) -> None:
        """What the engine calls after a step."""

    def total(self, results: Mapping[str, Tensor]) -> Tensor:
        """A scalar that every result moves by another share."""
        parts = [(number + 1) * value.sum() + value.square().sum() for number, value in enumerate(results.values())]
        return torch.stack([part.double() for part in parts]).sum()


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """A copy."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def trained(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that need a gradient, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def gradients(value: Tensor, leaves: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """None where there is none."""
    if not (leaves and value.requires_grad):
        return (None,) * len(leaves)
    return torch.autograd.grad(value, list(leaves), retain_graph=True, allow_unused=True)


def check_finite(kind: Kind[G], what: str, module: nn.Module, given: G) -> None:
    """Assert that results, gradients and diagnostics are finite."""
    results = kind.results(module, given)
    for name, value in results.items():
        assert all_finite([value]), f"{name} is not finite for {what}"
    total = kind.total(results)
    for name, leaves in kind.leaves(given).items():
        assert all_finite(gradients(total, leaves)), f"the gradient of {name} is not finite for {what}"
    for name, number in getattr(module, "diagnostics", dict)().items():
        assert isinstance(number, float) and abs(number) < float("inf"), f"its diagnostic '{name}' is {number!r}, not a finite float"


def add_frame(checks: Checks, kind: Kind[G]) -> None:
    """Add the checks that all of these kinds share."""
    id = f"{kind.name}.{{}}".format

    @checks(id("finite"), kind.first)
    def finite(subject: Subject) -> None:
        """Its results, their gradients and its diagnostics are finite, for odd input too."""
        for what, module, given in kind.hard(subject):
            check_finite(kind, what, module, given)

    @checks(id("gradient"), id("finite"))
    def gradient(subject: Subject) -> None:
        """A gradient reaches all that it reads and every parameter that asks for one."""
        module = kind.build(subject).train(kind.training)
        given = kind.given(module)
        total = kind.total(kind.results(module, given))
        targets: Leaves = {**(kind.leaves(given) if kind.name == "loss" else {})}
        targets |= {f"its parameter '{name}'": [parameter] for name, parameter in trained(module).items()}
        for name, leaves in targets.items():
            found = gradients(total, leaves)
            assert any(grad is not None and bool((grad != 0).any()) for grad in found), f"no gradient reaches {name}"
            assert all_finite(found), f"the gradient of {name} is not finite"

    @checks(id("deterministic"), id("finite"))
    def deterministic(subject: Subject) -> None:
        """The same weights, input and seed give the same bits; what the engine keeps is the same from any instance."""
        module = kind.build(subject, 1)
        kept, state, given = kind.frozen(module), state_of(module), kind.given(module)
        for other in (module, kind.build(subject, 2)):
            assert all_same(kept, kind.frozen(other)), "what is made before training does not repeat"
        first = kind.results(module, given)
        module.load_state_dict(state)
        assert all_same(first, kind.results(module, given)), "its results differ when it is called again"

    @checks(id("padding"), id("deterministic"))
    def padding(subject: Subject) -> None:
        """What stands in padded frames, and how many there are, changes no result and makes no gradient NaN."""
        module = kind.build(subject)
        state = state_of(module)
        clean = kind.results(module, kind.given(module, extra=0))
        for rubbish in (1e3, float("nan")):
            module.load_state_dict(state)
            given = kind.given(module, padding=rubbish, extra=3)
            dirty = kind.results(module, given)
            for name, value in clean.items():
                assert close(value, dirty[name]), f"{name} changes with {rubbish:g} in padded frames"
            for name, leaves in kind.leaves(given).items():
                assert all_finite(gradients(kind.total(dirty), leaves)), f"the gradient of {name} is not finite with {rubbish:g} in padding"

    if kind.single:

        @checks(id("batched_is_single"), id("deterministic"))
        def batched_is_single(subject: Subject) -> None:
            """An utterance's results do not depend on what it is batched with."""
            module = kind.build(subject)
            together = kind.results(module, kind.given(module))
            for row in range(3):
                for name, value in kind.results(module, kind.given(module, row=row, extra=0)).items():
                    assert close(value, together[name]), f"{name} is another one in a batch than alone"

    @checks(id("state"), id("deterministic"))
    def state(subject: Subject) -> None:
        """Its `state_dict` is all there is: another instance that takes it over gives the same bits."""
        first, second = shaken(kind.build(subject, 1)), kind.build(subject, 2)
        given = kind.given(first)
        kind.results(first, given)  # whatever it remembers of a step, it must have written down
        kind.end_step(first)
        second.load_state_dict(state_of(first))
        assert all_same(kind.results(second, given), kind.results(first, given)), (
            "a second instance with its state_dict gives other results"
        )

    @checks(id("float64"), id("gradient"), id("deterministic"))
    def float64(subject: Subject) -> None:
        """Its gradients are those of its function: finite differences in float64."""
        module = kind.build(subject).double()
        given = kind.given(module, small=True)

        def value() -> Tensor:
            return kind.total(kind.results(module, given))

        with without_reversal():  # whose gradient is on purpose not that of its function
            total = value()
            groups = {f"{name} ({number})": [leaf] for name, leaves in kind.leaves(given).items() for number, leaf in enumerate(leaves)}
            groups["its parameters"] = list(trained(module).values())
            if kind.name == "loss" and not total.requires_grad:
                raise NotRun("its terms have no gradient on a tiny batch")
            reached = {
                name: [leaf for leaf, grad in zip(leaves, gradients(total, leaves), strict=True) if grad is not None]
                for name, leaves in groups.items()
            }
            for name, used in reached.items():
                if used:
                    check_slope(value, used, name)


def check_members(component: object, names: str) -> None:
    """Assert that it has all of these."""
    missing = [name for name in names.split() if not hasattr(component, name)]
    assert not missing, f"it has no {', '.join(missing)}"


def accepts(function: object, names: frozenset[str]) -> bool:
    """Can it be called with these keyword arguments?"""
    try:
        inspect.signature(function).bind(**dict.fromkeys(names))  # type: ignore[arg-type]
    except TypeError:
        return False
    return True
