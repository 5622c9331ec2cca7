"""Each adapter on its official layout: labels, order, and the roots that are accepted."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.corpora.layouts import make_casia, make_emodb, make_emovo, make_enterface, make_ravdess

Build = Callable[..., Any]
MAKERS: dict[str, Callable[..., Path]] = {
    "emodb": make_emodb,
    "emovo": make_emovo,
    "casia": make_casia,
    "enterface": make_enterface,
    "ravdess": make_ravdess,
}
#: name -> (utterances of the tiny corpus, language, one utterance: id, speaker, gender, text, emotion)
EXPECTED = {
    "emodb": (140, "de", ("03a01Wa", "03", "male", "a01", "anger")),
    "emovo": (84, "it", ("f2/gio-f2-n2", "f2", "female", "n2", "happiness")),
    "casia": (72, "zh", ("ZhaoZuoxiang/sad/250", "ZhaoZuoxiang", None, "250", "sadness")),
    "enterface": (48, "en", ("subject 2/fear/sentence 1/s2_fe_1", "2", None, "fear-1", "fear")),
    "ravdess": (120, "en", ("Actor_02/03-01-02-02-01-01-02", "02", "female", "01", "calm")),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_labels_come_from_the_layout(name: str, suffix: str, tmp_path: Path, build: Build) -> None:
    corpus = build(name, root=MAKERS[name](tmp_path, suffix=suffix))
    number, language, expected = EXPECTED[name]
    utterances = corpus.utterances()
    found = {utterance.id: utterance for utterance in utterances}[expected[0]]
    assert corpus.languages == (language,)
    assert len(utterances) == number
    assert (found.id, found.speaker, found.recording.gender, found.recording.text, found.emotion) == expected
    assert found.recording.key == f"mine/{expected[0]}"
    assert all(utterance.recording.path.suffix == suffix and utterance.recording.path.is_file() for utterance in utterances)


@pytest.mark.parametrize("name", MAKERS)
def test_a_root_one_folder_above_gives_the_same_ids(name: str, tmp_path: Path, build: Build) -> None:
    root = MAKERS[name](tmp_path / "official name")
    ids = [utterance.id for utterance in build(name, root=root).utterances()]
    assert [utterance.id for utterance in build(name, root=tmp_path).utterances()] == ids
    if name == "emodb":  # the folder of audio files will do
        assert [utterance.id for utterance in build(name, root=root / "wav").utterances()] == ids


def test_names_that_carry_all_labels_may_stand_in_one_folder(tmp_path: Path, build: Build) -> None:
    root = make_emovo(tmp_path / "official")
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in root.rglob("*.wav"):
        path.rename(flat / path.name)
    utterances = build("emovo", root=flat).utterances()
    assert len(utterances) == 84
    assert Counter(utterance.speaker for utterance in utterances) == dict.fromkeys(("f1", "f2", "f3", "m1", "m2", "m3"), 14)


def test_the_language_can_be_overridden(tmp_path: Path, build: Build) -> None:
    corpus = build("ravdess", root=make_ravdess(tmp_path), language="fr")
    assert corpus.languages == ("fr",)
    assert {utterance.recording.language for utterance in corpus.utterances()} == {"fr"}


def test_ravdess_intensity(tmp_path: Path, build: Build) -> None:
    root = make_ravdess(tmp_path)
    normal = Counter(utterance.emotion for utterance in build("ravdess", root=root, intensity="normal").utterances())
    strong = Counter(utterance.emotion for utterance in build("ravdess", root=root, intensity="strong").utterances())
    assert set(normal.values()) == {8} and normal["neutral"] == 8
    assert set(strong.values()) == {8} and "neutral" not in strong


def test_listing_imports_neither_numpy_nor_torch(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from sere_plugins.specs import corpora as specs
from sere_registry import BuildContext
for spec, params in ((specs.EMODB, {{"root": {str(make_emodb(tmp_path))!r}}}), (specs.SYNTHETIC, {{}})):
    corpus = spec.load()(spec.params(**params), BuildContext("mine", cache=Path({str(tmp_path)!r})))
    assert corpus.utterances() and corpus.findings()
sys.exit(len({{"numpy", "torch", "scipy", "soundfile"}} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_listing_1440_files_is_fast(tmp_path: Path, build: Build) -> None:
    for actor in range(1, 25):
        folder = tmp_path / f"Actor_{actor:02d}"
        folder.mkdir()
        for number in range(60):
            (folder / f"03-01-{number % 8 + 1:02d}-01-01-{number // 8 + 1:02d}-{actor:02d}.wav").touch()
    corpus = build("ravdess", root=tmp_path)
    assert len(corpus.utterances()) == 1440
