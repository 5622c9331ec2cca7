"""Plugins that reach for target labels in a real run: the ways that Python reports end it, the others find nothing."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sere_core.config.model import Features
from sere_core.features.cache import folder as cache_folder
from tests.end_to_end import prober, walker
from tests.end_to_end.conftest import Sere, process, record, records

#: as a `file:` component, its module is another than the one that is imported here
PROBER = Path(prober.__file__)


@pytest.fixture
def plugin(home: Path, sere: Sere) -> Path:
    """The prober as a user's file, an older record, and a path into the corpus."""
    shutil.copyfile(PROBER, home / "prober.py")
    assert sere("tiny.yaml", "train.epochs=1", "output.dir=honest", "--seed=5").code == 0
    shutil.copytree(record(home / "honest"), home / "older")
    from sere_plugins.corpora.synthetic import _default_cache

    target = sorted((_default_cache() / "synthetic").glob("xb-*"), key=lambda path: path.stat().st_mtime)
    (home / "corpus.txt").write_text(str(sorted(target[0].rglob("*.wav"))[0]))
    (home / "index.txt").write_text(str(cache_folder(Features()) / "audio.index"))
    return home / "prober.py"


def module() -> Any:
    """The prober as the run imported it."""
    (found,) = [value for name, value in sys.modules.items() if name.startswith("sere_local_prober_")]
    return found


@pytest.fixture(autouse=True)
def fresh_import() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith("sere_local_prober_")]:
        del sys.modules[name]


@pytest.mark.parametrize("route", prober.ROUTES)
def test_a_probe_ends_the_run_and_its_record_says_so(route: str, plugin: Path, sere: Sere, home: Path) -> None:
    told = sere("tiny.yaml", "train.epochs=1", f"hooks.probe={{use: 'file:./prober.py:HOOK', params: {{route: \"{route}\"}}}}")
    assert told.code != 0
    (line,) = told.problems
    assert line.startswith("hooks.probe: [D613] plugin code reached for sealed labels: ") or "a thread of its own" in line, line
    assert prober.ROUTES[route][1] in line and ("prober.py:" in line or "a thread of its own" in line), line
    assert module().LOOT == [] or module().LOOT == [None], "what is tried gets nothing"
    job = record(home / "runs")
    probes = json.loads((job / "probes.json").read_text())
    assert probes == json.loads((job / "manifest.json").read_text())["notes"]["probes"]
    assert prober.ROUTES[route][1] in probes[0] and str(home) not in probes[0]
    assert not (job / "done").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("losses.adapt={use: 'file:./prober.py:LOSS', params: {route: every object}}",),
        ("select={use: 'file:./prober.py:SELECTOR', params: {route: frames}}",),
    ],
)
def test_losses_and_selectors_are_watched_too(words: tuple[str, ...], plugin: Path, sere: Sere) -> None:
    told = sere("tiny.yaml", "train.epochs=1", *words)
    assert told.code != 0 and "[D613]" in told.problems[0] and "prober.py:" in told.problems[0], told.err
    assert told.problems[0].startswith(words[0].partition("=")[0] + ": ")


def test_a_run_that_goes_on_after_a_probe_keeps_the_note(plugin: Path, sere: Sere, home: Path) -> None:
    assert sere("tiny.yaml", "train.epochs=1", "hooks.probe={use: 'file:./prober.py:HOOK'}").code != 0
    assert sere("tiny.yaml", "train.epochs=1", "--resume").code == 0
    (job,) = records(home / "runs")
    notes = json.loads((job / "manifest.json").read_text())["notes"]
    assert len(notes["probes"]) == 1 and notes["probes"][0].startswith("hooks.probe (prober.py:")


def test_an_honest_run_has_no_probes(sere: Sere, home: Path) -> None:
    hooks = ("hooks.tensorboard.use=tensorboard", "hooks.keep={use: checkpoint, params: {every: 1}}", "hooks.progress.use=progress")
    assert sere("tiny.yaml", "train.epochs=2", "hooks.watch.use=divergence", *hooks).code == 0
    job = record(home / "runs")
    assert json.loads((job / "manifest.json").read_text())["notes"]["probes"] == []
    assert not (job / "probes.json").exists()
    assert list(job.rglob("events.out.tfevents.*")) and list((job / "checkpoints" / "kept").iterdir())


def test_nothing_is_watched_after_a_run(sere: Sere) -> None:
    import gc

    assert sere("tiny.yaml", "train.epochs=1").code == 0
    assert gc.get_objects() and sys._getframe(0)


def test_what_plugins_are_given_leads_to_no_label(home: Path) -> None:
    """Attributes, slots, closures, defaults, globals, containers: nowhere a key, a sealed label or a target utterance's name."""
    shutil.copyfile(walker.__file__, home / "walker.py")
    parts = {"losses.walk": "LOSS", "hooks.walk": "HOOK", "select": "SELECTOR"}
    told = process(
        "tiny.yaml",
        "train.epochs=1",
        "train.steps_per_epoch=1",
        *(f"{where}={{use: 'file:./walker.py:{name}'}}" for where, name in parts.items()),
        cwd=home,
    )
    assert told.returncode == 0, told.stderr
    counts = [int(line) for line in (home / walker.COUNT).read_text().splitlines()]
    assert max(counts) > 10_000, "it did look through the engine"
    loot = home / walker.LOOT
    assert not loot.exists(), sorted(set(loot.read_text().splitlines()))[:10]


def test_the_walk_finds_what_there_is_to_find(home: Path) -> None:
    """The walker is not blind: the very objects that the engine keeps away from plugins are found where they are given."""
    from sere_core.data.labels import Seal, SealedLabels
    from sere_registry import Recording

    class Holder:
        __slots__ = ("held",)
        held: Any

    holder, recording = Holder(), Recording("xb01/anger-t01", Path("x"), "xb", "xb", "s")
    holder.held = lambda: recording
    walker.walk(holder, [SealedLabels({"a": 0}, Seal())])
    found = set((home / walker.LOOT).read_text().splitlines())  # more, where other tests' modules hold keys of their own
    assert found >= {"the name xb01/anger-t01", "a SealedLabels"}
