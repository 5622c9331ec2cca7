"""Every benchmark that has a reference, in a short form, as one table: `python -m benchmarks [NAME ...] [--full]`.

A benchmark takes part by a function `ratios(short: bool) -> list[Ratio]` (`benchmarks/ratios.py`).  Each runs in a process of its
own with one thread; one that lacks data or a library ends with `SystemExit`, and is named below the table.  Data: `SERE_DATA`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.ratios import Ratio, show

HERE = Path(__file__).parent
CALL = """
import json, sys
from benchmarks.{name} import ratios
found = ratios({short})
print("\\n" + json.dumps([vars(each) for each in found]))
"""


def main() -> int:
    there = sorted(path.stem for path in HERE.glob("*.py") if "\ndef ratios(" in path.read_text())
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(there)}")
    parser.add_argument("--full", action="store_true", help="all rounds and sizes")
    options = parser.parse_args()
    if unknown := set(options.names) - set(there):
        parser.error(f"no benchmark with ratios: {', '.join(sorted(unknown))}")
    environ = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1") | os.environ
    found: list[Ratio] = []
    failed: list[str] = []
    for name in options.names or there:
        print(f"{name} ...", file=sys.stderr, flush=True)
        command = [sys.executable, "-c", CALL.format(name=name, short=not options.full)]
        ended = subprocess.run(command, cwd=HERE.parent, env=environ, capture_output=True, text=True)
        if ended.returncode:
            failed.append(f"{name}: {(ended.stderr.strip().splitlines() or ['?'])[-1]}")
        else:
            found += [Ratio(**{**each, "what": f"{name}: {each['what']}"}) for each in json.loads(ended.stdout.splitlines()[-1])]
    show(found)
    for line in failed:
        print(f"left out: {line}")
    return 1 if failed and not found else 0


if __name__ == "__main__":
    raise SystemExit(main())
