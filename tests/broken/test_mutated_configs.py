"""1,000 configs and comparisons with something odd in them: each is refused in coded lines, or honoured; none hangs.

Of a mutation that is accepted, the value must stand in the resolved config: nothing is dropped in silence.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from sere_core.cli import main
from sere_core.config.files import bundled

SECONDS = 20
#: YAML text of a value, as a user might write it
VALUES = [
    "",
    "null",
    "[]",
    "{}",
    "x",
    "-1",
    "0",
    "1e308",
    "-1e308",
    ".inf",
    "-.inf",
    ".nan",
    "9" * 25,
    "9" * 400,
    "0.5",
    "true",
    "yes",
    "''",
    "[1, 2]",
    "{a: 1}",
    "[[[[[[]]]]]]",
    "[" * 60 + "]" * 60,
    "[" * 3000 + "]" * 3000,
    '"a\\0b"',
    '"=1+1"',
    "'é\u202e\U0001f600'",
    "~",
    "~/x",
    "~nobody-here/x",
    "/dev/zero",
    "/dev/stdin",
    "/proc/self/mem",
    "pipe",
    "folder",
    "../..",
    ".",
    "/",
    "x" * 5000,
    "'a/b'",
    "'a\\b'",
    "${vars.x}",
    "${vars.loop}",
    "${env:HOME}",
    "${env:NOT_SET}",
    "${env:}",
    "${",
    "${name}",
    "'${vars.x}${vars.x}'",
    "!!python/name:os.system x",
    "!!python/object/apply:os.system [touch canary]",
    "!!binary aGk=",
    "!!set {a, b}",
    "!!float 3",
    "&a [*a]",
    "*nowhere",
    "{<<: {a: 1}}",
    "{a: 1, a: 2}",
    "'file:canary.py:SPEC'",
    "'file:./canary.py'",
    "'file:pipe:SPEC'",
    "'file:/dev/zero:SPEC'",
    "{use: 'file:canary.py:SPEC'}",
    "0x10",
    "010",
    "1_000",
    "1:30",
    "2001-01-01",
    "|\n  text",
    "'sere.tric'",
    "tric",
    "synthetic",
    "cpu",
    "all",
    "shared",
    "speakers",
]
#: lines that are put somewhere
LINES = [
    "extends: loop.yaml",
    "extends: [pipe]",
    "extends: /dev/zero",
    "extends: folder",
    "extends: [1, {a: 2}]",
    "<<: {epochs: 3}",
    "sere: 2",
    "sere: one",
    "vars: {x: '${vars.x}', loop: '${vars.loop}'}",
    "task: null",
    "nonsense: 1",
    "losses: {}",
    "hooks: {h: {use: 'file:canary.py:SPEC'}}",
    "compare: x",
    "base: loop.yaml",
    "tune: {select: 'file:canary.py:SPEC'}",
    "rows: {a: {losses: {adapt: {use: 'file:canary.py:SPEC'}}}}",
    "---",
    "%YAML 3.0",
    "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: &d [*c, *c]\ne: [*d, *d]",
    "output: {dir: /dev/null}",
    "output: {dir: pipe}",
    "\t- tab",
    "? {a: 1}\n: 2",
]


def paths(data: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path for key, child in children for path in ((*above, key), *paths(child, (*above, key)))]


def mutated(text: str, chance: random.Random) -> tuple[str, tuple[Any, ...], str]:
    """The text of a config with something odd in it; where one value was replaced, its path and the new value's YAML."""
    if chance.random() < 0.2:
        line = chance.choice(LINES)
        return (f"{text}\n{line}\n" if chance.random() < 0.5 else f"{line}\n{text}"), (), ""
    data, mark = yaml.safe_load(text), "MUTATED_HERE"
    path = chance.choice(paths(data))
    where: Any = data
    for key in path[:-1]:
        where = where[key]
    if chance.random() < 0.1 and isinstance(where, dict):  # a misspelt, odd or nested key
        where[chance.choice(["losess", "", "use", "é" * 300, "a.b", "=1", "<<"])] = where.pop(path[-1])
        return yaml.safe_dump(data, sort_keys=False), (), ""
    value = chance.choice(VALUES)
    where[path[-1]] = mark
    written = yaml.safe_dump(data, sort_keys=False, width=10_000)
    return written.replace(mark, value.replace("\n", "\n" + " " * 40), 1), path, value


def honoured(path: tuple[Any, ...], value: str, text: str) -> bool:
    """Is the value at that place of the shown config what was written there, or what it means?"""
    try:
        wanted, shown = yaml.safe_load(value), json.loads(text)["config"]
    except (yaml.YAMLError, ValueError, RecursionError):
        return True
    if isinstance(wanted, (dict, list, type(None))) or "${" in value or path[0] in ("vars", "extends", "sere"):
        return True  # merged, taken away, or replaced
    for key in path:
        if isinstance(shown, dict) and key not in shown:
            return False
        shown = shown[int(key)] if isinstance(shown, list) else shown[key]
    if isinstance(shown, dict):  # a short form, as `select: NAME`
        return wanted in shown.values()
    if isinstance(shown, float):
        return isinstance(wanted, (int, float)) and shown == float(wanted)
    if isinstance(shown, str) and os.path.isabs(shown.removeprefix("file:")):
        return True  # a path, shown whole
    return shown == wanted or (isinstance(shown, str) and str(wanted).removeprefix("./") in shown)


def tried(words: list[str], folder: Path, out: Path) -> tuple[str, str]:
    """How a command ends in a child of its own: "ok", "refused", "traceback" or "hang"; and what it printed."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.chdir(folder)
            os.environ |= {"SERE_DATA": "/nowhere", "SERE_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
            descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(descriptor, stream)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))  # which kills
            signal.alarm(6 * SECONDS)  # and so does this, of what waits
            code = main(words)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 98
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    text = out.read_text(errors="replace")
    if os.WIFSIGNALED(status):
        return "hang" if os.WTERMSIG(status) in (signal.SIGALRM, signal.SIGXCPU, signal.SIGKILL) else "killed", text
    code = os.WEXITSTATUS(status)
    lines = [line for line in text.splitlines() if line and not line.startswith((" ", "warning:"))]
    coded = any("[T507]" in line for line in lines)
    if code >= 98 or "Traceback" in text or coded:
        return "traceback", text
    return ("ok" if code == 0 else "refused" if any("[" in line and "]" in line for line in lines) else "silent"), text


def run(count: int, seed: int, folder: Path, names: Sequence[str]) -> Counter[str]:
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "loop.yaml").write_text("extends: [mutated.yaml]\nsere: 1\n")
    (folder / "canary.py").write_text(f"open({str(folder / 'canary')!r}, 'w').close()\n")
    for words in (["config", "show"], ["run", "--dry-run"], ["compare", "--dry-run"]):  # children have what these import
        assert main([*words, "compare/small" if "compare" in words else "sere_default"]) == 0
    chance, counts = random.Random(seed), Counter[str]()
    for _ in range(count):
        original = bundled()[chance.choice(names)]
        whole = re.sub(r"(?<![\w/.])((?:\.\./)*[\w/]+\.yaml)", rf"{original.parent}/\1", original.read_text())
        text, path, value = mutated(whole, chance)
        (folder / "mutated.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
        comparison = "compare:" in original.read_text()
        words = ["compare", "mutated.yaml", "--dry-run"] if comparison else ["config", "show", "mutated.yaml", "--json"]
        for each in (words, *([] if comparison else [["run", "mutated.yaml", "--dry-run"]])):
            how, told = tried(each, folder, folder / "told")
            counts[how] += 1
            about = f"{original.name} {path} {value[:80]!r} {each[0]}: {how}\n{told[-1500:]}"
            assert how in ("ok", "refused"), about
            assert not (folder / "canary").exists(), f"imported a file: {about}"
            if how == "ok" and path and each[0] == "config":
                assert honoured(path, value, told[told.index("{") :]), f"dropped in silence: {about}"
    return counts


def test_some_mutated_configs(tmp_path: Path) -> None:
    counts = run(10, 1, tmp_path, ["sere_default", "real/emodb_to_emovo", "compare/small"])
    assert counts["refused"] > 5 and counts["ok"], counts


@pytest.mark.counts
@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_a_thousand_mutated_configs(seed: int, tmp_path: Path) -> None:
    counts = run(250, seed, tmp_path, sorted(bundled()))
    assert counts["refused"] > 125 and counts["ok"] > 5, counts
