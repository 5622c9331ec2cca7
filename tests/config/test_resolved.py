"""A resolved config: everything filled in, written out, hashed and built."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sere_core.config import Resolved, load
from sere_registry import BuildContext, Place, SereError

Read = Callable[..., Resolved]


def test_components_stand_under_their_paths_with_full_names_and_all_parameters(read: Read, good: str) -> None:
    text = good + "resonance: {use: field}\nviews: {strong: [{use: gain}]}\nhooks: {progress: {use: progress}}\n"
    resolved = read(text)
    assert {path: bound.full_name for path, bound in resolved.components.items()} == {
        "corpora.german": "sere.folder", "corpora.italian": "sere.folder", "encoders.anchor": "sere.tiny", "losses.classify": "sere.plain",
        "losses.adapt": "sere.tric", "hooks.progress": "sere.progress", "dynamics": "sere.none", "resonance": "sere.field",
        "method": "sere.joint", "select": "sere.last", "views.strong.0": "sere.gain",
    }  # fmt: skip
    assert resolved.config.losses["adapt"].use == "sere.tric"
    assert resolved.config.losses["adapt"].params == {"temperature": 0.1, "steps": 3, "mode": "soft", "floor": 0.25, "sharp": False}
    assert resolved.components["corpora.german"].params.root == Path("/data/de")  # type: ignore[attr-defined]


def test_places_are_those_of_the_nearest_thing_that_was_written(read: Read, good: str) -> None:
    resolved = read(good, "train.epochs=3")
    assert resolved.place("losses.adapt") == Place("a.yaml", 12, 3, "losses.adapt")
    assert resolved.place("losses.adapt.params.temperature") == Place("a.yaml", 15, 27, "losses.adapt.params.temperature")
    assert resolved.place("losses.adapt.params.steps") == Place("a.yaml", 15, 5, "losses.adapt.params.steps")
    assert str(resolved.place("train.epochs")) == "--set train.epochs=3: train.epochs"
    assert resolved.place("network.dim").file == "a.yaml"


def test_loading_what_was_dumped_gives_the_same_config(read: Read, folder: Path, catalog: Any, good: str) -> None:
    text = good + "views: {weak: [{use: gain}]}\ntrain: {optimizer: {params: {lr: 1.0e-5}}}\n"
    changes = ("losses.adapt.params.floor=null", "corpora.german.params.speakers=['03', 'no']")
    resolved = read(text.replace("name: small", "name: 'on'"), *changes)
    (folder / "dump.yaml").write_text(resolved.dump())
    again = load("dump.yaml", catalog=catalog)
    assert again.config == resolved.config and again.dump() == resolved.dump() and again.digest() == resolved.digest()


SAME = [
    "name=other",
    "output.dir=elsewhere",
    "corpora.german.params.root=/mnt/de",
    "features.cache=/tmp/x",
    "train.device=cpu",
    "train.threads=2",
    "train.checkpoint_every=5",
    "hooks={progress: {use: progress}}",
    "losses.adapt.use=sere.tric",
    "losses.adapt.params.steps=3",
    "losses.classify.weight=1",
    "train.optimizer={use: Adam}",
    "plugins.disable=[some-plugin]",
    "task.shots=5",
    "metrics={}",
]
OTHER = [
    "seed=1",
    "losses.adapt.params.steps=4",
    "losses.adapt.weight=0.6",
    "corpora.german.params.speakers=[a]",
    "train.epochs=3",
    "task.shots=6",
    "features.hop=0.01",
    "losses.adapt.use=plain",
    "train.optimizer={use: sgd}",
    "resonance={use: field}",
    "metrics={kappa: {use: CohenKappa}}",
]


@pytest.mark.parametrize("change", SAME)
def test_the_digest_ignores_names_and_paths(read: Read, good: str, change: str) -> None:
    assert read(good, change).digest() == read(good).digest()


@pytest.mark.parametrize("change", OTHER)
def test_the_digest_sees_all_that_results_depend_on(read: Read, good: str, change: str) -> None:
    assert read(good, change).digest() != read(good).digest()


def test_the_digest_is_12_hex_digits_and_the_same_in_every_process(read: Read, good: str) -> None:
    digest = read(good).digest()
    assert len(digest) == 12 and int(digest, 16) >= 0
    swapped = good.replace("corpora:", "seed: 0\ncorpora:").replace("sere: 1\nname: small", "name: small\nsere: 1")
    assert read(swapped).digest() == digest, "the order of keys does not matter"


def test_the_encoder_of_a_language(read: Read, good: str) -> None:
    assert read(good).encoder_of("xx") == "anchor"
    resolved = read(good.replace("unlabelled: anchor", "unlabelled: {de: anchor, it: anchor}"))
    assert resolved.encoder_of("it") == "anchor"
    with pytest.raises(SereError) as caught:
        resolved.encoder_of("en")
    assert str(caught.value) == (
        "a.yaml:9:27: paths.unlabelled: [C311] no encoder for the language 'en'\n"
        "    languages that have one: de, it; or write one encoder for all: `unlabelled: ID`"
    )


def test_a_factory_that_raises_is_named_with_its_distribution_and_keeps_its_cause(read: Read, good: str) -> None:
    resolved = read(good, "losses.classify.use=fails")
    with pytest.raises(SereError) as caught:
        resolved.components["losses.classify"].build(BuildContext(id="classify"))
    assert str(caught.value).startswith("a.yaml:11:3: losses.classify: [B401] loss 'sere.fails' of sere 1.0 could not be built: TypeError")
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_factory_that_cannot_be_imported_is_named_with_its_distribution(read: Read, good: str) -> None:
    resolved = read(good, "losses.classify.use=gone")
    with pytest.raises(SereError) as caught:
        resolved.components["losses.classify"].build(None)
    assert "a.yaml:11:3: losses.classify: [P102] loss 'sere.gone' of sere 1.0" in str(caught.value)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_what_a_factory_says_to_the_user_is_left_as_it_is(read: Read, good: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from sere_registry import ComponentSpec, error

    def factory(params: Any, context: Any) -> Any:
        raise error("D601", "no such folder")

    monkeypatch.setattr(ComponentSpec, "load", lambda spec: factory)
    with pytest.raises(SereError, match="D601"):
        read(good).components["losses.adapt"].build(None)


def test_a_resolved_config_can_be_sent_to_another_process(read: Read, good: str) -> None:
    resolved = read(good, "losses.adapt=null")
    again = pickle.loads(pickle.dumps(resolved.config))
    assert again == resolved.config and pickle.loads(pickle.dumps(resolved.place("name"))) == resolved.place("name")


def test_loading_imports_neither_torch_nor_numpy_nor_any_component() -> None:
    script = (
        "import sys\nfrom sere_core.config import load\nresolved = load('sere_default', environ={'SERE_DATA': '/data'})\n"
        "resolved.digest(), resolved.dump()\n"
        "heavy = {name for name in sys.modules if name.split('.')[0] in ('torch', 'numpy', 'transformers', 'librosa', 'sklearn', 'rich')}\n"
        "assert not heavy, sorted(heavy)[:5]\n"
        "parts = {name for name in sys.modules if name.startswith('sere_plugins.') and not name.startswith('sere_plugins.specs')}\n"
        "assert not parts, parts\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
