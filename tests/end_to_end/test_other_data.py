"""A record belongs to the files that it was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.end_to_end.conftest import Sere


def corpus(folder: Path) -> Path:
    """Twelve short noises of three speakers and two emotions, and their manifest."""
    folder.mkdir()
    lines = ["path,speaker,language,emotion"]
    generator = np.random.default_rng(0)
    for number in range(12):
        name = f"{number:02d}.wav"
        soundfile.write(folder / name, 0.1 * generator.standard_normal(6400 + 400 * number), 16000)
        lines.append(f"{name},s{number % 3},de,{('anger', 'sadness')[number // 3 % 2]}")
    (folder / "all.csv").write_text("\n".join(lines) + "\n")
    return folder / "all.csv"


@pytest.mark.parametrize("how", ["finished", "unfinished"])
def test_a_record_is_not_taken_up_for_changed_files(how: str, sere: Sere, home: Path) -> None:
    """Same config, same names, another recording: neither shown nor gone on with, until asked to begin anew."""
    listing = corpus(home / "mine")
    own = f"corpora.xb={{use: manifest, params: {{file: {listing}}}}}"
    assert sere("tiny.yaml", own).code == 0
    if how == "unfinished":
        next(home.glob("runs/*/done")).unlink()
    soundfile.write(listing.parent / "00.wav", np.sin(np.arange(9000) / 5), 16000)
    told = sere("tiny.yaml", own, *(["--resume"] if how == "unfinished" else []))
    assert told.code == 1 and "[T505]" in told.err and "'xb'" in told.err and "--fresh" in told.err
    assert sere("tiny.yaml", own, "--fresh").code == 0
