"""While plugins run, the target's labels are not there: nowhere in the process, whoever looks and however."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sere_core.score.records import Record
from sere_registry import Recording, Utterance
from tests.end_to_end import walker
from tests.end_to_end.conftest import Sere, process, record

ROOT = Path(__file__).parents[2]

TARGET = """\
extends: [tiny.yaml]
corpora:
  xa: {params: {emotions: [anger, neutral, sadness]}}
  xb: {use: manifest, params: {file: target.csv}}
train: {epochs: 1, steps_per_epoch: 2}
"""


@pytest.fixture(params=["all labelled"])
def truth(home: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """A target whose file names tell nothing, its labels ("" for none), and the searching components."""
    emotions = [walker.EMOTIONS[number % 3] for number in np.random.default_rng(0).permutation(24)]
    if request.param == "half labelled":
        emotions = [emotion if number % 8 < 4 else "" for number, emotion in enumerate(emotions)]
    lines, labels = ["path,speaker,language,emotion"], {}
    for number, emotion in enumerate(emotions):
        wave = np.sin(np.arange(6400) * (0.02 + 0.01 * number)) * 0.3
        soundfile.write(home / f"u{number:02d}.wav", wave, 16000)
        lines.append(f"u{number:02d}.wav,p{number % 4},xb,{emotion}")
        labels[f"u{number:02d}"] = emotion
    (home / "target.csv").write_text("\n".join(lines) + "\n")
    (home / "sealed.yaml").write_text(TARGET)
    (home / walker.TRUTH).write_text(json.dumps(labels))
    shutil.copyfile(walker.__file__, home / "walker.py")
    return labels


WHO = ["all labelled", "half labelled", "drawn shares"]


@pytest.mark.parametrize("truth", WHO, indirect=True)
@pytest.mark.slow
def test_no_object_of_the_process_ties_a_target_utterance_to_an_emotion(
    truth: dict[str, str], home: Path, request: pytest.FixtureRequest
) -> None:
    parts = {"losses.search": "LOSS", "hooks.search": "HOOK"}
    # a mild draw: among the values of a process some follow, by chance, the labels of a stream of three utterances
    shares = ["task.target_shares={dirichlet: 50}"] if "drawn shares" in request.node.name else []
    told = process("sealed.yaml", *shares, *(f"{where}={{use: 'file:./walker.py:{name}'}}" for where, name in parts.items()), cwd=home)
    assert told.returncode == 0, told.stderr
    moments = [line.rpartition(" ") for line in (home / walker.COUNT).read_text().splitlines()]
    assert {moment for moment, _, _ in moments} == {"build of a hook", "build of a loss", "step", "end of an epoch", "after scoring"}
    assert min(int(count) for _, _, count in moments) > 100_000, "it did look at everything"
    assert (home / walker.FOUND).read_text() == ""
    done = Record.read(record(home / "runs"))
    scored = [[id for id in fold["test"] if truth[id]] for fold in done.folds["folds"]]
    if not shares:
        assert [*map(len, scored)] == [sum(map(bool, truth.values())) // 2] * 2
    openings = json.loads((done.path / "scores.json").read_text())["openings"]
    counts = [*map(len, scored), sum(map(len, scored))]
    assert openings == [{"opener": "scorer", "count": count} for count in counts], "each fold, then all once none is left to train"
    assert {row.id: row.truth for row in done.predictions} == {
        id: truth[id] for id in truth if not shares or any(id in ids for ids in scored)
    }


#: what the search says of it -> something that ties utterances to emotions, made of the true labels by id and of their positions
LEAKS: dict[str, Callable[[dict[str, str], list[int]], Any]] = {
    "a dict with the keys ['u": lambda truth, codes: dict(truth),
    "a dict with the keys [Recording(": lambda truth, codes: {
        Recording(name, Path("x"), "xb", "xb", "p"): label for name, label in truth.items()
    },
    "a dict with the keys ['xb/u": lambda truth, codes: {f"xb/{name}": code for name, code in zip(sorted(truth), codes, strict=True)},
    "a list in the order of ['u": lambda truth, codes: list(codes),
    "a ndarray in the order of ['u": lambda truth, codes: np.array(codes),
    "a text, u": lambda truth, codes: "\n".join(f"{name}.wav,p1,xb,{label}" for name, label in truth.items()),
    "an Utterance, u03": lambda truth, codes: [Utterance(Recording("u03", Path("x"), "xb", "xb", "p"), truth["u03"])],
}


def plant() -> list[Callable[[], Any]]:
    """All of them, each in a default of a function."""
    truth: dict[str, str] = json.loads(Path(walker.TRUTH).read_text())
    codes = [walker.EMOTIONS.index(truth[name]) for name in sorted(truth)]
    return [lambda it=make(truth, codes): it for make in LEAKS.values()]  # noqa: B008


def plant_and_search() -> None:
    """In a process of its own, where no other test has left anything."""
    walker.search("nothing")
    held = plant()
    walker.search("planted")
    del held


@pytest.mark.slow
def test_the_search_finds_what_there_is_to_find(truth: dict[str, str], home: Path) -> None:
    words = "from tests.end_to_end.test_sealed import plant_and_search; plant_and_search()"
    subprocess.run([sys.executable, "-W", "ignore", "-c", words], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    moments, found = zip(*(line.split(": ", 1) for line in (home / walker.FOUND).read_text().splitlines()), strict=True)
    assert {*moments} == {"planted"}
    assert [said for said in LEAKS if not any(line.startswith(said) for line in found)] == []


def test_honest_plugins_may_do_as_they_like(sere: Sere, home: Path) -> None:
    """No audit hook watches: clustering, child processes, stack inspection and reading files end no run."""
    (home / "honest.py").write_text(HONEST)
    told = sere("tiny.yaml", "train.epochs=1", "hooks.honest={use: 'file:./honest.py:HOOK'}")
    assert told.code == 0, told.err


HONEST = """
import gc, inspect, subprocess, sys, traceback
import numpy as np
from sklearn.cluster import KMeans
from sere_registry import ComponentSpec
from sere_registry.hookspecs import hookimpl

class Honest:
    def __init__(self, params, context):
        inspect.stack()

    @hookimpl
    def sere_step_end(self, run):
        KMeans(2, n_init=1).fit(np.eye(4))
        assert subprocess.run([sys.executable, "-c", "pass"]).returncode == 0
        list(traceback.walk_stack(None)), gc.get_objects()
        (run.folder / "folds.json").read_bytes()

HOOK = ComponentSpec(kind="hook", name="honest", factory=f"{__name__}:Honest", summary="does what plugins do")
"""


def _double(number: int) -> int:
    return 2 * number


def test_no_audit_hook_is_left_by_the_engine(sere: Sere) -> None:
    assert sere("tiny.yaml", "train.epochs=1").code == 0
    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(_double, 4).result() == 8


@pytest.mark.parametrize(
    "method",
    [
        (),
        ("method={use: mcd}", "losses=null"),
        ("method={use: nrc}", "losses=null"),
        ("method={use: jdar}", "losses=null", "encoders.small={use: acoustic}"),
        (
            "losses.adapt={use: fixmatch, params: {threshold: 0.5}}",
            "views={weak: [{use: jitter}], strong: [{use: frame_mask}, {use: feature_dropout}]}",
            "encoders.small={use: acoustic}",
        ),
    ],
    ids=["sere", "mcd", "nrc", "jdar", "fixmatch"],
)
def test_permuted_target_labels_change_nothing_but_the_scores(
    method: tuple[str, ...], sere: Sere, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every target utterance gets the wrong one of two labels, after the folds are made: nothing trained has seen them."""
    from sere_core.score import scorer

    words = ("train.epochs=2", "train.steps_per_epoch=2", *method, *(() if "jdar" in str(method) else ("select.use=entropy",)))
    true_labels = scorer.labels_of
    for name, sign in {"right": False, "wrong": True}.items():
        monkeypatch.setattr(
            scorer, "labels_of", lambda *given, sign=sign: {row: label ^ sign for row, label in true_labels(*given).items()}
        )
        assert sere("tiny.yaml", f"output.dir={name}", *words).code == 0
    true, wrong = record(home / "right"), record(home / "wrong")
    rows, others = (Record.read(each).predictions for each in (true, wrong))
    assert [replace(row, truth="") for row in rows] == [replace(row, truth="") for row in others]
    assert all(row.truth != other.truth for row, other in zip(rows, others, strict=True))
    for file in (
        "history.jsonl",
        "folds.json",
        "manifest.json",
        "checkpoints/fold-0.safetensors",
        "checkpoints/fold-1.safetensors",
    ):
        assert (true / file).read_bytes() == (wrong / file).read_bytes(), file
    uar, other = (json.loads((each / "scores.json").read_text())["mean"]["uar"] for each in (true, wrong))
    assert uar + other == pytest.approx(1.0), "of two classes, all predictions are right where they were wrong"
