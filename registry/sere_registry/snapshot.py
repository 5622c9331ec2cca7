"""What a component is given, as it was: arrays with what hangs on them, and the modes of modules; nothing here imports torch or numpy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

#: numbers of a tensor up to which its values are compared, beyond that only its version
COMPARED = 1 << 20


def short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def arrays_in(value: object, name: str = "") -> Iterator[tuple[str, Any]]:
    """The tensors and arrays in what a component is given, by names such as `target.embedding`."""
    items: Iterable[tuple[object, object]] = ()
    if (hasattr(value, "_version") and hasattr(value, "numel")) or type(value).__name__ == "ndarray":
        yield name, value
    elif isinstance(value, (tuple, list)):
        items = enumerate(value)
    elif isinstance(value, Mapping):
        items = value.items()
    elif is_dataclass(value) and hasattr(value, "__dict__"):
        items = vars(value).items()
    for key, part in items:
        yield from arrays_in(part, f"{name}.{key}" if name else str(key))


class Snapshot:
    """A tensor or a NumPy array as it was: its values, or where there are very many its version, and what hangs on a tensor."""

    def __init__(self, value: Any, graded: bool = True) -> None:
        self.value, self.tensor, self._graded = value, hasattr(value, "_version"), graded
        small = (value.numel() if self.tensor else value.size) <= COMPARED
        if self.tensor:
            self.version, self.hangs = value._version, self._hangs()
            self.before = value.detach().clone() if small and value.device.type != "meta" else None
        else:
            self.before = value.copy() if small else None

    def _hangs(self) -> tuple[object, ...]:
        """Does it need a gradient, has a parameter one, and how many hooks are there?"""
        leaf = self.value.is_leaf
        graded = self._graded and leaf and self.value.grad is not None
        return leaf and self.value.requires_grad, graded, len(self.value._backward_hooks or ())

    def put_back(self) -> bool:
        """Undo what hangs on it now and did not before; was there anything?"""
        if not self.tensor or self._hangs() == self.hangs:
            return False
        needs, graded, hooks = self.hangs
        if self.value.is_leaf:
            self.value.requires_grad_(needs)
            if self._graded and not graded:
                self.value.grad = None
        while len(self.value._backward_hooks or ()) > hooks:  # type: ignore[operator]
            self.value._backward_hooks.popitem()
        return True

    def same(self) -> bool:
        """Are its values what they were?"""
        now, before = self.value.detach() if self.tensor else self.value, self.before
        if before is None:
            return not self.tensor or bool(self.value._version == self.version)
        if now.shape != before.shape:
            return False
        alike = now.equal(before) if self.tensor else bool((now == before).all())
        return alike or bool(((now == before) | ((now != now) & (before != before))).all())


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def mode_of(module: Any) -> tuple[object, ...]:
    hides = frozenset(name for name in vars(module) if hasattr(type(module), name))  # such as a `forward` of this one
    becomes = getattr(module, "cls_to_become", None) or type(module)  # of a lazy one, which does so by itself
    return module.training, becomes, hides, *(len(getattr(module, name)) for name in _HOOKS)


def set_mode(module: Any, mode: Any) -> None:
    module.training, becomes, hides, *counts = mode
    if mode_of(module)[1] is not becomes:
        module.__class__ = becomes
    for name in frozenset(name for name in vars(module) if hasattr(type(module), name)) - hides:
        vars(module).pop(name)
    for name, count in zip(_HOOKS, counts, strict=True):
        while len(getattr(module, name)) > count:
            getattr(module, name).popitem()
