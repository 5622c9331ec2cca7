"""`sere predict --mic`: windows of what is heard, printed as they come."""

from __future__ import annotations

import queue
import sys
import time

import numpy as np
from numpy.typing import NDArray

from sere_core.model import Model
from sere_registry.errors import SereError, error

#: D605, silence: no one speaks
_SILENCE = "D605"


def listen(model: Model, window: float, abstain: float) -> int:
    """Print a line for each window of so many seconds until Ctrl-C; 0 afterwards.

    Raises:
        SereError: P108 (no sounddevice, or no PortAudio), X702 (no microphone).
    """
    try:
        import sounddevice
    except (ImportError, OSError) as cause:
        hint = 'pip install "sere[mic]"; on Linux also the system\'s libportaudio2'
        raise error("P108", f"the microphone needs the distribution 'sounddevice': {cause}", hint) from cause
    heard: queue.Queue[NDArray[np.float32]] = queue.Queue()

    def hear(block: NDArray[np.float32], *_: object) -> None:
        heard.put(block[:, 0].copy())

    size = int(window * model.rate)
    try:
        stream = sounddevice.InputStream(samplerate=model.rate, channels=1, dtype="float32", blocksize=size, callback=hear)
        stream.start()
    except (sounddevice.PortAudioError, ValueError) as cause:
        raise error("X702", f"no microphone can be opened: {cause}", "`python -m sounddevice` lists what is there") from cause
    print(f"listening: a line every {window:g} s, Ctrl-C ends", file=sys.stderr)
    begin = time.monotonic()
    try:
        while True:
            line = describe(model, heard.get(), abstain)
            print(f"{time.monotonic() - begin:7.1f} s  {line}", flush=True)
    except KeyboardInterrupt:
        return 0
    finally:
        stream.close()


def describe(model: Model, samples: NDArray[np.float32], abstain: float) -> str:
    """One window in words: the prediction with its confidence, `-` for silence, `?` below the wanted confidence."""
    try:
        found = model.predict(samples, model.rate)
    except SereError as problem:
        return "-" if problem.problems[0].code == _SILENCE else str(problem.problems[0].message)
    return f"{found.label if found.confidence >= abstain else '?':12} {found.confidence:.2f}"
