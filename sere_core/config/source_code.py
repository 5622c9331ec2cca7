"""What a component's source file says, read by `ast`: nothing of it is imported."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import sys
from collections.abc import Container, Iterator
from dataclasses import replace
from pathlib import Path

from sere_core.config.resolved import Resolved
from sere_registry.entries import noun
from sere_registry.errors import Problem, SereError
from sere_registry.spec import ComponentSpec

#: kind -> the method whose arguments say what a component is given
_ASKS = {"loss": "forward", "selector": "score"}
_HOPS = 3


def module_file(module: str) -> Path | None:
    """The source file of a module, without importing it or its parents; None if there is none."""
    if module in sys.modules:
        origin = getattr(sys.modules[module], "__file__", None)
    else:
        found = _find(module)
        origin = None if found is None else found.origin
    return Path(origin) if origin and origin.endswith(".py") else None


def _find(module: str) -> importlib.machinery.ModuleSpec | None:
    """The module's spec; `importlib.util.find_spec` would import the parents."""
    first, *rest = module.split(".")
    try:
        found = importlib.util.find_spec(first)
        name = first
        for part in rest:
            if found is None or found.submodule_search_locations is None:
                return None
            name = f"{name}.{part}"
            found = importlib.machinery.PathFinder.find_spec(name, list(found.submodule_search_locations))
    except (ImportError, ValueError, AttributeError, OSError):
        return None
    return found


def has_attribute(factory: str) -> bool | None:
    """Is there a file for `module:attribute`, and does it define or import that name?  None: unknown."""
    module, _, attribute = factory.partition(":")
    path = module_file(module)
    if path is None:  # built in, an extension module, or not there at all
        return None if module in sys.modules or _find(module) is not None else False
    tree = tree_of(path)
    if tree is None:
        return None
    names = {name for node in ast.walk(tree) for name in _defined(node)}
    if "*" in names or "__getattr__" in names:
        return None
    return attribute.partition(".")[0] in names


def tree_of(path: Path) -> ast.Module | None:
    """The syntax tree of a file; None if it cannot be read or is no Python."""
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def _defined(node: ast.AST) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id


def missing_factory(spec: ComponentSpec, full_name: str, distribution: str, version: str) -> Problem | None:
    """What is wrong with a spec whose factory nothing defines; None where it is there, or where that is unknown."""
    if has_attribute(spec.factory) is not False:
        return None
    message = f"{noun(spec.kind)} '{full_name}' of {distribution} {version}: its factory {spec.factory} does not exist"
    hint = f"this is for the author of {distribution}, or leave it out: SERE_DISABLE={distribution}"
    return Problem("P104", message, hint)


def check_factories(resolved: Resolved, known: Container[str] = ()) -> None:
    """Check the factories of all components of a resolved config.

    Args:
        known: factories that were looked for before.

    Raises:
        SereError: P104 for each that does not exist, with the place that names its component.
    """
    problems = []
    for path, bound in resolved.components.items():
        if bound.spec.factory in known:
            continue
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
    for node, tree in _built(module, attribute.partition(".")[0], _HOPS):
        if kind == "hook":
            names = tuple(method.name for method in _methods(node) if method.name.startswith("sere_"))
        else:
            names = _arguments(node, tree, _ASKS.get(kind, "")) or ()
        if names:
            found[node.name] = names
    return found


def _built(module: str, name: str, hops: int) -> Iterator[tuple[ast.ClassDef, ast.Module]]:
    """The classes that `module:name` is or returns, each with the tree of its file."""
    path = module_file(module)
    tree = None if path is None or hops < 0 else tree_of(path)
    if tree is None:
        return
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            yield node, tree
        elif isinstance(node, ast.FunctionDef) and node.name == name:
            called = {
                call.func.id
                for line in ast.walk(node)
                if isinstance(line, ast.Return) and line.value is not None
                for call in ast.walk(line.value)
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id != name
            }
            for each in sorted(called):
                yield from _built(module, each, hops - 1)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    yield from _built(node.module, alias.name, hops - 1)


def _methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    return [child for child in node.body if isinstance(child, ast.FunctionDef)]


def _arguments(node: ast.ClassDef, tree: ast.Module, method: str, hops: int = _HOPS) -> tuple[str, ...] | None:
    """The arguments of a method of a class, or of the base in the same file that has it."""
    for child in _methods(node):
        if child.name == method:
            given = [*child.args.posonlyargs, *child.args.args, *child.args.kwonlyargs]
            return tuple(argument.arg for argument in given if argument.arg != "self")
    bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
    for other in tree.body if hops > 0 else ():
        if isinstance(other, ast.ClassDef) and other.name in bases:
            found = _arguments(other, tree, method, hops - 1)
            if found is not None:
                return found
    return None
