"""Finding and reading config files: those of the user, and those that come with sere."""

from __future__ import annotations

import os
from pathlib import Path

import sere_core
from sere_registry.errors import Place, error, suggest

MAX_BYTES = 1_000_000
_SUFFIXES = (".yaml", ".yml")


def bundled() -> dict[str, Path]:
    """The configs that come with sere: name without suffix ("sere_default", "tables/table1") -> file."""
    package = Path(sere_core.__file__).parent
    folders = [package / "configs"]
    if (package.parent / "pyproject.toml").is_file():  # a checkout, not site-packages
        folders.append(package.parent / "configs")
    found: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if file.suffix in _SUFFIXES:
                found.setdefault(file.relative_to(folder).with_suffix("").as_posix(), file)
    return found


def find(name: str, folder: Path, place: Place) -> Path:
    """The file that `name` means: below `folder`, or the bundled one.

    Raises:
        SereError: C304.
    """
    if not name.strip():
        raise error("C304", "the name of the config is empty", _hint(name), place)
    path = folder / Path(name)
    try:
        if path.is_dir() and not name.endswith(_SUFFIXES) and _bare(name) in bundled():
            return bundled()[_bare(name)]
        if path.is_dir():
            raise error("C304", f"'{name}' is a folder, not a config file", _hint(name), place)
        if path.exists():
            return path
    except (OSError, ValueError) as cause:
        raise error("C304", f"'{name}' cannot be read: {getattr(cause, 'strerror', None) or cause}", "", place) from None
    known = bundled()
    if _bare(name) in known:
        return known[_bare(name)]
    raise error("C304", f"there is no config file '{name}'", _hint(name), place)


def shown(path: Path) -> str:
    """How messages name the file: relative to the working directory where it lies below that."""
    here = os.path.relpath(path) if path.is_absolute() else os.path.normpath(path)
    return str(path) if here.startswith("..") and path.is_absolute() else here


def text_of(path: Path, place: Place) -> str:
    """The text of a config file.

    Raises:
        SereError: C304 (cannot be read), C310 (too large, or not UTF-8).
    """
    name = shown(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as cause:
        raise error("C304", f"'{name}' cannot be read: {getattr(cause, 'strerror', None) or cause}", "", place) from None
    if len(data) > MAX_BYTES:
        raise error("C310", f"the file is larger than {MAX_BYTES // 1_000_000} MB; that is not a config", "", Place(name))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        before = data[: cause.start]
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        spot = Place(name, before.count(b"\n") + 1, column)
        message = f"the file is not UTF-8 text: byte 0x{data[cause.start]:02x}"
        raise error("C310", message, "save it with the encoding UTF-8", spot) from None


def _bare(name: str) -> str:
    """A bundled config's name, as `sere_default`, `sere_default.yaml` or `configs/sere_default.yaml`."""
    path = Path(name)
    bare = path.with_suffix("") if path.suffix in _SUFFIXES else path
    return bare.as_posix().removeprefix("./").removeprefix("configs/")


def _hint(name: str) -> str:
    return suggest(_bare(name), bundled(), "configs that come with sere")
