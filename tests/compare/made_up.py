"""A made-up comparison: a plan and finished records as the engine writes them, from counts that are drawn instead of trained for.

    plan = make_comparison(tmp_path, rows=("source-only", "ours", "theirs"), pairs=("aa>bb", "bb>aa"), seeds=(0, 1, 2))

Rows of one pair and seed score the same speakers and utterances; a row's accuracy may be given.  The same arguments give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.plan import ComparePlan, Job, Row
from sere_core.score.metrics import from_confusion, summarise
from sere_core.score.records import digest_files

CLASSES = ("anger", "fear", "happiness", "neutral", "sadness")
ROWS = ("source-only", "ours", "theirs")
PAIRS = ("aa>bb", "bb>aa")

Place = tuple[str, str, int]


def make_comparison(
    folder: Path,
    rows: int | Sequence[str | Row] = ROWS,
    pairs: int | Sequence[str] = PAIRS,
    seeds: int | Sequence[int] = (0, 1, 2),
    *,
    name: str = "made-up",
    classes: Sequence[str] = CLASSES,
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
    bulk: bool = True,
) -> ComparePlan:
    """Write `plan.json` and `records/JOB/` for every place, and give back the plan.

    Args:
        folder: of the comparison; made if it is not there.
        rows: `Row`s, names, or how many.  Of names the first is the floor, and those with "ceiling" in them are ceilings.
        pairs, seeds: names and numbers, or how many.
        classes, folds, speakers, per_class: every speaker has `per_class` utterances of each class; folds are speaker-disjoint.
            No speakers at all: `speakers=0` makes a corpus that does not know them.
        accuracy: by row, or of (row, pair, seed), in [0, 1]; what is not said is 0.5 for the floor, 0.6 for methods, 0.8 for ceilings.
        missing: places without a record.
        failures: place -> the line in `failures/JOB.json`; these have no record either.
        protocol: of (row, pair); by default the one that the engine would write.
        evidence, selection, features: by row; else "confirmed", "last", and one digest for all.
        reference: the first row by default.
        old: without the files' newer fields (speakers, streams, parameters, peak memory).
        bulk: with the lines of history and predictions; else these files are there but short.
    """
    chosen = _rows(rows)
    names = [f"p{number}>q{number}" for number in range(pairs)] if isinstance(pairs, int) else list(pairs)
    draws = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    failures = failures or {}
    jobs, made = [], _Maker(classes, folds, speakers, per_class, old, bulk)
    for row in chosen:
        for pair in names:
            for seed in draws:
                place = (row.name, pair, seed)
                job = hashlib.sha256(repr((name, place)).encode()).hexdigest()[:12]
                jobs.append(Job(row.name, pair, seed, job))
                if place in failures:
                    (folder / "failures").mkdir(parents=True, exist_ok=True)
                    line = {"code": "T501", "line": f"[T501] {failures[place]}"}
                    (folder / "failures" / f"{job}.json").write_text(json.dumps(line), encoding="utf-8")
                elif place not in missing:
                    words = protocol(row.name, pair) if protocol else default_protocol(row, pair, folds)
                    about = {
                        "name": name,
                        "job": job,
                        "protocol": words,
                        "selection": (selection or {}).get(row.name, "last"),
                        "evidence": (evidence or {}).get(row.name, "confirmed"),
                    }
                    print_of = (features or {}).get(row.name, _hex("features"))
                    made.record(folder / "records" / job, row, pair, seed, _accuracy(accuracy, row, pair, seed), about, print_of)
    first = reference or chosen[0].name
    budget = {"epochs": 10, "steps_per_epoch": 8}
    plan = ComparePlan(name, chosen, tuple(names), tuple(draws), tuple(jobs), first, (), budget)
    folder.mkdir(parents=True, exist_ok=True)
    plan.write(folder)
    return plan


def default_protocol(row: Row, pair: str, folds: int = 5) -> str:
    """What the engine calls the task of a row: a ceiling learns from its own target."""
    source, target = sides(pair)
    end = " target-supervised" if row.role == "ceiling" else ""
    return f"{target if end else source}>{target} 5-shot inductive {folds} folds speaker-disjoint norm=speaker{end}"


def sides(pair: str) -> tuple[str, str]:
    """Source and target of `aa>bb` or `aa_to_bb`."""
    source, _, target = pair.replace("_to_", ">").partition(">")
    return source, target


def _rows(rows: int | Sequence[str | Row]) -> tuple[Row, ...]:
    if isinstance(rows, int):
        rows = ["source-only", *(f"method-{number}" for number in range(1, rows))][:rows]

    def role(index: int, name: str) -> Any:
        return "floor" if index == 0 else "ceiling" if "ceiling" in name else "method"

    def named(index: int, name: str) -> Row:
        is_ceiling = role(index, name) == "ceiling"
        return Row(name, role(index, name), ("losses", "task.source") if is_ceiling else ("losses",))

    return tuple(row if isinstance(row, Row) else named(index, row) for index, row in enumerate(rows))


def _accuracy(given: Any, row: Row, pair: str, seed: int) -> float:
    if callable(given):
        return float(given(row.name, pair, seed))
    return float((given or {}).get(row.name, {"floor": 0.5, "method": 0.6, "ceiling": 0.8}[row.role]))


def _hex(*words: object) -> str:
    return hashlib.sha256(repr(words).encode()).hexdigest()


class _Maker:
    """Writes records of one shape of task."""

    def __init__(self, classes: Sequence[str], folds: int, speakers: int, per_class: int, old: bool, bulk: bool) -> None:
        self.classes, self.folds, self.old, self.bulk = tuple(classes), folds, old, bulk
        self.known = speakers > 0
        self.speakers = [f"s{number:02d}" for number in range(speakers or 2 * folds)]
        self.per_class = per_class

    def record(self, path: Path, row: Row, pair: str, seed: int, accuracy: float, about: Mapping[str, str], features: str) -> None:
        """One record, `done` last."""
        answers = self._answers(row, pair, seed, accuracy)
        files = {
            "config.yaml": f"sere: 1\nname: {about['name']}\nseed: {seed}\ntrain: {{epochs: 10, steps_per_epoch: 8}}\n",
            "manifest.json": _json(self._manifest(row, pair, seed, about, features)),
            "folds.json": _json(self._folds(row, pair, seed, about)),
            "history.jsonl": self._history(accuracy),
            "predictions.csv": self._predictions(answers, accuracy),
            "scores.json": _json(self._scores(answers)),
            "timing.json": _json({"features": 0.5, "train and score": 20 * accuracy, **({} if self.old else {"peak_mib": 900 * accuracy})}),
        }
        path.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (path / name).write_bytes(text.encode())
        (path / "done").write_bytes((json.dumps({"sha256": digest_files(path)}, indent=1) + "\n").encode())

    def _answers(self, row: Row, pair: str, seed: int, accuracy: float) -> NDArray[np.int64]:
        """`[speakers, classes, per_class]`: what was answered to each utterance.  How hard an utterance is does not depend on the row."""
        size = (len(self.speakers), len(self.classes), self.per_class)
        hardness = np.random.default_rng(zlib.crc32(pair.encode())).random(size)
        draw = np.random.default_rng(zlib.crc32(repr((row.name, pair, seed)).encode()))
        true = np.broadcast_to(np.arange(len(self.classes))[None, :, None], size)
        right = 0.5 * hardness + 0.5 * draw.random(size) < _threshold(accuracy)
        return np.where(right, true, (true + draw.integers(1, len(self.classes), size)) % len(self.classes))

    def _fold(self, speaker: int) -> int:
        return speaker % self.folds

    def _scores(self, answers: NDArray[np.int64]) -> dict[str, Any]:
        size = len(self.classes)
        counts = np.zeros((len(self.speakers), size, size), dtype=int)
        for column in range(size):
            counts[:, :, column] = (answers == column).sum(axis=2)
        folds = []
        for fold in range(self.folds):
            members = [index for index in range(len(self.speakers)) if self._fold(index) == fold]
            scores = from_confusion(counts[members].sum(axis=0).tolist(), self.classes)
            entry: dict[str, Any] = {"fold": fold, **scores.as_json()}
            if not self.old and self.known:
                gender = ("female", "male")
                entry["speakers"] = [
                    {"speaker": self.speakers[i], "gender": gender[(i // self.folds) % 2], "confusion": counts[i].tolist()} for i in members
                ]
            folds.append((entry, scores))
        return {
            "classes": list(self.classes),
            "complete": True,
            "folds": [entry for entry, _ in folds],
            **summarise([scores for _, scores in folds], self.classes).as_json(),
            "openings": [{"opener": "scorer", "count": scores.n} for _, scores in folds],
        }

    def _manifest(self, row: Row, pair: str, seed: int, about: Mapping[str, str], features: str) -> dict[str, Any]:
        source, target = sides(pair)
        source = target if row.role == "ceiling" else source
        digests: dict[str, Any] = {
            "corpora": {source: _hex(source), target: _hex(target)},
            "folds": _hex(source, target, seed),
            "features": {"all": features[:32]},
        }
        newer: dict[str, Any] = {}
        if not self.old:
            digests["streams"] = {"labelled": _hex(source, seed, "labelled"), "test": _hex(target, seed, "test")}
            newer["parameters"] = {"trained": 123456, "total": 234567}
        return {
            **about,
            "versions": {"python": "3.11.7", "sere": "0.1.0"},
            "components": [
                {
                    "kind": "loss",
                    "id": "losses.adapt",
                    "name": "made.up",
                    "distribution": "made-up",
                    "version": "1.0",
                    "params": {},
                    "evidence": about["evidence"],
                }
            ],
            "digests": digests,
            "seeds": {"run": seed, "task": seed + 1},
            "machine": {"system": "Linux x86_64", "cpu": "made up", "cores": 2, "device": "cpu", "precision": "float32"},
            "notes": {"normalisation": [], "warnings": []},
            **newer,
        }

    def _folds(self, row: Row, pair: str, seed: int, about: Mapping[str, str]) -> dict[str, Any]:
        source, target = sides(pair)
        source = target if row.role == "ceiling" else source
        return {
            "protocol": about["protocol"],
            "source": source,
            "target": target,
            "uses_target_labels": row.role == "ceiling",
            "classes": list(self.classes),
            "warnings": [],
            "notes": [],
            "sha256": _hex(source, target, seed),
            "folds": [{"index": fold, **self._streams(source, target, seed, fold)} for fold in range(self.folds)],
        }

    def _streams(self, source: str, target: str, seed: int, fold: int) -> dict[str, Any]:
        """Who stands in the streams of a fold, in short."""
        scored = [name for number, name in enumerate(self.speakers) if self._fold(number) == fold]
        return {
            "labelled": {f"{source}-{seed}-{number}": number for number in range(len(self.classes))},
            "source": [f"{source}-{seed}"],
            "target": [f"{target}-{name}" for name in self.speakers if name not in scored],
            "test": [f"{target}-{name}" for name in scored],
        }

    def _history(self, accuracy: float) -> str:
        epochs = range(10 if self.bulk else 1)
        lines = [
            {"fold": fold, "stage": "joint", "epoch": epoch, "losses": {"classify": (2 - accuracy) / (1 + epoch)}, "diagnostics": {}}
            for fold in range(self.folds)
            for epoch in epochs
        ]
        return "".join(json.dumps(line) + "\n" for line in lines)

    def _predictions(self, answers: NDArray[np.int64], accuracy: float) -> str:
        lines = [",".join(["id", "fold", *self.classes, "prediction"])]
        for speaker in sorted(range(len(self.speakers) if self.bulk else 1), key=lambda index: (self._fold(index), index)):
            for true, name in enumerate(self.classes):
                for take in range(self.per_class):
                    answer = int(answers[speaker, true, take])
                    rest = (1 - accuracy) / (len(self.classes) - 1)
                    values = [repr(accuracy if column == answer else rest) for column in range(len(self.classes))]
                    identity = f"{self.speakers[speaker]}-{name}-{take}"
                    lines.append(",".join([identity, str(self._fold(speaker)), *values, self.classes[answer]]))
        return "\n".join(lines) + "\n"


def _threshold(accuracy: float) -> float:
    """The t for which the mean of two uniform draws is below t with the probability asked for."""
    return float(np.sqrt(accuracy / 2)) if accuracy <= 0.5 else float(1 - np.sqrt((1 - accuracy) / 2))


def _json(data: Any) -> str:
    """Like the engine's files: one value on a line."""
    return json.dumps(data, separators=(",\n  ", ": "), ensure_ascii=False) + "\n"
