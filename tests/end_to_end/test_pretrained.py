"""The paper's configs and partial fine-tuning, on tiny checkpoints and tiny corpora in their official layouts."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sere_core.config import load
from sere_core.identity import identify
from sere_core.plan import make_plan
from tests.corpora.layouts import make_casia, make_emodb, make_emovo, make_enterface
from tests.encoders.checkpoints import tiny_hubert, tiny_wav2vec2, tiny_wavlm, tiny_whisper
from tests.end_to_end.conftest import Sere, record

PAPER = Path(__file__).parents[2] / "configs" / "paper"
PAIRS = sorted(path.stem for path in PAPER.glob("??.yaml"))


def labelled(world: list[str]) -> str:
    """The folder of the labelled path's checkpoint."""
    return next(word.partition("=")[2] for word in world if word.startswith("vars.labelled"))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The overrides that put tiny corpora and tiny checkpoints in the place of the real ones."""
    root = tmp_path_factory.mktemp("world")
    make_emodb(root / "emodb", speakers=("03", "08", "09", "10", "11"), texts=("a01",))
    make_emovo(root / "emovo", speakers=("f1", "f2", "m1", "m2", "m3"), texts=("b1",))
    make_casia(root / "casia", texts=("201",))
    make_enterface(root / "enterface", subjects=(1, 2, 3, 4, 12), sentences=(1,))
    models = {
        "labelled": tiny_wav2vec2(root / "base"),
        "german": tiny_whisper(root / "whisper"),
        "english": tiny_wavlm(root / "wavlm"),
        "chinese": tiny_hubert(root / "hubert"),
        "italian": tiny_wav2vec2(root / "large", group_norm=False),
    }
    return [f"vars.data={root}", *(f"vars.{name}={folder}" for name, folder in models.items())]


TINY = ("task.shots=2", "train.epochs=1", "train.steps_per_epoch=2", "hooks=null", "network.dim=16", "output.dir=runs", "train.device=cpu")


@pytest.mark.parametrize(
    ("pair", "folds", "rows"),
    [("BE", 2, 25), pytest.param("CB", 2, 25, marks=pytest.mark.slow), pytest.param("BO", "speakers", 30, marks=pytest.mark.slow)],
)
def test_a_pair_of_the_paper_ends_in_a_record(pair: str, folds: int | str, rows: int, sere: Sere, home: Path, world: list[str]) -> None:
    told = sere(PAPER / f"{pair}.yaml", *world, *TINY, f"task.folds={folds}")
    assert (told.code, told.problems) == (0, []), told.err
    job = record(home / "runs")
    manifest = json.loads((job / "manifest.json").read_text())
    assert manifest["evidence"] == "reconstructed"
    assert len([component for component in manifest["components"] if component["kind"] == "encoder"]) == 3
    assert len(list(csv.DictReader((job / "predictions.csv").open()))) == rows


@pytest.mark.parametrize("pair", PAIRS)
def test_a_pair_of_the_paper_can_be_checked_dry(pair: str, sere: Sere, home: Path, world: list[str]) -> None:
    told = sere(PAPER / f"{pair}.yaml", *world, "task.shots=3", "--dry-run")
    assert (told.code, told.problems) == (0, []), told.err
    assert "fold 3:" in told.out and "sere.tric" in told.out
    assert not (home / "runs").exists(), "a dry run writes nothing"


def test_two_paths_of_one_language_share_nothing_but_the_width(sere: Sere, home: Path, world: list[str]) -> None:
    """The unlabelled path of the source's language is another encoder than the labelled one."""
    encoders = (
        f"encoders={{small: {{use: wav2vec2, params: {{model: {labelled(world)}, train: top, top_layers: 1}}}}, "
        f"other: {{use: wav2vec2, params: {{model: {labelled(world)}, layer: mix}}}}}}"
    )
    told = sere("tiny.yaml", encoders, "paths={labelled: small, unlabelled: {xa: other, xb: small}}")
    assert (told.code, told.problems) == (0, []), told.err
    told = sere("tiny.yaml", encoders, "paths={labelled: small, unlabelled: {xa: other}}")
    assert (told.code, len(told.problems)) == (2, 1) and "[C311]" in told.err and "'xb'" in told.err


def test_all_layers_are_trained_behind_views_of_the_waveform(sere: Sere, home: Path, world: list[str]) -> None:
    words = (
        f"encoders.small={{use: wav2vec2, params: {{model: {labelled(world)}, train: all, train_cnn: true}}}}",
        "losses.adapt={use: fixmatch, params: {threshold: 0.5}}",
        "views={weak: [{use: gain}], strong: [{use: speed}, {use: noise}, {use: crop, params: {level: waveform}}]}",
    )
    told = sere("tiny.yaml", *words, "train.epochs=1")
    assert (told.code, told.problems) == (0, []), told.err


def test_views_of_the_waveform_do_not_stand_behind_a_trained_top(sere: Sere, home: Path, world: list[str]) -> None:
    encoder = f"encoders.small={{use: wav2vec2, params: {{model: {labelled(world)}, train: top, top_layers: 1}}}}"
    told = sere("tiny.yaml", encoder, "losses.adapt={use: fixmatch}", "views={strong: [{use: noise}]}")
    assert (told.code, len(told.problems)) == (2, 1) and "[C311]" in told.err and "views.strong.0" in told.err


def test_other_weights_are_other_features(sere: Sere, home: Path, world: list[str]) -> None:
    other = tiny_wav2vec2(home / "other", hidden_size=8)
    digests = []
    for number, model in enumerate((labelled(world), str(other))):
        words = (f"encoders.small={{use: wav2vec2, params: {{model: {model}}}}}", "train.epochs=1", f"output.dir=runs{number}")
        assert sere("tiny.yaml", *words).code == 0
        digests.append(json.loads((record(home / f"runs{number}") / "manifest.json").read_text())["digests"]["features"])
    assert digests[0] != digests[1]


def test_a_dry_run_of_the_paper_imports_no_torch(home: Path, world: list[str]) -> None:
    words = [str(PAPER / "BE.yaml"), *(part for word in [*world, "task.shots=3"] for part in ("--set", word)), "--dry-run"]
    script = f"import sys\nfrom sere_core.cli import run_main\nassert run_main({words!r}) == 0\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=home, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"torch", "transformers", "torchcrepe", "librosa", "numpy", "sklearn"}


def test_a_model_whose_commit_on_the_hub_has_moved_is_another_run(sere: Sere, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a cache as the hub's client lays it out."""
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model, known = home / "hub" / "models--made-up--tiny", set[Path]()
    for commit, changed in (("a" * 40, False), ("b" * 40, True), ("b" * 40, False)):
        tiny_wav2vec2(model / "snapshots" / commit)
        (model / "refs").mkdir(exist_ok=True)
        (model / "refs" / "main").write_text(commit)
        words = ("encoders.small={use: wav2vec2, params: {model: made-up/tiny}}", "resonance.params={}", "train.epochs=1")
        told = sere("tiny.yaml", *words)
        assert told.code == 0, told.err
        assert ("the content of encoders.small.params.model" in told.err) is changed
        made = {path.parent for path in (home / "runs").glob("*/manifest.json")} - known
        known |= made
        for folder in made:
            parts = json.loads((folder / "manifest.json").read_text())["made_of"]
            assert parts["files.encoders.small.params.model"] == commit
    assert len(known) == 2


def test_the_hub_is_asked_for_a_commit_that_the_cache_lacks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    monkeypatch.setenv("HF_HUB_CACHE", str(home / "nothing"))
    asked = lambda self, model, revision, timeout: SimpleNamespace(sha=f"{model} at {revision}")  # noqa: E731
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", asked)
    words = ("encoders.small={use: wav2vec2, params: {model: made-up/asked, revision: v2}}", "resonance.params={}")
    parts = identify(make_plan(load("tiny.yaml", sets=words))).parts
    assert parts["files.encoders.small.params.model"] == "made-up/asked at v2"
