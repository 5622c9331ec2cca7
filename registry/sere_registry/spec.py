"""What announces a component: a light object that an entry point leads to."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from sere_registry.errors import error
from sere_registry.kinds import API, Kind
from sere_registry.params import NoParams, Params

Evidence = Literal["confirmed", "reconstructed", "stand-in"]


@dataclass(frozen=True)
class ComponentSpec:
    """A component, announced without importing it.

    Args:
        kind: what it is ("loss", "encoder", ...).
        name: its short name, the last part of its full name (`sere.coral` -> `coral`).
        factory: `module:attribute` of the class or function that builds it, imported only when a run uses it;
            called as `factory(params, context)`.
        params: its parameters.
        summary: one line.
        api: the version of the contract it was written for.
        cite: where it is from, e.g. "arXiv:1607.01719".
        evidence: "confirmed" (checked against the authors' code or equations), "reconstructed", or "stand-in".
        needs: distributions it imports beyond those of sere itself, as `distribution` or `distribution:module`.
        extra: the extra of sere that installs `needs`, if there is one.

    >>> spec = ComponentSpec(kind="loss", name="one", factory="builtins:dict", summary="a loss")
    >>> spec.params().model_dump()
    {}
    """

    kind: Kind
    name: str
    factory: str
    summary: str
    params: type[Params] = NoParams
    api: int = API
    cite: str = ""
    evidence: Evidence = "confirmed"
    needs: tuple[str, ...] = ()
    extra: str = ""
    tags: tuple[str, ...] = field(default=())

    def load(self) -> Callable[..., Any]:
        """Import the factory.

        Raises:
            SereError: P102 if the import fails.
        """
        module_name, _, attribute = self.factory.partition(":")
        try:
            target: Any = importlib.import_module(module_name)
            for part in attribute.split("."):
                target = getattr(target, part)
        except Exception as cause:  # whatever a plugin's module raises is the plugin's
            raise error("P102", f"{self.kind} '{self.name}': {self.factory} failed to import: {type(cause).__name__}: {cause}") from cause
        if not callable(target):
            raise error("P104", f"{self.kind} '{self.name}': {self.factory} is not callable")
        return target  # type: ignore[no-any-return]
