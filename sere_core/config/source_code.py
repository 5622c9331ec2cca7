"""A module's source file, and what stands in it, read by `ast`: nothing is imported."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path


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
    """Is there a file for `module:attribute`, and does it define or import that name?  None: it cannot be told."""
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
