"""f0 beside torchcrepe: seconds, and the share of voiced frames within 5 cents: `SERE_DATA=/data/speech python benchmarks/pitch.py`.

The reference is `torchcrepe.predict` as it comes, with its Viterbi decoder.  It adds a random dither of up to 20 cents to each f0, so
f0 is compared with what our decoder makes of the activations that torchcrepe computed in that very run.  Voiced is a frame whose
periodicity is above 0.5 there.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.ratios import Ratio, show
from benchmarks.speech import utterances
from sere_core.features import pitch

STEP = 320
CENTS = 5.0
VOICED = 0.5


def torchcrepe_track(samples: NDArray[np.float32], capacity: str) -> NDArray[np.float32]:
    """Activations `[T, 360]` of a call of `torchcrepe.predict`."""
    import torchcrepe

    seen: list[torch.Tensor] = []

    def decoder(logits: torch.Tensor) -> object:
        seen.append(logits[0].T)
        return torchcrepe.decode.viterbi(logits)

    waveform = torch.from_numpy(samples)[None]
    with torch.no_grad():
        torchcrepe.predict(waveform, 16000, STEP, fmin=32.0, model=capacity, decoder=decoder, batch_size=256, return_periodicity=True)
    return torch.cat(seen).numpy()


def voiced_cents(activations: NDArray[np.float32], f0: NDArray[np.float32], periodicity: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far f0 is from the reference in voiced frames, in cents, `[V]`; what we skip as silence has no periodicity."""
    at = np.flatnonzero(periodicity > 0)
    found = []
    for run in np.split(at, np.flatnonzero(np.diff(at) > 1) + 1):
        if len(run):
            theirs, voiced = pitch.decode(activations[run])
            found.append(1200 * np.abs(np.log2(f0[run] / theirs))[voiced > VOICED])
    return np.concatenate([np.empty(0), *found])


def compared(capacity: str, sounds: list[NDArray[np.float32]]) -> Ratio:
    """CREPE of this size on these utterances, file by file."""
    pitch.track(sounds[0], STEP, f"crepe_{capacity}")
    torchcrepe_track(sounds[0], capacity)
    ours = theirs = 0.0
    apart = []
    for samples in sounds:
        begin = time.process_time()
        f0, periodicity = pitch.track(samples, STEP, f"crepe_{capacity}")
        between = time.process_time()
        activations = torchcrepe_track(samples, capacity)
        ours, theirs = ours + between - begin, theirs + time.process_time() - between
        apart.append(voiced_cents(activations, f0, periodicity))
    share = 100 * float((np.concatenate(apart) <= CENTS).mean())
    seconds = sum(map(len, sounds)) / 16000
    what = f"CREPE {capacity}, {len(sounds)} utterances, {seconds:.0f} s: {share:.2f} % of voiced frames within {CENTS:.0f} cents"
    return Ratio(what, ours, "torchcrepe.predict", theirs)


def swift(sounds: list[NDArray[np.float32]], theirs: float) -> Ratio:
    """SwiftF0 on these utterances, beside the seconds of torchcrepe."""
    pitch.track(sounds[0], STEP, "swift")
    begin = time.process_time()
    tracks = [pitch.track(samples, STEP, "swift") for samples in sounds]
    ours = time.process_time() - begin
    apart, agreed = [], []
    for samples, (f0, confidence) in zip(sounds, tracks, strict=True):
        crepe, periodicity = pitch.track(samples, STEP, "crepe_tiny")
        both = (periodicity > VOICED) & (confidence > VOICED)
        apart.append(1200 * np.abs(np.log2(f0[both] / crepe[both])))
        agreed.append((periodicity > VOICED) == (confidence > VOICED))
    near, same = 100 * float((np.concatenate(apart) <= 50).mean()), 100 * float(np.concatenate(agreed).mean())
    seconds = sum(map(len, sounds)) / 16000
    agreement = f"voiced as by CREPE tiny in {same:.0f} % of frames, f0 within 50 cents in {near:.1f} %"
    what = f"SwiftF0, {seconds:.0f} s, {seconds / ours:.0f}x real time; {agreement}"
    return Ratio(what, ours, "torchcrepe.predict, tiny", theirs)


def ratios(short: bool) -> list[Ratio]:
    sounds = utterances(120)
    small = sounds[::4] if short else sounds
    tiny = compared("tiny", small)
    return [tiny, compared("full", sounds[::20] if short else sounds), swift(small, tiny.theirs)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="30 utterances for tiny, 6 for full; else 120")
    torch.set_num_threads(1)
    show(ratios(parser.parse_args().short))
