"""The house: imports point one way, and what is built to be installed holds what it should and nothing else."""

from __future__ import annotations

import ast
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {"sere_registry": ROOT / "registry", "sere_core": ROOT, "sere_plugins": ROOT / "plugins", "sere": ROOT}


def imports(package: str, folder: str = "") -> Iterator[tuple[str, str]]:
    """(file, imported module) of every import statement of a package, those within functions too."""
    base = FLOORS[package]
    files = sorted((base / package / folder).rglob("*.py"))
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = path.relative_to(ROOT).as_posix()
            if isinstance(node, ast.Import):
                yield from ((name, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name}: relative imports hide where a module stands"
                assert node.module is not None
                yield name, node.module
                yield from ((name, f"{node.module}.{alias.name}") for alias in node.names)


def under(module: str, *packages: str) -> bool:
    """Is the module one of these, or below one?"""
    return any(module == package or module.startswith(package + ".") for package in packages)


def test_the_registry_imports_neither_torch_nor_numpy_nor_what_stands_above_it() -> None:
    above = ("sere_core", "sere_plugins")
    assert not [each for each in imports("sere_registry") if under(each[1], *above)]
    heavy = ("torch", "numpy", "transformers", "librosa", "torchcrepe")
    script = "import sere_registry, sys, pkgutil, importlib\n"
    script += "for each in pkgutil.walk_packages(sere_registry.__path__, 'sere_registry.'):\n    importlib.import_module(each.name)\n"
    script += "print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not [module for module in loaded if under(module, *heavy, *above)]


#: the engine's rooms from the ground up; none imports one that stands after it
ROOMS = (
    *("rng", "functional", "console", "hookbus", "tables", "config", "features", "data", "score"),
    *("plan", "train", "run", "picture", "compare", "api", "testing", "cli"),
)


def test_no_import_of_the_engine_runs_up() -> None:
    def room(module: str) -> int:
        parts = module.replace("/", ".").removesuffix(".py").split(".")
        return ROOMS.index(parts[1]) if len(parts) > 1 and parts[1] in ROOMS else -1

    up = [each for each in imports("sere_core") if under(each[1], "sere_core") and room(each[0]) >= 0 and room(each[1]) > room(each[0])]
    assert not up


def test_the_engine_never_imports_plugins() -> None:
    assert not [each for each in imports("sere_core") if under(each[1], "sere_plugins")]


def test_plugins_import_of_the_engine_only_its_public_part() -> None:
    allowed = ("sere_core.public", "sere_core.functional")
    assert not [each for each in imports("sere_plugins") if under(each[1], "sere_core") and not under(each[1], *allowed)]


def test_the_api_re_exports_and_nothing_below_imports_it() -> None:
    assert not [each for each in imports("sere") if not under(each[1], "__future__", "typing", "sere_core", "sere_registry")]
    assert not [each for name in ("sere_registry", "sere_core", "sere_plugins") for each in imports(name) if under(each[1], "sere")]
    script = "import sere, sys; assert all(hasattr(sere, name) for name in ('run', 'Record')); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not [module for module in loaded if under(module, "torch", "matplotlib", "transformers", "sere_plugins")]


def test_specs_import_next_to_nothing() -> None:
    allowed = ("__future__", "typing", "pathlib", "re", "collections", "pydantic", "sere_registry", "sere_plugins.specs")
    assert not [each for each in imports("sere_plugins", "specs") if not under(each[1], *allowed)]


def test_nothing_generic_reaches_site_packages() -> None:
    for folder in ("plugins", "registry", "configs", "tests"):
        assert not (ROOT / folder / "__init__.py").exists()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of this working tree."""
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "build", "--wheel", "--sdist", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_wheel_holds_four_packages_and_the_configs(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    (info,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops - {info} == {"sere", "sere_core", "sere_plugins", "sere_registry"}
    shipped = {name.removeprefix("sere_core/configs/") for name in names if name.startswith("sere_core/configs/")}
    assert shipped == {path.relative_to(ROOT / "configs").as_posix() for path in (ROOT / "configs").rglob("*.yaml")}
    assert {f"{package}/py.typed" for package in FLOORS} <= set(names)
    for package, base in FLOORS.items():
        assert {path.relative_to(base).as_posix() for path in (base / package).rglob("*.py")} <= set(names)


def test_the_sdist_holds_configs_and_tests(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "configs/sere_default.yaml", "configs/paper/BE.yaml", "tests/test_house.py"} <= names
    assert not {name for name in names if name.startswith(("runs/", ".venv/", ".git/"))}
