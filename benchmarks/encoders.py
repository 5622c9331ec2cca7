"""Pretrained encoders beside a plain loop of transformers, file by file: seconds, and how near the pooled frames are.

    SERE_DATA=/data/speech SERE_MODELS=/models python benchmarks/encoders.py [--utterances 500] [whisper wav2vec2 hubert wavlm]

The loop is the feature extractor and the encoder as transformers' documentation calls them, without gradient; Whisper's extractor
pads each utterance to 30 s.  Ours is `extract`, in float32 and in bfloat16 where the processor multiplies it.  Whisper is the
checkpoint `whisper-base` in `SERE_MODELS` if there is one, else random weights of its size, as are the others of theirs: a random
network takes as long as a trained one, and only a trained one says how near bfloat16 comes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.ratios import Ratio, show
from benchmarks.speech import utterances
from sere_plugins.encoders.pretrained import multiplies_bfloat16
from sere_plugins.specs.encoders import HUBERT, WAV2VEC2, WAVLM, WHISPER
from sere_registry import BuildContext

Array = NDArray[np.float32]
SPECS = {"whisper": WHISPER, "wav2vec2": WAV2VEC2, "hubert": HUBERT, "wavlm": WAVLM}
CLASSES = {"whisper": "Whisper", "wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}


def checkpoint(kind: str, folder: Path) -> tuple[str, Path]:
    """What it is, and its folder."""
    stored = Path(os.environ.get("SERE_MODELS", folder)) / "whisper-base"
    if kind == "whisper" and stored.is_dir():
        return "whisper-base", stored
    torch.manual_seed(0)
    config = getattr(transformers, f"{CLASSES[kind]}Config")()
    extractor: Any = transformers.WhisperFeatureExtractor() if kind == "whisper" else transformers.Wav2Vec2FeatureExtractor()
    getattr(transformers, f"{CLASSES[kind]}Model")(config).save_pretrained(folder / kind)
    (folder / kind / "preprocessor_config.json").write_text(json.dumps(extractor.to_dict()))
    return f"{kind}, random", folder / kind


def plain(kind: str, folder: Path) -> Callable[[Array], Array]:
    """The encoder of transformers."""
    model = getattr(transformers, f"{CLASSES[kind]}Model").from_pretrained(folder, dtype=torch.float32).eval()
    model = model.encoder if kind == "whisper" else model
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)

    def encode(samples: Array) -> Array:
        with torch.no_grad():
            found: Array = model(**extractor(samples, sampling_rate=16000, return_tensors="pt")).last_hidden_state[0].numpy()
        return found[: -(-len(samples) // 320)]

    return encode


def ours(kind: str, folder: Path, precision: str) -> Callable[[Array], Array]:
    """`extract` of the encoder, its last layer."""
    encoder = SPECS[kind].load()(SPECS[kind].params.model_validate({"model": str(folder), "precision": precision}), BuildContext("speech"))
    return lambda samples: encoder.extract(samples, {}, 0.02)  # type: ignore[no-any-return]


def pooled_cosine(one: Array, other: Array) -> float:
    a, b = one.mean(axis=0), other.mean(axis=0)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def compared(kind: str, sounds: Sequence[Array], folder: Path) -> list[Ratio]:
    """One family: each utterance by all, in turn."""
    name, where = checkpoint(kind, folder)
    encoders = {"plain": plain(kind, where), "float32": ours(kind, where, "float32")}
    if multiplies_bfloat16():
        encoders["bfloat16"] = ours(kind, where, "bfloat16")
    for encode in encoders.values():
        encode(sounds[0])
    seconds, cosines = dict.fromkeys(encoders, 0.0), dict.fromkeys(encoders, 1.0)
    for samples in sounds:
        found = {}
        for which, encode in encoders.items():
            begin = time.process_time()
            found[which] = encode(samples)
            seconds[which] += time.process_time() - begin
        for which, near in (("float32", "plain"), ("bfloat16", "float32")):
            if which in found:
                cosines[which] = min(cosines[which], pooled_cosine(found[which], found[near]))
    what = f"{name}, {len(sounds)} utterances"
    near = {"float32": "plain", "bfloat16": "float32"}
    return [
        Ratio(f"{what}, {which}: cosine to {near[which]} at least {cosines[which]:.5f}", seconds[which], "transformers", seconds["plain"])
        for which in encoders
        if which != "plain"
    ]


def ratios(short: bool, kinds: Sequence[str] = tuple(SPECS), count: int = 60) -> list[Ratio]:
    if "SERE_DATA" in os.environ:
        sounds = utterances(6 if short else count)
    else:
        generator = np.random.default_rng(0)
        sounds = [generator.normal(0, 0.1, 16000 * seconds).astype(np.float32) for seconds in (2, 3, 4)]
    with tempfile.TemporaryDirectory() as folder:
        return [ratio for kind in kinds for ratio in compared(kind, sounds, Path(folder))]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=list(SPECS), help=f"of {', '.join(SPECS)}")
    parser.add_argument("--utterances", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    show(ratios(False, options.kinds, options.utterances))
