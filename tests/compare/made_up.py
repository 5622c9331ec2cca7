"""A made-up comparison: a plan and finished records as the engine writes them, from counts that are drawn instead of trained for.

    plan = make_comparison(tmp_path, rows=("source-only", "ours", "theirs"), pairs=("aa>bb", "bb>aa"), seeds=(0, 1, 2))

Rows of one pair and seed score the same speakers and utterances; a row's accuracy may be given.  The same arguments give the same bytes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.plan import ComparePlan, Job, Role, Row
from sere_core.score.metrics import from_confusion, summarise
from sere_core.score.records import digest_files

CLASSES = ("anger", "fear", "happiness", "neutral", "sadness")
ROWS = ("source-only", "ours", "theirs")
PAIRS = ("aa>bb", "bb>aa")

Place = tuple[str, str, int]
#: measured beside scores; of no interest to tables
FURTHER: dict[str, Any] = {
    "metrics": {},
    "confidence": dict.fromkeys(("ece", "brier", "nll", "aurc"), 0.1)
    | {"risk_coverage": {"coverage": [1.0], "risk": [0.4]}, "selective": []},
}


def make_comparison(
    folder: Path,
    rows: int | Sequence[str | Row] = ROWS,
    pairs: int | Sequence[str] = PAIRS,
    seeds: int | Sequence[int] = (0, 1, 2),
    *,
    name: str = "made-up",
    folds: int = 5,
    speakers: int = 10,
    per_class: int = 2,
    accuracy: Mapping[str, float] | Callable[[str, str, int], float] | None = None,
    missing: Collection[Place] = (),
    failures: Mapping[Place, str] | None = None,
    protocol: Callable[[str, str], str] | None = None,
    evidence: Mapping[str, str] | None = None,
    selection: Mapping[str, str] | None = None,
    features: Mapping[str, str] | None = None,
    reference: str | None = None,
    old: bool = False,
) -> ComparePlan:
    """Write `plan.json` and `records/JOB/` for every place, and give back the plan.

    Of rows that are names the first is the floor, and those with "ceiling" in them are ceilings; numbers say how many.  Every speaker
    has `per_class` utterances of each class in speaker-disjoint folds; `speakers=0` makes a corpus that does not know them.
    `accuracy` is by row, or of (row, pair, seed); `failures` are place -> line; `protocol` is of (row, pair); `evidence`, `selection`
    and `features` are by row; `old` records lack the newer fields.
    """
    if isinstance(rows, int):
        rows = ["source-only", *(f"method-{number}" for number in range(1, rows))][:rows]
    chosen = tuple(row if isinstance(row, Row) else _row(index, row) for index, row in enumerate(rows))
    names = [f"p{number}>q{number}" for number in range(pairs)] if isinstance(pairs, int) else list(pairs)
    draws = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    jobs = []
    for row, pair, seed in itertools.product(chosen, names, draws):
        place = (row.name, pair, seed)
        job = _hex(name, place)[:12]
        jobs.append(Job(*place, job))
        if place in (failures or {}):
            line = {"code": "T501", "line": f"[T501] {(failures or {})[place]}"}
            _write(folder / "failures" / f"{job}.json", line)
        elif place not in missing:
            usual = {"floor": 0.5, "method": 0.6, "topline": 0.7, "ceiling": 0.8}[row.role]
            share = accuracy(*place) if callable(accuracy) else (accuracy or {}).get(row.name, usual)
            about = {
                "name": name,
                "job": job,
                "protocol": protocol(row.name, pair) if protocol else default_protocol(row, pair, folds),
                "selection": (selection or {}).get(row.name, "last"),
                "evidence": (evidence or {}).get(row.name, "confirmed"),
            }
            print_of = (features or {}).get(row.name, _hex("features"))
            shape = _Shape(folds, [f"s{n:02d}" for n in range(speakers or 2 * folds)], speakers > 0, per_class, old)
            _record(folder / "records" / job, shape, row, place, share, about, print_of)
    first = reference or chosen[0].name
    budget = {"epochs": 10, "steps_per_epoch": 8}
    plan = ComparePlan(name, chosen, tuple(names), tuple(draws), tuple(jobs), first, (), budget)
    plan.write(folder)
    return plan


def default_protocol(row: Row, pair: str, folds: int = 5) -> str:
    """What the engine calls the task of a row: a ceiling learns from its own target."""
    end = " target-supervised" if row.role == "ceiling" else ""
    source, target = _ends(row, pair)
    return f"{source}>{target} 5-shot inductive {folds} folds speaker-disjoint norm=speaker (test speakers' own utterances read){end}"


def _ends(row: Row, pair: str) -> tuple[str, str]:
    """Source and target of `aa>bb` or `aa_to_bb`; of a ceiling the target twice."""
    source, _, target = pair.replace("_to_", ">").partition(">")
    return (target if row.role == "ceiling" else source), target


def _row(index: int, name: str) -> Row:
    role: Role = "floor" if index == 0 else "ceiling" if "ceiling" in name else "method"
    return Row(name, role, ("losses", "task.source") if role == "ceiling" else ("losses",))


def _write(path: Path, data: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")


def _hex(*words: object) -> str:
    return hashlib.sha256(repr(words).encode()).hexdigest()


@dataclass(frozen=True)
class _Shape:
    """Of a task: speaker n is scored in fold n modulo `folds`."""

    folds: int
    speakers: Sequence[str]
    known: bool
    per_class: int
    old: bool


def _record(path: Path, shape: _Shape, row: Row, place: Place, accuracy: float, about: Mapping[str, str], features: str) -> None:
    """One record, `done` last."""
    source, target = _ends(row, place[1])
    seed = place[2]
    newer = {} if shape.old else {"peak_mib": 900 * accuracy}
    history = {"fold": 0, "stage": "joint", "epoch": 0, "losses": {"classify": 2 - accuracy}, "diagnostics": {}}
    path.mkdir(parents=True, exist_ok=True)
    config = f"sere: 1\nname: {about['name']}\nseed: {seed}\ntrain: {{epochs: 10, steps_per_epoch: 8}}\n"
    (path / "config.yaml").write_text(config, encoding="utf-8")
    _write(path / "manifest.json", _manifest(shape, source, target, seed, about, features))
    folds = [_streams(shape, source, target, seed, fold) for fold in range(shape.folds)]
    about_task = {
        "source": source,
        "target": target,
        "protocol": about["protocol"],
        "setting": "inductive",
        "label_digest": "",
        "sha256": "",
    }
    counts = {"labelled": 0, "unlabelled": 0, "uses_target_labels": False, "warnings": [], "notes": []}
    _write(path / "folds.json", {"classes": CLASSES, "folds": folds, **about_task, **counts})
    (path / "history.jsonl").write_text(json.dumps(history) + "\n", encoding="utf-8")
    (path / "predictions.csv").write_text(f"id,fold,{','.join(CLASSES)},prediction,truth\n", encoding="utf-8")
    _write(path / "scores.json", _scores(shape, _predicted(shape, place, accuracy)))
    _write(path / "timing.json", {"features": 0.5, "train and score": 20 * accuracy, **newer})
    _write(path / "done", {"sha256": digest_files(path)})


def _predicted(shape: _Shape, place: Place, accuracy: float) -> NDArray[np.int64]:
    """`[speakers, classes, per_class]`: the class predicted for each utterance, whose hardness does not depend on the row."""
    size = (len(shape.speakers), len(CLASSES), shape.per_class)
    hardness = np.random.default_rng(zlib.crc32(place[1].encode())).random(size)
    draw = np.random.default_rng(zlib.crc32(repr(place).encode()))
    true = np.broadcast_to(np.arange(len(CLASSES))[None, :, None], size)
    # the t for which the mean of two uniform draws is below t with probability `accuracy`
    threshold = np.sqrt(accuracy / 2) if accuracy <= 0.5 else 1 - np.sqrt((1 - accuracy) / 2)
    right = 0.5 * hardness + 0.5 * draw.random(size) < threshold
    return np.where(right, true, (true + draw.integers(1, len(CLASSES), size)) % len(CLASSES))


def _scores(shape: _Shape, predicted: NDArray[np.int64]) -> dict[str, Any]:
    counts = np.stack([(predicted == column).sum(axis=2) for column in range(len(CLASSES))], axis=2)
    folds, found = [], []
    for fold in range(shape.folds):
        members = range(fold, len(shape.speakers), shape.folds)
        scores = from_confusion(counts[members].sum(axis=0).tolist(), CLASSES)
        entry: dict[str, Any] = {"fold": fold, **asdict(scores), **FURTHER}
        if not shape.old and shape.known:
            genders = [("female", "male")[(i // shape.folds) % 2] for i in members]
            entry["speakers"] = [
                {"speaker": shape.speakers[i], "gender": gender, "confusion": counts[i].tolist()}
                for i, gender in zip(members, genders, strict=True)
            ]
        folds.append(entry)
        found.append(scores)
    openings = [{"opener": "scorer", "count": scores.n} for scores in found]
    whole = asdict(summarise(found, CLASSES))
    whole["pooled"] |= FURTHER
    return {"classes": CLASSES, "complete": True, "folds": folds, **whole, "openings": openings}


def _manifest(shape: _Shape, source: str, target: str, seed: int, about: Mapping[str, str], features: str) -> dict[str, Any]:
    digests: dict[str, Any] = {
        "folds": _hex(source, target, seed),
        "features": {"all": features[:32]},
    }
    newer: dict[str, Any] = {}
    if not shape.old:
        digests["streams"] = {"labelled": _hex(source, seed, "labelled"), "test": _hex(target, seed, "test")}
        newer["parameters"] = {"trained": 123456, "total": 234567}
    component = {"kind": "loss", "id": "losses.adapt", "name": "made.up", "distribution": "made-up", "version": "1.0", "cite": None}
    return {
        **about,
        "versions": {"python": "3.11.7", "sere": "0.1.0"},
        "components": [{**component, "params": {}, "evidence": about["evidence"]}],
        "made_of": {f"corpora.{name}.audio": _hex(name) for name in (source, target)},
        "digests": digests,
        "seeds": {"run": seed, "task": seed + 1},
        "machine": {"system": "Linux x86_64", "cpu": "made up", "cores": 2, "device": "cpu", "precision": "float32"},
        "notes": {"normalisation": [], "warnings": []},
        **newer,
    }


def _streams(shape: _Shape, source: str, target: str, seed: int, fold: int) -> dict[str, Any]:
    """Who stands in the streams of a fold, in short."""
    scored = shape.speakers[fold :: shape.folds]
    return {
        "index": fold,
        "labelled": {f"{source}-{seed}-{number}": number for number in range(len(CLASSES))},
        "source": [f"{source}-{seed}"],
        "target": [f"{target}-{name}" for name in shape.speakers if name not in scored],
        "test": [f"{target}-{name}" for name in scored],
    }
