"""What a component's source files say, read by `ast`: nothing of them is imported."""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from sere_core.config.resolved import Resolved
from sere_registry.entries import noun
from sere_registry.errors import Problem, SereError
from sere_registry.spec import ComponentSpec

#: kind -> the method whose arguments say what a component is given
_ASKS = {"loss": "forward", "selector": "score"}
#: what runs code that no import statement names: built in, and of any module
_BUILT_IN, _UNSEEN = (
    {"exec", "eval", "__import__"},
    {"import_module", "run_path", "run_module", "exec_module", "spec_from_file_location", "iter_modules", "walk_packages", "entry_points"},
)


def _find(module: str) -> importlib.machinery.ModuleSpec | None:
    """The module's spec; `importlib.util.find_spec` would import the parents."""
    name, *rest = module.split(".")
    try:
        found = importlib.util.find_spec(name)
        for part in rest:
            name = f"{name}.{part}"
            folders = list(found.submodule_search_locations or ()) if found else []
            found = importlib.machinery.PathFinder.find_spec(name, folders)
    except (ImportError, ValueError):
        return None
    return found


def module_file(module: str) -> Path | None:
    """The source file of a module, without importing it or its parents; None if there is none."""
    found = _find(module)
    return Path(found.origin) if found and found.origin and found.origin.endswith(".py") else None


@functools.cache
def _tree(module: str) -> ast.Module | None:
    """The syntax tree of a module; None if it cannot be read or is no Python."""
    path = module_file(module)
    try:
        return None if path is None else ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


@functools.cache
def has_attribute(factory: str) -> bool | None:
    """Is there a file for `module:attribute`, and does it define or import that name?  None: unknown."""
    module, _, attribute = factory.partition(":")
    tree = _tree(module)
    if tree is None:  # built in, an extension module, or not there at all
        return None if module in sys.modules or _find(module) is not None else False
    names = {name for node in ast.walk(tree) for name in _defined(node)}
    return None if "*" in names or "__getattr__" in names else attribute.partition(".")[0] in names


def exported(module: str) -> list[str]:
    """The names in a module's `__all__`; none where it has none that can be read."""
    for node in getattr(_tree(module), "body", ()):
        if isinstance(node, ast.Assign) and "__all__" in _defined(node.targets[0]):
            return list(ast.literal_eval(node.value))
    return []


@functools.cache
def arguments(module: str, name: str) -> dict[str, object]:
    """What a class of a module's, in upper or lower case, is built with beside its first: argument -> default, or None.

    Empty where the file does not say, or there is no such class.
    """
    imported = [alias.name for node in getattr(_tree(module), "body", ()) if isinstance(node, ast.ImportFrom) for alias in node.names]
    found: dict[str, object] = {}
    for wanted in (one for one in imported if one.lower() == name.lower()):
        for node, _ in _built(module, wanted):
            for built in (one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"):
                given = [*built.args.posonlyargs, *built.args.args]
                padded = [None] * (len(given) - len(built.args.defaults)) + built.args.defaults
                pairs = [*zip(given, padded, strict=True), *zip(built.args.kwonlyargs, built.args.kw_defaults, strict=True)]
                found = {one.arg: default.value if isinstance(default, ast.Constant) else None for one, default in pairs[2:]}
    return found


def _defined(node: ast.AST) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id


def imports(tree: ast.AST, package: str = "") -> Iterator[str]:
    """The modules that a file imports anywhere, and what it imports of them, which may be modules, too.

    Args:
        package: that the file is in: what relative imports count from.

    >>> sorted(imports(ast.parse("import a.b; from .c import d"), "p.q"))
    ['a.b', 'p.q.c', 'p.q.c.d']
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            names = [alias.name for alias in node.names]
            yield from (f"{base}.{name}" for name in (exported(base) if names == ["*"] else names))


@functools.cache
def _imports(tree: ast.Module, package: str) -> frozenset[str]:
    return frozenset(imports(tree, package))


def runs_unseen_code(module: str) -> bool:
    """May a module run code that `imports` does not find?"""
    tree = _tree(module)
    return tree is not None and _unseen(tree)


@functools.cache
def _unseen(tree: ast.Module) -> bool:
    return any(
        (isinstance(node, ast.Name) and node.id in _BUILT_IN | _UNSEEN)
        or (isinstance(node, ast.Attribute) and node.attr in _UNSEEN)
        or (isinstance(node, ast.alias) and node.name in _UNSEEN)
        for node in ast.walk(tree)
    )


def reached(roots: Iterable[str], packages: Collection[str]) -> tuple[set[str], set[str]]:
    """All modules of these top-level packages that are imported when `roots` are; and the other packages that they import."""
    inside, others, waiting = set[str](), set[str](), [*roots]
    while waiting:
        name = waiting.pop()
        top, _, below = name.partition(".")
        if top not in packages:
            others.add(top)
        elif name not in inside and (tree := _tree(name)) is not None:
            inside.add(name)
            is_package = getattr(module_file(name), "name", "") == "__init__.py"
            waiting += _imports(tree, name if is_package else name.rpartition(".")[0])
        if below and (above := name.rpartition(".")[0]) not in inside:
            waiting.append(above)
    return inside, others


def missing_factory(spec: ComponentSpec, full_name: str, distribution: str, version: str) -> Problem | None:
    """What is wrong with a spec whose factory nothing defines; None where it is there, or where that is unknown."""
    if has_attribute(spec.factory) is not False:
        return None
    message = f"{noun(spec.kind)} '{full_name}' of {distribution} {version}: its factory {spec.factory} does not exist"
    hint = f"this is for the author of {distribution}, or leave it out: SERE_DISABLE={distribution}"
    return Problem("P104", message, hint)


def check_factories(resolved: Resolved) -> None:
    """Check the factories of all components of a resolved config.

    Raises:
        SereError: P104 for each that does not exist, with the place that names its component.
    """
    problems = []
    for path, bound in resolved.components.items():
        problem = missing_factory(bound.spec, bound.full_name, bound.distribution, bound.version)
        if problem is not None:
            hint = f"correct `factory` in {bound.distribution}" if bound.use.startswith("file:") else problem.hint
            problems.append(replace(problem, hint=hint, place=resolved.place(f"{path}.use")))
    if problems:
        raise SereError(*problems)


def reads(kind: str, factory: str) -> dict[str, tuple[str, ...]]:
    """What each class that `factory` may build asks for: class -> the arguments of its `forward` (loss), of its `score`
    (selector), or the hooks it listens to (hook).  Empty where the file does not say.
    """
    module, _, attribute = factory.partition(":")
    found: dict[str, tuple[str, ...]] = {}
    for node, classes in _built(module, attribute.partition(".")[0]):
        methods = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef)}
        for base in node.bases:  # of the same file
            above = classes.get(base.id) if isinstance(base, ast.Name) else None
            methods = {one.name: one for one in (above.body if above else ()) if isinstance(one, ast.FunctionDef)} | methods
        if kind == "hook":
            names = tuple(name for name in methods if name.startswith("sere_"))
        elif method := methods.get(_ASKS.get(kind, "")):
            given = (*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs)
            names = tuple(argument.arg for argument in given if argument.arg != "self")
        else:
            names = ()
        if names:
            found[node.name] = names
    return found


def _built(module: str, name: str, hops: int = 3) -> Iterator[tuple[ast.ClassDef, dict[str, ast.ClassDef]]]:
    """The classes that `module:name` is or calls, each with the classes of its file."""
    tree = _tree(module) if hops >= 0 else None
    classes = {node.name: node for node in (tree.body if tree else ()) if isinstance(node, ast.ClassDef)}
    for node in tree.body if tree else ():
        if isinstance(node, ast.ClassDef) and node.name == name:
            yield node, classes
        elif isinstance(node, ast.FunctionDef) and node.name == name:
            called = {call.func.id for call in ast.walk(node) if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}
            for each in sorted(called - {name}):
                yield from _built(module, each, hops - 1)
        elif isinstance(node, ast.ImportFrom) and node.module and name in (each.asname or each.name for each in node.names):
            yield from _built(node.module, name, hops - 1)
