"""The page takes a key for each utterance, and what it took is a manifest."""

from __future__ import annotations

import io
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from sere_core.annotate.choose import choose
from sere_core.annotate.labels import Labels, Question
from sere_core.annotate.page import Page, wave
from sere_core.annotate.propose import manifest_config
from sere_core.api.corpus import Corpus
from sere_core.cli import main
from sere_core.plan import open_corpus
from sere_core.predict.pieces import Channel
from sere_registry.catalog import Catalog
from sere_registry.errors import SereError
from sere_registry.files import write_atomically
from tests.browser import browser as browser

CLASSES = ("anger", "sadness")


@pytest.fixture
def questions(tmp_path: Path) -> list[Question]:
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(32000) / 9).reshape(16000, 2), 16000)
    soundfile.write(tmp_path / "b.flac", np.sin(np.arange(8000) / 9), 8000)
    return [Question(tmp_path / "a.wav", 0.25, 0.75, "anna"), Question(tmp_path / "b.flac")]


@pytest.fixture
def page(tmp_path: Path, questions: list[Question]) -> Iterator[Page]:
    page = Page(questions, CLASSES, Labels(tmp_path / "out" / "labels.csv"))
    thread = threading.Thread(target=page.serve_forever, daemon=True)
    thread.start()
    yield page
    page.shutdown()
    page.server_close()
    thread.join(5)


def post(page: Page, path: str, data: object) -> int:
    try:
        with urllib.request.urlopen(page.address + path, json.dumps(data).encode(), timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def test_labels_are_a_manifest_that_sere_reads(page: Page, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [post(page, "label/0", "anger"), post(page, "label/1", "sadness"), post(page, "label/1", "anger")] == [204] * 3
    file = tmp_path / "out" / "labels.csv"
    assert file.read_text().splitlines()[1:] == ["../a.wav,0.25,0.75,,anger", "../b.flac,,,,anger"]  # all speakers or none
    assert post(page, "label/0", "") == 204
    assert file.read_text().splitlines()[1:] == ["../b.flac,,,,anger"]
    assert main(["corpora", "check", "manifest", str(file), "--set", "language=de"]) == 0
    assert "1 utterance," in capsys.readouterr().out


def test_answers_that_come_at_once_are_both_on_the_disk(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is written slowly; a second that is written meanwhile, from what is known then, must not be lost under it."""
    begun, waits = threading.Event(), iter((0.5, 0.0))

    def write(path: Path, data: bytes) -> None:
        begun.set()
        time.sleep(next(waits))
        write_atomically(path, data)

    monkeypatch.setattr("sere_core.annotate.labels.write_atomically", write)
    both = [threading.Thread(target=post, args=(page, f"label/{number}", "anger")) for number in range(2)]
    both[0].start()
    assert begun.wait(10)
    both[1].start()
    for each in both:
        each.join(10)
    assert len((tmp_path / "out" / "labels.csv").read_text().splitlines()) == 3


def test_keys_that_come_before_an_answer_is_saved_label_nothing(page: Page, browser: Any) -> None:
    browser.get(page.address)
    press = "for (const key of '12') document.dispatchEvent(new KeyboardEvent('keydown', {key}));"
    browser.execute_script(press)
    deadline = time.monotonic() + 10
    while browser.execute_script("return saving") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [page.labels.of(each) for each in page.questions] == ["anger", ""]
    assert browser.execute_script("return [now, questions.map(q => q.label || '')]") == [1, ["anger", ""]]


def test_what_is_no_answer_is_refused(page: Page, tmp_path: Path) -> None:
    assert [post(page, "label/0", "joy"), post(page, "label/2", "anger"), post(page, "label/x", "anger")] == [400, 404, 404]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(page.address + "label/1", b"label=anger", timeout=10)
    assert not (tmp_path / "out" / "labels.csv").exists()
    stranger = page.address.replace(page.secret, "guessed")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(stranger, timeout=10)


def test_a_part_of_a_file_is_played(page: Page) -> None:
    with urllib.request.urlopen(page.address + "audio/0", timeout=10) as reply:
        samples, rate = soundfile.read(io.BytesIO(reply.read()))
    assert samples.shape == (8000, 2) and rate == 16000


def test_what_only_pyav_reads_is_played(tmp_path: Path) -> None:
    av, rate = pytest.importorskip("av"), 48_000
    with av.open(str(tmp_path / "a.m4a"), "w", format="ipod") as file:
        stream = file.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.sin(np.arange(rate, dtype=np.float32) / 9)[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    samples, found = soundfile.read(io.BytesIO(wave(Question(tmp_path / "a.m4a", 0.25, 0.75))))
    assert (found, len(samples)) == (rate, rate // 2) and 0.5 < np.abs(samples).max() < 1.5


@pytest.mark.parametrize("content", [None, b"no sound"])
def test_what_cannot_be_played_is_one_line(
    page: Page, questions: list[Question], content: bytes | None, capfd: pytest.CaptureFixture[str]
) -> None:
    questions[1].path.unlink() if content is None else questions[1].path.write_bytes(content)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(page.address + "audio/1", timeout=10)
    said = refused.value.read().decode()
    assert refused.value.code == 500 and said.startswith("[D603]") and "\n" not in said
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("channel", "wanted"), [("left", 0), ("right", 1)])
def test_the_channel_that_the_model_hears_is_played(questions: list[Question], channel: Channel, wanted: int) -> None:
    both, _ = soundfile.read(io.BytesIO(wave(questions[0])))
    one, _ = soundfile.read(io.BytesIO(wave(questions[0], channel)))
    assert np.array_equal(one, both[:, wanted])


def test_labels_are_taken_up_again(tmp_path: Path, questions: list[Question]) -> None:
    file = tmp_path / "labels.csv"
    Labels(file).put(questions[0], "anger")
    again = Labels(file)
    assert [again.of(each) for each in questions] == ["anger", ""] and len(again) == 1
    file.write_text("path,label\na.wav,anger\n")
    with pytest.raises(SereError, match="D610"):
        Labels(file)


def test_the_target_of_labels_of_parts_is_a_manifest_of_all_parts(tmp_path: Path, questions: list[Question]) -> None:
    labels = Labels(tmp_path / "out" / "labels.csv")
    labels.put(questions[1], "anger")
    assert labels.write_target(questions) is None and not (tmp_path / "out" / "labels.target.csv").exists()
    labels.put(questions[0], "anger")
    labels.put(replace(questions[0], start=0.5), "anger")
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes())  # beside b.flac
    file = labels.write_target([*questions, replace(questions[0], end=0.5, speaker="anna"), Question(tmp_path / "b.wav")])
    assert file is not None
    listed = Corpus("manifest", open_corpus(Catalog(), "manifest", str(file), {"language": "de"}))
    parts = [(each.recording.path.name, each.recording.start, each.recording.end) for each in listed]
    assert sorted(parts) == sorted(
        [("a.wav", 0.25, 0.5), ("a.wav", 0.25, 0.75), ("a.wav", 0.5, 0.75), ("b.flac", None, None), ("b.wav", None, None)]
    )
    assert {each.speaker for each in listed} == {""}, "one has none"


@pytest.mark.parametrize("name", ["my labs/it, one.csv", "a: b #1.csv", "{x}.csv"])
def test_the_config_names_any_path(name: str) -> None:
    params = yaml.safe_load(manifest_config(Path(name), None, "no"))["corpora"]["labels"]["params"]
    assert params == {"file": name, "language": "no"}


def test_a_choice_covers_clusters_where_the_model_is_unsure() -> None:
    generator = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
    points = np.concatenate([centre + generator.normal(size=(30, 2)) for centre in centres])
    posteriors = np.full((90, 2), 0.5)
    posteriors[30:60] = [0.999, 0.001]  # of the second cluster the model is sure
    assert sorted(each // 30 for each in choose(points, posteriors, 3)) != [1, 1, 1]
    assert {each // 30 for each in choose(points, posteriors, 2)} == {0, 2}
    known = np.zeros(90, bool)
    known[:30] = True
    assert all(each >= 30 for each in choose(points, posteriors, 5, labelled=known))
    assert choose(points[:2], posteriors[:2], 5) == [0, 1]
    copies = choose(np.zeros((10, 2)), posteriors[:10], 4)
    assert len(set(copies)) == 4
