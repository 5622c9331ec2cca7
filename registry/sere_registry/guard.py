"""What a component may not do to a run: whoever calls one goes through here.

A component is built as an object of a subclass of its class, whose public methods pass through `call`.  There

- whatever is raised, `sys.exit` and a `KeyboardInterrupt` that is not the user's included, becomes one coded line with the
  component's name and the line of its file;
- what the engine depends on (grad mode, default dtype, working directory, ...; `things`) and a component has changed is put
  back, and said once for each component and thing;
- what cannot be put back ends the run: values of a batch or of another component's parameters that were changed in place, and
  functions of torch, numpy or sere that were replaced while a run trained (`Fingerprint`).

Components that come with sere are tested instead of watched: of them only exceptions are caught.  Nothing here imports torch
or numpy: what is not loaded cannot have been changed.
"""

from __future__ import annotations

import functools
import inspect
import locale
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, is_dataclass
from traceback import walk_tb
from types import FrameType, FunctionType
from typing import Any, ParamSpec, TypeVar

from sere_registry.errors import Place, SereError, error, reason
from sere_registry.replaced import defined, fingerprint, top

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
#: numbers of a tensor up to which its values are compared, beyond that only its version
COMPARED = 1 << 20
#: the variables of the environment that runs depend on
MATTERS = ("OMP_", "MKL_", "CUDA_", "CUBLAS_", "PYTORCH_", "TORCH_", "SERE_", "HF_", "PYTHON", "LC_", "HOME", "PATH", "TMPDIR")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
    """A plugin is imported: what it changes of the process is put back, and said if it takes long.

    Raises:
        SereError: P102 where it replaces functions of others.
    """
    waiting = threading.Timer(SLOW, lambda: print(f"importing {what} takes longer than {SLOW:.0f} s", file=sys.__stderr__, flush=True))
    waiting.daemon = True
    waiting.start()
    watched = _Watched(Owner(what, "", package), "import", None, (), {})
    fingerprint.extend()
    try:
        yield
    finally:
        waiting.cancel()
        watched.put_back()
        replaced = fingerprint.restore()
    if replaced:
        raise error("P102", f"{what} replaces {'; '.join(replaced[:3])} when it is imported")


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
    before, leave, thread = read_states(), os._exit, threading.excepthook
    main, process = threading.current_thread() is threading.main_thread(), os.getpid()
    outer = _now.say, _now.said, _now.network
    _now.say, _now.said, _now.network = say, set(), None
    fingerprint.known.clear()

    def no_exit(status: int = 0) -> None:
        if os.getpid() != process:  # a child of a fork
            leave(status)
        raise SystemExit(f"os._exit({status})")

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            line = f"{spot(args.exc_value, '')}: {reason(args.exc_value)}"
            warn("thread", line, f"a thread that a component started ended early{line}")

    if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    os._exit, threading.excepthook = no_exit, in_thread  # type: ignore[assignment]
    try:
        yield
    finally:
        os._exit, threading.excepthook = leave, thread
        fingerprint.known.clear()  # it holds what stood there meanwhile
        for thing, value in before.items():
            if thing.read() != value:
                thing.write(value)
        _now.say, _now.said, _now.network = outer


def spot(cause: BaseException, package: str) -> str:
    """` (file:line)` of the innermost line of that package; without one, of what is neither sere's nor installed."""
    for frame, line in reversed(list(walk_tb(cause.__traceback__))):
        file, mine = frame.f_code.co_filename, top(frame.f_globals.get("__name__"))
        if mine == package if package else not mine.startswith("sere_") and "site-packages" not in file and f"{os.sep}python3" not in file:
            return f" ({file}:{line})"
    return ""


def failure(owner: Owner, doing: str, cause: BaseException, function: object = None) -> SereError:
    """What a component raised, as a coded line."""
    if type(cause) is SereError and cause.problems:
        return cause
    memory = isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError"
    code = "X706" if memory else "B401" if doing == "build" else "P106" if owner.kind == "hook" else "B404"
    place = spot(cause, owner.package) or (f" ({defined(function)})" if function else "")
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
    return result


def blamed(cause: BaseException, owners: Iterable[Owner]) -> BaseException:
    """What ends a run where components are not sere's own: a coded line, which names those whose code was running, or all."""
    others = [owner for owner in owners if not owner.trusted]
    if not others or isinstance(cause, SereError) or of_user(cause):
        return cause
    guilty = [owner for owner in others if spot(cause, owner.package)] or others
    titles = " or ".join(dict.fromkeys(owner.title for owner in guilty))
    where = spot(cause, guilty[0].package) or f" ({[f'{f.f_code.co_filename}:{n}' for f, n in walk_tb(cause.__traceback__)][-1]})"
    made = error("B404", f"{titles} broke the run{where}: {reason(cause)}", "--traceback shows where", guilty[0].place)
    made.__cause__ = cause
    return made


def check_replaced(*owners: Owner) -> None:
    """Has one of these, or whoever it brought, replaced a function of torch, numpy or sere since the last look?

    Raises:
        SereError: B404; the functions are put back.
    """
    others = [owner for owner in owners if not owner.trusted]
    replaced = fingerprint.restore() if others and fingerprint.known else []
    if replaced:
        titles = " or ".join(owner.title for owner in others)
        raise error("B404", f"{titles} replaced {'; '.join(replaced[:3])}", "call functions of your own instead", others[0].place)


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
            found[name] = _through(owner, name, function)
    return type(cls)(cls.__name__, (cls,), found)


def _through(owner: Owner, name: str, function: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(function)
    def method(*args: object, **kwargs: object) -> object:
        return call(owner, name, function, *args, **kwargs)

    return method


# -- what may not change ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Thing:
    """Something of the process that runs depend on.

    Args:
        name: for messages.
        read: its value.
        write: sets it.
        imports: do imports of libraries change it, which is put back without a word?
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    imports: bool = False


def settle() -> None:
    """What the engine's steps depend on, as torch begins; `running` gives back what there was."""
    torch: Any = sys.modules["torch"]
    wanted = {**_SETTLED, "the default dtype": torch.float32}
    for thing, value in read_states().items():
        if thing.name == "autocast":
            thing.write([(False, dtype) for _, dtype in value])
        elif thing.name in wanted and wanted[thing.name] != value:
            thing.write(wanted[thing.name])


def watch_network(network: Any) -> None:
    """The module whose parameters, modes and hooks no component but the method may change; None for none."""
    _now.network = network


def read_states() -> dict[Thing, Any]:
    """All that is watched, as it is now: of the process only where this is its main thread."""
    main = threading.current_thread() is threading.main_thread()
    return {
        thing: thing.read() for thing in (*(_process() if main else ()), *_numbers("torch.optim" in sys.modules, "numpy" in sys.modules))
    }


@functools.cache
def _process() -> tuple[Thing, ...]:
    def folder() -> str:
        try:
            return os.getcwd()
        except OSError:
            return ""

    def environment() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name.startswith(MATTERS)}

    def restore(values: Mapping[str, str]) -> None:
        for name in environment().keys() - values.keys():
            del os.environ[name]
        os.environ.update(values)

    def streams(values: Iterable[Any]) -> None:
        sys.stdin, sys.stdout, sys.stderr = values

    def handle(values: Iterable[Any]) -> None:
        for number, handler in zip(SIGNALS, values, strict=True):
            signal.signal(number, handler or signal.SIG_DFL)

    def filters(values: list[Any]) -> None:
        warnings.filters[:] = values  # type: ignore[index]
        warnings._filters_mutated() if hasattr(warnings, "_filters_mutated") else None

    return (
        Thing("the working directory", folder, lambda value: os.chdir(value or ".")),
        Thing("variables of the environment", environment, restore, imports=True),
        Thing("sys.stdin, sys.stdout or sys.stderr", lambda: (sys.stdin, sys.stdout, sys.stderr), streams),
        Thing("signal handlers", lambda: tuple(map(signal.getsignal, SIGNALS)), handle),
        Thing("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)),
        Thing("the filters of warnings", lambda: list(warnings.filters), filters, imports=True),
        Thing("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit, imports=True),
    )


#: what torch begins with, where a program or a notebook may have set something else before it runs a config
_SETTLED: dict[str, Any] = {
    "inference mode": False,
    "grad mode": True,
    "the default device": None,
    "deterministic algorithms": (False, False),
    "cudnn's flags": (True, False, False, True),
    "the precision of products of matrices": "highest",
    "anomaly mode": False,
    "subnormal numbers": False,
}


class _Seed:
    """The state of torch's generator, which counts as changed when it was seeded, not when it was drawn from."""

    def __init__(self, seed: int, state: object) -> None:
        self.seed, self.state = seed, state

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Seed) and self.seed == other.seed

    def __repr__(self) -> str:
        return str(self.seed)


@functools.cache
def _numbers(with_torch: bool, with_numpy: bool) -> tuple[Thing, ...]:
    """What results of torch and numpy depend on."""
    found: list[Thing] = []
    if with_numpy:
        numpy: Any = sys.modules["numpy"]
        found.append(Thing("numpy's handling of errors", numpy.geterr, lambda value: numpy.seterr(**value)))
    if not with_torch:
        return tuple(found)
    torch: Any = sys.modules["torch"]
    cudnn, devices, tiny = torch.backends.cudnn, ("cpu", "cuda"), 1e-310
    flags, held = ("enabled", "benchmark", "deterministic", "allow_tf32"), []

    def device() -> object:
        return getattr(sys.modules.get("torch.utils._device"), "CURRENT_DEVICE", None)

    def autocast(values: Iterable[Any]) -> None:
        for device, (on, dtype) in zip(devices, values, strict=True):
            torch.set_autocast_enabled(device, on)
            torch.set_autocast_dtype(device, dtype)

    def strict(value: tuple[bool, bool]) -> None:
        torch.use_deterministic_algorithms(value[0], warn_only=value[1])

    def cudnn_flags(values: Iterable[bool]) -> None:
        for name, value in zip(flags, values, strict=True):
            setattr(cudnn, name, value)

    def unwind(depth: tuple[int, int]) -> None:
        while torch._C._len_torch_function_stack() > depth[0]:
            torch._C._pop_torch_function_stack()
        while torch._C._len_torch_dispatch_stack() > depth[1]:
            torch._C._pop_torch_dispatch_stack(None)

    hooks = [
        vars(torch.nn.modules.module)[name] for name in vars(torch.nn.modules.module) if name.startswith("_global_") and "hooks" in name
    ]
    hooks = [each for each in hooks if isinstance(each, dict)]

    def unhook(counts: Iterable[int]) -> None:
        for each, count in zip(hooks, counts, strict=True):
            while len(each) > count:
                each.popitem()

    def deterministic() -> tuple[bool, bool]:
        return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()

    return (
        *found,
        Thing("inference mode", torch.is_inference_mode_enabled, lambda value: held.append(torch._C._InferenceMode(value))),
        Thing("grad mode", torch.is_grad_enabled, torch._C._set_grad_enabled),
        Thing("the default dtype", torch.get_default_dtype, torch.set_default_dtype),
        Thing("the default device", device, torch.set_default_device),
        Thing("modes of torch functions", lambda: (torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()), unwind),
        Thing("autocast", lambda: tuple((torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in devices), autocast),
        Thing("the number of threads", torch.get_num_threads, torch.set_num_threads),
        Thing("deterministic algorithms", deterministic, strict),
        Thing("cudnn's flags", lambda: tuple(getattr(cudnn, name) for name in flags), cudnn_flags),
        Thing("the precision of products of matrices", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        Thing("anomaly mode", torch.is_anomaly_enabled, torch.set_anomaly_enabled),
        Thing("subnormal numbers", lambda: tiny * 1.0 == 0.0, torch.set_flush_denormal),
        Thing("hooks of all modules", lambda: tuple(map(len, hooks)), unhook),
        Thing("torch's seed", lambda: _Seed(torch.initial_seed(), torch.get_rng_state()), lambda value: torch.set_rng_state(value.state)),
    )


class _Watched:
    """One call of a component: what it found, and what it leaves behind."""

    def __init__(self, owner: Owner, doing: str, function: object, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        names = getattr(getattr(function, "__code__", None), "co_varnames", ())
        self.owner, self.doing, self.given = owner, doing, {**dict(zip(names[1:], args[1:], strict=False)), **kwargs}
        self.who = f"{owner.title}, in {doing}" + (f" ({defined(function)})" if defined(function) else "")
        self.modules = len(sys.modules)
        self.states = read_states()
        self.arrays = {name: (value, _seen(value)) for name, value in _arrays(self.given)} if doing in METHODS else {}
        self.shared: list[tuple[str, Any, _Seen]] = []
        self.parts: list[tuple[str, Any, object]] = []
        if _now.network is not None and doing in COMPUTES and owner.kind != "method":
            own = args[0] if args else None
            mine = {id(one) for one in (*own.parameters(), *own.modules())} if hasattr(own, "modules") else set()  # type: ignore[attr-defined]
            self.shared = [(name, one, _seen(one)) for name, one in _now.network.named_parameters() if id(one) not in mine]
            self.parts = [(name, one, _mode(one)) for name, one in _now.network.named_modules() if id(one) not in mine]

    def put_back(self) -> None:
        """Undo what can be undone, each thing said once."""
        quiet = len(sys.modules) > self.modules
        for thing, value in self.states.items():
            now = thing.read()
            if now != value:
                thing.write(value)
                if not (quiet and thing.imports):
                    self._say(thing.name, f" ({_short(value)} to {_short(now)})")
            elif isinstance(value, _Seed) and self.owner.kind == "loss":
                thing.write(value)  # what a loss draws does not change what others draw
        for name, module, mode in self.parts:
            if _mode(module) != mode:
                _set_mode(module, mode)
                self._say("the mode or the hooks of parts of the network", f" ('{name}')")
        for name, tensor, seen in (*self.shared, *((name, *pair) for name, pair in self.arrays.items())):
            if hasattr(tensor, "_version") and _flags(tensor) != _flags(seen):
                _unflag(tensor, seen)
                self._say("gradients or hooks of what others use", f" ('{name}')")

    def _say(self, thing: str, what: str) -> None:
        warn(self.owner.path or self.owner.title, thing, f"{self.who} changed {thing}{what}; it was put back")

    def compare(self) -> None:
        """Values that were changed in place.

        Raises:
            SereError: B404.
        """
        now = dict(_arrays(self.given)) if self.arrays else {}
        changed = [f"`{name}`" for name, (value, seen) in self.arrays.items() if now.get(name) is not value or not _same(value, seen)]
        changed += [f"the parameter '{name}'" for name, value, seen in self.shared if not _same(value, seen)]
        if changed:
            raise error("B404", f"{self.who} changed {changed[0]} in place, which others use", "work on a copy", self.owner.place)


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _arrays(value: object, name: str = "") -> Iterator[tuple[str, Any]]:
    """The tensors and arrays in what a component is given, by names such as `target.embedding`."""
    if (hasattr(value, "_version") and hasattr(value, "numel")) or type(value).__name__ == "ndarray":
        yield name, value
        return
    items: Iterable[tuple[object, object]] = ()
    if isinstance(value, (tuple, list)):
        items = enumerate(value)
    elif isinstance(value, Mapping):
        items = value.items()
    elif is_dataclass(value) and hasattr(value, "__dict__"):
        items = vars(value).items()
    for key, part in items:
        yield from _arrays(part, f"{name}.{key}" if name else str(key))


@dataclass(frozen=True)
class _Seen:
    """A tensor as it was: its version, its values unless there are very many, and what hangs on it."""

    version: int
    values: Any
    flags: tuple[object, ...]


def _flags(value: Any) -> tuple[object, ...]:
    """Of a tensor: does it need a gradient, has a parameter one, how many hooks has it?"""
    if isinstance(value, _Seen):
        return value.flags
    leaf = value.is_leaf
    return leaf and value.requires_grad, leaf and value.grad is not None, len(value._backward_hooks or ())


def _unflag(value: Any, seen: Any) -> None:
    needs, graded, hooks = seen.flags
    if value.is_leaf:
        value.requires_grad_(needs)
        if not graded:
            value.grad = None
    while len(value._backward_hooks or ()) > hooks:
        value._backward_hooks.popitem()


def _seen(value: Any) -> _Seen:
    if not hasattr(value, "_version"):
        return _Seen(0, value.copy() if value.size <= COMPARED else None, ())
    small = value.numel() <= COMPARED and value.device.type != "meta"
    return _Seen(value._version, value.detach().clone() if small else None, _flags(value))


def _same(value: Any, seen: _Seen) -> bool:
    if not hasattr(value, "_version"):
        return seen.values is None or bool(((value == seen.values) | ((value != value) & (seen.values != seen.values))).all())
    if seen.values is None or value.shape != seen.values.shape:
        return bool(value._version == seen.version)
    now = value.detach()
    return bool(((now == seen.values) | ((now != now) & (seen.values != seen.values))).all())


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def _mode(module: Any) -> tuple[object, ...]:
    return module.training, *(len(getattr(module, name)) for name in _HOOKS)


def _set_mode(module: Any, mode: Any) -> None:
    module.training, *counts = mode
    for name, count in zip(_HOOKS, counts, strict=True):
        while len(getattr(module, name)) > count:
            getattr(module, name).popitem()
