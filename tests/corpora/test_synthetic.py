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
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import scale

from sere_plugins.corpora.synth_tables import CONSONANTS, LANGUAGES, PARAMETERS, RULES, VOWELS
from sere_plugins.encoders.logmel import LogMel
from sere_plugins.specs.corpora import SYNTHETIC_EMOTIONS
from sere_plugins.specs.encoders import LogMelParams
from sere_registry import BuildContext, SereError

Build = Callable[..., Any]
SMALL: dict[str, Any] = {"speakers": 2, "per_class": 1}


def digest(corpus: Any) -> str:
    content = b"".join(utterance.recording.path.read_bytes() for utterance in corpus.utterances())
    return hashlib.sha256(content).hexdigest()


def test_it_lists_before_it_renders(tmp_path: Path, build: Build) -> None:
    utterances = build("synthetic", cache=tmp_path, language="xb", speakers=3, per_class=2).utterances()
    assert len(utterances) == 3 * 5 * 2
    assert Counter(utterance.recording.gender for utterance in utterances) == {"female": 20, "male": 10}
    assert not list(tmp_path.iterdir())


def test_the_files_are_16_khz_16_bit_mono_and_about_as_long_as_asked(tmp_path: Path, build: Build) -> None:
    for seconds in (0.8, 2.0):
        corpus = build("synthetic", cache=tmp_path, speakers=4, per_class=2, seconds=seconds)
        corpus.prepare()
        infos = [soundfile.info(utterance.recording.path) for utterance in corpus.utterances()]
        assert {(info.samplerate, info.channels, info.subtype) for info in infos} == {(16000, 1, "PCM_16")}
        assert np.mean([info.duration for info in infos]) == pytest.approx(seconds, rel=0.3)


def test_two_other_processes_at_once_give_the_same_bytes(tmp_path: Path, build: Build) -> None:
    corpus = build("synthetic", cache=tmp_path / "here", language="xd", **SMALL)
    corpus.prepare()
    code = """
import sys
from pathlib import Path
from sere_plugins.specs.corpora import SYNTHETIC
from sere_registry import BuildContext
SYNTHETIC.load()(SYNTHETIC.params(language="xd", speakers=2, per_class=1), BuildContext("other", cache=Path(sys.argv[1]))).prepare()
"""
    words, environment = [sys.executable, "-c", code, str(tmp_path / "there")], {**os.environ, "PYTHONHASHSEED": "7"}
    both = [subprocess.Popen(words, env=environment) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
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
    calls: list[tuple[int, int]] = []
    corpus.prepare(lambda done, total: calls.append((done, total)))
    before = digest(corpus)
    assert calls == [(number, 10) for number in range(1, 11)]
    corpus.prepare(lambda done, total: calls.append((done, total)))
    assert len(calls) == 10
    corpus.utterances()[3].recording.path.unlink()
    corpus.prepare(lambda done, total: calls.append((done, total)))
    assert calls[10:] == [(1, 1)]
    assert digest(corpus) == before
    assert {path.suffix for path in corpus.folder.rglob("*") if path.is_file()} == {".wav"}


def test_without_a_cache_it_uses_sere_cache_and_one_that_cannot_be_written_is_x704(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERE_CACHE", str(tmp_path))
    assert build("synthetic").folder.is_relative_to(tmp_path)
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


def table(corpus: Any) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Means, spreads and movements of log-mel bands, standardised per speaker `[n, F]`, and emotions `[n]`."""
    encoder = LogMel(LogMelParams(bands=16), BuildContext("bands"))
    rows = []
    for utterance in corpus.utterances():
        bands = encoder.extract(soundfile.read(utterance.recording.path, dtype="float32")[0], {}, 0.02)
        tracks = (bands.mean(axis=0), bands.std(axis=0), np.abs(np.diff(bands, axis=0)).mean(axis=0), np.percentile(bands, 90, axis=0))
        rows.append(np.concatenate([*tracks, [len(bands)]]))
    found, speakers = np.stack(rows), np.array([utterance.speaker for utterance in corpus.utterances()])
    for speaker in set(speakers):
        found[speakers == speaker] = scale(found[speakers == speaker])
    return found, np.array([utterance.emotion for utterance in corpus.utterances()])


def recall(source: tuple[Any, Any], target: tuple[Any, Any], shots: int | None) -> float:
    """Unweighted average recall on the target of a logistic regression on the source; the mean over ten draws of the shots."""
    rng = np.random.default_rng(0)
    (rows, labels), (tested, truth) = source, target
    scores = []
    for _ in range(10 if shots else 1):
        picks = [rng.permutation(np.flatnonzero(labels == label))[:shots] for label in np.unique(labels)]
        chosen = np.concatenate(picks)
        predicted = LogisticRegression(C=0.03, max_iter=2000).fit(rows[chosen], labels[chosen]).predict(tested)
        scores.append(balanced_accuracy_score(truth, predicted))
    return float(np.mean(scores))


def test_across_languages_all_labels_beat_five_shots_and_both_beat_chance(tmp_path: Path, build: Build) -> None:
    tables = []
    for language in ("xa", "xb"):
        corpus = build("synthetic", cache=tmp_path, language=language)
        corpus.prepare()
        tables.append(table(corpus))
    few, every = (np.mean([recall(*tables, shots), recall(*tables[::-1], shots)]) for shots in (5, None))
    assert 0.2 + 0.2 < few < 0.72
    assert few + 0.06 < every < 0.85
