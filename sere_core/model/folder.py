"""The format of a model's folder.

    config.yaml          the resolved config, without places of the machine that trained it
    model.json           what `About` holds
    weights.safetensors  method/...      the trained method's state
                         support/...     the labelled utterances' frames, for methods that compare with them; through/ID: by other encoders
                         statistics/...  mean and divisor of the target corpus and of its speakers
                         texts/...       what is said in the target corpus, where it is taken off: by encoder, `texts.STORED`
    encoders/ID/         the pretrained checkpoint that the encoder ID reads
    files/PATH/NAME/     what the parameter NAME of the component PATH names; config.yaml names it here
    README.md            the model card
    sha256               a line for each of these files, as `sha256sum` writes and checks it

Nothing in it can run code: components are found by name among those installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from sere_core.untrusted import MOST, checked, json_of, read_stored, unusable
from sere_registry.errors import error
from sere_registry.files import check_file, read_file, write_atomically, writing

FORMAT = 1
SUMS = "sha256"
#: sections of the config whose components make the network that predicts
NETWORK = ("encoders", "dynamics", "resonance", "losses", "method")
ANEW = "export the model again"


@dataclass(frozen=True)
class About:
    """What a model says of itself.

    Args:
        name: the run's.
        classes: in the order of the posteriors.
        languages: of the training, in the order that the network counts them.
        paths: language -> the encoder that its speech takes; the target's languages first.
        encoders: the ids of all that the network holds.
        target: the id of the corpus that was adapted to.
        normalisation: whose statistics standardised the features: "none", "corpus" or "speaker".
        input_dim, speakers: what the network was built for; see `BuildContext`.
        seed: of the fold.
        temperature: divides the logarithms of the posteriors where confidences are shown; 1 where none was fitted.
        facts: protocol, scores, versions and evidence, as the card tells them.
    """

    name: str
    classes: tuple[str, ...]
    languages: tuple[str, ...]
    paths: Mapping[str, str]
    encoders: tuple[str, ...]
    target: str
    normalisation: str
    input_dim: int
    speakers: int
    seed: int
    temperature: float = 1.0
    facts: Mapping[str, Any] = field(default_factory=dict)


def check_place(folder: Path) -> None:
    """May a model be written here: is nothing there, or a model and nothing else, and does the folder above take one?

    Raises:
        SereError: X704 or X705.
    """
    with writing(folder):
        hint = "name a folder that is not there yet"
        if folder.exists() and next(folder.iterdir(), None) is not None:
            if not is_model(folder):
                raise error("X704", f"{folder} is neither empty nor a model", hint)
            if others := _files(folder) - set(_sums(folder)):  # it is removed as a whole
                raise error("X704", f"{folder} holds a model, and {min(others)}, which is not of it", hint)
        above = next(each for each in folder.absolute().parents if os.path.lexists(each))
        with tempfile.TemporaryDirectory(dir=above, prefix=".sere-"):
            pass


def is_model(folder: Path) -> bool:
    """Is this the folder of a model, as far as its names tell?"""
    return all((folder / name).is_file() for name in (SUMS, "model.json"))


def _files(folder: Path) -> set[str]:
    """Where each file of a folder lies in it, but for the list of digests; a link counts as what it is."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()} - {SUMS}


@contextlib.contextmanager
def made(folder: Path) -> Iterator[Path]:
    """A folder to write a model into, which takes the place of `folder` once the block ends well, and of an older model there.

    Raises:
        SereError: X704 or X705.
    """
    check_place(folder)
    folder = folder.absolute()
    place = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    with writing(folder):
        place.mkdir(parents=True)
        try:
            yield place
            if folder.exists():
                shutil.rmtree(folder)
            place.rename(folder)
        finally:
            shutil.rmtree(place, ignore_errors=True)


def write(folder: Path, config: str, about: About, tensors: Mapping[str, Tensor], card: str) -> None:
    """Write everything but what lies below `encoders` and `files`, which is there already, and then the digests of all files.

    Raises:
        SereError: X704 or X705 where the folder or the disk does not take it.
    """
    write_atomically(folder / "config.yaml", config.encode())
    text = json.dumps({"format": FORMAT, **asdict(about)}, indent=1, ensure_ascii=False)
    write_atomically(folder / "model.json", text.encode() + b"\n")
    write_atomically(folder / "README.md", card.encode())
    own = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_atomically(folder / "weights.safetensors", save(own))
    seal(folder)


def seal(folder: Path) -> None:
    """Write the digests of all files."""
    lines = [f"{_digest(folder / name)}  {name}\n" for name in sorted(_files(folder))]
    write_atomically(folder / SUMS, "".join(lines).encode())


def read(folder: Path) -> tuple[About, dict[str, Tensor]]:
    """What `write` wrote, after all files were found to be those of then.

    Raises:
        SereError: T505 if it is no model's folder, or a file is missing, damaged or was changed.
    """
    check(folder)
    path = folder / "model.json"
    try:
        data = json_of(read_stored(path, ANEW), path, ANEW)
        about = checked(data, path, ANEW, TypeAdapter(About))
        if data.get("format") != FORMAT or not about.classes or not about.paths or not set(about.paths.values()) <= set(about.encoders):
            raise ValueError("its format is of another version of sere, or it names no classes or encoders")
        return about, load_file(folder / "weights.safetensors")
    except (OSError, ValueError, SafetensorError) as cause:
        raise error("T505", f"{folder}: not a model that can be read: {cause}", ANEW) from cause


def check(folder: Path) -> None:
    """Are all files there, and those that were written?

    Raises:
        SereError: T505.
    """
    sums = _sums(folder)
    there = {path.relative_to(folder).as_posix() for path in folder.glob("encoders/*/*")}
    there |= {path.relative_to(folder).as_posix() for path in folder.glob("files/**/*") if not path.is_dir()}
    if unknown := sorted(({"config.yaml", "model.json", "weights.safetensors"} | there) - set(sums)):
        raise error("T505", f"{folder / unknown[0]} is not in its list of digests", ANEW)
    for name, digest in sums.items():
        try:
            found = _digest(folder / name)
        except (OSError, ValueError) as cause:
            raise unusable(folder / name, getattr(cause, "strerror", None) or cause, ANEW) from cause
        if found != digest:
            raise error("T505", f"{folder / name} is not what was exported", ANEW)


def _sums(folder: Path) -> dict[str, str]:
    """File -> digest, as they were written; T505 where that is not there."""
    if (folder / "manifest.json").exists():
        hint = f"make a model of it: sere export {folder} -o model"
        raise error("T505", f"{folder} is the record of a run, not a model", hint)
    try:
        lines = read_file(folder / SUMS, MOST).decode().splitlines()
        return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as cause:
        hint = "name the folder that `sere train` or `sere export` made"
        what = f"{folder / SUMS} is missing or damaged" if (folder / "model.json").exists() else f"{folder} is not the folder of a model"
        raise error("T505", what, hint) from cause


def _digest(path: Path) -> str:
    check_file(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity(folder: Path) -> str:
    """What tells this model from another: a digest of the digests of its files; T505 if it is no model's folder."""
    _sums(folder)
    return _digest(folder / SUMS)
