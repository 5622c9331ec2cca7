"""The hooks of a run: only those that the config names, checked before the run, and blamed by name when they fail."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from copy import deepcopy

import pluggy

from sere_registry.errors import Place, Problem, SereError, reason, suggest
from sere_registry.guard import of_user
from sere_registry.hookspecs import PROJECT, HookSpecs

#: hook -> the arguments that it is called with
HOOKS: Mapping[str, tuple[str, ...]] = {
    name: tuple(inspect.signature(function).parameters)[1:] for name, function in vars(HookSpecs).items() if name.startswith("sere_")
}


class HookBus:
    """Calls the hooks of one run, in the order of the config.

    Each hook component has a plugin manager of its own, so that whoever fails can be named and two runs in one process know
    nothing of each other.

    Args:
        hooks: id in the config -> the built component, whose methods marked with `hookimpl` listen.
        names: id -> "distribution component", for messages; an id that is missing stands for itself.

    Raises:
        SereError: P106 for every method that listens to no known hook, takes arguments that the hook does not have, or is
            named like a hook but not marked; all of them together.

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
        problems = [problem for id, hook in hooks.items() for problem in self._check(id, hook)]
        if problems:
            raise SereError(*problems)
        managers = {id: pluggy.PluginManager(PROJECT) for id in hooks}
        for id, manager in managers.items():
            manager.add_hookspecs(HookSpecs)
            manager.register(hooks[id], name=id)
        callers = {name: {id: getattr(manager.hook, name) for id, manager in managers.items()} for name in HOOKS}
        self._callers: dict[str, dict[str, pluggy.HookCaller]] = {
            name: {id: caller for id, caller in by_id.items() if caller.get_hookimpls()} for name, by_id in callers.items()
        }

    def listens(self, name: str) -> bool:
        """Does any hook of this run implement `name`?"""
        return bool(self._callers[name])

    def call(self, name: str, /, **arguments: object) -> str | None:
        """Call every listener; for `sere_should_stop`, return the first reason that is not None.

        `sere_run_end` reaches every listener even if one fails; if the run has failed already (`error` is given), the
        failures of hooks become notes of that error.

        Raises:
            SereError: P106 if a hook raised, naming it; its own exception is the `__cause__`.
            TypeError: the arguments are not those of the hook (a bug of the caller).
        """
        callers = self._callers[name]
        if callers and arguments.keys() != set(HOOKS[name]):
            raise TypeError(f"{name} takes {', '.join(HOOKS[name])}, not {', '.join(arguments)}")
        failures: list[SereError] = []
        for id, caller in callers.items():
            try:
                given = {key: deepcopy(value) if isinstance(value, (Mapping, list)) else value for key, value in arguments.items()}
                said = caller(**given)
                if name == "sere_should_stop" and not isinstance(said, str | None):
                    raise TypeError(f"returns {said!r}, which is neither a reason, as text, nor None")
            except BaseException as cause:
                if of_user(cause):
                    raise
                failure = cause if isinstance(cause, SereError) else self._failure(id, name, cause)
                if name != "sere_run_end":
                    raise failure from failure.__cause__
                failures.append(failure)
                continue
            if name == "sere_should_stop" and said is not None:
                return str(said)
        error = arguments.get("error")
        if isinstance(error, BaseException):
            for each in failures:
                error.add_note(str(each))
        elif failures:
            raise failures[0]
        return None

    def _failure(self, id: str, name: str, cause: BaseException) -> SereError:
        what = f"hook {self._title(id)} failed in {name}: {reason(cause)}"
        failure = SereError(Problem("P106", what, f"take `{id}` out of `hooks` to run without it", _place(id)))
        failure.__cause__ = cause
        return failure

    def _title(self, id: str) -> str:
        return f"'{id}' ({self._names[id]})" if id in self._names else f"'{id}'"

    def _check(self, id: str, hook: object) -> Iterator[Problem]:
        """What is wrong with one hook component: what pluggy would say later, and what it would not say."""
        title, place, marked = self._title(id), _place(id), 0
        parse = pluggy.PluginManager(PROJECT).parse_hookimpl_opts
        for method in sorted(name for name in dir(type(hook)) if not name.startswith("__")):
            options = parse(hook, method)
            if options is None:
                if method in HOOKS:
                    yield Problem("P106", f"hook {title}: {method} is not marked", "put @hookimpl above it", place)
                continue
            marked += 1
            name = options.get("specname") or method
            if name not in HOOKS:
                yield Problem("P106", f"hook {title}: there is no hook named '{name}'", suggest(name, HOOKS, "hooks"), place)
            elif options.get("wrapper") or options.get("hookwrapper"):
                yield Problem("P106", f"hook {title}: {name} is a wrapper", "hooks listen; they do not wrap one another", place)
            else:
                for argument in tuple(inspect.signature(getattr(type(hook), method)).parameters)[1:]:
                    if argument not in HOOKS[name]:
                        hint = suggest(argument, HOOKS[name], "its arguments")
                        yield Problem("P106", f"hook {title}: {name} has no argument '{argument}'", hint, place)
        if not marked:
            yield Problem("P106", f"hook {title} listens to nothing", "mark its methods with @hookimpl", place)


def _place(id: str) -> Place:
    return Place(path=f"hooks.{id}")
