"""From a model to labels, and from labels to a run that is trained on them and does not score them."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sere_core.annotate.labels import Labels, Question
from sere_core.annotate.page import Page
from sere_core.cli import main
from sere_core.config import load
from sere_core.model import Model
from sere_core.plan import list_corpus, make_plan
from sere_core.score.records import Record

SETS = {
    **{f"corpora.{name}.params.{key}": value for name in ("xa", "xb") for key, value in (("speakers", 2), ("per_class", 2))},
    "task.folds": 2,
    "task.shots": 2,
    "train.epochs": 1,
    "hooks": "null",
    "resonance": "null",
    "losses.adapt": "null",
}


def ran(home: Path, **sets: object) -> Record:
    words = [f"--set={key}={value}" for key, value in {**SETS, **sets}.items()]
    assert main(["run", "sere_default", "--quiet", *words, f"--set=output.dir={home / 'runs'}"]) == 0
    newest = max((home / "runs").glob("*/done"), key=lambda path: path.stat().st_mtime)
    return Record.read(newest.parent)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("annotate")
    record = ran(home)
    assert main(["export", str(record.path), "--fold", "1", "-o", str(home / "model"), "--quiet"]) == 0
    paths = [each.recording.path for each in list_corpus(load(record.path / "config.yaml"), "xb")]
    (home / "list.csv").write_text("path\n" + "".join(f"{path}\n" for path in paths))
    return home


@pytest.mark.slow
def test_the_page_is_served_and_its_labels_are_trained_on(home: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from sere_core.cli import main; raise SystemExit(main())",
        "annotate",
        str(home / "model"),
        str(home / "list.csv"),
        "-k",
        "3",
    ]
    served = subprocess.Popen([*command, "--no-browser", "-o", str(home / "labels.csv")], stdout=subprocess.PIPE, text=True)
    try:
        assert served.stdout is not None
        found = re.search(r"http://\S+", served.stdout.readline())
        assert found is not None
        for number, label in enumerate(("anger", "fear", "anger")):
            urllib.request.urlopen(f"{found[0]}label/{number}", json.dumps(label).encode(), timeout=10).close()
        urllib.request.urlopen(f"{found[0]}end", b"", timeout=10).close()
        assert served.wait(30) == 0
    finally:
        served.kill()
    mine = f"{{use: manifest, params: {{file: {home / 'labels.csv'}, language: xb}}}}"
    record = ran(home, **{"corpora.mine": mine, "task.target_labels": "mine", "task.setting": "transductive"})
    before = ran(home, **{"task.setting": "transductive"})
    assert record.scores["pooled"]["n"] == before.scores["pooled"]["n"] - 3
    labelled = record.folds["folds"][0]["labelled"]
    assert len(labelled) == len(before.folds["folds"][0]["labelled"]) + 3
    assert "+3 target labels" in record.manifest["protocol"]
    assert re.search(r"the target labels \(3 utterances", record.manifest["notes"]["normalisation"][0])


def test_what_would_be_asked_is_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["annotate", str(home / "model"), str(home / "list.csv"), "-k", "2", "--list", "-o", str(home / "other.csv")]
    assert main(words) == 0
    first = capsys.readouterr().out
    assert len(first.splitlines()) == 2
    assert main(words) == 0
    assert capsys.readouterr().out == first
    asked = Path(first.splitlines()[0])
    Labels(home / "other.csv").put(Question(asked), "anger")
    assert main(words) == 0
    assert str(asked) not in capsys.readouterr().out.splitlines()


@pytest.fixture
def features(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Changes the section `features` of the models that are loaded."""
    load_model = Model.load

    def change(**values: object) -> None:
        def changed(path: str, device: str) -> Model:
            model = load_model(path, device)
            config = model.resolved.config
            features = config.features.model_copy(update=values)
            model.resolved = replace(model.resolved, config=config.model_copy(update={"features": features}))
            return model

        monkeypatch.setattr(Model, "load", changed)

    return change


@pytest.mark.parametrize(("channel", "code"), [("left", 2), ("right", 0), ("mix", 0)])
def test_the_channel_of_the_training_is_heard(home: Path, channel: str, code: int, features: Callable[..., None]) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    soundfile.write(home / "stereo.wav", np.stack([np.zeros(16000), noise], axis=1), 16000)
    features(channel=channel)
    assert main(["annotate", str(home / "model"), str(home / "stereo.wav"), "--list", "-o", str(home / "none.csv")]) == code


def test_no_window_is_longer_than_what_the_model_hears(
    home: Path, features: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(home / "long.wav", np.random.default_rng(0).normal(0, 0.1, 80000), 16000)
    features(max_seconds=2.5)
    assert main(["annotate", str(home / "model"), str(home / "long.wav"), "--list", "-o", str(home / "none.csv")]) == 0
    assert [line.split("\t")[1:] for line in capsys.readouterr().out.splitlines()] == [["0", "2.5"], ["2.5", "5"]]


def test_the_config_that_is_printed_runs_on_parts_of_long_recordings(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "calls").mkdir()
    soundfile.write(home / "calls" / "long.wav", np.random.default_rng(0).normal(0, 0.1, 30 * 16000), 16000)
    monkeypatch.setattr(Page, "serve_forever", lambda page: [page.take(number, "anger") for number in (0, 2)])
    labels = home / "parts, 1.csv"
    assert main(["annotate", str(home / "model"), str(home / "calls"), "-k", "3", "--no-browser", "-o", str(labels)]) == 0
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("corpora:", "task:"))]
    (home / "my.yaml").write_text("\n".join(["extends: sere_default", *printed]))
    sets = [f"{key}={value}" for key, value in SETS.items() if not key.startswith("corpora.xb")]
    (fold,) = make_plan(load(home / "my.yaml", sets=sets)).task.folds
    taught = {(each.start, each.end) for each in fold.labelled if each.path.name == "long.wav"}
    rest = {(each.start, each.end) for each in fold.target}
    assert len(taught) == 2 and taught | rest == {(4.0 * n, 4.0 * n + 4) for n in range(7)} | {(26.0, 30.0)} and not taught & rest


def test_folders_may_tell_speakers(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    model = Model.load(home / "model")
    names, seen = [model.speakers[0], "new"], list[object]()
    for number in range(4):
        path = home / "told" / names[number % 2] / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(number).normal(0, 0.1, 16000), 16000)
    apply = Model.apply
    monkeypatch.setattr(Model, "apply", lambda model, clips, given: [seen.append(given[0]), apply(model, clips, given)][1])
    monkeypatch.setattr(Page, "serve_forever", lambda page: [page.take(number, "anger") for number in range(4)])
    words = ["annotate", str(home / "model"), str(home / "told"), "--no-browser"]
    for speakers, noted in (("parent", 0), ("auto", 1)):
        capsys.readouterr()
        assert main([*words, "-o", str(home / f"{speakers}.csv"), "--speakers", speakers]) == 0
        assert capsys.readouterr().err.count("note:") == noted
    with open(home / "parent.csv", newline="") as told, open(home / "auto.csv", newline="") as untold:
        lines = list(csv.DictReader(told))
        assert len(lines) == 4 and all(line["speaker"] == Path(line["path"]).parent.name for line in lines)
        assert {line["speaker"] for line in csv.DictReader(untold)} == {""}
    assert [each is None for each in seen] == [False] * 4 + [True] * 4


@pytest.mark.parametrize(("words", "code"), [(["-k", "0"], "C302"), (["missing.wav"], "D602")])
def test_mistakes_are_one_line(home: Path, words: list[str], code: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(home / "list.csv"), *words] if words[0] == "-k" else words
    assert main(["annotate", str(home / "model"), *given, "-o", str(home / "none.csv")]) == 2
    assert f"[{code}]" in capsys.readouterr().err
