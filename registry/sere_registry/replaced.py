"""Which functions of torch, numpy and sere somebody has replaced since their modules were looked at."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from operator import is_
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

#: modules whose functions and classes runs use, beside those of sere
LIBRARIES = (
    "builtins", "math", "random", "os", "json", "torch", "torch.nn", "torch.nn.functional", "torch.nn.utils", "torch.optim",
    "torch.autograd", "torch.linalg", "torch.special", "numpy", "numpy.linalg", "numpy.random", "scipy.linalg", "safetensors.torch",
)  # fmt: skip


def top(module: object) -> str:
    """The top-level package of a module's name."""
    return str(module).partition(".")[0]


def defined(function: object) -> str:
    """`file:line` of a function's first line, "" where it has none.

    >>> defined(defined).partition(":")[0].endswith("replaced.py"), defined(len)
    (True, '')
    """
    if isinstance(function, type):
        function = vars(function).get("__init__")
    code = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)  # type: ignore[arg-type]
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


class Fingerprint:
    """Which objects the names of sere, torch and numpy stand for, to find those that somebody replaces.

    What a library replaces in itself (torch fills in modules and wraps methods when they are first used) and names that are
    added are no change, unless they hide what a class inherits.
    """

    def __init__(self) -> None:
        self.known: dict[str, tuple[Any, dict[str, object]]] = {}

    def extend(self) -> None:
        """Take the modules that have been loaded since."""
        for name, module in list(sys.modules.items()):
            if module is None or not (name in LIBRARIES or top(name) in ("sere_core", "sere_registry", "sere_plugins")):
                continue
            for label, space in ((name, module), *_classes(name, module)):
                if label not in self.known:
                    self.known[label] = space, _of(space)

    def restore(self) -> list[str]:
        """Undo what was replaced: `module.name, by that of file:line` of each."""
        found = []
        for label, (space, before) in self.known.items():
            now = _of(space)
            if len(now) == len(before) and all(map(is_, now.values(), before.values())):
                continue
            for name, new in list(now.items()):
                old = before.get(name, getattr(space.__mro__[1], name, None) if isinstance(space, type) else None)
                if old is None or new is old or not _foreign(name, old, new, label):
                    continue
                found.append(f"{label}.{name}" + (f", by that of {defined(new)}" if defined(new) else ""))
                if name in before:
                    setattr(space, name, before[name])
                else:
                    delattr(space, name)
            self.known[label] = space, _of(space)
        return found


def _of(space: Any) -> dict[str, object]:
    """What the names of a module or a class stand for."""
    return dict(vars(space))


def _classes(name: str, module: ModuleType) -> Iterator[tuple[str, type]]:
    for value in list(vars(module).values()):
        if isinstance(value, type) and top(value.__module__) == top(name) and "_sere_owner" not in vars(value):
            yield f"{value.__module__}.{value.__qualname__}", value


def _foreign(name: str, old: object, new: object, label: str) -> bool:
    """Was a function, class or constant replaced by one that is not of the same package and name?"""
    if not callable(old):
        return label.startswith("sere_") and name.isupper()
    if isinstance(new, FunctionType):
        root = getattr(sys.modules.get(top(label)), "__file__", None)
        return new.__name__ != getattr(old, "__name__", name) or not (root and new.__code__.co_filename.startswith(str(Path(root).parent)))
    home = new if isinstance(new, type) else type(new)
    home_name = getattr(new, "__name__", None) == getattr(old, "__name__", "") if callable(new) else False
    return not (home_name and top(getattr(new, "__module__", None) or home.__module__) in (top(label), "builtins", "None"))


fingerprint = Fingerprint()
