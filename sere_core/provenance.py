"""What a component is made of: the packages of its code, the files that its parameters name, the commits of its models on a hub.

Found without importing any of it.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sere_core.config.validation import may_be_path
from sere_core.content import Contents, digest_of, files_below
from sere_registry import error
from sere_registry.files import expanded, is_hub_name, read_file

if TYPE_CHECKING:
    from sere_core.config.resolved import Bound

ENGINE = "sere"
_PACKAGES = ("sere", "sere_core", "sere_plugins", "sere_registry")


def code_digest(distribution: str, module: str, contents: Contents) -> str:
    """A digest of all files of a distribution's packages, found without importing them; "" where there are none.

    A version says what a distribution claims to be; this says what runs, in a development checkout too.

    Args:
        module: the top-level package of a factory: it counts where the metadata do not name it.
    """
    packages = packages_of(distribution, module)
    key = " ".join(packages)
    if key not in contents.packages:
        roots = [(name, root) for name in packages for root in folders_of(name)]
        files = sorted((f"{name}/{below}", path) for name, root in roots for below, path in files_below(root))
        contents.packages[key] = digest_of(files, contents) if files else ""
    return contents.packages[key]


@functools.cache
def packages_of(distribution: str, module: str) -> tuple[str, ...]:
    """The top-level packages of a distribution; an editable installation lists none of its files."""
    if distribution == ENGINE:
        return _PACKAGES
    named: set[str] = set()
    with contextlib.suppress(importlib.metadata.PackageNotFoundError, ValueError, OSError):
        about = importlib.metadata.distribution(distribution)
        named.update((about.read_text("top_level.txt") or "").split())
        named.update(each.parts[0].removesuffix(".py") for each in about.files or () if each.suffix == ".py")
    return tuple(sorted({*(name for name in named if name.isidentifier()), module}))


@functools.cache
def folders_of(module: str) -> tuple[Path, ...]:
    """Where a top-level package or module stands."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return ()
    if found is None:
        return ()
    if found.submodule_search_locations:
        return tuple(map(Path, found.submodule_search_locations))
    return (Path(found.origin),) if found.origin and Path(found.origin).is_file() else ()


def beside(file: Path) -> list[tuple[str, Path]]:
    """A file of components with the files beside it that it names: modules and packages that it imports, data that it opens.

    And what these name in turn; of a folder that is named, the files below it that are named, too.
    """
    found, waiting, named = {file.name: file}, [file], set[str]()
    while waiting:
        names = _named(waiting.pop())
        named |= names
        for path in [file.parent / name for name in names if name.endswith("/") or (file.parent / name).is_file()]:
            for _, each in files_below(path):
                name = os.path.relpath(each, file.parent)
                waiting += [each] if each.suffix == ".py" and name not in found else []
                found[name] = each
    for folder in (file.parent / name for name in sorted(named) if Path(name).name == name and (file.parent / name).is_dir()):
        found |= {os.path.relpath(each, file.parent): each for name in named for each in [folder / name] if each.is_file()}
    return sorted(found.items())


def _named(file: Path) -> set[str]:
    """What a source file may name of the files and folders beside it."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return set()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {f"{alias.name.partition('.')[0]}{suffix}" for alias in node.names for suffix in ("/", ".py")}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module.partition('.')[0]}{suffix}" for suffix in ("/", ".py")}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) < 200 and "\0" not in node.value:
            names.add(node.value.rstrip("/"))
    return {name for name in names if name.isprintable() and name not in ("", ".", "..")}


def hub_commits(bound: Bound) -> dict[str, str]:
    """Of a component's models that are names on the Hugging Face hub, at a `revision`: their parameter -> the commit.

    It is the commit that this machine's cache holds, whose files a run takes, or else the one that the hub would send now; where there is
    no hub to ask, and so no model either, it is left out.

    Raises:
        SereError: X703 for what can be no such name, and stands nowhere on this machine.
    """
    fields = type(bound.params).model_fields
    if "revision" not in fields:
        return {}
    values = bound.params.model_dump()
    revision = str(values["revision"] or "main")
    models = {name: values[name] for name, field in fields.items() if may_be_path(field) and name not in bound.written}
    named = {name: model for name, model in models.items() if isinstance(model, str)}
    for model in named.values():
        if not is_hub_name(model):
            what = f"{bound.full_name}: there is no folder {model!r}, and it cannot be a name on the Hugging Face hub"
            raise error("X703", what, "give a local folder with the model's files", bound.place)
    return {name: commit for name, model in named.items() if (commit := _cached_commit(model, revision) or _hub_commit(model, revision))}


def _cached_commit(model: str, revision: str) -> str:
    """Of the revision of a model, as this machine's cache of the hub has it; "" where it has none."""
    home = expanded(os.environ.get("HF_HUB_CACHE") or os.path.join(os.environ.get("HF_HOME") or "~/.cache/huggingface", "hub"))
    folder = home / f"models--{model.replace('/', '--')}"
    if (folder / "snapshots" / revision).is_dir():
        return revision
    with contextlib.suppress(OSError, ValueError):
        return read_file(folder / "refs" / revision, 100).decode("ascii").strip()
    return ""


@functools.cache
def _hub_commit(model: str, revision: str) -> str:
    """Of the revision of a model, as the hub has it now; "" where it cannot be asked, or has none."""
    from huggingface_hub import HfApi

    try:
        return HfApi().model_info(model, revision=revision, timeout=5).sha or ""
    except Exception:  # whatever the client or the network raises; whoever fetches the model says what is wrong
        return ""


def files_of(bound: Bound) -> dict[str, Path]:
    """The parameters that name something on this machine, at any depth."""
    written = {name: expanded(str(getattr(bound.params, name))) for name in bound.written}
    return {name: expanded(path) for name, path in _paths(bound.params.model_dump(by_alias=True), "")} | written


def _paths(value: object, name: str) -> Iterator[tuple[str, Path]]:
    if isinstance(value, Path):
        yield name, value
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, part in items:
        yield from _paths(part, f"{name}.{key}" if name else str(key))
