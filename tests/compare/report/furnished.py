"""Made-up records with all that a report can show: several loss terms, diagnostics, warnings, and embeddings before and after training."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np

from sere_core.compare.plan import ComparePlan
from sere_core.score.records import digest_files

#: as the engine names them
DIAGNOSTICS = ("adapt.prototype_spread", "adapt.similarity", "adapt.pseudo_entropy", "gate/f0", "gate/rms", "gate/mfcc2", "burst_spread")


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
        (record / "done").write_text(json.dumps({"sha256": digest_files(record)}), encoding="utf-8")
        if job.seed == plan.seeds[0]:
            _picture(record, draw, classes, points)


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
