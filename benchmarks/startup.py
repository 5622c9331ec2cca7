"""What starting costs: help, listings, a dry run, and the default run with features cached and without.

    python benchmarks/startup.py [--rounds 5] [--cold]

Printed are medians of processor seconds of whole processes beside those of `import torch`, which take turns, with ten made-up
plugins too; then where those of the cached run go, by exclusive clocks.  Extraction (`--cold`) takes most of a minute a round.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.ratios import PartClock, Ratio, of_process, show
from sere_core.cli import main as command

CALL = "import sys; from sere_core.cli import main; sys.exit(main(sys.argv[1:]))"
TORCH = ["-c", "import torch"]
LISTINGS = {
    "--help": ["--help"],
    "plugins": ["plugins"],
    "config check": ["config", "check", "sere_default"],
    "dry run": ["run", "sere_default", "--dry-run"],
}
#: part of a run -> the functions whose time is its own
PARTS = {
    "imports": ["builtins:__import__", "importlib:import_module"],
    "planning": ["sere_core.run:make_plans", "sere_core.run:identify"],
    "features": ["sere_core.train.material:gather"],
    "training": ["sere_core.train.fold:FoldTrainer.run"],
    "scoring": ["sere_core.score.scorer:Scorer.score", "sere_core.score.scorer:Scorer.pool"],
    "writing": ["sere_registry.files:write_all", "sere_registry.files:_sync", "safetensors.torch:save_file"],
    "hooks": ["sere_core.hookbus:HookBus.call"],
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


def run(folder: Path) -> list[str]:
    """The words of the default run, which trains anew and writes below a folder."""
    return ["run", "sere_default", "--fresh", "--quiet", "--set", f"output.dir={folder}/runs"]


def measure(rounds: int, cold: bool) -> list[Ratio]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plugins(folder / "plugins")
        plain = {**os.environ, "SERE_CACHE": f"{folder}/cache"}
        beside = {**plain, "PYTHONPATH": f"{folder}/plugins"}
        jobs = {title: (["-c", CALL, *words], plain) for title, words in LISTINGS.items()}
        jobs |= {f"{title}, {PLUGINS} plugins more": (words, beside) for title, (words, _) in jobs.items() if title != "--help"}
        jobs["default run, features cached"] = (["-c", CALL, *run(folder)], plain)
        times: dict[str, list[float]] = defaultdict(list)
        of_process(*jobs["default run, features cached"])  # fills the cache
        for number in range(rounds):
            times["torch"].append(of_process(TORCH)[1])
            for title, job in jobs.items():
                times[title].append(of_process(*job)[1])
            if cold:
                times["default run, nothing cached"].append(
                    of_process(["-c", CALL, *run(folder)], {**plain, "SERE_CACHE": f"{folder}/cold{number}"})[1]
                )
        torch = statistics.median(times.pop("torch"))
        return [Ratio(title, statistics.median(found), "import torch", torch) for title, found in times.items()]


def ratios(short: bool) -> list[Ratio]:
    return measure(1 if short else 5, cold=not short)


def clocked(words: list[str]) -> None:
    """Run a command in this process, print where its processor seconds go."""
    clock = PartClock("imports")
    modules = {name: importlib.import_module(name.partition(":")[0]) for names in PARTS.values() for name in names}
    for part, names in PARTS.items():
        for name in names:
            *path, last = name.partition(":")[2].split(".")
            owner: Any = modules[name]
            for step in path:
                owner = getattr(owner, step)
            clock.watch(owner, last, part)
    clock.charge()
    clock.running[0] = "rest"
    command(words)
    clock.charge()
    for part, each in sorted(clock.seconds.items(), key=lambda entry: -entry[1]):
        print(f"    {part:12}{each:8.2f} s {100 * each / sum(clock.seconds.values()):6.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="also the default run with nothing cached")
    parser.add_argument("--parts-of-run-in", type=Path, metavar="FOLDER", help="only that, of one run in this process")
    options = parser.parse_args()
    if options.parts_of_run_in:
        clocked(run(options.parts_of_run_in))
        return
    show(measure(options.rounds, options.cold))
    with tempfile.TemporaryDirectory() as name:
        environ = {**os.environ, "SERE_CACHE": f"{name}/cache"}
        of_process(["-c", CALL, *run(Path(name))], environ)
        print("the default run, features cached:", flush=True)
        subprocess.run([sys.executable, __file__, "--parts-of-run-in", name], env=environ, check=True)


if __name__ == "__main__":
    main()
