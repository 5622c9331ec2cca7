"""One made-up comparison with its report, and all that a report can show in its records."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sere_core.compare.plan import ComparePlan
from sere_core.compare.report import write_report
from sere_core.score.records import digest_files
from tests.compare.made_up import make_comparison

#: what a user may call a row
HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(2)>\" $\\frac{a}{b}$ {{ 7*7 }} ]]> und-so-weiter"
ROWS = ("source-only", "ours", HOSTILE, "ceiling")
PAIRS = ("aa>bb", "bb>aa")
#: as the engine names them
DIAGNOSTICS = ("adapt.prototype_spread", "adapt.similarity", "adapt.pseudo_entropy", "gate/f0", "gate/rms", "gate/mfcc2", "burst_spread")
FAILURE = "[T501] <b>classify</b> is not finite at step 3"


@pytest.fixture(scope="session")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder, with the report in it."""
    folder = tmp_path_factory.mktemp("report") / "made-up"
    accuracy = {"source-only": 0.4, "ours": 0.7, HOSTILE: 0.45, "ceiling": 0.9}
    failed = {(HOSTILE, "bb>aa", 2): FAILURE}
    missed = [("ceiling", "aa>bb", 1)]
    shape: dict[str, Any] = {"accuracy": accuracy, "failures": failed, "missing": missed, "reference": "ours"}
    plan = make_comparison(folder, ROWS, PAIRS, (0, 1, 2, 3), **shape)
    furnish(folder, plan, points=60)
    figures = folder / "figures"
    figures.mkdir()
    (figures / "resonance-a-b.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200"><rect width="9" height="9"/></svg>'
    )
    (figures / "resonance-a-b.txt").write_text("anger told by <anger>")
    (figures / "bars-of-a-row-that-is-gone.png").write_bytes(b"")
    write_report(folder)
    return folder


@pytest.fixture(scope="session")
def page(comparison: Path) -> str:
    """The text of the report."""
    return (comparison / "report.html").read_text(encoding="utf-8")


def furnish(folder: Path, plan: ComparePlan, classes: int = 5, epochs: int = 8, points: int = 160) -> None:
    """Add them to the records of a comparison, which stay sound."""
    for job in plan.jobs:
        record = folder / "records" / job.job
        if not (record / "done").exists():
            continue
        draw = np.random.default_rng(zlib.crc32(job.job.encode()))
        _history(record, draw, epochs, 1 + zlib.crc32(job.row.encode()) % 3)
        manifest = json.loads((record / "manifest.json").read_bytes())
        manifest["notes"]["warnings"] = [f"{job.pair}: folds are not text-disjoint", *(["clipped audio"] if job.seed == 0 else [])]
        (record / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        if job.seed == plan.seeds[0]:
            _picture(record, draw, classes, points)
        (record / "done").write_text(json.dumps({"sha256": digest_files(record)}), encoding="utf-8")


def _history(record: Path, draw: np.random.Generator, epochs: int, terms: int) -> None:
    names = ("classify.cross_entropy", "adapt.prototype", "adapt.dual")[:terms]
    lines = []
    for fold in range(5):
        for epoch in range(epochs):
            losses = {name: float((1 + n) * np.exp(-epoch / 3) + 0.05 * draw.random() + 0.02) for n, name in enumerate(names)}
            diagnostics = {name: float(n + np.sqrt(epoch) + 0.2 * draw.random()) for n, name in enumerate(DIAGNOSTICS)}
            lines.append({"fold": fold, "stage": "joint", "epoch": epoch, "losses": losses, "diagnostics": diagnostics})
    (record / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _picture(record: Path, draw: np.random.Generator, classes: int, points: int) -> None:
    stream = np.array(["labelled"] * (points // 5) + ["source"] * (2 * points // 5) + ["test"] * (2 * points // 5))
    emotion = draw.integers(0, classes, len(stream))
    initial = draw.normal(size=(len(stream), 16)) + 3 * (stream == "test")[:, None]
    trained = initial + 4 * np.eye(16)[emotion]
    (record / "embeddings").mkdir(exist_ok=True)
    np.savez(
        record / "embeddings" / "picture.npz",
        initial=initial.astype(np.float16),
        trained=trained.astype(np.float16),
        stream=stream,
        language=np.where(stream == "test", "bb", "aa"),
        speaker=np.array([f"{'b' if each == 'test' else 'a'}{n % 6}" for n, each in enumerate(stream)]),
        emotion=emotion,
    )
