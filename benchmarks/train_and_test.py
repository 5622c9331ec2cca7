"""One train-and-test experiment as a whole process, and ten of them, on cached features: sere beside nkululeko.

    SERE_DATA=/data/speech python benchmarks/train_and_test.py --nkululeko /envs/nk/bin/python

A support vector machine (RBF kernel, C = 1) is trained on all of EmoDB and tested on all of EMOVO, six classes, features
standardised per speaker: sere's `acoustic` frames, pooled in the run, and nkululeko's `os` features (eGeMAPSv02).  Each tool
first runs once to fill its cache; then runs alternate, each a process that trains, tests and writes its record anew.  Ten
experiments (ten values of C) are one `sere compare`, whose processes import torch once, and ten processes of nkululeko.

Install nkululeko in an environment of its own: `pip install --no-deps nkululeko==1.14.1` and what it imports, `pip install
audeer audformat audmetric audplot audiofile confidence-intervals joblib matplotlib "pandas<3" scipy seaborn scikit-learn
opensmile`.  Without it only sere's time is printed.
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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.ratios import Ratio
from sere_plugins.specs.corpora import EMODB, EMOVO
from sere_registry import BuildContext

CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
SERE = "import sys; from sere_core.cli import run_main; sys.exit(run_main())"
COMPARE = "import sys; from sere_core.cli import main; sys.exit(main(['compare', *sys.argv[1:]]))"
TEN = "method.params.C=0.1,0.2,0.3,0.5,0.7,1,1.5,2,3,5"

CONFIG = """\
sere: 1
name: train-and-test
corpora:
  emodb: {{use: emodb, params: {{root: "{data}/emodb"}}}}
  emovo: {{use: emovo, params: {{root: "{data}/emovo"}}}}
task: {{source: emodb, target: emovo, classes: {classes}, shots: all, setting: transductive, normalise: speaker}}
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
labels = {classes}
[FEATS]
type = ['os']
scale = speaker
[MODEL]
type = svm
kernel = rbf
C_val = 1.0
"""


def experiment(words: list[str], cached: str) -> tuple[float, float, str]:
    """Wall and processor seconds of one process, and what it printed, in which `cached` stands if it extracted nothing."""
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        log.seek(0)
        said = log.read().decode(errors="replace")
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not re.search(cached, said, re.DOTALL):
        raise SystemExit(f"{words} ended with {process.returncode}, or not on cached features:\n{said[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime, said


def commands(data: Path, out: Path, nkululeko: Path | None) -> dict[str, tuple[list[str], str]]:
    """The tools' commands, their configs and lists written, and what each says on cached features."""
    (out / "svm.yaml").write_text(CONFIG.format(data=data, out=out, classes=json.dumps(CLASSES)))
    made = {"sere": ([sys.executable, "-c", SERE, str(out / "svm.yaml"), "--fresh"], " 0 extracted,")}
    if nkululeko is None:
        return made
    for name, spec in (("emodb", EMODB), ("emovo", EMOVO)):
        corpus = spec.load()(spec.params.model_validate({"root": data / name}), BuildContext(name))
        rows = [(each.recording.path, each.speaker, each.emotion) for each in corpus.utterances() if each.emotion in CLASSES]
        with (out / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("file", "speaker", "emotion"), *rows])
    (out / "svm.ini").write_text(INI.format(out=out, classes=list(CLASSES)))
    words = [str(nkululeko), "-m", "nkululeko.nkululeko", "--config", str(out / "svm.ini")]
    return {**made, "nkululeko": (words, "Reusing extracted.*Reusing extracted")}


def alternate(nkululeko: Path | None, runs: int) -> tuple[list[dict[str, tuple[float, float, str]]], tuple[float, float], float]:
    """Each tool's times and words, run by run; wall and processor seconds of ten runs as one comparison; and sere's UAR."""
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"), MPLBACKEND="Agg")
    if "SERE_DATA" not in os.environ:
        raise SystemExit("SERE_DATA names no folder of corpora")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        tools = commands(Path(os.environ["SERE_DATA"]).resolve(), out, nkululeko)
        for words, _ in tools.values():
            experiment(words, "")
        rounds = [{name: experiment(*tool) for name, tool in tools.items()} for _ in range(runs)]
        (scores,) = (out / "sere").glob("*/scores.json")
        compare = [sys.executable, "-c", COMPARE, str(out / "svm.yaml"), "--vary", TEN, "--yes", "--out", str(out / "ten")]
        *ten, _ = experiment(compare, "10/10")
        return rounds, (ten[0], ten[1]), 100 * float(json.loads(scores.read_text())["mean"]["uar"])


def ratios(short: bool) -> list[Ratio]:
    """With `NKULULEKO`, the python of an environment that has it."""
    if "NKULULEKO" not in os.environ:
        raise SystemExit("NKULULEKO names no python of an environment that has nkululeko")
    rounds, (_, ten), _ = alternate(Path(os.environ["NKULULEKO"]), 3 if short else 10)
    seconds = {name: statistics.median(turn[name][1] for turn in rounds) for name in rounds[0]}
    return [
        Ratio("one experiment, train and test", seconds["sere"], "nkululeko", seconds["nkululeko"]),
        Ratio("ten experiments, as one comparison", ten, "nkululeko, ten times", 10 * seconds["nkululeko"]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nkululeko", type=Path, help="the python of an environment that has nkululeko 1.14.1")
    parser.add_argument("--runs", type=int, default=7, help="of each tool, alternating")
    options = parser.parse_args()
    rounds, ten, uar = alternate(options.nkululeko, options.runs)
    for name in rounds[0]:
        wall, processor = (statistics.median(turn[name][which] for turn in rounds) for which in (0, 1))
        score = uar if name == "sere" else float(re.findall(r"UAR: ([\d.]+)", rounds[-1][name][2])[-1]) * 100
        print(f"{name:12}{wall:8.2f} s wall {processor:8.2f} s processor   UAR {score:.1f} %")
    print(f"{'sere, ten':12}{ten[0]:8.2f} s wall {ten[1]:8.2f} s processor   one comparison")


if __name__ == "__main__":
    main()
