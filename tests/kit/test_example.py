"""The example plugin as a stranger meets it: both wheels in an environment of their own, listed, checked and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "sere-plugin-example"


def run(*words: object, cwd: Path, python: Path | None = None) -> str:
    """The stdout of a command that must succeed; with only `python`'s own environment to import from."""
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SERE_DISABLE", "SERE_NO_PLUGINS")}
    environ |= {"OMP_NUM_THREADS": "1", "SERE_CACHE": str(cwd / "cache")}
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, env=environ, timeout=300, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment `env` that holds both wheels, and the heavy dependencies of this one."""
    folder = tmp_path_factory.mktemp("stranger")
    for project in (ROOT, EXAMPLE):
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", project, cwd=folder)
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", *sorted((folder / "dist").glob("*.whl")), cwd=folder)
    # only the folder of packages: its .pth files, and with them the editable install of sere, take no part
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    (site / "heavy.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    where = run(python, "-c", "import sere_core, sere_plugins, sere_example; print(sere_core.__file__, sere_plugins.__file__)", cwd=folder)
    assert where.count(str(site)) == 2, where
    return folder


@pytest.mark.slow
def test_it_is_listed_checked_and_run(home: Path) -> None:
    sere, sere_run = home / "env" / "bin" / "sere", home / "env" / "bin" / "sere-run"
    listed = json.loads(run(sere, "plugins", "--json", cwd=home))["components"]
    mine = {row["name"]: row["state"] for row in listed if row["distribution"] == "sere-plugin-example"}
    assert mine == {"example.mmd": "loaded", "example.chamfer": "loaded", "example.envelope": "loaded"}

    told = json.loads(run(sere, "plugins", "check", "sere-plugin-example", "--json", cwd=home))
    assert told["passed"] and len(told["components"]) == 3
    assert all(check["passed"] is True for row in told["components"] for check in row["checks"])

    quick = EXAMPLE / "examples" / "quick.yaml"
    run(sere_run, quick, cwd=home)
    run(sere_run, quick, "--set", "losses.chain={use: tric}", "--set", "output.dir=beside", cwd=home)
    (alone,), (beside,) = (list(folder.glob("**/manifest.json")) for folder in (home / "runs", home / "beside"))
    assert "sere-plugin-example" in alone.read_text()
    assert {"example.mmd", "sere.tric"} <= {one["name"] for one in json.loads(beside.read_text())["components"]}


@pytest.mark.slow
def test_its_own_tests_pass(home: Path) -> None:
    """Those of its loss: that the others conform has been checked above."""
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "-k", "values or mmd")
    run(home / "env" / "bin" / "python", *words, "--rootdir", EXAMPLE, EXAMPLE / "tests", cwd=home)
