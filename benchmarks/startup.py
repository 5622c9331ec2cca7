"""How long commands take to start, alone and beside ten made-up plugins: `python benchmarks/startup.py [ROUNDS]`.

Printed are medians of wall and of processor seconds; `import pydantic` is the floor of every listing.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

CALL = "import sys; from sere_core.cli import main; sys.exit(main(sys.argv[1:]))"
COMMANDS = {
    "python -c pass": ["pass"],
    "import pydantic": ["from pydantic import BaseModel"],
    "--help": [CALL, "--help"],
    "plugins": [CALL, "plugins"],
    "config check": [CALL, "config", "check", "sere_default"],
}
SPEC = """\
from sere_registry import ComponentSpec, Params, param

class P(Params):
    rate: float = param(0.1, "how much", gt=0)

SPEC = ComponentSpec(kind="loss", name="one", factory="{package}.code:One", params=P, summary="made up")
"""
PLUGINS = 10


def plugins(folder: Path) -> None:
    """Distributions with a loss each, as pip would lay them out."""
    for number in range(PLUGINS):
        package = f"made_up_{number}"
        files = {
            f"{package}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: made-up-{number}\nVersion: 1.0\n",
            f"{package}-1.0.dist-info/entry_points.txt": f"[sere.losses]\nmade{number}.one = {package}.specs:SPEC\n",
            f"{package}/__init__.py": "",
            f"{package}/specs.py": SPEC.format(package=package),
        }
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)


def cost(words: list[str], environ: Mapping[str, str]) -> tuple[float, float]:
    """Wall and processor seconds of one process."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", *words], env=environ, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{words} ended with {process.returncode}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        plugins(Path(name))
        environs = {"0": dict(os.environ), str(PLUGINS): {**os.environ, "PYTHONPATH": name}}
        jobs = [(title, count) for title in COMMANDS for count in environs]
        times = {job: [cost(COMMANDS[job[0]], environs[job[1]]) for _ in range(rounds)] for job in jobs}
    print(f"{'':18}{'plugins':>8}{'wall s':>9}{'cpu s':>9}")
    for (title, count), found in times.items():
        wall, processor = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{title:18}{count:>8}{wall:9.3f}{processor:9.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
