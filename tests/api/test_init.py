"""`sere init`: each kind of corpus is recognised, and what is written is a config that a dry run takes at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from sere_core.api.recognise import look
from sere_core.cli import main, run_main
from sere_core.cli.init import METHODS
from sere_core.config import load
from sere_core.plan import make_plan
from sere_registry.catalog import Catalog

EMODB = [f"{speaker}a0{text}{code}a.wav" for speaker in ("03", "08", "09", "10", "11") for text in (1, 2) for code in "WFTN"]
EMOVO = [f"{speaker}/{code}-{speaker}-b{text}.wav" for speaker in ("f1", "m1") for text in (1, 2) for code in ("rab", "gio", "tri", "neu")]
RAVDESS = [f"Actor_{n:02}/03-01-{code}-01-01-01-{n:02}.wav" for n in range(1, 7) for code in ("01", "03", "04", "05")]
CALLS = [f"{day}/call{number}.wav" for day in ("monday", "tuesday") for number in range(3)]
NAMED = [f"{speaker}_{word}_{take}.wav" for speaker in ("ana", "ben") for word in ("angry", "sad") for take in range(2)]
SORTED = [f"{speaker}/{word}/{take}.wav" for speaker in ("ana", "ben") for word in ("Anger", "Joy") for take in range(2)]


def made(folder: Path, names: list[str]) -> Path:
    sound = np.random.default_rng(0).normal(0, 0.1, 8000)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, sound, 16000)
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("names", "use", "labels", "speakers"),
    [
        (EMODB, "sere.emodb", {"anger", "happiness", "sadness", "neutral"}, 5),
        (EMOVO, "sere.emovo", {"anger", "happiness", "sadness", "neutral"}, 2),
        (RAVDESS, "sere.ravdess", {"neutral", "happiness", "sadness", "anger"}, 6),
        (CALLS, "sere.folder", set(), 2),
        (NAMED, "sere.folder", {"anger", "sadness"}, 0),
        (SORTED, "sere.folder", {"anger", "happiness"}, 2),
        (
            [f"{word}/{who}/{n}.wav" for word in ("ANGER", "fear", "Happy") for who in ("s1", "s2") for n in (1, 2)],
            "sere.folder",
            {"anger", "fear", "happiness"},
            2,
        ),
        (
            [f"{word}/{n}.wav" for word in ("anger", "sad", "noise") for n in range(1, 6 if word == "noise" else 20)],
            "sere.folder",
            {"anger", "sadness", "noise"},
            0,
        ),
    ],
)
def test_a_folder_is_recognised(here: Path, names: list[str], use: str, labels: set[str], speakers: int) -> None:
    found = look(made(here / "corpus", names), "", Catalog())
    assert (found.use, set(found.labels), found.speakers, len(found.corpus)) == (use, labels, speakers, len(names))


def test_corpora_in_a_folder_are_named(here: Path) -> None:
    made(here / "data", ["03a01Wa.wav", "03a01Fa.wav", "monday.wav"])
    made(here / "data/emodb", EMODB)
    for path in (here / "data/emodb", made(here / "emovo", EMOVO), made(here / "calls", CALLS)):
        assert not any("of their own" in remark for remark in look(path, "de", Catalog()).remarks)
    (remark,) = (each for each in look(here / "data", "de", Catalog()).remarks if "of their own" in each)
    assert str(here / "data/emodb") in remark


def test_a_manifest_is_recognised_by_itself_and_in_its_folder(here: Path) -> None:
    made(here / "mine", NAMED)
    rows = [f"{name};{['Freude', 'sad', 'unknown', ''][place % 4]};{name[:3]}" for place, name in enumerate(NAMED)]
    manifest = here / "mine" / "list.csv"
    manifest.write_text("\n".join(["file;label;spk", *rows]), encoding="utf-8")
    for path in (manifest, here / "mine"):
        found = look(path, "de", Catalog())
        assert found.use == "sere.manifest" and found.path == manifest
        assert found.params["columns"] == {"path": "file", "emotion": "label", "speaker": "spk"}
        assert found.params["labels"] == {"Freude": "Freude"} and found.params["language"] == "de"
        assert found.labels == {"sadness": 2, "Freude": 2} and found.unlabelled == 4


@pytest.mark.parametrize("names", [("path", "emotion", "speaker"), ("File", "Label", "spk")])
def test_a_manifest_of_json_is_recognised_as_the_same_table(here: Path, names: tuple[str, ...]) -> None:
    made(here, NAMED)
    rows = [(name, ["Freude", "sad", "7", ""][place % 4], name[:3]) for place, name in enumerate(NAMED)]
    (here / "list.csv").write_text("\n".join(map(",".join, [names, *rows])), encoding="utf-8")
    lines = [dict(zip(names, (path, 7.0 if label == "7" else label or None, speaker), strict=True)) for path, label, speaker in rows]
    (here / "list.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n", encoding="utf-8")
    table, found = (look(here / f"list.{suffix}", "", Catalog()) for suffix in ("csv", "jsonl"))
    assert (found.params, found.labels, found.speakers) == (table.params, table.labels, table.speakers)
    assert found.params["language"] == "und" and found.params["labels"] == {"7": "7", "Freude": "Freude"}


def test_what_is_no_manifest_of_json_stands_in_nobodys_way(here: Path) -> None:
    made(here / "calls", CALLS)
    (here / "calls" / "notes.jsonl").write_text('{"said": "nothing"}\n[1]\n{', encoding="utf-8")
    assert look(here / "calls", "ur", Catalog()).use == "sere.folder"


@pytest.mark.parametrize("method", METHODS)
def test_the_config_is_accepted_at_once_wherever_it_is_written(here: Path, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    made(here / "emodb", EMODB)
    made(here / "calls", CALLS)
    words = ["init", "emodb", "calls", "-o", "configs/mine.yaml", "--target-language", "ur", "--method", method]
    assert main(words) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert "emodb" in printed and "folder" in printed and "configs/mine.yaml" in printed
    elsewhere = here / "moved"
    elsewhere.mkdir()
    for name in ("configs", "emodb", "calls"):
        shutil.move(here / name, elsewhere)
    assert run_main(["moved/configs/mine.yaml", "--dry-run"]) == 0, capsys.readouterr().err
    plan = make_plan(load("moved/configs/mine.yaml"))
    assert plan.task.unlabelled == len(CALLS) and plan.task.labelled == 0 and plan.languages == ("de", "ur")
    config = yaml.safe_load(Path("moved/configs/mine.yaml").read_text())
    assert config["corpora"]["calls"]["params"]["root"] == "../calls" and config["task"]["setting"] == "transductive"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (RAVDESS, {"setting": "inductive", "folds": 5, "normalise": "speaker"}),
        (EMOVO, {"setting": "inductive", "folds": "speakers", "normalise": "speaker"}),
        (NAMED, {"setting": "inductive", "folds": 5, "disjoint": "none", "normalise": "corpus"}),
    ],
)
def test_the_protocol_fits_the_speakers_of_the_target(here: Path, target: list[str], expected: dict[str, object]) -> None:
    made(here / "emodb", EMODB)
    made(here / "other", target)
    assert main(["init", "emodb", "other", "-o", "a.yaml"]) == 0
    task = yaml.safe_load(Path("a.yaml").read_text())["task"]
    assert {key: task[key] for key in ("setting", "folds", "disjoint", "normalise") if key in task} == expected


def test_without_folders_it_writes_an_example_and_nothing_is_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0 and run_main(["my.yaml", "--dry-run"]) == 0
    before = Path("my.yaml").read_bytes()
    capsys.readouterr()
    assert main(["init", "--method", "sere"]) == 2 and "[C304]" in capsys.readouterr().err
    assert Path("my.yaml").read_bytes() == before
    assert main(["init", "--method", "sere", "--force"]) == 0 and Path("my.yaml").read_bytes() != before
    assert run_main(["my.yaml", "--dry-run"]) == 0
    assert all(fold.source for fold in make_plan(load("my.yaml")).task.folds), "the method reads S_u"


def test_what_cannot_be_used_is_a_coded_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(here / "calls", CALLS)
    made(here / "emodb", EMODB)
    (here / "empty").mkdir()
    cases = {("calls", "emodb"): "D608", ("nowhere", "calls"): "D601", ("emodb", "empty"): "D602", ("emodb",): "C302"}
    for words, code in cases.items():
        assert main(["init", *words, "-o", "a.yaml"]) == 2
        assert f"[{code}]" in capsys.readouterr().err
        assert not Path("a.yaml").exists()


def test_columns_nearly_called_so_are_mapped_and_those_that_nobody_reads_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(here, NAMED)
    rows = [f"{name};{['anger', 'sad'][place % 2]};{name[:3]}" for place, name in enumerate(NAMED)]
    (here / "list.csv").write_text("\n".join(["File;Emozione;Sprecher", *rows]), encoding="utf-8")
    found = look(here / "list.csv", "de", Catalog())
    assert found.params["columns"] == {"path": "file", "emotion": "emozione"} and found.labels == {"anger": 4, "sadness": 4}
    made(here / "calls", CALLS)
    assert main(["init", "list.csv", "calls"]) == 0
    assert "columns not read: sprecher" in capsys.readouterr().out
