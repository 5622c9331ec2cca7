"""Whatever is wrong with what the user gives: coded lines that name the place, the right exit code, no traceback."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.corpora.layouts import RATE, make_emodb, sound, write
from tests.end_to_end.conftest import TINY, Sere, Told, record


def expect(told: Told, code: str, exit_code: int, *words: str) -> None:
    """One coded line, with these words in it or its hint."""
    assert told.code == exit_code, told.err
    assert len(told.problems) == 1 and f"[{code}]" in told.problems[0], told.err
    assert "Traceback" not in told.err
    for word in words:
        assert word in told.err, told.err


def manifest(folder: Path, emotions: tuple[str, ...] = ("anger", "sadness")) -> Path:
    """A corpus of one's own: three speakers, two utterances of each emotion; returns its CSV file."""
    lines = ["path,speaker,emotion,language"]
    for speaker in ("s1", "s2", "s3"):
        for emotion in emotions:
            for text in ("a", "b"):
                write(folder / f"{speaker}-{emotion}-{text}.wav", sound(emotion, speaker, text))
                lines.append(f"{speaker}-{emotion}-{text}.wav,{speaker},{emotion},xx")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    return folder / "list.csv"


def own(file: Path) -> str:
    """The override that makes a manifest the target."""
    return f"corpora.xb={{use: manifest, params: {{file: {file}}}}}"


CONFIG = {
    "a component that nobody announces": (("losses.adapt.use=trik",), "R201", 2, "losses.adapt", "did you mean 'tric'"),
    "a misspelt --set": (("train.epoch=3",), "C305", 2, "train.epoch", "did you mean 'epochs'"),
    "a misspelt parameter": (("losses.adapt.params.dual=1",), "C302", 2, "losses.adapt", "dual_weight"),
    "a wrong type": (("train.epochs=many",), "C302", 2, "train.epochs"),
    "a number out of range": (("losses.adapt.params.dual_weight=-1",), "C302", 2, "losses.adapt.params.dual_weight"),
    "an unknown optimizer": (("train.optimizer.use=adamm",), "C302", 2, "train.optimizer", "did you mean 'adam'"),
    "an argument that the optimizer does not take": (("train.optimizer.params={rate: 0.1}",), "C302", 2, "train.optimizer", "rate"),
    "a device that is not there": (("train.device='cuda:63'",), "X702", 4, "train.device", "available here: cpu"),
    "a loss that reads a field, and none": (("resonance=null",), "C311", 2, "resonance"),
    "losses for a method that brings its own": (("method.use=mcd",), "C311", 2, "tiny.yaml:", "losses: ", "sere.mcd", "classify, adapt"),
    "no losses": (("losses=null",), "C311", 2, "losses"),
    "views of waveforms that nobody reads": (
        ("encoders.small={use: acoustic}", "views.strong=[{use: noise}]", "losses.adapt={use: fixmatch}"), "C311", 2, "views.strong",
    ),
    "fewer speakers than folds": (("task.folds=4",), "D609", 2, "speakers", "disjoint: none"),
    "one shared class": (("corpora.xb.params.emotions=[anger, fear]",), "D608", 2, "anger", "fear"),
    "a corpus that is not defined": (("task.target=xc",), "C308", 2, "task.target", "xc"),
    "a missing folder": (("corpora.xb={use: emodb, params: {root: nowhere}}",), "D601", 2, "nowhere"),
    "a missing manifest": (("corpora.xb={use: manifest, params: {file: nowhere.csv}}",), "D601", 2, "nowhere.csv"),
    "missing weights": (("encoders.small={use: wav2vec2, params: {model: ./nowhere}}",), "X703", 4, "nowhere"),
}  # fmt: skip


#: what a dry run does not import torch for
NEEDS_TORCH = {
    "a device that is not there",
    "an unknown optimizer",
    "an argument that the optimizer does not take",
    "a loss that reads a field, and none",
    "views of waveforms that nobody reads",
}


@pytest.mark.parametrize("what", CONFIG)
def test_a_config_that_cannot_run(what: str, sere: Sere) -> None:
    words, code, exit_code, *named = CONFIG[what]
    expect(sere("tiny.yaml", *words), code, exit_code, *named)
    if what not in NEEDS_TORCH:
        expect(sere("tiny.yaml", *words, "--dry-run"), code, exit_code, *named)


def test_a_key_that_stands_twice_and_a_misspelt_one(sere: Sere, home: Path) -> None:
    (home / "twice.yaml").write_text(TINY + "name: other\n")
    expect(sere("twice.yaml"), "C301", 2, f"twice.yaml:{len(TINY.splitlines()) + 1}:1", "name")
    (home / "misspelt.yaml").write_text(TINY.replace("epochs: 2", "epoch: 2"))
    line = next(number for number, text in enumerate(TINY.splitlines(), start=1) if text.startswith("train:"))
    expect(sere("misspelt.yaml"), "C302", 2, f"misspelt.yaml:{line}:9", "train.epoch", "did you mean 'epochs'")


def test_several_mistakes_are_reported_together(sere: Sere) -> None:
    told = sere("tiny.yaml", "losses.adapt.use=trik", "train.epochs=many", "task.folds=1")
    assert told.code == 2 and len(told.problems) == 3, told.err


def test_an_empty_folder_and_a_class_with_fewer_utterances_than_shots(sere: Sere, home: Path) -> None:
    (home / "empty").mkdir()
    expect(sere("tiny.yaml", "corpora.xb={use: emodb, params: {root: empty}}"), "D602", 2, "empty")
    file = manifest(home)
    file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if "sadness-b" not in line))
    source = f"corpora.xa={{use: manifest, params: {{file: {file}}}}}"
    expect(sere("tiny.yaml", source, "task.shots=4"), "D607", 2, "sadness", "task.shots", "`shots: 3`")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])


def _as_mp3(path: Path) -> None:
    samples, rate = soundfile.read(path)
    with path.open("wb") as file:
        soundfile.write(file, samples, rate, format="MP3")


def _with_nan(path: Path) -> None:
    samples, rate = soundfile.read(path, dtype="float32")
    samples[160] = np.nan
    soundfile.write(path, samples, rate, subtype="FLOAT")


BROKEN: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "truncated": (_truncate, "D603", "truncated"),
    "no bytes": (lambda path: path.write_bytes(b""), "D603", "empty"),
    "no samples": (lambda path: soundfile.write(path, np.zeros(0), RATE), "D604", "no samples"),
    "an MP3 by the wrong name": (_as_mp3, "D603", "MP3"),
    "not audio": (lambda path: path.write_text("<html>not found</html>" * 50), "D603", "decoded"),
    "silence": (lambda path: soundfile.write(path, np.zeros(RATE), RATE), "D605", "silence"),
    "NaN": (_with_nan, "D606", "0.010 s"),
}


def test_broken_files_are_reported_together_and_mended_ones_run(sere: Sere, home: Path) -> None:
    file = manifest(home)
    names = sorted(path.name for path in home.glob("*.wav"))[: len(BROKEN)]
    for name, (spoil, _, _) in zip(names, BROKEN.values(), strict=True):
        spoil(home / name)
    told = sere("tiny.yaml", own(file))
    assert told.code == 2 and "Traceback" not in told.err
    for name, line, (_, code, word) in zip(names, told.problems, BROKEN.values(), strict=True):
        assert name in line and f"[{code}]" in line and word in line
    assert "skip: damaged" in told.err
    manifest(home)
    told = sere("tiny.yaml", own(file))
    assert (told.code, told.problems) == (0, []), told.err
    assert len(list((home / "runs").glob("*/done"))) == 1, "other audio is another run"


def test_a_stray_file_in_an_official_layout_does_not_stop_a_run(sere: Sere, home: Path) -> None:
    root = make_emodb(home / "emodb", speakers=("03", "08", "09"), texts=("a01",))
    (root / "wav" / "._03a01Fa.wav").write_bytes(b"\0" * 100)
    assert sere("tiny.yaml", f"corpora.xb={{use: emodb, params: {{root: {root}}}}}", "train.epochs=1").code == 0


@pytest.mark.parametrize("word", ["output.dir=tiny.yaml/runs", "output.dir=/proc/runs", "features.cache=tiny.yaml/cache"])
def test_a_folder_that_cannot_be_written(word: str, sere: Sere) -> None:
    expect(sere("tiny.yaml", word), "X704", 4, word.partition("=")[2])


def test_no_room_for_the_cache(sere: Sere, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sere_core.features import shards

    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = manifest(home)
    monkeypatch.setattr(shards, "write_all", full)
    words = (own(file), own(file).replace("corpora.xb", "corpora.xa"), f"features.cache={home / 'full'}")
    expect(sere("tiny.yaml", *words), "X705", 4, "SERE_CACHE")


def test_an_unknown_optimizer_is_found_before_anything_is_extracted(sere: Sere, home: Path) -> None:
    told = sere("tiny.yaml", "train.optimizer.use=adamm", f"features.cache={home / 'mine'}")
    expect(told, "C302", 2, "did you mean 'adam'")
    assert not list((home / "mine").rglob("*.index")) and not list((home / "runs").glob("*/config.yaml"))


def test_a_loss_that_grows_over_all_bounds_is_named_with_its_utterances(sere: Sere, home: Path) -> None:
    told = sere("tiny.yaml", "train.optimizer={use: sgd, params: {lr: 1.0e+38}}", "train.epochs=5")
    expect(told, "T501", 1, "step ", "utterances: ", "xa/", "lower the learning rate")
    assert not (record(home / "runs") / "done").exists()


def test_a_plugin_that_fails_is_blamed_by_name(sere: Sere, home: Path) -> None:
    """A hook that raises, and a loss that cannot be built: exit code 3, one line each."""
    (home / "mine.py").write_text(
        "from sere_registry import ComponentSpec\n"
        "from sere_registry.hookspecs import hookimpl\n"
        "class Hook:\n"
        "    def __init__(self, params, context): pass\n"
        "    @hookimpl\n"
        "    def sere_epoch_end(self, epoch): raise KeyError('oops')\n"
        "def fails(params, context): raise RuntimeError('no such table')\n"
        "HOOK = ComponentSpec(kind='hook', name='mine', factory=f'{__name__}:Hook', summary='raises')\n"
        "LOSS = ComponentSpec(kind='loss', name='mine', factory=f'{__name__}:fails', summary='raises')\n"
    )
    expect(sere("tiny.yaml", "hooks.mine={use: 'file:mine.py:HOOK'}"), "P106", 3, "mine", "oops")
    expect(sere("tiny.yaml", "losses.adapt={use: 'file:mine.py:LOSS'}"), "B401", 3, "mine", "no such table")
