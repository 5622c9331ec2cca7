"""What a component may not do to a run: whoever calls one goes through here.

A component is built as an object of a subclass of its class, whose public methods pass through `call`.  There

- whatever is raised, `sys.exit` and a `KeyboardInterrupt` that is not the user's included, becomes one coded line with the
  component's name and the line of its file;
- what the engine depends on (grad mode, default dtype, working directory, ...; `settings`) and a component has changed is put
  back, and said once for each component and thing;
- what cannot be put back ends the run: values of a batch or of another component's parameters that were changed in place.

Components that come with sere are tested instead of watched: of them only exceptions are caught.  Nothing here imports torch
or numpy: what is not loaded cannot have been changed.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from traceback import walk_tb
from types import FrameType, FunctionType, GeneratorType
from typing import Any, ParamSpec, TypeVar, cast

from sere_registry import settings
from sere_registry.errors import Place, SereError, defined, error, reason, top
from sere_registry.snapshot import Snapshot, arrays_in, mode_of, set_mode, short
from sere_registry.utterances import Finding, Utterance

T = TypeVar("T")
P = ParamSpec("P")

#: the methods of components that are watched, beside hooks; those that only compute may not change others' parameters
COMPUTES = frozenset({"forward", "__call__", "similarity", "aligned", "frame_map", "predict", "pseudo_labels", "diagnostics", "score"})
METHODS = COMPUTES | {
    "extract", "traced", "lengths", "fingerprint", "prepare", "parameters_by_group", "after_step", "after_epoch", "stages",
    "prediction_backbone", "utterances", "findings",
}  # fmt: skip
#: seconds after which the import of a plugin in a run is said to take long
SLOW = 15.0


@dataclass(frozen=True)
class Owner:
    """Whose code is called.

    Args:
        title: for messages: "loss 'xyz.gap' of sere-plugin-xyz 0.1".
        kind: of component.
        package: the top-level package that its factory is in.
        path: where it stands in the config.
        trusted: does it come with sere?
        place: where that was written.
    """

    title: str
    kind: str
    package: str
    path: str = ""
    trusted: bool = False
    place: Place = field(default=Place(), compare=False)


@dataclass
class _Now:
    """The run of this process."""

    say: Callable[[str], object] | None = None
    said: set[tuple[str, str]] = field(default_factory=set)
    network: Any = None


_now = _Now()


def warn(who: str, thing: str, line: str) -> None:
    """Say a line once for each component and thing: to the run, or on stderr where there is none."""
    if (who, thing) not in _now.said:
        _now.said.add((who, thing))
        (_now.say or (lambda text: print(f"warning: {text}", file=sys.stderr)))(line)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def importing(package: str, what: str) -> Iterator[None]:
    """A plugin is imported: what it changes of the process is put back, and said if it takes long."""
    waiting = threading.Timer(SLOW, lambda: print(f"importing {what} takes longer than {SLOW:.0f} s", file=sys.__stderr__, flush=True))
    waiting.daemon = True
    waiting.start()
    watched = _Watched(Owner(what, "", package), "import", None, (), {})
    try:
        yield
    finally:
        waiting.cancel()
        watched.put_back()


def of_user(cause: BaseException) -> bool:
    """Is it the user's Ctrl-C, and not a `KeyboardInterrupt` that a component raised?"""
    if not isinstance(cause, KeyboardInterrupt):
        return False
    here = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is _interrupt
    return not here or any(frame.f_code is _interrupt.__code__ for frame, _ in walk_tb(cause.__traceback__))


@contextmanager
def running(say: Callable[[str], object] | None = None) -> Iterator[None]:
    """A run (or a command): tells Ctrl-C from exceptions of plugins; afterwards all that is watched is as it was before.

    Args:
        say: gets the warnings; default: printed on stderr.
    """
    before, outer = settings.read(), (_now.say, _now.said, _now.network)
    main = threading.current_thread() is threading.main_thread()
    _now.say, _now.said, _now.network = say, set(), None
    if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        for setting, value in before.items():
            if setting.read() != value:
                setting.write(value)
        _now.say, _now.said, _now.network = outer


def spot(cause: BaseException, package: str) -> str:
    """` (file:line)` of the innermost line of that package; without one, of what is neither sere's nor installed."""
    for frame, line in reversed(list(walk_tb(cause.__traceback__))):
        file, mine = frame.f_code.co_filename, top(frame.f_globals.get("__name__"))
        strange = mine.startswith("sere_local_") or not mine.startswith("sere_")
        if mine == package if package else strange and not any(part in file for part in ("site-packages", f"{os.sep}python3", "<frozen ")):
            return f" ({file}:{line})"
    return ""


def failure(owner: Owner, doing: str, cause: BaseException, function: object = None) -> SereError:
    """What a component raised, as a coded line."""
    if type(cause) is SereError and cause.problems:
        if owner.trusted or Place() not in (one.place for one in cause.problems):
            return cause
        placed = SereError(*(replace(one, place=owner.place) if one.place == Place() else one for one in cause.problems))
        placed.__cause__ = cause.__cause__
        return placed.with_traceback(cause.__traceback__)
    memory = isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError"
    code = "X706" if memory else "B401" if doing == "build" else "P106" if owner.kind == "hook" else "B404"
    where = defined(function) if function else ""
    place = spot(cause, owner.package) or (f" ({where})" if where else "")
    hint = "--traceback shows where" if owner.trusted else "this is for its author; --traceback shows where"
    what = "could not be built" if doing == "build" else f"failed in {doing}"
    made = error(code, f"{owner.title} {what}{place}: {reason(cause)}", hint, owner.place)
    made.__cause__ = cause
    return made


def call(owner: Owner, doing: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function of a component.

    Raises:
        SereError: what the component says, or B404 (hooks: P106) with its file and line; B404 where it changed in place what
            it was given.
    """
    watched = None if owner.trusted else _Watched(owner, doing, function, args, kwargs)
    try:
        result = function(*args, **kwargs)
        if watched is not None and isinstance(result, GeneratorType):
            result = cast(T, list(result))  # what it raises later is its own, too
    except BaseException as cause:
        if watched is not None:
            watched.put_back()
        if of_user(cause):
            raise
        made = failure(owner, doing, cause, function)
        raise made from made.__cause__
    if watched is not None:
        watched.put_back()
        watched.compare()
        if wrong := _wrong(owner, doing, result):
            raise error("B403", f"{watched.who} returns {wrong}", "this is for its author", owner.place)
    return result


def _wrong(owner: Owner, doing: str, result: object) -> str:
    """What a corpus or a field returns that would go on in silence, or be called somebody else's mistake."""
    if doing == "utterances":
        if not (isinstance(result, Sequence) and all(isinstance(each, Utterance) for each in result)):
            return f"{short(result)}, which is no list of utterances"
        name = owner.path.removeprefix("corpora.") if owner.path.startswith("corpora.") else None
        wrong = next((each for each in result if not _sound(each) or name not in (None, each.recording.corpus)), None)
        return "" if wrong is None else f"{short(wrong)}, whose values are not of their types, or which is of another corpus"
    if doing == "findings":
        fine = isinstance(result, Sequence) and all(isinstance(each, Finding) for each in result)
        return "" if fine else f"{short(result)}, which is no list of findings"
    if owner.kind == "resonance" and doing in ("similarity", "aligned"):
        tensors = dict(arrays_in(result)).values()
        if not tensors:
            return f"{short(result)}, which is no tensor"
        return "" if all(bool(each.isfinite().all()) for each in tensors) else "values that are not finite"
    return ""


def _sound(each: Utterance) -> bool:
    """Is what an utterance says of itself text, where it must be?"""
    one = each.recording
    texts = (one.id, one.corpus, one.language, one.speaker, each.emotion, one.gender or "", one.text or "")
    return all(isinstance(text, str) for text in texts) and isinstance(one.path, os.PathLike)


def blamed(cause: BaseException, owners: Iterable[Owner]) -> BaseException:
    """What ends a run where components are not sere's own: a coded line, which names those whose code was running, or all."""
    others = [owner for owner in owners if not owner.trusted]
    if not others or of_user(cause):
        return cause
    if isinstance(cause, SereError):
        return cause
    guilty = [owner for owner in others if spot(cause, owner.package)] or others
    titles = " or ".join(dict.fromkeys(owner.title for owner in guilty))
    where = spot(cause, guilty[0].package) or f" ({[f'{f.f_code.co_filename}:{n}' for f, n in walk_tb(cause.__traceback__)][-1]})"
    made = error("B404", f"{titles} broke the run{where}: {reason(cause)}", "--traceback shows where", guilty[0].place)
    made.__cause__ = cause
    return made


def owner_of(component: object) -> Owner | None:
    """Whose a built component is."""
    return getattr(type(component), "_sere_owner", None)


def guarded(component: T, owner: Owner) -> T:
    """The same object, its public methods passing through `call`; one of a class that allows no subclass stays as it is."""
    cls = type(component)
    if "_sere_owner" in vars(cls):  # a factory that returns one object again
        cls = cls.__mro__[1]
    try:
        object.__setattr__(component, "__class__", _subclass(cls, owner))  # type: ignore[arg-type]
    except Exception:
        return component
    return component


@functools.lru_cache(maxsize=512)
def _subclass(cls: type, owner: Owner) -> type:
    found: dict[str, object] = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__slots__": (), "_sere_owner": owner}
    hooks = [name for name in dir(cls) if name.startswith("sere_")]
    for name in (*METHODS, *hooks):
        function = inspect.getattr_static(cls, name, None)
        if isinstance(function, FunctionType) and not (name == "__call__" and hasattr(cls, "forward")):
            found[name] = _through(owner, name, cls)
    return type(cls)(cls.__name__, (cls,), found)


def _through(owner: Owner, name: str, cls: type) -> Callable[..., object]:
    @functools.wraps(getattr(cls, name))
    def method(*args: object, **kwargs: object) -> object:
        return call(owner, name, getattr(cls, name), *args, **kwargs)  # as it is now: a notebook may have edited it

    return method


def _parts(module: Any) -> set[int]:
    """The ids of a module's parts and parameters; of what is no module none."""
    return {id(one) for one in (*module.parameters(), *module.modules())} if hasattr(module, "modules") else set()


@contextmanager
def differentiating(network: Any) -> Iterator[None]:
    """A backward pass, in which functions and hooks of components may run: it makes gradients, and changes nothing else.

    Raises:
        SereError: B404 where a parameter was changed.
    """
    owners = {owner for module in network.modules() if (owner := owner_of(module)) and not owner.trusted}
    if not owners:
        yield
        return
    titles, one = " or ".join(sorted(owner.title for owner in owners)), next(iter(owners))
    watched = _Watched(Owner(titles, "", "", one.path if len(owners) == 1 else "", place=one.place), "its gradient", None, (), {})
    watched.shared = {name: Snapshot(parameter, graded=False) for name, parameter in network.named_parameters()}
    watched.parts = {name: (part, mode_of(part)) for name, part in network.named_modules()}
    yield
    watched.put_back()
    watched.compare()


# -- one call -----------------------------------------------------------------------------------------------------------


def watch_network(network: Any) -> None:
    """The module whose parameters, modes and hooks no component but the method may change; None for none."""
    _now.network = network


class _Watched:
    """One call of a component: what it found, and what it leaves behind."""

    def __init__(self, owner: Owner, doing: str, function: object, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        names = getattr(getattr(function, "__code__", None), "co_varnames", ())
        self.owner, self.given = owner, {**dict(zip(names[1:], args[1:], strict=False)), **kwargs}
        self.who = f"{owner.title}, in {doing}" + (f" ({defined(function)})" if defined(function) else "")
        self.modules, self.settings = len(sys.modules), settings.read()
        self.draws = sys.modules["torch"].random if "torch.optim" in sys.modules else None
        self.seed: int = self.draws.initial_seed() if self.draws else 0
        self.drawn: object = self.draws.get_rng_state() if self.draws else None
        self.arrays = {name: Snapshot(value) for name, value in arrays_in(self.given)} if doing in METHODS else {}
        self.shared: dict[str, Snapshot] = {}
        self.parts: dict[str, tuple[Any, tuple[object, ...]]] = {}
        if _now.network is not None and doing in COMPUTES and owner.kind != "method":
            own: Any = args[0] if args else None
            mine = _parts(own) - (_parts(getattr(_now.network, "backbone", None)) if owner.kind == "loss" else set())  # which it may hold
            self.shared = {name: Snapshot(one) for name, one in _now.network.named_parameters() if id(one) not in mine}
            self.parts = {name: (one, mode_of(one)) for name, one in _now.network.named_modules() if id(one) not in mine}

    def put_back(self) -> None:
        """Undo what can be undone, each thing said once."""
        imported = len(sys.modules) > self.modules
        for setting, before in self.settings.items():
            if (now := setting.read()) != before:
                setting.write(before)
                if not (imported and setting.imports):
                    self._say(setting.name, f" ({short(before)} to {short(now)})")
        if self.draws:
            seeded = self.draws.initial_seed() != self.seed
            if seeded or self.owner.kind == "loss":  # what a loss draws does not change what others draw
                self.draws.set_rng_state(self.drawn)
            if seeded:
                self._say("torch's seed", "")
        for name, (module, mode) in self.parts.items():
            if mode_of(module) != mode:
                set_mode(module, mode)
                self._say("the mode or the hooks of parts of the network", f" ('{name}')")
        for name, array in (*self.shared.items(), *self.arrays.items()):
            if array.put_back():
                self._say("gradients or hooks of what others use", f" ('{name}')")

    def _say(self, thing: str, what: str) -> None:
        warn(self.owner.path or self.owner.title, thing, f"{self.who} changed {thing}{what}; it was put back")

    def compare(self) -> None:
        """Values that were changed in place.

        Raises:
            SereError: B404.
        """
        now = dict(arrays_in(self.given)) if self.arrays else {}
        changed = [f"`{name}`" for name, array in self.arrays.items() if now.get(name) is not array.value or not array.same()]
        changed += [f"the parameter '{name}'" for name, array in self.shared.items() if not array.same()]
        if self.parts:
            there = {**dict(_now.network.named_modules()), **dict(_now.network.named_parameters())}
            was = {**{name: part for name, (part, _) in self.parts.items()}, **{name: array.value for name, array in self.shared.items()}}
            changed += [f"the part '{name}' of the network" for name, part in was.items() if there.get(name) is not part]
        if changed:
            raise error("B404", f"{self.who} changed {changed[0]} in place, which others use", "work on a copy", self.owner.place)
