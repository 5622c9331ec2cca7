"""f0 by SwiftF0 (Nieradzik 2025, arXiv 2508.18440): a network of 14,386 parameters on a spectrogram; the extra `swift`."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sere_registry import error

if TYPE_CHECKING:
    from swift_f0 import SwiftF0


def track(samples: NDArray[np.float32], step: int, limits: tuple[float, float]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """f0 in Hz, within limits, and SwiftF0's confidence in [0, 1], each `[1 + N // step]`, value k at sample k * step.

    SwiftF0's frames stand every 256 samples.  Between two of them the confidence is interpolated, and log f0 is too, each frame weighed
    by its confidence; where there is none, between the frames around (0 Hz if there are none).
    """
    count = 1 + len(samples) // step
    if not len(samples):
        return np.zeros(count, np.float32), np.zeros(count, np.float32)
    found = _detector().detect(samples, 16000, *limits)
    times, frames = np.arange(count) * (step / 16000), found.timestamps
    periodicity = np.interp(times, frames, found.confidence)
    heard = periodicity > 0
    if not heard.any():
        return np.zeros(count, np.float32), np.zeros(count, np.float32)
    logs = np.interp(times[heard], frames, found.confidence * np.log(found.pitch_hz)) / periodicity[heard]
    f0 = np.interp(times, times[heard], np.exp(logs))
    return f0.astype(np.float32), periodicity.astype(np.float32)


def files() -> tuple[Path, ...]:
    """The network, and what says which versions run it.

    Raises:
        SereError: P108 (swift-f0 is not installed).
    """
    try:
        wheel, runtime = distribution("swift-f0"), distribution("onnxruntime")
    except PackageNotFoundError as cause:
        what = "features.pitch: swift needs the distribution 'swift-f0'"
        raise error("P108", what, 'pip install "sere[swift]"', "features.pitch") from cause
    versions = [Path(str(each.locate_file(file))) for each in (wheel, runtime) for file in each.files or () if file.name == "METADATA"]
    return Path(str(wheel.locate_file("swift_f0"))) / "model.onnx", *versions


@functools.lru_cache(maxsize=1)
def _detector() -> SwiftF0:
    """One for all threads of extraction, each of which runs it by itself."""
    files()
    import swift_f0

    return swift_f0.SwiftF0(threads=1, spin=False)
