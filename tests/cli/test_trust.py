"""`file:` is code: it is imported when a run that names it starts, and in a record only where the user says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import sere
from sere_core.cli import main
from sere_core.compare.grammar import Flags
from sere_core.compare.planning import plan_comparison
from sere_registry import SereError
from tests.small import SMALL

CONFIG = SMALL + 'hooks: {mine: {use: "file:USED:HOOK"}}\n'
COMPARISON = "sere: 1\ncompare: small\nbase: a.yaml\nvary: {losses.classify.weight: [1.0, 2.0]}\nbudget: {steps_per_epoch: 1}\n"
FILE = """\
import pathlib
from sere_registry import ComponentSpec
from sere_registry.hookspecs import hookimpl
pathlib.Path({canary!r}).write_text("imported")
class Hook:
    @hookimpl
    def sere_run_start(self, run): ...
def hook(params, context):
    return Hook()
HOOK = ComponentSpec(kind="hook", name="mine", factory=f"{{__name__}}:hook", summary="a hook")
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with configs, a file beside them and one outside; `canary` is there once either is imported."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SERE_CACHE", str(tmp_path / "cache"))
    for where in (folder, tmp_path):
        (where / "evil.py").write_text(FILE.format(canary=str(folder / "canary")))
    (folder / "link.py").symlink_to("../evil.py")
    (folder / "a.yaml").write_text(CONFIG.replace("USED", "./evil.py"))
    (folder / "b.yaml").write_text(CONFIG.replace("USED", "../evil.py"))
    (folder / "c.yaml").write_text(COMPARISON)
    (folder / "d.yaml").write_text(COMPARISON.replace("a.yaml", "b.yaml"))
    return folder


READING = [
    "config check {0}", "config show {0}", "config explain {0}", "config fill {0}", "config diff {0} {0}", "run {0} --dry-run",
    "run {0} --set train.epochs=no", "run {0} --set corpora.xa.params.emotions=[anger]", "run {0} --set losses.classify.use=gone",
    "compare {0} --vary losses.classify.weight=1,2 --set train.epochs=0 --yes", "compare {0} --dry-run",
]  # fmt: skip


@pytest.mark.parametrize("words", READING)
def test_what_does_not_start_a_run_imports_no_file(words: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for config in ("a.yaml", "b.yaml"):
        code = main(words.format(config).split())
        told = capsys.readouterr()
        assert (not (home / "canary").exists() and (code == 0) == ("run " not in words or "dry" in words)) or "--set" in words, told


@pytest.mark.parametrize("words", ["run {}.yaml", "compare {}.yaml --yes"])
def test_a_run_that_starts_imports_what_is_in_its_folder_and_says_so(
    words: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sere_core.cli.compare._run_missing", lambda *about: 0)
    inside, outside = ("a", "b") if "run" in words else ("c", "d")
    assert main(words.format(outside).split()) == 3
    told = capsys.readouterr().err
    assert "[P109]" in told and str(home.parent / "evil.py") in told and "--trust" in told and not (home / "canary").exists()
    for name, more in ((inside, []), (outside, ["--trust"])):
        assert main([*words.format(name).split(), *more]) == 0
        assert f"importing {(home if name == inside else home.parent) / 'evil.py'}" in capsys.readouterr().err
        assert (home / "canary").exists()
        forget(home)


def test_a_link_leads_outside_and_the_command_line_is_the_users_own_word(home: Path) -> None:
    assert main(["run", "a.yaml", "--set", "name=link", "--set", "hooks.mine.use=file:../evil.py:HOOK"]) == 0
    (home / "link.yaml").write_text(CONFIG.replace("USED", "./link.py").replace("small", "linked"))
    assert main(["run", "link.yaml"]) == 3
    with pytest.raises(SereError, match="P109"):
        sere.run("b.yaml", quiet=True)
    assert sere.run("b.yaml", quiet=True, trust=True).path.is_dir()
    assert sere.run(yaml.safe_load(CONFIG.replace("USED", str(home.parent / "evil.py"))), quiet=True).path.is_dir(), "a program names it"


def test_what_lies_in_a_record_is_as_far_as_outside(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "manifest.json").write_text("{}")  # a stranger's record, sent with its plugin
    for words in ("run a.yaml", "resonance a.yaml x y"):
        assert main(words.split()) == 3
        assert "[P109]" in capsys.readouterr().err and not (home / "canary").exists()


@pytest.mark.slow
def test_reading_a_record_imports_no_file_but_with_trust(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "a.yaml", "--quiet"]) == 0
    planned = plan_comparison("c.yaml", Flags())
    planned.write()
    for job in planned.configs:
        (planned.folder / "records" / job).mkdir(parents=True)
        (planned.folder / "records" / job / "done").write_text("{}")
    forget(home)
    record = next(home.glob("runs/*/done")).parent
    for command in ("report {} --quiet", "export {} -o model --quiet", "embeddings {} -o e.png", "table {}"):
        for folder in (record, planned.folder):
            main(command.format(folder).split())
            assert not (home / "canary").exists(), (command, folder)
    sere.read_record(record).tables()
    capsys.readouterr()
    assert main(["report", str(record), "--quiet", "--trust"]) == 0
    assert (home / "canary").exists() and str(home / "evil.py") in capsys.readouterr().err


def forget(home: Path) -> None:
    """As a new process would find it."""
    (home / "canary").unlink()
    for name in [name for name in sys.modules if name.startswith("sere_local_")]:
        del sys.modules[name]


def test_what_a_file_changes_of_torch_when_it_is_imported_is_put_back(home: Path) -> None:
    (home / "evil.py").write_text("import torch\ntorch.set_num_threads(3)\n" + FILE.format(canary=str(home / "canary")))
    script = """
from sere_core.config import load
from sere_core.plan import importing
load("a.yaml", catalog=importing(load("a.yaml")))
import torch
print(torch.get_num_threads())"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.stdout == "1\n" and "evil.py" in done.stderr
