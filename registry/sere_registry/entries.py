"""A component as an entry point announces it: known by name, distribution and version before anything is imported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field, replace
from typing import Literal, NoReturn

from sere_registry.errors import Place, Problem, SereError, reason, top
from sere_registry.guard import importing, of_user, spot
from sere_registry.kinds import API, FIRST_PARTY, Kind
from sere_registry.params import Params
from sere_registry.spec import ComponentSpec, ill_typed

State = Literal["listed", "loaded", "broken", "disabled", "incompatible", "incomplete", "duplicate"]

#: kind -> what messages call one of it
WORDS: dict[Kind, str] = {
    "corpus": "a corpus",
    "encoder": "an encoder",
    "dynamics": "a dynamics extractor",
    "resonance": "a resonance field",
    "loss": "a loss",
    "method": "a method",
    "view": "a view",
    "selector": "a selector",
    "hook": "a hook",
    "executor": "an executor",
}

_STATES: dict[str, State] = {"P103": "incompatible", "P105": "incompatible", "P107": "disabled", "P108": "incomplete"}


def noun(kind: Kind) -> str:
    """What messages call the kind, without article."""
    return WORDS[kind].partition(" ")[2]


@dataclass
class Entry:
    """A component that some distribution announces.

    Args:
        kind: the kind of its entry-point group.
        full_name: the entry point's name, `namespace.name`.
        value: `module:attribute` of its spec.
        distribution, version: who announces it.
        requires: the requirements of that distribution.
        loader: imports the spec.
        local: a `file:` component, which has no full name that its spec must match.
    """

    kind: Kind
    full_name: str
    value: str
    distribution: str
    version: str
    requires: tuple[str, ...]
    loader: Callable[[], object]
    local: bool = False
    state: State = "listed"
    problem: Problem | None = None
    cause: BaseException | None = None
    loaded: ComponentSpec | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        spec: object,
        *,
        distribution: str = FIRST_PARTY,
        version: str = "1.0",
        requires: Iterable[str] = (),
        namespace: str = FIRST_PARTY,
        kind: Kind | None = None,
        name: str | None = None,
    ) -> Entry:
        """A component announced in memory, to try or test it without installing it.

        Args:
            spec: a spec, or a function without arguments that returns one (or raises).
            distribution, version, requires: who announces it.
            namespace: the first part of its full name.
            kind: of the entry point; default: the spec's.
            name: its full name; default: `namespace.name` of the spec.

        >>> one = ComponentSpec(kind="loss", name="one", factory="builtins:dict", summary="a loss")
        >>> Entry.of(one, namespace="xyz").full_name
        'xyz.one'
        """
        loader = spec if callable(spec) else lambda: spec
        known_kind, known_name = (spec.kind, spec.name) if isinstance(spec, ComponentSpec) else ("loss", "nameless")
        full = name or f"{namespace}.{known_name}"
        return cls(kind or known_kind, full, "in:memory", distribution, version, tuple(requires), loader)

    @property
    def short_name(self) -> str:
        return self.full_name.partition(".")[2] or self.full_name

    @property
    def owner(self) -> str:
        return f"{self.distribution} {self.version}".strip()

    @property
    def usurps(self) -> bool:
        """Does it use the namespace of sere without being sere's?"""
        return not self.local and self.full_name.partition(".")[0] == FIRST_PARTY and self.distribution != FIRST_PARTY

    @property
    def spec(self) -> ComponentSpec:
        if self.loaded is None:
            raise RuntimeError(f"the spec of {self.full_name} was read before it was loaded")
        return self.loaded

    def fail(self, code: str, message: str, hint: str, place: Place, cause: BaseException | None = None) -> NoReturn:
        """Remember that this entry cannot be used, and why; and say so."""
        self.state = _STATES.get(code, "broken")
        self.problem = Problem(code, message, hint)
        self.cause = cause
        self.again(place)

    def fail_import(self, message: str, place: Place, cause: BaseException) -> NoReturn:
        """`fail` for a module that cannot be imported."""
        about = "" if self.full_name in message else f"{noun(self.kind)} '{self.full_name}' of {self.owner} ({self.value}): "
        verb = f"install '{cause.name}', or repair" if isinstance(cause, ModuleNotFoundError) and cause.name else "repair or update"
        self.fail("P102", about + message, self._advice(verb), place, cause)

    def again(self, place: Place) -> NoReturn:
        """Say again why this entry cannot be used, now at `place`."""
        if self.problem is None:
            raise RuntimeError(f"{self.full_name} has no problem")
        raise SereError(replace(self.problem, place=place)) from self.cause

    def load(self, place: Place) -> ComponentSpec:
        """Import the spec in a guard and check that it is what the entry point says.

        Raises:
            SereError: P102 (import fails), P104 (not a spec of this kind and name), P105 (another api).
        """
        if self.loaded is not None:
            return self.loaded
        if self.problem is not None:
            self.again(place)
        name, package = f"{noun(self.kind)} '{self.full_name}' of {self.owner}", "" if self.local else top(self.value)
        try:
            about = importing(package, name) if self.distribution != FIRST_PARTY else nullcontext()
            with redirect_stdout(sys.stderr), about:  # what a module prints must not stand in somebody's JSON
                spec = self.loader()
        except BaseException as cause:  # whatever a plugin's module raises is the plugin's, `sys.exit` too
            if of_user(cause):
                raise
            why = cause.problems[0].message if isinstance(cause, SereError) else reason(cause)
            self.fail_import(f"{name} failed to import ({self.value}){spot(cause, package)}: {why}", place, cause)
        wrong = self._wrong(spec)
        if wrong or not isinstance(spec, ComponentSpec):
            self.fail("P104", f"{name}: {self.value} {wrong}", self._advice("this is for the author of"), place)
        if spec.api != API:  # of the whole package: the same line for each of its components
            message = f"{self.owner} is written for api {spec.api} of the component contract, this sere has api {API}"
            hint = self._advice("update") if spec.api < API else "update sere"
            self.fail("P105", message, hint, place)
        self.loaded, self.state = spec, "loaded"
        return self.loaded

    def _advice(self, verb: str) -> str:
        away = "" if self.local else f", or leave it out of every run: SERE_DISABLE={self.distribution}"
        return f"{verb} {self.distribution}{away}"

    def _wrong(self, spec: object) -> str:
        if not isinstance(spec, ComponentSpec):
            return f"is not a ComponentSpec but {type(spec).__name__}"
        if spec.kind != self.kind:
            known = WORDS.get(spec.kind) if isinstance(spec.kind, str) else None
            return f"is {known or repr(spec.kind)}, not {WORDS[self.kind]}"
        if not self.local and "." not in self.full_name:
            return "is announced without a namespace; entry points are named `namespace.name`"
        if not self.local and spec.name != self.short_name:
            return f"calls itself '{spec.name}', the entry point calls it '{self.short_name}'"
        if not (isinstance(spec.params, type) and issubclass(spec.params, Params)):
            return "has `params` that is not a subclass of Params"
        return ill_typed(spec)
