"""Real utterances for benchmarks of extraction, from the three corpora below `SERE_DATA`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sere_core.config.model import Features
from sere_core.features import audio
from sere_plugins.specs.corpora import EMODB, EMOVO, RAVDESS
from sere_registry import BuildContext, Recording

CORPORA = {"emodb": EMODB, "emovo": EMOVO, "ravdess": RAVDESS}


def recordings(count: int) -> list[Recording]:
    """So many, in equal shares of the corpora and spread over each; SystemExit without `SERE_DATA`."""
    if "SERE_DATA" not in os.environ:
        raise SystemExit("SERE_DATA names no folder of corpora")
    found: list[Recording] = []
    for name, spec in CORPORA.items():
        params = spec.params.model_validate({"root": Path(os.environ["SERE_DATA"]).resolve() / name})
        listed = [each.recording for each in spec.load()(params, BuildContext(name)).utterances()]
        chosen = np.linspace(0, len(listed) - 1, min(len(listed), -(-count // len(CORPORA)))).astype(int)
        found += [listed[each] for each in chosen]
    return found


def utterances(count: int) -> list[NDArray[np.float32]]:
    """Samples of so many, as features are made of them."""
    return [audio.read(each, Features()).samples for each in recordings(count)]
