"""Synthetic speech: the same bytes every time, files that are sound, and a task that is neither trivial nor hopeless."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sere_plugins.corpora.synth_tables import CONSONANTS, LANGUAGES, PARAMETERS, RULES, VOWELS
from sere_plugins.specs.corpora import SYNTHETIC_EMOTIONS
from sere_registry import Corpus, SereError
from tests.corpora.functionals import table, uar

Build = Callable[..., Any]
SMALL: dict[str, Any] = {"speakers": 2, "per_class": 1}


def digest(corpus: Any) -> str:
    content = b"".join(utterance.recording.path.read_bytes() for utterance in corpus.utterances())
    return hashlib.sha256(content).hexdigest()


def test_it_lists_before_it_renders(tmp_path: Path, build: Build) -> None:
    corpus = build("synthetic", cache=tmp_path, language="xb", speakers=3, per_class=2)
    utterances = corpus.utterances()
    assert isinstance(corpus, Corpus)
    assert corpus.languages == ("xb",)
    assert len(utterances) == 3 * 5 * 2
    assert [utterance.id for utterance in utterances] == sorted(utterance.id for utterance in utterances)
    assert Counter(utterance.recording.gender for utterance in utterances) == {"female": 20, "male": 10}
    assert not list(tmp_path.iterdir())


def test_the_files_are_16_khz_16_bit_mono_and_about_as_long_as_asked(tmp_path: Path, build: Build) -> None:
    for seconds in (0.8, 2.0):
        corpus = build("synthetic", cache=tmp_path, speakers=4, per_class=2, seconds=seconds)
        corpus.prepare()
        infos = [soundfile.info(utterance.recording.path) for utterance in corpus.utterances()]
        assert {(info.samplerate, info.channels, info.subtype) for info in infos} == {(16000, 1, "PCM_16")}
        assert np.mean([info.duration for info in infos]) == pytest.approx(seconds, rel=0.3)


def test_the_same_parameters_give_the_same_bytes_in_another_process(tmp_path: Path, build: Build) -> None:
    corpus = build("synthetic", cache=tmp_path / "here", language="xd", **SMALL)
    corpus.prepare()
    code = """
import sys
from pathlib import Path
from sere_plugins.specs.corpora import SYNTHETIC
from sere_registry import BuildContext
SYNTHETIC.load()(SYNTHETIC.params(language="xd", speakers=2, per_class=1), BuildContext("other", cache=Path(sys.argv[1]))).prepare()
"""
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True, env=environment)
    assert digest(build("synthetic", cache=tmp_path / "there", language="xd", **SMALL)) == digest(corpus)


def test_order_and_number_do_not_matter(tmp_path: Path, build: Build) -> None:
    few, many = (build("synthetic", cache=tmp_path, speakers=speakers, per_class=1) for speakers in (1, 3))
    few.prepare()
    many.prepare()
    assert few.folder != many.folder
    shared = {utterance.id: utterance.recording.path.read_bytes() for utterance in many.utterances()}
    assert all(shared[utterance.id] == utterance.recording.path.read_bytes() for utterance in few.utterances())


@pytest.mark.parametrize("change", [{"seed": 1}, {"difficulty": 0.9}, {"language": "xc"}])
def test_other_parameters_give_other_sounds(change: dict[str, Any], tmp_path: Path, build: Build) -> None:
    one, other = build("synthetic", cache=tmp_path, **SMALL), build("synthetic", cache=tmp_path, **{**SMALL, **change})
    one.prepare()
    other.prepare()
    assert one.folder != other.folder
    assert digest(one) != digest(other)


def test_what_is_there_is_kept_and_what_is_missing_is_made_again(tmp_path: Path, build: Build) -> None:
    corpus = build("synthetic", cache=tmp_path, **SMALL)
    told: list[tuple[int, int]] = []
    corpus.prepare(lambda done, total: told.append((done, total)))
    before = digest(corpus)
    assert told == [(number, 10) for number in range(1, 11)]
    corpus.prepare(lambda done, total: told.append((done, total)))
    assert len(told) == 10
    corpus.utterances()[3].recording.path.unlink()
    corpus.prepare(lambda done, total: told.append((done, total)))
    assert told[10:] == [(1, 1)]
    assert digest(corpus) == before
    assert {path.suffix for path in corpus.folder.rglob("*") if path.is_file()} == {".wav"}


def test_two_processes_may_render_at_once(tmp_path: Path, build: Build) -> None:
    code = """
import sys
from pathlib import Path
from sere_plugins.specs.corpora import SYNTHETIC
from sere_registry import BuildContext
SYNTHETIC.load()(SYNTHETIC.params(speakers=2, per_class=1), BuildContext("x", cache=Path(sys.argv[1]))).prepare()
"""
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "both")]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    alone = build("synthetic", cache=tmp_path / "alone", **SMALL)
    alone.prepare()
    assert digest(build("synthetic", cache=tmp_path / "both", **SMALL)) == digest(alone)


def test_without_a_cache_it_uses_sere_cache(tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERE_CACHE", str(tmp_path))
    assert build("synthetic").folder.is_relative_to(tmp_path)
    monkeypatch.delenv("SERE_CACHE")
    assert build("synthetic").folder.is_relative_to(Path.home() / ".cache" / "sere")


def test_a_cache_that_cannot_be_written_is_x704(tmp_path: Path, build: Build) -> None:
    (tmp_path / "synthetic").write_text("a file in the way")
    with pytest.raises(SereError, match="X704"):
        build("synthetic", cache=tmp_path, **SMALL).prepare()


def test_the_tables_are_complete() -> None:
    assert set(RULES) == set(SYNTHETIC_EMOTIONS)
    for rule in [*RULES.values(), *(shown for language in LANGUAGES.values() for shown in language.shows.values())]:
        assert rule.keys() <= PARAMETERS.keys()
    for language in LANGUAGES.values():
        assert set(language.vowels) <= VOWELS.keys()
        assert {*language.onsets, *language.codas} - {""} <= CONSONANTS.keys()
        assert language.shows.keys() <= RULES.keys()
    assert len({(language.vowels, language.onsets, language.codas) for language in LANGUAGES.values()}) >= 4


@pytest.mark.parametrize(("emotions", "says"), [(("anger", "awe"), "no rules for 'awe'"), (("fear", "fear"), "twice")])
def test_emotions_without_rules_are_refused(emotions: tuple[str, ...], says: str, build: Build) -> None:
    with pytest.raises(ValueError, match=says):
        build("synthetic", emotions=emotions)


def test_the_voice_does_what_the_rules_say(tmp_path: Path, build: Build) -> None:
    """Against neutral, over speakers: anger is louder, sadness quieter and longer, fear higher."""
    corpus = build("synthetic", cache=tmp_path, speakers=6, per_class=2, difficulty=0.2)
    corpus.prepare()
    level: dict[str, list[float]] = {}
    length: dict[str, list[float]] = {}
    for utterance in corpus.utterances():
        samples = soundfile.read(utterance.recording.path)[0]
        level.setdefault(utterance.emotion, []).append(10 * np.log10(np.mean(samples**2)))
        length.setdefault(utterance.emotion, []).append(len(samples))
    assert np.mean(level["anger"]) > np.mean(level["neutral"]) + 2
    assert np.mean(level["sadness"]) < np.mean(level["neutral"]) - 1.5
    assert np.mean(length["sadness"]) > 1.1 * np.mean(length["neutral"]) > 1.1 * np.mean(length["fear"])


def test_across_languages_all_labels_beat_five_shots_and_both_beat_chance(tmp_path: Path, build: Build) -> None:
    tables = []
    for language in ("xa", "xb"):
        corpus = build("synthetic", cache=tmp_path, language=language)
        corpus.prepare()
        tables.append(table(corpus.utterances()))
    few = np.mean([uar(tables[0], tables[1], 5, 10), uar(tables[1], tables[0], 5, 10)])
    all_ = np.mean([uar(tables[0], tables[1], None), uar(tables[1], tables[0], None)])
    assert 0.2 + 0.2 < few < 0.66
    assert few + 0.06 < all_ < 0.85
