"""One train-and-test experiment as a whole process, on cached features: `sere-run` beside nkululeko.

    SERE_DATA=/data/speech python benchmarks/train_and_test.py --nkululeko /envs/nk/bin/python

A support vector machine (RBF kernel, C = 1) is trained on all of EmoDB and tested on all of EMOVO, six classes, features
standardised per speaker.  sere reads its `acoustic` features, frames that are pooled to a vector in the run; nkululeko reads its
`os` features (eGeMAPSv02, 88 functionals by openSMILE).  Each tool first runs once to fill its cache; then runs alternate.  Every
run trains, tests and writes its record anew; nkululeko's log must say that it took both corpora's features from its store, and
sere's line that it extracted none.  nkululeko also fits Platt scaling and draws a confusion matrix, its defaults; sere also
digests what it ran on, checks for leaks, and writes posteriors, embeddings and a checkpoint: each does what it does by default,
but sere's hooks are off.

With `--many N` the same is done for N values of C: as one `sere compare`, whose processes import their libraries once, and as N runs of
nkululeko, which has a process for each; both with one process at a time.

Both fit scikit-learn's SVC; sere's engine is made of torch beside it, nkululeko's run imports no torch.  A process that imports
both libraries and does nothing is printed as the floor, and what the ratio would be if all that sere does itself took no time.

Install nkululeko in an environment of its own: `pip install --no-deps nkululeko==1.14.1` and what it imports, `pip install audeer audformat
audmetric audplot audiofile confidence-intervals joblib matplotlib "pandas<3" scipy seaborn scikit-learn opensmile`.  Without it
only sere's time is printed.  Wall and processor time (user and system); on a busy machine trust the latter.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sere_plugins.specs.corpora import EMODB, EMOVO
from sere_registry import BuildContext, ComponentSpec

CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
SERE = "import sys; from sere_core.cli import run_main; sys.exit(run_main())"
COMPARE = "import sys; from sere_core.cli import main; sys.exit(main())"
FLOOR = "import torch, sklearn.svm"
PHASES = ("import torch", "import sklearn.svm", FLOOR)

CONFIG = """\
sere: 1
name: train-and-test
corpora:
  emodb: {{use: emodb, params: {{root: "{data}/emodb"}}}}
  emovo: {{use: emovo, params: {{root: "{data}/emovo"}}}}
task: {{source: emodb, target: emovo, classes: [{classes}], shots: all, setting: transductive, normalise: speaker}}
encoders: {{acoustic: {{use: acoustic, params: {{rate: 10}}}}}}
paths: {{labelled: acoustic, unlabelled: acoustic}}
network: {{dim: 1}}
method: {{use: svm, params: {{C: 1.0, kernel: rbf}}}}
output: {{dir: "{out}/sere"}}
"""
INI = """\
[EXP]
root = {out}/nkululeko
name = svm
[DATA]
databases = ['emodb', 'emovo']
emodb = {out}/emodb.csv
emodb.type = csv
emodb.split_strategy = train
emovo = {out}/emovo.csv
emovo.type = csv
emovo.split_strategy = test
target = emotion
labels = [{classes}]
[FEATS]
type = ['os']
scale = speaker
[MODEL]
type = svm
kernel = rbf
C_val = 1.0
"""


@dataclass
class Tool:
    """A command, what it says when its features were cached, and the seconds of its runs."""

    words: Sequence[str]
    cached: Callable[[str], bool]
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    said: str = ""

    def run(self, environ: Mapping[str, str], count: bool = True) -> None:
        """Once, in a process of its own.

        Raises:
            SystemExit: the run failed, or is to count and did not take its features from its cache.
        """
        with tempfile.TemporaryFile() as log:
            start = time.perf_counter()
            process = subprocess.Popen(self.words, env=environ, stdout=log, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            log.seek(0)
            self.said = log.read().decode(errors="replace")
        if process.returncode:
            raise SystemExit(f"{self.words} ended with {process.returncode}:\n{self.said[-2000:]}")
        if count:
            if not self.cached(self.said):
                raise SystemExit(f"{self.words[0]} did not take its features from its cache:\n{self.said[-2000:]}")
            self.wall.append(wall)
            self.processor.append(usage.ru_utime + usage.ru_stime)


def manifests(data: Path, out: Path) -> None:
    """The utterances that sere lists, of the shared classes, as nkululeko reads them."""
    specs: dict[str, ComponentSpec] = {"emodb": EMODB, "emovo": EMOVO}
    for name, spec in specs.items():
        corpus = spec.load()(spec.params.model_validate({"root": data / name}), BuildContext(name))
        rows = [(each.recording.path, each.speaker, each.emotion) for each in corpus.utterances() if each.emotion in CLASSES]
        with (out / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("file", "speaker", "emotion"), *rows])


def tools(data: Path, out: Path, nkululeko: Path | None) -> dict[str, Tool]:
    """The commands, their configs written."""
    (out / "svm.yaml").write_text(CONFIG.format(data=data, out=out, classes=", ".join(CLASSES)))
    words = [sys.executable, "-c", SERE, str(out / "svm.yaml"), "--fresh"]
    made = {"sere": Tool(words, lambda said: " 0 extracted," in said)}
    if nkululeko is not None:
        manifests(data, out)
        (out / "svm.ini").write_text(INI.format(out=out, classes=", ".join(repr(name) for name in CLASSES)))
        words = [str(nkululeko), "-m", "nkululeko.nkululeko", "--config", str(out / "svm.ini")]
        made["nkululeko"] = Tool(words, lambda said: said.count("Reusing extracted") == 2 and "Extracting" not in said)
    return made


def many(data: Path, out: Path, nkululeko: Path | None, count: int, environ: Mapping[str, str]) -> None:
    """Print what `count` experiments cost, done as each tool does many; each tool's caches are filled."""
    values = [0.5 * 2**number for number in range(count)]
    rows = "\n".join(f'  "C={value:g}": {{method: {{params: {{C: {value}}}}}}}' for value in values)
    (out / "many.yaml").write_text(f"sere: 1\ncompare: many\nbase: svm.yaml\nrows:\n{rows}\n")
    words = [sys.executable, "-c", COMPARE, "compare", str(out / "many.yaml"), "--out", str(out / "many"), "--jobs", "1", "--yes"]
    ours = Tool(words, lambda said: f"{count}/{count}" in said)
    ours.run(environ)
    print(f"{count} experiments, one `sere compare`: {ours.wall[0]:.2f} s wall, {ours.processor[0]:.2f} s cpu")
    if nkululeko is None:
        return
    theirs = tools(data, out, nkululeko)["nkululeko"]
    template = (out / "svm.ini").read_text()
    for value in values:
        (out / "svm.ini").write_text(template.replace("C_val = 1.0", f"C_val = {value}"))
        theirs.run(environ)
    wall, processor = sum(theirs.wall), sum(theirs.processor)
    print(f"{count} experiments, {count} runs of nkululeko: {wall:.2f} s wall, {processor:.2f} s cpu")
    print(f"nkululeko / sere over {count} experiments: {wall / ours.wall[0]:.2f} wall, {processor / ours.processor[0]:.2f} cpu")


def uar(name: str, out: Path, said: str) -> float:
    """Of the last run, in percent."""
    if name == "sere":
        (scores,) = (out / "sere").glob("*/scores.json")
        return 100 * float(json.loads(scores.read_text())["mean"]["uar"])
    return 100 * float(re.findall(r"UAR: ([\d.]+)", said)[-1])


def environment(out: Path) -> dict[str, str]:
    """One thread for both; modules compiled beforehand, as where packages are installed; features in sere's usual cache."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environ = {**os.environ, **threads, "PYTHONPYCACHEPREFIX": str(out / "compiled"), "MPLBACKEND": "Agg"}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return environ


def main() -> None:
    """Print medians and their ratio."""
    parser = argparse.ArgumentParser(description="one train-and-test experiment: sere beside nkululeko")
    parser.add_argument("--nkululeko", type=Path, help="the python of an environment that has nkululeko 1.14.1")
    parser.add_argument("--runs", type=int, default=7, help="of each tool, alternating")
    parser.add_argument("--many", type=int, default=10, metavar="N", help="experiments of the comparison; 0: none")
    parser.add_argument("--out", type=Path, help="folder of both tools' records and of nkululeko's store; default: a temporary one")
    options = parser.parse_args()
    if not os.environ.get("SERE_DATA"):
        sys.exit("SERE_DATA must name the folder of emodb/ and emovo/")
    with tempfile.TemporaryDirectory() as folder:
        out = (options.out or Path(folder)).resolve()
        out.mkdir(parents=True, exist_ok=True)
        data = Path(os.environ["SERE_DATA"]).resolve()
        measure(data, out, options.nkululeko, options.runs)
        if options.many:
            many(data, out, options.nkululeko, options.many, environment(out))


def measure(data: Path, out: Path, nkululeko: Path | None, runs: int) -> None:
    """Fill the caches, run in turns, print."""
    environ = environment(out)
    made = tools(data, out, nkululeko)
    imports = {code: Tool([sys.executable, "-c", code], lambda said: True) for code in PHASES}
    everything = {**made, **imports}
    for tool in everything.values():
        tool.run(environ, count=False)
    for _ in range(runs):
        for tool in everything.values():
            tool.run(environ)
    print(f"medians of {runs} alternating runs (least)\n{'':22}{'wall s':>16}{'cpu s':>16}{'UAR %':>8}")
    for name, tool in everything.items():
        wall, processor = (f"{statistics.median(each):.2f} ({min(each):.2f})" for each in (tool.wall, tool.processor))
        score = f"{uar(name, out, tool.said):8.1f}" if name in made else ""
        print(f"{name:22}{wall:>16}{processor:>16}{score}")
    if nkululeko is not None:
        ours, theirs = made["sere"], made["nkululeko"]
        ratios = [statistics.median(b) / statistics.median(a) for a, b in ((ours.wall, theirs.wall), (ours.processor, theirs.processor))]
        print(f"nkululeko / sere: {ratios[0]:.2f} wall, {ratios[1]:.2f} cpu")
        floor = imports[FLOOR]
        least = [statistics.median(each) for each in (floor.wall, floor.processor)]
        share = least[1] / statistics.median(ours.processor)
        print(f"floor, `{FLOOR}` and nothing else: {least[0]:.2f} s wall, {least[1]:.2f} s cpu, {share:.0%} of sere's cpu")
        best = [statistics.median(theirs.wall) / least[0], statistics.median(theirs.processor) / least[1]]
        print(f"nkululeko / floor, the ratio if sere's own work took no time: {best[0]:.2f} wall, {best[1]:.2f} cpu")


if __name__ == "__main__":
    main()
