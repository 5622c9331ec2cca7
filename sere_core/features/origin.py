"""What made the arrays that are cached: code, weights and libraries, by content; no number that somebody must remember to raise.

The engine's part is all of this folder, and of `sere_core.functional` the files that an encoder imports.  Of an encoder's package
it is what its module imports there, at any depth, and all that is no Python: tables, weights, extension modules.  A loss beside it
may change, and the features are still good.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.metadata
import sys
from collections.abc import Iterable
from pathlib import Path

from sere_core.config import Bound
from sere_core.config.source_code import imports, module_file, reached, runs_unseen_code
from sere_core.content import Contents, digest_of, files_below
from sere_core.provenance import beside, files_of, folders_of, packages_of
from sere_registry.scan import installed_entries

#: imported by encoders, and without numbers of their own; the engine's are in `engine_origin`
#: SwiftF0 counts in the keys of what it finds (`swift.files`)
_NO_NUMBERS = {"swift_f0", "sere_core", "sere_registry", "pydantic", "safetensors", "huggingface_hub", *sys.stdlib_module_names}
_FUNCTIONAL = "sere_core.functional"
#: folders of installed packages, whose versions say what they are
_INSTALLED = {"site-packages", "dist-packages"}


def engine_origin(contents: Contents) -> list[str]:
    """Of what reads audio and makes contours."""
    files = files_below(Path(__file__).parent)
    return [digest_of(files, contents), *_libraries((name.partition(".")[0] for name in _imported(files)), contents)]


def encoder_origin(bound: Bound, contents: Contents) -> list[str]:
    """Of an encoder: its code, and the files that its parameters name; then of its parts, in their order."""
    files = [(f"{name}/{below}", path) for name, where in files_of(bound).items() for below, path in files_below(where)]
    module = bound.spec.factory.partition(":")[0]
    top = module.partition(".")[0]
    if bound.use.startswith("file:"):
        own, packages = beside(Path(bound.distribution)), {top}
    else:
        own, packages = [], {*packages_of(bound.distribution, top)}
    packages = packages - _NO_NUMBERS
    modules, others = reached({module, *_imported(own)}, packages | _of_plugins())
    python = {module_file(name) for name in modules}
    python |= _of_functional(_imported([*((name, path) for name in modules if (path := module_file(name))), *own]))
    whole = {name.partition(".")[0] for name in modules if runs_unseen_code(name)}
    for top in sorted(packages | {name.partition(".")[0] for name in modules} | {"sere_core"}):
        for below, path in (each for root in folders_of(top) for each in files_below(root)):
            if path in python or top in whole or (path.suffix != ".py" and top != "sere_core"):
                files.append((f"{top}/{below}", path))
    inner = [encoder_origin(part, contents) for parts in bound.parts.values() for part in parts]
    return [digest_of(sorted([*files, *own]), contents), *_libraries(others, contents), *(line for lines in inner for line in lines)]


def _imported(files: Iterable[tuple[str, Path]]) -> set[str]:
    """What those of the files import that are Python; relative imports stay among them."""
    found = set[str]()
    for _, path in files:
        if path.suffix == ".py":
            with contextlib.suppress(OSError):
                found |= _imported_by(path.read_bytes())
    return {name for name in found if name.partition(".")[0]}


def _of_functional(names: Iterable[str]) -> set[Path | None]:
    """The files of the engine's functions behind these imports: all, where names come from the package as a whole."""
    waiting, found = {name for name in names if name.partition(".")[0] == "sere_core"}, set[Path | None]()
    if _FUNCTIONAL in waiting:
        return {path for root in folders_of("sere_core") for path in (root / "functional").glob("*.py")}
    while waiting:
        path = module_file(waiting.pop())
        if path is not None and path.parent.name == "functional" and path not in found:
            found.add(path)
            waiting |= {name for name in _imported([("", path)]) if name.startswith(f"{_FUNCTIONAL}.")}
    return found


@functools.lru_cache(maxsize=256)
def _imported_by(source: bytes) -> frozenset[str]:
    """None where it is no Python."""
    with contextlib.suppress(SyntaxError, ValueError, RecursionError):
        return frozenset(imports(ast.parse(source)))
    return frozenset()


@functools.cache
def _of_plugins() -> frozenset[str]:
    """The top-level packages that provide components: an encoder may be made of another's."""
    return frozenset(each.value.partition(":")[0].partition(".")[0] for each in installed_entries([])) - _NO_NUMBERS


def _libraries(names: Iterable[str], contents: Contents) -> list[str]:
    """Top-level packages with their versions; with their content where they are not installed but lie on the path, such as checkouts."""
    found = []
    for name in sorted({*names} - _NO_NUMBERS):
        files = [each for root in folders_of(name) if not _INSTALLED & {*root.parts} for each in files_below(root)]
        found.append(f"{name} {digest_of(files, contents) if files else _version(name)}")
    return found


@functools.cache
def _version(package: str) -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    if not folders_of(package):
        return ""
    return " ".join(map(importlib.metadata.version, importlib.metadata.packages_distributions().get(package, ())))
