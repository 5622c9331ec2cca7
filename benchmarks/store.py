"""The feature store: loading 2,500 utterances beside one file for each array; and the memory of a run over many.

    python benchmarks/store.py [--utterances 100000] [--minutes 20]

The run is `sere-run` on two made-up languages of one-second utterances (parts of long files), with `logmel` at 8 bands: extraction of
all, then training and prediction.  Its memory is sampled each second: `anonymous` is what the process holds, `mapped` are pages of
files, which the system takes back when it needs them.  With `--minutes` the process is ended when they are over.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from safetensors.numpy import load_file, save_file

from sere_core.features import shards
from sere_core.features.audio import Facts
from sere_core.features.cache import Cache, Entry, key

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.ratios import Ratio, in_turn

UTTERANCES = 2500
#: parts of an utterance: seconds of speech as `acoustic` and `whisper-base` (three seconds) see them
PARTS = {"pitch": {"f0": (151,), "periodicity": (151,)}, "frames": {"frames": (150, 512), "mean": (512,)}}
RATE, PER_FILE, CLASSES = 16_000, 500, ("anger", "happiness", "neutral", "sadness")


def fill(folder: Path, dtype: str) -> list[str]:
    """The same arrays in both stores; their names."""
    generator, cache, names = np.random.default_rng(0), Cache(folder / "packed"), []
    facts = Facts("0" * 40, 3.0, 0.0, 0.0)
    (folder / "files").mkdir()
    base = {name: generator.normal(size=shape) for shapes in PARTS.values() for name, shape in shapes.items()}
    for number in range(UTTERANCES):
        for part, shapes in PARTS.items():
            kinds = {name: dtype if name == "frames" else "float32" for name in shapes}
            arrays = {name: (base[name] + number).astype(kinds[name]) for name in shapes}
            names.append(key(number=number, part=part))
            cache.store(names[-1], Entry(arrays, facts))
            save_file(arrays, folder / "files" / f"{names[-1]}.safetensors", {"facts": str(asdict(facts))})
    return names


def packed(folder: Path, names: list[str], wanted: tuple[str, ...]) -> None:
    """As a process that has just begun: index, lookup, and arrays, whose digests are compared when they are read first."""
    shards.shards.cache_clear()
    cache = Cache(folder / "packed")
    cache.refresh()
    for name in names:
        found = cache.load(name)
        assert found is not None
        for array in wanted:
            if array in found.names:
                found.array(array)


def single(folder: Path, names: list[str], digest: bool) -> None:
    for name in names:
        for array in load_file(folder / "files" / f"{name}.safetensors").values():
            if digest:
                hashlib.sha256(array.tobytes()).hexdigest()


def ratios(short: bool) -> list[Ratio]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        names = fill(folder, "float16")
        every = tuple(name for shapes in PARTS.values() for name in shapes)
        works = {
            "files": partial(single, folder, names, digest=False),
            "digests": partial(single, folder, names, digest=True),
            "known": partial(packed, folder, names, ()),
            "means": partial(packed, folder, names, ("mean",)),
            "all": partial(packed, folder, names, every),
        }
        seconds = in_turn(works, 1 if short else 5)
    one = "one safetensors file for each part"
    return [
        Ratio(f"{UTTERANCES} utterances found, nothing read", seconds["known"], one, seconds["files"]),
        Ratio(f"{UTTERANCES} utterances, pooled vectors read and checked", seconds["means"], one, seconds["files"]),
        Ratio(f"{UTTERANCES} utterances, all arrays read and checked", seconds["all"], one, seconds["files"]),
        Ratio(f"{UTTERANCES} utterances, all arrays read and checked", seconds["all"], f"{one}, checked", seconds["digests"]),
    ]


def corpus(folder: Path, language: str, count: int) -> Path:
    """A manifest of one-second utterances of tones in noise, in files of 500."""
    generator, times = np.random.default_rng(list(language.encode())), np.arange(RATE, dtype=np.float32) / RATE
    noise = generator.normal(0, 0.02, RATE).astype(np.float32)
    manifest = folder / f"{language}.csv"
    with open(manifest, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "id", "start", "end", "speaker", "emotion"])
        for first in range(0, count, PER_FILE):
            path = folder / f"{language}-{first}.wav"
            emotions = generator.integers(len(CLASSES), size=PER_FILE)
            tones = np.stack([0.1 * np.sin(2 * np.pi * (200 + 150 * c) * times) for c in range(len(CLASSES))])[emotions]
            loudness = generator.uniform(0.5, 1.5, (2, PER_FILE, 1)).astype(np.float32)  # so that no two are the same
            soundfile.write(path, (loudness[0] * tones + loudness[1] * noise).ravel(), RATE)
            for number in range(min(PER_FILE, count - first)):
                name = f"{first + number}"
                rows.writerow([path.name, name, number, number + 1, f"s{first // PER_FILE}", CLASSES[emotions[number]]])
    return manifest


def config(folder: Path, utterances: int) -> Path:
    target = utterances * 4 // 5
    source, target_file = corpus(folder, "de", utterances - target), corpus(folder, "it", target)
    path = folder / "many.yaml"
    path.write_text(f"""\
sere: 1
name: many
corpora:
  de: {{use: manifest, params: {{file: {source}, language: de}}}}
  it: {{use: manifest, params: {{file: {target_file}, language: it}}}}
task: {{source: de, target: it, shots: 5, setting: inductive, folds: 2, normalise: speaker}}
encoders: {{small: {{use: logmel, params: {{bands: 8, dim: 16, layers: 1}}}}}}
paths: {{labelled: small, unlabelled: small}}
features: {{trim: false, cache: {folder / "cache"}}}
network: {{dim: 16}}
dynamics: {{use: none}}
resonance: null
losses: {{classify: {{use: cross_entropy}}, adapt: {{use: coral, weight: 0.1}}}}
train: {{epochs: 2, steps_per_epoch: 200, batch: {{source: 64, target: 64}}, device: cpu, threads: 1}}
hooks: null
output: {{dir: {folder / "runs"}}}
""")
    return path


def memory(process: int) -> tuple[float, float]:
    """MB of a process: anonymous, and mapped from files."""
    text = Path(f"/proc/{process}/status").read_text()
    found = [int((re.search(rf"{name}:\s+(\d+)", text) or [0, 0])[1]) / 1000 for name in ("RssAnon", "RssFile")]
    return found[0], found[1]


def watched(command: list[str], minutes: float) -> None:
    """Run, and print memory: each tenth of a minute at first, then each minute, and what was said meanwhile."""
    with tempfile.NamedTemporaryFile("w") as written, open(written.name) as output:
        process = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT)
        begin, printed, most, mapped = time.perf_counter(), -60.0, 0.0, 0.0
        while process.poll() is None:
            time.sleep(1)
            elapsed, said = time.perf_counter() - begin, output.read().strip()
            with suppress(OSError):
                anonymous, files = memory(process.pid)
                most, mapped = max(most, anonymous), max(mapped, files)
                if said or elapsed - printed > min(60, max(6, elapsed / 10)):
                    print(f"{elapsed:8.0f} s {anonymous:7.0f} MB {files:7.0f} MB mapped  {said}", flush=True)
                    printed = elapsed
            if elapsed > 60 * minutes:
                process.kill()
                print(f"ended after {minutes:g} minutes")
        print(f"{output.read().strip()}\nexit code {process.wait()}; at most {most:.0f} MB, and {mapped:.0f} MB mapped", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--folder", type=Path, help="where everything is made, and left; default: a temporary folder")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        begin = time.perf_counter()
        path = folder / "many.yaml"
        if not path.exists():
            path = config(folder, asked.utterances)
        print(f"{asked.utterances} utterances made in {time.perf_counter() - begin:.0f} s", flush=True)
        watched([sys.executable, "-c", "from sere_core.cli import run_main; raise SystemExit(run_main())", str(path)], asked.minutes)
        stored = sum(each.stat().st_size for each in (folder / "cache").rglob("*.*") if each.suffix in (".data", ".index"))
        print(f"{stored / 1e6:.0f} MB stored", flush=True)
    finally:
        if asked.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
