"""A worker whose parent is killed ends, whatever it is doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT = """
import os, sys
from sere_registry.processes import Child
os.environ["HANG"] = sys.argv[1]
worker = Child(["-P", "-c", "import time; time.sleep(60)"])
print(worker.process.pid, flush=True)
sys.stdin.read()
"""
HANG = """
import ctypes, os, time
how = os.environ.get("HANG")
if how == "in C, with the interpreter's lock":
    ctypes.PyDLL(None).sleep(60)
elif how == "in an import":
    time.sleep(60)
"""


def runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", ["in C, with the interpreter's lock", "in an import", "waiting"])
def test_a_worker_ends_with_its_parent(how: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HANG)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    words = [sys.executable, "-c", PARENT, how]
    parent = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, cwd=tmp_path, text=True)
    assert parent.stdout is not None and parent.stdin is not None
    worker = int(parent.stdout.readline())
    time.sleep(1.0)
    assert runs(worker)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until = time.monotonic() + 5
    while runs(worker) and time.monotonic() < until:
        time.sleep(0.05)
    alive = runs(worker)
    if alive:
        os.kill(worker, signal.SIGKILL)
    parent.stdin.close()
    parent.stdout.close()
    assert not alive
