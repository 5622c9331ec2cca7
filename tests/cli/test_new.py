"""The packages that `sere plugins new` writes: they build, are found, and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sere_core.cli import main
from sere_core.cli.new_plugin import _bounds, write
from sere_registry.kinds import GROUPS

RUN = ("loss", "encoder", "resonance")
BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
CALL = """\
import json, sys
from sere_core.cli import main
from sere_core.cli import run_main
for words in json.loads(sys.argv[1]):
    command = run_main if words[0] == "RUN" else main
    code = command(words[1:] if words[0] == "RUN" else words)
    assert code == 0, (words, code)
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """kind -> the folder of a new package."""
    into = tmp_path_factory.mktemp("new")
    return {kind: write(kind, f"new_{kind}", "first_try", into) for kind in GROUPS}


@pytest.fixture(scope="module")
def site(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them, built as wheels and unpacked as pip would."""
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    for folder in packages.values():
        made = subprocess.run([sys.executable, "-c", BUILD, str(wheels)], cwd=folder, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
    for wheel in wheels.glob("*.whl"):
        names = zipfile.ZipFile(wheel).namelist()
        assert {name.partition("/")[0].partition("-")[0] for name in names} == {wheel.name.partition("-")[0]}, "nothing generic"
        zipfile.ZipFile(wheel).extractall(site)
    return site


def call(site: Path, commands: list[list[str]], cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "SERE_CACHE": str(site / "cache")}
    return subprocess.run(
        [sys.executable, "-c", CALL, json.dumps(commands)], cwd=cwd, env=environ, capture_output=True, text=True, timeout=300
    )


def test_all_kinds_are_found_and_their_examples_are_right(packages: dict[str, Path], site: Path, tmp_path: Path) -> None:
    checks = [["config", "check", str(folder / "example.yaml")] for folder in packages.values()]
    infos = [["plugins", "info", f"new_{kind}.first_try", "--kind", kind] for kind in packages]
    done = call(site, [["plugins", "doctor"], *checks, *infos], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": ok (digest ") == len(packages) and " 0 broken" in done.stdout and "warning" not in done.stderr


def test_they_run_as_they_are(packages: dict[str, Path], site: Path, tmp_path: Path) -> None:
    done = call(site, [["RUN", str(packages[kind] / "example.yaml"), "--set", f"output.dir={kind}"] for kind in RUN], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for kind in RUN:
        (manifest,) = tmp_path.glob(f"{kind}/*/manifest.json")
        assert f"new_{kind}.first_try" in (manifest.parent / "config.yaml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kind", GROUPS)
def test_their_own_tests_pass_in_a_place_of_their_own(kind: str, packages: dict[str, Path], site: Path, tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(packages[kind] / "tests")]
    done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_specs_import_neither_torch_nor_numpy(packages: dict[str, Path], site: Path) -> None:
    script = "; ".join(f"import sere_plugin_new_{kind}.specs" for kind in packages)
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\nimport sys; print('torch' in sys.modules or 'numpy' in sys.modules)"],
        env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "False"


def test_the_folders_of_the_example_stand_beside_it(packages: dict[str, Path], site: Path, tmp_path: Path) -> None:
    script = "import sys; from sere_core.config import load; print(load(sys.argv[1]).components['corpora.xa'].params.root)"
    words = [sys.executable, "-c", script, str(packages["corpus"] / "example.yaml")]
    environ = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(packages["corpus"] / "data" / "source")


def test_the_package_is_whole(packages: dict[str, Path]) -> None:
    import tomllib

    for kind, folder in packages.items():
        project = tomllib.loads((folder / "pyproject.toml").read_text())
        assert project["build-system"]["build-backend"] == "hatchling.build"
        assert project["project"]["dependencies"] == ["sere>=0.1,<0.2"]
        assert list(project["project"]["entry-points"]) == [GROUPS[kind]]  # type: ignore[index]
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        package = f"src/sere_plugin_new_{kind}"
        mine = {"README.md", ".github/workflows/ci.yml", "tests/test_conformance.py"}
        assert mine | {f"{package}/specs.py", f"{package}/first_try.py"} <= names
        assert f'check_component("{kind}", "new_{kind}.first_try"' in (folder / "tests/test_conformance.py").read_text()
        for path in folder.rglob("*.py"):
            compile(path.read_text(), str(path), "exec")
            assert "$" not in path.read_text()


def test_the_command_says_what_it_wrote_and_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "new", "xyz.focal", "--kind", "loss", "--into", str(tmp_path), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["name"] == "xyz.focal" and "src/sere_plugin_xyz/focal.py" in about["files"]
    specs = tmp_path / "sere-plugin-xyz" / "src" / "sere_plugin_xyz" / "specs.py"
    specs.write_text("mine")
    assert main(["plugins", "new", "xyz.focal", "--kind", "loss", "--into", str(tmp_path)]) == 2
    assert "[C304]" in capsys.readouterr().err and specs.read_text() == "mine"


NO_NAMES = [
    "../x", "x/y", "/etc", "x.y.z", "X.y", "-x", "sere-plugin-", "", ".", "x.", ".x", "1x", "class", "x.import", "x.specs", "ä.x", "x;y",
    "x\ny", "x" * 50,
]  # fmt: skip


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_that_are_no_names(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "new", "--kind", "loss", "--into", str(tmp_path / "deep"), "--", name]) == 2
    assert capsys.readouterr().err.startswith("[C302]") and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("xyz.focal", "xyz.focal"),
        ("focal", "focal.focal"),
        ("sere-plugin-xyz", "xyz.xyz"),
        ("sere_plugin_my_loss", "my_loss.my_loss"),
        ("my-group.far-focal", "my_group.far_focal"),
        ("sere-plugin-xyz.focal", "xyz.focal"),
    ],
)
def test_a_name_is_a_component_s_or_a_distribution_s(name: str, full: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "new", name, "--kind", "loss", "--into", str(tmp_path), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["name"] == full and Path(about["folder"]).name == f"sere-plugin-{full.partition('.')[0].replace('_', '-')}"


@pytest.mark.parametrize(("kind", "name"), [("resonance", "resonance"), ("view", "frames"), ("method", "stage"), ("encoder", "tensor")])
def test_a_class_hides_nothing_that_its_file_imports(kind: Any, name: str, tmp_path: Path) -> None:
    import ast

    package = write(kind, "xyz", name, tmp_path) / "src" / "sere_plugin_xyz"
    tree = ast.parse((package / f"{name}.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    (made,) = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert made not in imported and f"sere_plugin_xyz.{name}:{made}" in (package / "specs.py").read_text()


def test_the_namespace_of_sere_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "new", "sere.focal", "--kind", "loss", "--into", str(tmp_path)]) == 2
    assert "[R204]" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["plugins", "new", "xyz.focal", "--kind", "loss", "--into", str(tmp_path / "file" / "deep")]) == 4
    assert "[X704]" in capsys.readouterr().err


def test_bounds_reach_to_the_next_breaking_version() -> None:
    assert _bounds("0.1.0") == ">=0.1,<0.2" and _bounds("1.4.2") == ">=1.4,<2"
