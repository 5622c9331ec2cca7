"""Packages whose import exits, hangs, crashes or meddles: listings say it in one line each, and list all others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sere_registry import probe

GOOD = """\
from sere_registry import ComponentSpec
SPEC = ComponentSpec(kind="loss", name="one", factory="builtins:dict", summary="a loss")
"""
#: what its spec module does -> what the line says beside the name of the distribution (a pattern)
BROKEN = {
    "sys.exit(0)": r"specs\.py:\d+.*SystemExit",
    "sys.exit('enough')": r"specs\.py:\d+.*SystemExit: enough",
    "raise KeyboardInterrupt": r"specs\.py:\d+.*KeyboardInterrupt",
    "raise GeneratorExit": r"specs\.py:\d+.*GeneratorExit",
    "raise StopIteration(1)": r"specs\.py:\d+.*StopIteration",
    "raise MemoryError": r"specs\.py:\d+.*MemoryError",
    "import asyncio; raise asyncio.CancelledError": r"specs\.py:\d+.*CancelledError",
    "raise ValueError('a\\nb\\x1b[31m')": r"specs\.py:\d+.*ValueError: a b \[31m",
    "raise ValueError('x' * 1_000_000)": r"specs\.py:\d+.*ValueError: x{290}",
    "class E(Exception):\n    def __str__(self): sys.exit(3)\nraise E": r"specs\.py:\d+.*: E",
    "class E(BaseException): pass\nraise E('own')": r"specs\.py:\d+.*E: own",
    "def f(): f()\nf()": r"specs\.py:\d+.*RecursionError",
    "while True: pass": r"takes longer.*specs\.py:\d+",
    "input()": r"specs\.py:\d+.*EOFError",
    "sys.stdin.read(); import time; time.sleep(999)": r"takes longer.*specs\.py:\d+",
    "import threading; threading.Event().wait()": r"takes longer.*specs\.py:\d+",
    "import ctypes; ctypes.string_at(0)": r"SIGSEGV.*specs\.py:\d+",
    "os._exit(0)": r"exit code 0",
    "os.abort()": r"SIGABRT.*specs\.py:\d+",
    "os.kill(os.getpid(), 9)": r"SIGKILL",
    "os.kill(os.getpid(), 15)": r"SIGTERM",
    "import ctypes; ctypes.CDLL(None)._exit(7)": r"exit code 7",
    "os.fork()": r"starts processes",
    "os.closerange(3, 4096)": r"ends the process|takes longer|Errno",
    "os.write(1, b'\\xff\\xfe' * 1000)": r"descriptor of stdout",
    "import nothing_of_that_name": r"specs\.py:\d+.*ModuleNotFoundError",
    "def": r"SyntaxError.*line \d",
    "del ComponentSpec": r"specs\.py:\d+.*NameError",
}
#: what does no harm, once it is put back or thrown away
HARMLESS = {
    "os.chdir('/')": "",
    "sys.stdout.buffer.write(bytes(range(256)) * 100); print('\\x00\\xff')": "",
    "sys.stdout = sys.stderr = open(os.devnull, 'w')": "",
}


def install(site: Path, number: int, body: str) -> None:
    """A distribution with a loss, as pip would lay it out."""
    package = f"made_up_{number}"
    files = {
        f"{package}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: made-up-{number}\nVersion: 1.0\n",
        f"{package}-1.0.dist-info/entry_points.txt": f"[sere.losses]\nmade{number}.one = {package}.specs:SPEC\n",
        f"{package}/__init__.py": "",
        f"{package}/specs.py": f"import os, sys\nfrom sere_registry import ComponentSpec\n{body}\n{GOOD.splitlines()[-1]}\n",
    }
    for name, content in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(content)


def sere(site: Path, *words: str, limit: float = 2.0) -> subprocess.CompletedProcess[bytes]:
    """A command beside these packages, in a folder of its own, its imports limited to some seconds."""
    code = f"import sys, sere_registry.probe as probe; probe.LIMIT = {limit}; from sere_core.cli import main; sys.exit(main(sys.argv[1:]))"
    environ = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *words], env=environ, cwd=site, capture_output=True, timeout=60, stdin=subprocess.PIPE
    )


def check(site: Path, bodies: list[str]) -> None:
    """Every broken package is one line in each listing, every other component is listed, and nothing else is printed."""
    for number, body in enumerate([*bodies, "pass"]):
        install(site, number, body)
    began = time.monotonic()
    listed = sere(site, "plugins")
    assert time.monotonic() - began < 30, "a listing waits once, not once for each package"
    text = listed.stdout.decode()
    assert listed.returncode == 0 and b"Traceback" not in listed.stderr + listed.stdout, listed.stderr
    assert re.search(r"loss +sere\.tric .* loaded", text) and re.search(rf"made{len(bodies)}\.one .* loaded", text)
    doctor = sere(site, "plugins", "doctor").stdout.decode()
    for number, body in enumerate(bodies):
        state = "loaded" if body in HARMLESS else "broken"
        assert re.search(rf"loss +made{number}\.one .* {state}", text), (body, text)
        for told in (text, doctor) if body in BROKEN else ():
            (line,) = [line for line in told.splitlines() if line.startswith("[P") and f"made-up-{number} " in line]
            assert re.search(BROKEN[body], line), (body, line)
            assert line.isprintable() and len(line) < 1000, body


def test_one_broken_package_hides_no_other(tmp_path: Path) -> None:
    check(tmp_path, ["sys.exit(0)", "while True: pass", "import ctypes; ctypes.string_at(0)", "os.chdir('/')"])


@pytest.mark.counts
def test_all_of_them_in_one_environment(tmp_path: Path) -> None:
    assert len(BROKEN) == 28
    check(tmp_path, [*BROKEN, *HARMLESS])


@pytest.mark.counts
@pytest.mark.parametrize("verb", ["info", "check"])
def test_what_names_a_package_imports_it_in_a_child_first(verb: str, tmp_path: Path) -> None:
    for body in ("while True: pass", "import ctypes; ctypes.string_at(0)"):
        install(tmp_path, 0, body)
        told = sere(tmp_path, "plugins", verb, "made0.one")
        said = (told.stdout + told.stderr).decode()
        assert told.returncode == 3 and "made-up-0" in said and "specs.py:" in said and "Traceback" not in said, said


def test_the_limit_leaves_time_for_imports_that_are_only_slow() -> None:
    assert probe.LIMIT >= 5
