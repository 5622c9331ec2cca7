"""Where pretrained models come from, in what forms they are read, and what is said when they are not there."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sere_plugins.specs import encoders as specs
from sere_registry import BuildContext, SereError
from tests.encoders.checkpoints import tiny_hubert, tiny_wav2vec2

WAVE = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_wav2vec2(tmp_path_factory.mktemp("original"))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "model")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty Hugging Face cache, and a client that does not try the network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def extract(model: Path | str, **params: Any) -> np.ndarray:
    made = specs.WAV2VEC2.load()(specs.Wav2Vec2Params(model=str(model), **params), BuildContext(id="anchor"))
    return made.extract(WAVE, {}, 0.02)  # type: ignore[no-any-return]


def complaint(model: Path | str, **params: Any) -> str:
    """The one line that a user gets (and its hint)."""
    with pytest.raises(SereError) as caught:
        extract(model, **params)
    lines = str(caught.value).split("\n")
    assert len(lines) <= 2 and lines[0].startswith("encoders.anchor.params.model: [")
    return str(caught.value)


def rewrite(folder: Path, change: Any) -> None:
    weights = folder / "model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in change(load_file(weights)).items()}, weights)


@pytest.mark.parametrize("model", ["/nowhere/wav2vec2", "./nowhere", "~/nowhere-at-all", "a/b/c", "facebook/../wav2vec2"])
def test_a_folder_that_is_not_there(model: str, no_network: Path) -> None:
    said = complaint(model)
    assert f"[X703] there is no folder {model!r}" in said and "local folder" in said and "HF_HOME" in said


def test_a_hub_name_without_network(no_network: Path) -> None:
    said = complaint("facebook/wav2vec2-base")
    assert "[X703] the model 'facebook/wav2vec2-base' is neither a local folder nor in the Hugging Face cache" in said
    assert "the hub cannot be reached" in said and "HF_HOME" in said


def test_a_hub_name_in_the_cache_needs_no_network(folder: Path, no_network: Path) -> None:
    store = no_network / "models--facebook--wav2vec2-base"
    (store / "refs").mkdir(parents=True)
    (store / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, store / "snapshots" / ("0" * 40))
    assert np.array_equal(extract("facebook/wav2vec2-base"), extract(folder))
    assert "neither a local folder nor in the" in complaint("facebook/wav2vec2-base", revision="other")


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("RepositoryNotFoundError", "no such model"),
        ("GatedRepoError", "login"),
        ("RevisionNotFoundError", "no revision 'x'"),
        ("ConnectionResetError", "failed: ConnectionResetError"),
    ],
)
def test_what_the_hub_may_reply(failure: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    def reply(model: str, name: str, revision: str | None, local_files_only: bool = False) -> str:
        kind = errors.LocalEntryNotFoundError if local_files_only else getattr(errors, failure, ConnectionResetError)
        raise kind.__new__(kind)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", reply)
    assert words in complaint("facebook/wav2vec2-base", revision="x")


def rewritten(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = (folder / name).read_text()
        assert old in content
        (folder / name).write_text(content.replace(old, new))

    return change


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def other_kind(folder: Path) -> None:
    shutil.rmtree(folder)
    tiny_hubert(folder)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (without("config.json"), "X703", "has no config.json"),
        (without("preprocessor_config.json"), "X703", "has no preprocessor_config.json"),
        (without("model.safetensors"), "X703", "has no model.safetensors"),
        (other_kind, "B401", "use: hubert"),
        (rewritten("preprocessor_config.json", "16000", "8000"), "B401", "8000 Hz"),
        (rewritten("config.json", "{", ""), "B401", "config.json cannot be read as JSON"),
        (rewritten("config.json", '"hidden_size": 16', '"hidden_size": "many"'), "B401", "config.json of"),
    ],
)
def test_a_folder_that_holds_no_such_model(folder: Path, change: Callable[[Path], None], code: str, words: str) -> None:
    change(folder)
    said = complaint(folder)
    assert f"[{code}]" in said and words in said


def test_weights_in_every_form_that_checkpoints_have(original: Path, tmp_path: Path) -> None:
    """Pickled, divided, under the names of older versions, below a model with a head, in half precision: the same frames."""
    from transformers import Wav2Vec2Model

    expected = extract(original)
    tensors = load_file(original / "model.safetensors")

    def copy(name: str) -> Path:
        folder = shutil.copytree(original, tmp_path / name)
        (folder / "model.safetensors").unlink()
        return folder

    for name, form in (("pickled", True), ("old", False)):
        torch.save(tensors, copy(name) / "pytorch_model.bin", _use_new_zipfile_serialization=form)
        assert np.array_equal(extract(tmp_path / name), expected)

    divided = copy("divided")
    Wav2Vec2Model.from_pretrained(original).save_pretrained(divided, max_shard_size="20KB")
    assert len(list(divided.glob("*.safetensors"))) > 1
    assert np.array_equal(extract(divided), expected)
    next(divided.glob("*.safetensors")).unlink()
    assert "a part of its weights" in complaint(divided)

    def older(name: str) -> str:
        for new, then in (("parametrizations.weight.original0", "weight_g"), ("parametrizations.weight.original1", "weight_v")):
            name = name.replace(new, then)
        return f"wav2vec2.{name}"

    renamed = {older(name): tensor for name, tensor in tensors.items()}
    save_file({**renamed, "lm_head.weight": torch.zeros(2)}, copy("renamed") / "model.safetensors")
    assert np.array_equal(extract(tmp_path / "renamed"), expected)

    save_file({name: tensor.half() for name, tensor in tensors.items()}, copy("half") / "model.safetensors")
    half = extract(tmp_path / "half")
    assert 0 < np.abs(half - expected).max() < 0.05 and half.dtype == np.float32


def test_which_files_are_read(folder: Path) -> None:
    """Safetensors before a pickle; settings also where newer versions of transformers write them."""
    expected = extract(folder)
    (folder / "pytorch_model.bin").write_bytes(b"never looked at")
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": settings, "processor_class": "Wav2Vec2Processor"}))
    assert np.array_equal(extract(folder), expected)


class Trap:
    """What a pickle may hold: a call."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_a_pickle_that_holds_code_is_refused_and_not_run(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    mark = folder / "ran"
    torch.save({"encoder.layer_norm.weight": Trap(mark)}, folder / "pytorch_model.bin", pickle_module=pickle)
    assert "holds more than tensors" in complaint(folder) and not mark.exists()


WRONG = {
    "a list": lambda tensors: [1, 2],
    "a tensor": lambda tensors: torch.zeros(3),
    "nothing": lambda tensors: None,
    "a number": lambda tensors: 1.5,
    "numbers by name": lambda tensors: dict.fromkeys(tensors, 1.0),
    "lists by name": lambda tensors: {name: tensor.tolist() for name, tensor in tensors.items()},
    "tensors by number": lambda tensors: dict(enumerate(tensors.values())),
    "tensors further down": lambda tensors: {"state_dict": {"model": tensors}},
    "complex": lambda tensors: {name: tensor.to(torch.complex64) for name, tensor in tensors.items()},
    "sparse": lambda tensors: {name: tensor.to_sparse() for name, tensor in tensors.items()},
    "of no extent": lambda tensors: {name: tensor[:0] for name, tensor in tensors.items() if tensor.dim()},
    "on no device": lambda tensors: {name: tensor.to("meta") for name, tensor in tensors.items()},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_pickle_that_holds_something_else(what: str, folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(WRONG[what](tensors), folder / "pytorch_model.bin")
    assert "[B401]" in complaint(folder) and len(complaint(folder)) < 1000


BYTES = [
    b"",
    b"x",
    b"x" * 1000,
    b"\xff" * 100,
    b"\0" * 100,
    b"\2\0\0\0\0\0\0\0{}",
    b"\2\0\0\0\0\0\0\0[]",
    b"PK\3\4" + b"\0" * 100,
    b"\x80\2]q\0.",
]


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("content", BYTES)
def test_weights_that_are_something_else(name: str, content: bytes, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(content)
    assert "[B401]" in complaint(folder)


def test_weights_that_failed_are_not_read_again_for_every_utterance(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(folder, lambda tensors: {name: t for name, t in tensors.items() if "layers.1.attention" not in name})
    made = specs.WAV2VEC2.load()(specs.Wav2Vec2Params(model=str(folder)), BuildContext(id="anchor"))
    for _ in range(2):
        with pytest.raises(SereError, match="lacks the weights"):
            made.extract(WAVE, {}, 0.02)
        (folder / "model.safetensors").unlink(missing_ok=True)


def test_damaged_missing_and_misshapen_weights(original: Path, tmp_path: Path) -> None:
    """Nothing is ever filled up with random numbers."""

    def copy(name: str) -> Path:
        return shutil.copytree(original, tmp_path / name)

    short = copy("short")
    content = (short / "model.safetensors").read_bytes()
    (short / "model.safetensors").write_bytes(content[: len(content) // 2])
    assert "[B401]" in complaint(short)

    few = copy("few")
    rewrite(few, lambda tensors: {name: t for name, t in tensors.items() if "layers.1.attention" not in name})
    assert "lacks the weights encoder.layers.1.attention." in complaint(few) and "and 7 more" in complaint(few)
    assert extract(few, layer=1).shape == (12, 16)  # what is not needed need not be there

    wrong = copy("wrong")
    rewrite(
        wrong, lambda tensors: {name: t[..., :3] if name == "feature_projection.projection.weight" else t for name, t in tensors.items()}
    )
    assert "does not fit its own config.json: size mismatch for feature_projection.projection.weight" in complaint(wrong)


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    script = (
        "import sys, sere_plugins.specs.encoders as s\n"
        "assert not {'torch', 'numpy', 'transformers'} & set(sys.modules), 'the specs'\n"
        "[spec.load() for spec in (s.WAV2VEC2, s.HUBERT, s.WAVLM, s.WHISPER)]\n"
        "assert not {'transformers', 'huggingface_hub'} & set(sys.modules), 'the encoders'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
