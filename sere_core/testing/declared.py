"""What is known of a component without running it: its declaration, its code as text, its import, and that it can be built."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from sere_core.testing.harness import OF_A_NAME, TO_AN_ADDRESS
from sere_core.testing.subject import Checks, Noted, NotRun, Subject
from sere_registry import SereError
from sere_registry.errors import Place
from sere_registry.kinds import FIRST_PARTY
from sere_registry.scan import canonical

CHECKS = Checks()

#: names that a distribution must not put on everybody's import path
_WORDS = "tests test testing plugins plugin registry configs config docs doc examples example src lib scripts utils common data models"
GENERIC = frozenset(_WORDS.split())


@CHECKS("static.names")
def names(subject: Subject) -> None:
    """Its entry point is named `namespace.name`, in lower case, and `sere.` is sere's own."""
    entry = subject.entry
    if entry.local:
        return
    namespace, _, name = entry.full_name.partition(".")
    assert name, f"'{entry.full_name}' has no namespace: write `{canonical(entry.distribution).rpartition('-')[2]}.{entry.full_name}`"
    for part in (namespace, name):
        assert part.isidentifier() and part == part.lower(), f"'{part}' of '{entry.full_name}' is not a lower-case identifier"
    assert not entry.usurps, f"'{entry.full_name}': the namespace `sere.` is reserved for sere itself"


@CHECKS("static.metadata", "static.names")
def metadata(subject: Subject) -> None:
    """Its entry point leads to a ComponentSpec of its kind, name and api."""
    entry = subject.entry
    try:
        spec = entry.load(Place()) if entry.local else subject.catalog.find(entry.kind, entry.full_name).spec
    except SereError as problem:
        if problem.problems[0].code == "P108":
            raise NotRun(f"{problem.problems[0].message}; {problem.problems[0].hint}") from None
        raise
    assert ":" in spec.factory, f"the factory '{spec.factory}' is not `module:attribute`"
    assert spec.evidence == "confirmed" or spec.cite or spec.tags, f"what is {spec.evidence} has an original: say which in `cite`"


@CHECKS("static.descriptions", "static.metadata")
def descriptions(subject: Subject) -> None:
    """It has a summary of one line, and each parameter a description."""
    summary = subject.spec.summary
    assert summary and summary == summary.strip() and "\n" not in summary, "the summary is not one line"
    for name, about in subject.spec.params.model_fields.items():
        assert about.description and about.description.strip(), f"the parameter '{name}' has no description"


@CHECKS("static.schema", "static.metadata")
def schema(subject: Subject) -> None:
    """Its parameters have a JSON Schema, refuse unknown keys, and their defaults and search ranges keep to it."""
    from pydantic import TypeAdapter

    model = subject.spec.params
    found = model.model_json_schema()
    assert json.loads(json.dumps(found)) == found
    assert found.get("additionalProperties") is False, "an unknown key must be an error: derive from sere_registry.Params"
    for name, about in model.model_fields.items():
        kept: Any = Annotated[about.annotation, about]
        field: TypeAdapter[Any] = TypeAdapter(kept)
        if not about.is_required():
            default = about.get_default(call_default_factory=True, validated_data={})
            again = field.validate_json(field.dump_json(default))
            assert again == default, f"the default of '{name}' is {default!r}, and {again!r} after a way through JSON"
            field.validate_python(default)
        extra: Any = about.json_schema_extra or {}
        way, *ends = extra.get("search") or ("",)
        for value in ends[0] if way == "choice" else ends:
            field.validate_python(value)


@CHECKS("static.bounds", "static.metadata")
def bounds(subject: Subject) -> None:
    """Its distribution requires a range of versions of sere that has an upper end."""
    from packaging.requirements import InvalidRequirement, Requirement

    entry = subject.entry
    if entry.local or entry.distribution == FIRST_PARTY:
        return
    ranges = []
    for text in entry.requires:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue
        if canonical(wanted.name) == FIRST_PARTY and (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
            ranges.append(wanted.specifier)
    advice = 'write dependencies = ["sere>=0.1,<0.2"]'
    assert ranges, f"{entry.distribution} does not require sere: {advice}"
    closed = any(part.operator in ("<", "<=", "~=", "==", "===") for specifier in ranges for part in specifier)
    assert closed, f"{entry.distribution} requires sere{ranges[0]}, which has no upper end: {advice}"


@CHECKS("static.top_level")
def top_level(subject: Subject) -> None:
    """Its distribution installs no module with a name that anybody might use."""
    entry = subject.entry
    if entry.local:
        return
    try:
        files = importlib.metadata.files(entry.distribution)
    except importlib.metadata.PackageNotFoundError:
        return  # announced in memory: nothing is installed
    generic = sorted({file.parts[0].removesuffix(".py") for file in files or () if file.suffix == ".py"} & GENERIC)
    assert not generic, f"{entry.distribution} installs the top-level {', '.join(generic)}: put it into a package of its own"


# -- its code -----------------------------------------------------------------------------------------------------------

#: kinds that have no business with files: corpora, encoders and hooks may read some
FILELESS = ("loss", "method", "selector", "view", "dynamics", "resonance")
#: methods by which files, and functions by which the objects of the process, can be found
_METHODS = "open read_text read_bytes glob rglob iglob iterdir scandir listdir get_objects get_referrers"
_FUNCTIONS = (
    "open os.walk sys._getframe sys._current_frames inspect.stack inspect.currentframe traceback.walk_stack traceback.extract_stack"
)
_MODULES = "sere_core.plan sere_core.score sere_core.data ctypes gc glob mmap subprocess traceback"
METHODS, FUNCTIONS, MODULES = (frozenset(words.split()) for words in (_METHODS, _FUNCTIONS, _MODULES))


def label_access(code: str) -> Iterator[tuple[int, str]]:
    """Line and name of each call and import by which code could reach target labels on the disk or in the process.

    >>> list(label_access("import gc\\nfor each in gc.get_objects(): print(open(each))"))
    [(1, 'imports gc'), (2, 'calls gc.get_objects'), (2, 'calls open')]
    """
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in FUNCTIONS or (isinstance(node.func, ast.Attribute) and node.func.attr in METHODS):
                yield node.lineno, f"calls {called}"
        taken = [name for name in imports(node) if name in FUNCTIONS or any(f"{name}.".startswith(f"{each}.") for each in MODULES)]
        if isinstance(node, ast.stmt) and taken:
            yield node.lineno, f"imports {taken[0]}"


def imports(node: ast.AST) -> list[str]:
    """The absolute names that a statement imports: modules, and what it takes from them."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def sources(subject: Subject) -> dict[Path, str]:
    """The files of the factory's module and of what it imports from its own package or from sere's plugins, and their text."""
    first = subject.spec.factory.partition(":")[0]
    found: dict[Path, str] = {}
    waiting = [_file(first), Path(subject.entry.distribution) if subject.entry.local else None]
    while waiting:
        path = waiting.pop()
        if path is None or path in found:
            continue
        found[path] = path.read_text(encoding="utf-8")
        names = {name for node in ast.walk(ast.parse(found[path])) for name in imports(node)}
        waiting += [_file(name) for name in sorted(names) if name.partition(".")[0] in (first.partition(".")[0], "sere_plugins")]
    return found


@functools.cache
def _file(module: str) -> Path | None:
    """Where a module's code is; None for what is none, and for specs, which only declare."""
    try:
        about = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    usable = about is not None and about.origin is not None and about.origin.endswith(".py") and ".specs" not in module
    return Path(about.origin) if usable and about and about.origin else None


@CHECKS("static.label_access", "static.metadata")
def no_label_access(subject: Subject) -> None:
    """A note, no failure: where its code could read target labels from the disk or the process."""
    if subject.entry.kind not in FILELESS:
        return
    found = [f"{path}:{line} {what}" for path, code in sources(subject).items() for line, what in sorted(label_access(code))]
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise Noted(f"it could read target labels from the disk or the process: {'; '.join(found[:5])}{more}")


# -- its import ---------------------------------------------------------------------------------------------------------

#: packages that take seconds to import, or are broken on some machines; listing components must not need them
HEAVY = "torch numpy scipy pandas sklearn transformers librosa torchcrepe torchaudio torchmetrics tensorboard matplotlib jax tensorflow"

_CODE = """
import importlib, json, sys
path, kind, value, heavy, network = json.loads(sys.argv[1])
sys.path[:] = path
import sere_registry, sere_registry.catalog, packaging.requirements
before, opened = set(sys.modules), []
def watch(event, arguments):
    if event in network:
        opened.append(event)
        raise OSError("the network is blocked while a spec is imported")
sys.addaudithook(watch)
problem = ""
try:
    if value.startswith("file:"):
        sere_registry.catalog.Catalog([], imports="files").find(kind, value)
    else:
        importlib.import_module(value)
except BaseException as cause:
    problem = f"{type(cause).__name__}: {cause}"
sys.stdout.flush()
sys.stderr.flush()
after = {name.partition(".")[0] for name in set(sys.modules) - before}
report = {"heavy": sorted(after & set(heavy)), "opened": opened, "problem": problem}
sys.__stdout__.write("\\n@@" + json.dumps(report))
"""


@functools.lru_cache(maxsize=64)
def imported(kind: str, value: str, path: tuple[str, ...]) -> dict[str, Any]:
    """What importing an entry point's module loads, prints and opens."""
    words = [sys.executable, "-c", _CODE, json.dumps([path, kind, value, HEAVY.split(), ["socket.bind", *TO_AN_ADDRESS, *OF_A_NAME]])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    printed, found, report = done.stdout.rpartition("\n@@")
    if not found:
        return {"heavy": [], "opened": [], "printed": "", "problem": f"the import ended the process with {done.returncode}"}
    return {**json.loads(report), "printed": (printed + done.stderr).strip()}


def import_report(subject: Subject) -> dict[str, Any]:
    value = subject.entry.value
    if value == "in:memory":
        return {"heavy": [], "opened": [], "printed": "", "problem": ""}
    if subject.entry.problem is not None and subject.entry.loaded is None:
        raise NotRun(subject.entry.problem.message)
    kind, name = (subject.entry.kind, value) if value.startswith("file:") else ("", value.partition(":")[0])  # one import for each module
    report = imported(kind, name, tuple(sys.path))
    if report["problem"] and not report["opened"]:
        raise NotRun(f"{value} failed to import: {report['problem']}")
    return report


@CHECKS("hygiene.no_torch")
def no_torch(subject: Subject) -> None:
    """Importing its spec loads neither torch nor anything else that is heavy."""
    heavy = import_report(subject)["heavy"]
    assert not heavy, f"importing {subject.entry.value} loads {', '.join(heavy)}: name the factory as `module:attribute` in another module"


@CHECKS("hygiene.silent")
def silent(subject: Subject) -> None:
    """Importing its spec prints nothing."""
    printed = import_report(subject)["printed"]
    assert not printed, f"importing {subject.entry.value} prints: {printed.splitlines()[0]}"


@CHECKS("hygiene.no_network")
def no_network(subject: Subject) -> None:
    """Importing its spec opens no connection."""
    opened = import_report(subject)["opened"]
    assert not opened, f"importing {subject.entry.value} calls {opened[0]}"


# -- its parameters and factory -----------------------------------------------------------------------------------------

#: kinds that the engine trains or saves, so that they must be modules
TRAINED = ("encoder", "dynamics", "resonance", "loss")


@CHECKS("build.params", "static.schema")
def params(subject: Subject) -> None:
    """Its parameters have defaults (or values were given), and keep what they are given."""
    if subject.missing:
        raise NotRun(f"it needs values for {', '.join(subject.missing)}: --set {subject.missing[0]}=VALUE, or `params` in a test")
    made = subject.spec.params(**subject.params)
    assert subject.spec.params.model_validate_json(made.model_dump_json()) == made, "its parameters change on a way through JSON"


@CHECKS("build.reads_params", "build.params", "static.descriptions")
def reads_params(subject: Subject) -> None:
    """Its code reads every parameter: one that nothing reads promises what it does not do."""
    nodes = [node for code in sources(subject).values() for node in ast.walk(ast.parse(code))]
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    built = [node for node in nodes if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "parts"]
    read |= {str(name.value) for node in built for name in node.args if isinstance(name, ast.Constant)}  # `context.parts("streams")`
    if read.isdisjoint({"model_dump", "__dict__"}) and not any(isinstance(node, ast.Name) and node.id == "vars" for node in nodes):
        unread = sorted(set(subject.spec.params.model_fields) - read)
        assert not unread, f"its code never reads the parameter '{unread[0]}'" if unread else ""


@CHECKS("build.defaults", "build.params")
def defaults(subject: Subject) -> None:
    """Its factory makes an object of its kind; of what is trained, a torch.nn.Module."""
    from torch import nn

    subject.spec.load()
    if subject.entry.kind == "method":
        return  # which is built on a backbone: see method.declares
    from sere_core.testing.data import Shape

    try:
        made = subject.build(Shape().context() if subject.entry.kind in ("loss", "resonance", "dynamics") else None)
    except SereError as problem:
        if problem.problems[0].code == "X703":
            raise NotRun(f"its weights are not on this machine: {problem.problems[0].message}") from None
        raise
    if subject.entry.kind in TRAINED:
        assert isinstance(made, nn.Module), f"its factory makes a {type(made).__name__}, not a torch.nn.Module"
