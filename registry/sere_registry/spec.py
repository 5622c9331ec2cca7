"""What announces a component: a light object that an entry point leads to."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sere_registry.errors import error, reason, top
from sere_registry.guard import of_user, spot
from sere_registry.kinds import API, Kind
from sere_registry.params import NoParams, Params

#: the tag of a selector whose choice the scorer makes, by the target's labels, once a fold is trained
BY_TARGET_LABELS = "by target labels"
#: the tag of a method that wants what is said taken off the features, where `task.by_text` says nothing
BY_TEXT = "by text"

Evidence = Literal["confirmed", "reconstructed", "ours", "stand-in"]


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
        evidence: "confirmed" (checked against the authors' code or equations), "reconstructed" from a
            description, "ours" (new, built on what `cite` names), or a "stand-in" for what is not to be had.
        needs: distributions it imports beyond those of sere itself, as `distribution` or `distribution:module`.
        extra: the extra of its distribution that installs `needs`, if there is one.
        tags: words for listings.  A sweep reads two: "closed form" (a method without optimizer steps: it has no learning rate to search)
            and "supervised" (a loss whose weight is the unit of the others); a run reads `BY_TARGET_LABELS` of a selector
            and `BY_TEXT` of a method.
        diagnostics: name -> one sentence on what a number that it reports of itself says; `gate` for all of `gate/f0`, `gate/rms`.
        own_losses: of a method that brings its own losses: losses in the config are refused (C311).

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
    tags: tuple[str, ...] = ()
    own_losses: bool = False
    diagnostics: Mapping[str, str] = field(default_factory=dict, hash=False)

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
        except BaseException as cause:  # whatever a plugin's module raises is the plugin's, `sys.exit` too
            if of_user(cause):
                raise
            raise error("P102", f"its factory {self.factory} failed to import{spot(cause, top(module_name))}: {reason(cause)}") from cause
        if not callable(target):
            raise error("P104", f"its factory {self.factory} is not callable")
        return target  # type: ignore[no-any-return]


def ill_typed(spec: ComponentSpec) -> str:
    """Which field of a spec is of another type than it should be; "" where all are right.

    >>> ill_typed(ComponentSpec(kind="loss", name="one", factory="builtins:dict", summary="a loss", needs="av"))
    "has `needs` 'av', which is not a tuple of text"
    """
    for name in ("name", "factory", "summary", "cite", "extra"):
        if not isinstance(getattr(spec, name), str):
            return f"has `{name}` {getattr(spec, name)!r}, which is not text"
    for name in ("needs", "tags"):
        value = getattr(spec, name)
        if not isinstance(value, (tuple, list)) or not all(isinstance(item, str) for item in value):
            return f"has `{name}` {value!r}, which is not a tuple of text"
    sentences = spec.diagnostics
    if not isinstance(sentences, Mapping) or not all(isinstance(word, str) for pair in sentences.items() for word in pair):
        return f"has `diagnostics` {sentences!r}, which is not name: sentence"
    if type(spec.api) is not int:
        return f"has `api` {spec.api!r}, which is not a whole number"
    if spec.evidence not in get_args(Evidence):
        return f"has `evidence` {spec.evidence!r}, which is none of {', '.join(get_args(Evidence))}"
    return ""
