"""How long a second `sere compare` of a finished comparison takes: `python benchmarks/compare_relaunch.py [RECORDS] [REPEATS]`.

One tiny run is trained; its record, with each job's own config, stands in for all others.  Prints the first call, which reads every
record, proves that they are comparable and computes the table, and medians of the calls after it, beside `python -c pass` of the same run.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sere_core.compare.asking import plan_of
from sere_core.compare.grammar import Flags
from sere_core.compare.jobs import run_job
from sere_core.compare.places import job_file, record_of
from sere_core.score.records import digest_files

CALL = "import sys; from sere_core.cli import main; sys.exit(main(sys.argv[1:]))"
LIMIT = 1.0
CORPUS = "{{use: synthetic, params: {{language: {0}, speakers: 3, per_class: 2, emotions: [anger, sadness], seconds: 0.4}}}}"
BASE = """\
sere: 1
name: tiny
corpora: {{{corpora}}}
task: {{source: xa, target: xb, shots: 2, folds: 2}}
encoders: {{small: {{use: logmel, params: {{bands: 16, dim: 8, layers: 1}}}}}}
paths: {{labelled: small, unlabelled: small}}
network: {{dim: 16}}
dynamics: {{use: idfe}}
resonance: {{use: irf}}
losses: {{classify: {{use: cross_entropy}}, adapt: {{use: tric}}}}
train: {{epochs: 1, batch: {{source: 4, target: 4}}, device: cpu}}
"""
COMPARISON = """\
sere: 1
compare: relaunched
base: base.yaml
rows:
  source-only: {{losses: {{adapt: null}}}}
  tric: {{}}
  coral: {{losses: {{adapt: {{use: coral}}}}}}
  light: {{losses: {{adapt: {{weight: 0.1}}}}}}
  mcd: {{method: {{use: mcd}}, losses: null}}
pairs: [xa>xb, xb>xa, xa>xc, xc>xa, xb>xc, xc>xb, xa>xd, xd>xa, xb>xd, xd>xb]
seeds: {seeds}
floor: source-only
reference: tric
"""


def make(folder: Path, records: int) -> int:
    """A finished comparison in the working directory; how many records it has."""
    corpora = ", ".join(f"{name}: {CORPUS.format(name)}" for name in ("xa", "xb", "xc", "xd"))
    (folder / "base.yaml").write_text(BASE.format(corpora=corpora))
    (folder / "many.yaml").write_text(COMPARISON.format(seeds=-(-records // 50)))
    plan, root, _ = plan_of("many.yaml", Flags())
    jobs = [job.job for job in plan.jobs]
    outcome = run_job(root, jobs[0])
    if outcome.state != "done":
        raise SystemExit(outcome.line)
    first = record_of(root, jobs[0])
    manifest = json.loads((first / "manifest.json").read_bytes())
    for job in jobs[1:]:
        record = record_of(root, job)
        shutil.copytree(first, record, ignore=shutil.ignore_patterns("checkpoints", "embeddings", "done"))
        shutil.copyfile(job_file(root, job), record / "config.yaml")
        (record / "manifest.json").write_text(json.dumps({**manifest, "job": job}))
        (record / "done").write_text(json.dumps({"sha256": digest_files(record)}))
    return len(jobs)


def cost(words: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of one process."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{words} ended with {process.returncode}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def main(records: int, repeats: int) -> None:
    """Print the table; fail if a second call takes longer than the limit."""
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        os.environ.setdefault("SERE_CACHE", str(Path(name) / "cache"))
        count = make(Path(name), records)
        words = ["-c", CALL, "compare", "many.yaml"]
        first = cost(words)
        base, again = zip(*((cost(["-c", "pass"]), cost(words)) for _ in range(repeats)), strict=True)
        (base_wall, base_cpu), (wall, cpu) = ([statistics.median(part) for part in zip(*runs, strict=True)] for runs in (base, again))
        print(f"{count} records{'':10}{'wall s':>9}{'cpu s':>9}{'ratio':>8}")
        for title, one in {"python -c pass": (base_wall, base_cpu), "first call": first, "calls after it": (wall, cpu)}.items():
            print(f"{title:21}{one[0]:9.3f}{one[1]:9.3f}{one[0] / base_wall:8.1f}")
        os.chdir("/")
        if cpu > LIMIT:
            raise SystemExit(f"a second call takes {cpu:.2f} s of processor time, more than {LIMIT:.0f} s")


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:3]]
    main(*given, *(500, 5)[len(given) :])
