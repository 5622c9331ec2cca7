"""What a component's code says of itself, read from its file by `ast`: nothing of it is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from sere_core.config.source_code import module_file, tree_of

#: kind -> the method whose arguments say what it is given
_ASKS = {"loss": "forward", "selector": "score"}
_HOPS = 3


def reads(kind: str, factory: str) -> dict[str, tuple[str, ...]]:
    """What each class that `factory` may build asks for: class -> the arguments of its `forward` (loss), of its `score`
    (selector), or the hooks it listens to (hook).  Empty where that cannot be told from the file.
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
