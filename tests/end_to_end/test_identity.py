"""A run is what its config reaches, by content: what is made of something else is another run, and the difference is named."""

from __future__ import annotations

import csv
import importlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sere_core.config import load
from sere_core.content import Contents
from sere_core.identity import codes, identify
from sere_core.plan import make_plan
from sere_core.provenance import code_digest
from sere_core.score.records import Record, read_predictions
from sere_registry import Params, SereError, param
from tests.end_to_end.conftest import Sere, records

SWAP = {"anger": "sadness", "sadness": "anger"}
OLD = 1_600_000_000


@pytest.fixture
def own(home: Path) -> str:
    """A target of our own, as the words of a `--set`; its files are old."""
    rows, noise = [["path", "speaker", "language", "emotion", "gender", "text", "start", "end"]], np.random.default_rng(0)
    for number in range(12):
        soundfile.write(home / f"{number:02d}.wav", 0.1 * noise.standard_normal(9000), 16000)
        os.utime(home / f"{number:02d}.wav", (OLD, OLD))
        emotion = ("anger", "sadness")[number // 3 % 2]
        rows.append([f"{number:02d}.wav", f"s{number % 3}", "de", emotion, "female", "a", "0", "0.5"])
    with open(home / "all.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return f"corpora.xb={{use: manifest, params: {{file: {home / 'all.csv'}}}}}"


def edit(column: str, value: Callable[[str], str], only: int | None = None) -> None:
    rows = list(csv.reader(Path("all.csv").read_text().splitlines()))
    place = rows[0].index(column)
    for number, row in enumerate(rows[1:]):
        if only in (None, number):
            row[place] = value(row[place])
    with open("all.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)


def other_audio() -> None:
    """Of the same size and the same time."""
    soundfile.write("00.wav", 0.1 * np.random.default_rng(1).standard_normal(9000), 16000)
    os.utime("00.wav", (OLD, OLD))


EDITS: dict[str, tuple[Callable[[], None], str]] = {
    "labels": (lambda: edit("emotion", SWAP.__getitem__), "labels of corpus 'xb'"),
    "one label": (lambda: edit("emotion", SWAP.__getitem__, 2), "labels of corpus 'xb'"),
    "gender": (lambda: edit("gender", lambda old: "male", 5), "speakers of corpus 'xb'"),
    "speaker": (lambda: edit("speaker", lambda old: "s1", 6), "speakers of corpus 'xb'"),
    "text": (lambda: edit("text", lambda old: "b", 5), "texts of corpus 'xb'"),
    "part": (lambda: edit("end", lambda old: "0.4", 5), "audio of corpus 'xb'"),
    "audio": (other_audio, "audio of corpus 'xb'"),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_a_corpus_says_and_holds_is_part_of_a_runs_name(name: str, own: str, home: Path) -> None:
    made = [identify(make_plan(load("tiny.yaml", sets=[own])))]
    change, words = EDITS[name]
    change()
    made.append(identify(make_plan(load("tiny.yaml", sets=[own]))))
    assert made[0].name != made[1].name and made[0].config == made[1].config
    assert made[1].changes(made[0].parts) == [words]


def test_audio_below_the_cache_folder_counts_as_any_other(own: str, home: Path) -> None:
    words = [own, f"features.cache={home}"]
    before = identify(make_plan(load("tiny.yaml", sets=words)))
    other_audio()
    assert identify(make_plan(load("tiny.yaml", sets=words))).changes(before.parts) == ["audio of corpus 'xb'"]


def test_swapped_labels_are_another_run_with_its_own_score(own: str, sere: Sere, home: Path) -> None:
    assert sere("tiny.yaml", own).code == 0
    (first,) = records(home / "runs")
    before = Record.read(first).scores["mean"]["uar"]
    edit("emotion", SWAP.__getitem__)
    told = sere("tiny.yaml", own)
    assert told.code == 0 and "labels of corpus 'xb'" in told.err and first.name in told.err
    (second,) = set(records(home / "runs")) - {first}
    truth = {row["path"][:2]: row["emotion"] for row in csv.DictReader(Path("all.csv").read_text().splitlines())}
    assert {row.id[:2]: row.truth for row in read_predictions(second / "predictions.csv")} == truth
    assert Record.read(first).scores["mean"]["uar"] == before, "the first one stands"
    edit("emotion", SWAP.__getitem__)
    assert first.name in sere("tiny.yaml", own).out and len(records(home / "runs")) == 2, "undone: the first one again"
    edit("emotion", SWAP.__getitem__, 1)
    assert sere("tiny.yaml", own, "--fresh").code == 0
    assert len(records(home / "runs")) == 1, "--fresh throws away what the config had left"


def test_an_interrupted_run_does_not_go_on_with_other_labels(own: str, sere: Sere, home: Path) -> None:
    assert sere("tiny.yaml", own).code == 0
    (first,) = records(home / "runs")
    (first / "done").unlink()
    edit("emotion", SWAP.__getitem__, 0)
    told = sere("tiny.yaml", own, "--resume")
    assert told.code == 1 and "[T505]" in told.err and "labels of corpus 'xb'" in told.err
    assert records(home / "runs") == [first]


def test_fresh_reads_what_is_remembered_in_full(own: str, home: Path) -> None:
    kept = Contents(home / "kept")
    kept.recall([home / "00.wav"])
    assert not (home / "kept" / "digests.sqlite").exists(), "changed a moment ago: it may change again with the same times"
    true = kept.digest(home / "00.wav")
    state = kept._known[str(home / "00.wav")][0]
    kept._new[str(home / "00.wav")] = (state, "stale")
    kept.save()
    assert Contents(home / "kept").digest(home / "00.wav") == "stale", "remembered by what the file system says"
    assert Contents(home / "kept", fresh=True).digest(home / "00.wav") == true
    (home / "kept" / "digests.sqlite").write_bytes(b"no database")
    assert Contents(home / "kept").digest(home / "00.wav") == true


def test_rendered_corpora_are_the_same_before_and_after(home: Path) -> None:
    names = []
    for _ in range(2):
        plan = make_plan(load("tiny.yaml", sets=[f"features.cache={home / 'made'}"]))
        names.append(identify(plan).name)
        from sere_core.plan import build_corpus

        build_corpus(plan.resolved, "xb").prepare(None)
    assert names[0] == names[1]


def test_all_files_of_a_package_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there" / "deep").mkdir(parents=True)
    files = ("there/__init__.py", "there/deep/helper.py", "there/table.json", "there_too.py")
    for name in files:
        (tmp_path / name).write_text("1\n")
    about = tmp_path / "there_plugin-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: there-plugin\nVersion: 1.0\n")
    (about / "top_level.txt").write_text("there\nthere_too\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_digest("there-plugin", "there", Contents())
    (tmp_path / "there" / "__pycache__").mkdir()
    (tmp_path / "there" / "__pycache__" / "x.pyc").write_text("2")
    assert code_digest("there-plugin", "there", Contents()) == before != ""
    for name in files:
        (tmp_path / name).write_text("2\n")
        after = code_digest("there-plugin", "there", Contents())
        assert after != before, name
        before = after


class Weights(Params):
    weights: Path = param(..., "a file")
    also: tuple[Path, ...] = param((), "some more")


def test_a_file_that_a_parameter_names_is_missed_before_the_run(home: Path) -> None:
    plan = make_plan(load("tiny.yaml", sets=["encoders.spare={use: logmel}"]))
    mine = Weights(weights=home / "nowhere.pt", also=(home / "tiny.yaml", home / "nor here"))

    def parts(*names: str) -> set[str]:
        bounds = {f"encoders.{name}": replace(plan.resolved.components[f"encoders.{name}"], params=mine) for name in names}
        return set(identify(plan, replace(plan.resolved, components={**plan.resolved.components, **bounds})).parts)

    with pytest.raises(SereError) as caught:
        parts("small")
    places = [(each.code, each.place.path, each.message.rpartition("/")[2]) for each in caught.value.problems]
    weights, also = "encoders.small.params.weights", "encoders.small.params.also.1"
    assert places == [("C302", weights, "nowhere.pt"), ("C302", also, "nor here")] and caught.value.problems[0].place.line
    assert "files.encoders.spare.params.also.0" in parts("spare"), "nothing builds it"


def test_a_component_in_a_file_counts_with_what_it_names(home: Path) -> None:
    source = "def later():\n    import helper\n\n\nTABLE = 'table.txt'\nfrom sere_registry import ComponentSpec\n"
    source += "SPEC = ComponentSpec(kind='loss', name='m', factory='builtins:dict', summary='')\n"
    source += "DEEP = ('/', 'data', 'deep.json')\n"
    texts = {"m.py": source, "helper.py": "import deeper, parts.one\n", "table.txt": "1\n", "unrelated.txt": "1\n", "deeper.py": "1\n"}
    for name, text in (texts | {"parts/two.py": "1\n", "data/deep.json": "1\n"}).items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)
    (home / "mine.yaml").write_text((home / "tiny.yaml").read_text())
    words = ["losses.adapt={use: 'file:./m.py:SPEC'}"]

    def name() -> str:
        return identify(make_plan(load("mine.yaml", sets=words))).name

    first = name()
    (home / "unrelated.txt").write_text("2\n")
    assert name() == first
    for file in ("helper.py", "table.txt", "deeper.py", "parts/two.py", "data/deep.json"):
        before = (home / file).read_text()
        (home / file).write_text(before + "2\n")
        assert name() != first, file
        (home / file).write_text(before)
    assert name() == first
    for file in ("m.py", "helper.py", "table.txt", "deeper.py", "parts/two.py", "data/deep.json"):
        (home / "moved" / file).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(home / file, home / "moved" / file)
    words[0] = "losses.adapt={use: 'file:./moved/m.py:SPEC'}"
    assert name() == first, "where it lies is no part of it"


def test_the_record_of_another_run_in_this_ones_folder_is_not_taken_for_it(own: str, sere: Sere, home: Path) -> None:
    assert sere("tiny.yaml", own).code == 0
    (first,) = records(home / "runs")
    assert sere("tiny.yaml", own, "seed=1").code == 0
    (second,) = set(records(home / "runs")) - {first}
    shutil.rmtree(first)
    shutil.copytree(second, first)
    told = sere("tiny.yaml", own)
    assert told.code == 1 and "[T505]" in told.err and f"it is the record of job {second.name}" in told.err
    assert sere("tiny.yaml", own, "--fresh").code == 0 and Record.read(first).manifest["seeds"]["run"] == 0


def test_a_manifest_holds_the_parts(own: str, sere: Sere, home: Path) -> None:
    assert sere("tiny.yaml", own).code == 0
    (only,) = records(home / "runs")
    made = json.loads((only / "manifest.json").read_text())["made_of"]
    assert made == dict(identify(make_plan(load("tiny.yaml", sets=[own]))).parts)


def test_code_that_is_edited_while_a_process_runs_it_is_not_taken_for_what_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "once_there.py").write_text("y = 1\n")
    monkeypatch.syspath_prepend(str(home))
    bound = replace(load("tiny.yaml").components["dynamics"], distribution="once-there")
    bound = replace(bound, spec=replace(bound.spec, factory="once_there:It"))
    before = codes([bound], Contents())
    (home / "once_there.py").write_text("y = 2\n")
    assert codes([bound], Contents()) != before, "nothing of it was imported"
    importlib.import_module("once_there")
    (home / "once_there.py").write_text("y = 3\n")
    with pytest.raises(SereError, match="once-there") as caught:
        codes([bound], Contents())
    assert caught.value.problems[0].code == "T505"


def test_audio_that_changes_after_planning_is_said(own: str, home: Path) -> None:
    plan = make_plan(load("tiny.yaml", sets=[own]))
    identify(plan)
    plan.check_unchanged()
    other_audio()
    with pytest.raises(SereError, match="audio of corpus 'xb'") as caught:
        plan.check_unchanged()
    assert caught.value.problems[0].code == "T505"
