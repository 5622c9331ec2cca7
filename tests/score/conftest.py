"""A finished task to score and record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sere_core.config.model import Task
from sere_core.data.task import TaskPlan, make_task
from sere_core.score.manifest import machine, made_of
from sere_core.score.records import RunFolder, json_line
from sere_core.score.scorer import Scorer
from sere_registry.utterances import Recording, Utterance

SERE = {"distribution": "sere", "version": "0.1.0", "cite": None}
EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


def utterances(corpus: str, language: str) -> list[Utterance]:
    return [
        Utterance(Recording(f"{speaker}-{emotion}-{take}", Path(f"{corpus}/{take}.wav"), corpus, language, speaker), emotion)
        for speaker in ("a", "b", "c")
        for emotion in EMOTIONS
        for take in range(3)
    ]


def target() -> list[Utterance]:
    """The corpus that is scored."""
    return utterances("emovo", "it")


@pytest.fixture
def plan() -> TaskPlan:
    config = Task(source="emodb", target="emovo", shots=2, folds=3)
    return make_task(config, utterances("emodb", "de"), target(), 0)


def posteriors(rows: int, classes: int, seed: int) -> np.ndarray:
    draws = np.random.default_rng(seed).dirichlet(np.ones(classes), size=rows)
    return draws.astype(np.float32)


def manifest(plan: TaskPlan) -> dict[str, object]:
    """Of a run with two components."""
    components = [
        {"kind": "loss", "id": "adapt", "name": "sere.tric", **SERE, "evidence": "confirmed", "params": {"weight": 1.0}},
        {"kind": "method", "id": "method", "name": "sere.jdar", **SERE, "evidence": "reconstructed", "params": {}},
    ]
    return {
        "name": "toy",
        "job": "1f3a",
        "protocol": plan.protocol,
        "selection": "last",
        **made_of(components),
        "digests": {"corpora": {}, "folds": plan.digest, "features": {"anchor": "ef" * 32}},
        "seeds": {"run": 0},
        "machine": machine("cpu", "float32"),
        "notes": {},
    }


@pytest.fixture
def write_run(plan: TaskPlan) -> Callable[[Path], RunFolder]:
    """A run as an engine would make it, in one go."""

    def write(root: Path) -> RunFolder:
        scorer = Scorer(plan, target)
        with RunFolder(root, "1f3a").claim("new") as run:
            run.write("config.yaml", b"sere: 1\nname: toy\ntask: {source: emodb}\n")
            plan.write(run.path)
            run.write_json("manifest.json", manifest(plan))
            for fold in plan.folds:
                losses = {"classify": 0.1 + fold.index}
                run.append_history(
                    json_line({"fold": fold.index, "stage": "joint", "epoch": 0, "losses": losses, "diagnostics": {"rho": float("nan")}})
                )
                rows = posteriors(len(fold.test), len(plan.classes), fold.index)
                run.write_predictions(fold.index, [each.id for each in fold.test], rows, plan.classes)
                scorer.score(fold, rows)
                run.write_json("scores.json", scorer.as_json())
                run.add_timing({"train": 0.5}, {"peak_mib": 100.04 - fold.index})
            truth = scorer.pool(run.predictions())
            run.write_json("scores.json", scorer.as_json())
            run.write_truth(truth, plan.classes)
            run.finish()
        return run

    return write
