"""The hooks of a run: only those that the config names, checked before the run, and blamed by name when they fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pluggy

from sere_registry.errors import Place, Problem, SereError, suggest
from sere_registry.hookspecs import PROJECT, HookSpecs

_PREFIX = "sere_"


@dataclass(frozen=True)
class _Listener:
    """One implementation of one hook."""

    id: str
    arguments: tuple[str, ...]
    function: Callable[..., Any]


class HookBus:
    """Calls the hooks of one run.

    Hooks are called in the order of the config.  A hook that nobody implements costs one look into a dict; ask
    `listens(name)` before computing arguments that are dear (a loss's value is a wait for the GPU).

    Args:
        hooks: id in the config -> the built component, whose methods marked with `hookimpl` listen.
        names: id -> "distribution component", for messages; an id that is missing stands for itself.

    Raises:
        SereError: P106 for every method that listens to no known hook, asks for arguments that the hook does not
            have, or is named like a hook but not marked; all of them together.

    >>> from sere_registry.hookspecs import hookimpl
    >>> class Stop:
    ...     @hookimpl
    ...     def sere_should_stop(self, epoch):
    ...         return "enough" if epoch >= 3 else None
    >>> bus = HookBus({"stop": Stop()})
    >>> bus.listens("sere_step_end"), bus.call("sere_should_stop", run=None, fold=0, stage="train", epoch=3)
    (False, 'enough')
    """

    def __init__(self, hooks: Mapping[str, object], names: Mapping[str, str] | None = None) -> None:
        self._names = dict(names or {})
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(HookSpecs)
        self._arguments = {name: _arguments(getattr(HookSpecs, name)) for name in vars(HookSpecs) if name.startswith(_PREFIX)}
        problems = [problem for id, hook in hooks.items() for problem in self._check(id, hook)]
        if problems:
            raise SereError(*problems)
        for id, hook in reversed(list(hooks.items())):  # pluggy calls the last registered first
            self._manager.register(hook, name=id)
        self._listeners = {name: self._order(name) for name in self._arguments}

    def listens(self, name: str) -> bool:
        """Does any hook of this run implement `name`?"""
        return bool(self._listeners[name])

    def call(self, name: str, /, **arguments: Any) -> Any:
        """Tell every listener; the first answer that is not None for `sere_should_stop`, else None.

        `sere_run_end` reaches every listener even if one fails; if the run has failed already (`error` is given), the
        failures of hooks become notes of that error.

        Raises:
            SereError: P106 if a hook raised, naming it; its own exception is the `__cause__`.
            TypeError: the arguments are not those of the hook (a bug of the caller).
        """
        listeners = self._listeners[name]
        if not listeners:
            return None
        if arguments.keys() != set(self._arguments[name]):
            raise TypeError(f"{name} takes {', '.join(self._arguments[name])}, not {', '.join(arguments)}")
        if name == "sere_run_end":
            self._end(listeners, arguments)
            return None
        first = name == "sere_should_stop"
        for listener in listeners:
            answer = self._tell(listener, name, arguments)
            if first and answer is not None:
                return answer
        return None

    def _tell(self, listener: _Listener, name: str, arguments: Mapping[str, Any]) -> Any:
        try:
            return listener.function(**{key: arguments[key] for key in listener.arguments})
        except SereError:
            raise  # already one line with a code
        except Exception as cause:
            what = f"hook {self._title(listener.id)} failed in {name}: {type(cause).__name__}: {cause}"
            raise SereError(Problem("P106", what, f"take `{listener.id}` out of `hooks` to run without it", _place(listener.id))) from cause

    def _end(self, listeners: tuple[_Listener, ...], arguments: Mapping[str, Any]) -> None:
        failures: list[SereError] = []
        for listener in listeners:
            try:
                self._tell(listener, "sere_run_end", arguments)
            except SereError as caught:
                failures.append(caught)
        error = arguments["error"]
        if error is not None:
            for failure in failures:
                error.add_note(str(failure))
        elif failures:
            raise failures[0]

    def _order(self, name: str) -> tuple[_Listener, ...]:
        found = reversed(getattr(self._manager.hook, name).get_hookimpls())
        return tuple(_Listener(each.plugin_name, (*each.argnames, *each.kwargnames), each.function) for each in found)

    def _title(self, id: str) -> str:
        return f"'{id}' ({self._names[id]})" if id in self._names else f"'{id}'"

    def _check(self, id: str, hook: object) -> Iterator[Problem]:
        """What is wrong with one hook component."""
        title, marked = self._title(id), 0
        for method in sorted(name for name in dir(type(hook)) if not name.startswith("__")):
            options = self._manager.parse_hookimpl_opts(hook, method)
            if options is None:
                if method in self._arguments:
                    yield Problem("P106", f"hook {title}: {method} is not marked", "put @hookimpl above it", _place(id))
                continue
            marked += 1
            name = options.get("specname") or method
            if name not in self._arguments:
                yield Problem("P106", f"hook {title}: there is no hook named '{name}'", suggest(name, self._arguments, "hooks"), _place(id))
                continue
            if options.get("wrapper") or options.get("hookwrapper"):
                yield Problem("P106", f"hook {title}: {name} is a wrapper", "hooks listen; they do not wrap one another", _place(id))
                continue
            for argument in _arguments(getattr(type(hook), method)):
                if argument not in self._arguments[name]:
                    hint = suggest(argument, self._arguments[name], "its arguments")
                    yield Problem("P106", f"hook {title}: {name} has no argument '{argument}'", hint, _place(id))
        if not marked:
            yield Problem("P106", f"hook {title} listens to nothing", "mark its methods with @hookimpl", _place(id))


def _place(id: str) -> Place:
    return Place(path=f"hooks.{id}")


def _arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names that a method takes beside self."""
    names = tuple(inspect.signature(function).parameters)
    return names[1:] if names[:1] == ("self",) else names
