"""How long the commands take to start, alone and beside ten made-up plugins: `python benchmarks/startup.py [REPEATS]`.

Medians of wall time and of processor time (which a busy machine disturbs less), and the wall time as a multiple of
`python -c pass`.
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
COMMANDS: dict[str, tuple[list[str], float]] = {
    "--help": (["--help"], 0.15),
    "plugins": (["plugins"], 0.25),
    "config check": (["config", "check", "sere_default"], 0.40),
}
SPEC = """\
from sere_registry import ComponentSpec, Params, param

class P(Params):
    rate: float = param(0.1, "how much", gt=0)

SPEC = ComponentSpec(kind="loss", name="one", factory="{package}.code:One", params=P, summary="made up")
"""
PLUGINS = 10


def plugins(folder: Path) -> None:
    """Ten distributions with a loss each, as pip would lay them out."""
    for number in range(PLUGINS):
        package = f"made_up_{number}"
        about = folder / f"{package}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: made-up-{number}\nVersion: 1.0\nRequires-Dist: sere (>=0.1,<1)\n")
        (about / "entry_points.txt").write_text(f"[sere.losses]\nmade{number}.one = {package}.specs:SPEC\n")
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text("")
        (folder / package / "specs.py").write_text(SPEC.format(package=package))


def cost(words: list[str], environ: Mapping[str, str]) -> tuple[float, float]:
    """Wall and processor seconds of one process."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], env=environ, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{words} ended with {process.returncode}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def medians(words: list[str], environ: Mapping[str, str], repeats: int) -> tuple[float, float]:
    """Of `repeats` processes, after one that fills the caches."""
    cost(words, environ)
    wall, processor = zip(*(cost(words, environ) for _ in range(repeats)), strict=True)
    return statistics.median(wall), statistics.median(processor)


def main(repeats: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        plugins(Path(name))
        inherited = os.environ.get("PYTHONPATH", "")
        beside = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in (name, inherited) if part)}
        base, base_cpu = medians(["-c", "pass"], os.environ, repeats)
        print(f"{'':14}{'plugins':>8}{'wall s':>9}{'cpu s':>9}{'ratio':>8}{'limit s':>9}")
        print(f"{'python -c pass':14}{'':>8}{base:9.3f}{base_cpu:9.3f}{1:8.1f}")
        for title, (words, limit) in COMMANDS.items():
            for count, environ in ((0, os.environ), (PLUGINS, beside)):
                wall, processor = medians(["-c", CALL, *words], environ, repeats)
                print(f"{title:14}{count:8}{wall:9.3f}{processor:9.3f}{wall / base:8.1f}{limit:9.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
