"""What each first-party component is called and how it is configured.  pydantic only: importing these is cheap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from sere_registry import GROUPS, ComponentSpec, Params

P = TypeVar("P", bound="Declared")
#: where the components of a kind stand below `sere_plugins` -> the kind
KINDS = {group.removeprefix("sere."): kind for kind, group in GROUPS.items()}


class Declared(Params):
    """Parameters that bring the announcement of their component."""

    spec: ClassVar[ComponentSpec]


def component(name: str, factory: str, **more: Any) -> Callable[[type[P]], type[P]]:
    """A decorator of a component's parameters; the first paragraph of their docstring is the summary.

    Args:
        factory: below `sere_plugins`; `losses.coral:Coral` is a loss.
        more: of its `ComponentSpec`: cite, evidence, tags, own_losses, diagnostics.
    """

    def declare(params: type[P]) -> type[P]:
        kind = KINDS[factory.partition(":")[0].partition(".")[0]]
        summary = " ".join((params.__doc__ or name).split("\n\n")[0].split()).removesuffix(".")
        made = f"sere_plugins.{factory}"
        params.spec = ComponentSpec(kind, name, made, summary, params, **more)
        return params

    return declare
