"""How long the commands take to start, alone and beside ten made-up plugins: `python benchmarks/startup.py [REPEATS]`.

All take turns, round after round.  Given are the medians of wall time and of processor time (user and system, which a busy
machine disturbs less), and the best wall time, which is what the commands take on a machine that does nothing else; the
processor time also as a multiple of `python -c pass` and of `python -c "import pydantic"`, measured in the same rounds.
`pydantic.BaseModel` is what every spec with parameters needs: no listing of them can be faster.  Modules are compiled
beforehand, as they are where sere is installed, whatever PYTHONDONTWRITEBYTECODE says.
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
PASS, PYDANTIC = "python -c pass", "import pydantic"
FLOORS = {PASS: "pass", PYDANTIC: "import pydantic", "import BaseModel": "from pydantic import BaseModel"}
COMMANDS: dict[str, tuple[list[str], float]] = {
    "--help": (["--help"], 0.15),
    "plugins": (["plugins"], 0.40),
    "config check": (["config", "check", "sere_default"], 0.50),
}
SPEC = """\
from sere_registry import ComponentSpec, Params, param

class P(Params):
    rate: float = param(0.1, "how much", gt=0)

SPEC = ComponentSpec(kind="loss", name="one", factory="{package}.code:One", params=P, summary="made up")
"""
PLUGINS = 10
REPEATS = 11


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


def listed(environ: Mapping[str, str]) -> int:
    """How many of the made-up plugins `sere plugins` finds and loads."""
    done = subprocess.run([sys.executable, "-c", CALL, "plugins"], env=environ, capture_output=True, text=True, check=True)
    return sum("made-up-" in line and " loaded " in line for line in done.stdout.splitlines())


def main(repeats: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "site"
        folder.mkdir()
        plugins(folder)
        inherited = os.environ.get("PYTHONPATH", "")
        alone = {**os.environ, "PYTHONPYCACHEPREFIX": str(Path(name) / "compiled")}
        alone.pop("PYTHONDONTWRITEBYTECODE", None)
        beside = {**alone, "PYTHONPATH": os.pathsep.join(part for part in (str(folder), inherited) if part)}
        if listed(beside) != PLUGINS:
            raise SystemExit(f"{listed(beside)} of the {PLUGINS} made-up plugins are listed as loaded")
        jobs = {(title, ""): (["-c", code], alone) for title, code in FLOORS.items()}
        for title, (words, _) in COMMANDS.items():
            jobs |= {(title, str(count)): (["-c", CALL, *words], where) for count, where in ((0, alone), (PLUGINS, beside))}
        for words, environ in jobs.values():
            cost(words, environ)  # fills the caches
        rounds = [{job: cost(words, environ) for job, (words, environ) in jobs.items()} for _ in range(repeats)]
    wall, processor = ({job: [each[job][which] for each in rounds] for job in jobs} for which in (0, 1))
    middle = {job: statistics.median(times) for job, times in processor.items()}
    print(f"medians of {repeats}\n{'':16}{'plugins':>8}{'wall s':>9}{'best s':>9}{'cpu s':>9}{'/ pass':>8}{'/ pydantic':>12}{'limit s':>9}")
    for title, count in jobs:
        job = title, count
        limit = f"{COMMANDS[title][1]:.2f}" if title in COMMANDS else ""
        times = f"{statistics.median(wall[job]):9.3f}{min(wall[job]):9.3f}{middle[job]:9.3f}"
        print(f"{title:16}{count:>8}{times}{middle[job] / middle[PASS, '']:8.1f}{middle[job] / middle[PYDANTIC, '']:12.1f}{limit:>9}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS)
