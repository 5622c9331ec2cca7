"""What the guides show is what happens: their files are written, their configs resolved, their commands run, in order."""

from __future__ import annotations

import ast
import csv
import shlex
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sere_core.cli import compare, main, run_main
from sere_core.compare.plan import ComparePlan
from sere_core.config import load
from sere_registry import Kind
from sere_registry.catalog import Catalog
from tests.compare.tiny import Here
from tests.docs.pages import Block, blocks, fences

#: commands that a guide may show and that are not run here: they install, or test a package of the reader's
SHOWN_ONLY = ("pip install ", "cd ", "pytest", "sere plugins check", "python -m build")
PAGES = ("confidence.md", "config.md", "plugins.md", "predict.md", "sweeps.md")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in; modules that a guide installs are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SERE_GUIDE_EPOCHS", "2")
    monkeypatch.setattr(compare, "executor_of", lambda planned: Here())
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("sere_plugin_", "sere_local_")):
            del sys.modules[name]


@pytest.mark.parametrize("page", [pytest.param(page, marks=pytest.mark.slow if page == "sweeps.md" else ()) for page in PAGES])
def test_a_guide_does_what_it_says(page: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert fences(page) == 2 * len(list(blocks(page))), "a block is not closed, or indented"
    said = ""
    for block in blocks(page):
        where = f"docs/{page}:{block.line}"
        if block.role == "file":
            path = home / block.about
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            if path.name == "pyproject.toml":
                install(path, monkeypatch)
            elif path.suffix == ".py":
                ast.parse(block.text, where)
                for kind, attribute in specs(block.text):
                    load_component(path, kind, attribute)
            elif path.suffix in (".yaml", ".yml") and "compare:" not in block.text:
                load(path)
        elif block.role == "resolves":
            assert contains(yaml.safe_load(load(block.about).dump()), yaml.safe_load(block.text)) == "", where
        elif block.role == "leaves":
            (job,) = (home / block.about).iterdir()
            assert not [name for name in block.text.split() if not (job / name).is_file()], where
        elif block.role == "answers":
            assert block.text in said, f"{where}: {said}"
        elif block.language == "sh":
            said = "".join(shell(line, where, capsys) for line in block.text.splitlines())
        else:
            assert block.language == "text", f"{where}: a block of {block.language or 'nothing'} that no test looks at"
    if page == "predict.md":
        check_predictions(home)
    if page == "sweeps.md":
        left = {path.name for path in (home / "runs" / "small-tuned").iterdir()}
        assert left >= {"trials.json", "chosen.json", "plan.json", "jobs", "records"}
        rows = ComparePlan.read(home / "runs" / "small-tuned").rows
        assert {row.tuning for row in rows if row.role != "ceiling"} == {"random search, 2 trials, sere.information_max, 2 repeats"}


def check_predictions(home: Path) -> None:
    """What the page says of its outputs."""
    rows, sure, table = (list(csv.DictReader((home / name).open())) for name in ("predictions.csv", "sure.csv", "table.csv"))
    assert len(rows) == 11 + 14 + 1 and [row["path"] for row in rows if row["error"]] == ["calls/broken.wav"]
    assert len((home / "long.jsonl").read_text().splitlines()) == 6
    assert all(bool(row["prediction"]) == (not row["error"] and float(row["confidence"]) >= 0.6) for row in sure)
    stored, new = "speaker anna (stored)", "speaker somebody new"
    assert [row["statistics"] for row in table] == [stored, stored, stored, new, new]


def shell(line: str, where: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run one command line of a guide; what it says.  `# exit 2` behind it is what it must answer."""
    command, _, comment = line.partition(" # exit ")
    if command.startswith(SHOWN_ONLY):
        return ""
    program, *words = shlex.split(command, comments=True)
    with pytest.MonkeyPatch.context() as patch:
        while "=" in program:  # NAME=value sere-run ...
            patch.setenv(*program.split("=", 1))
            program, *words = words
        capsys.readouterr()
        if program == "python":
            exec(compile(Path(words[0]).read_text(encoding="utf-8"), words[0], "exec"), {"__name__": "__main__"})
            code = 0
        else:
            assert program in ("sere", "sere-run"), f"{where}: {command}"
            code = {"sere": main, "sere-run": run_main}[program](words)
    told = capsys.readouterr()
    assert code == int(comment or 0), f"{where}: {command}\n{told.out}{told.err}"
    return told.out + told.err


def specs(text: str) -> Iterator[tuple[Kind, str]]:
    """The kind and the name of each `NAME = ComponentSpec(kind=..., ...)` at the top of a file."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "ComponentSpec":
            (name,) = (each.id for each in node.targets if isinstance(each, ast.Name))
            (kind,) = (ast.literal_eval(each.value) for each in node.value.keywords if each.arg == "kind")
            yield kind, name


def load_component(path: Path, kind: Kind, attribute: str) -> None:
    """Import a component of a guide as a config would, its factory too; a package's specs are imported from where it is installed."""
    if "src" not in path.parts:
        assert callable(Catalog().find(kind, f"file:{path}:{attribute}").spec.load())


def install(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `pip install -e` would leave: the metadata of the distribution, and its code on the path."""
    about = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    site = project.parent / "installed"
    info = site / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir(parents=True)
    requires = "".join(f"Requires-Dist: {each}\n" for each in about["dependencies"])
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n{requires}")
    points = [(f"[{group}]", *(f"{name} = {value}" for name, value in found.items())) for group, found in about["entry-points"].items()]
    (info / "entry_points.txt").write_text("\n".join(line for group in points for line in group))
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.syspath_prepend(str(project.parent / "src"))


def contains(whole: Any, part: Any, path: str = "") -> str:
    """Where `part` is not in `whole`, "" if it is; every leaf of `part` must be there, and `losses` must be the same ids."""
    if not isinstance(part, Mapping):
        return "" if whole == part else f"{path}: {whole!r}, not {part!r}"
    if not isinstance(whole, Mapping):
        return f"{path}: {whole!r} is not a mapping"
    if path == ".losses" and set(whole) != set(part):
        return f"{path}: {sorted(whole)}"
    for name, child in part.items():
        wrong = f"{path}.{name} is missing" if name not in whole else contains(whole[name], child, f"{path}.{name}")
        if wrong:
            return wrong
    return ""


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_code_is_looked_at(page: str) -> None:
    found = list(blocks(page))
    unseen = [block for block in found if block.language in ("python", "yaml", "toml") and not block.role]
    assert found and not unseen, [f"docs/{page}:{block.line}" for block in unseen]


def test_a_block_that_is_wrong_is_found() -> None:
    assert contains({"a": {"b": 1}, "c": 2}, {"a": {"b": 1}}) == ""
    assert contains({"a": {"b": 1}}, {"a": {"b": 2}}) == ".a.b: 1, not 2"
    assert contains({"losses": {"x": {}, "y": {}}}, {"losses": {"x": {}}}) == ".losses: ['x', 'y']"
    assert Block("file", "a.py", "python", "", 1) not in list(blocks("config.md"))
