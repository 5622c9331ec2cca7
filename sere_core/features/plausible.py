"""Can these samples be speech?  What is measured of them while they are read, and what is said of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sere_registry import SereError, error

#: digital silence: at most this far from zero (-90 dBFS, one least significant bit of 16-bit audio)
SILENCE = 10.0 ** (-90 / 20)
#: seconds that an utterance must have
LEAST = 0.025
#: seconds below which an utterance is odd
_SHORT = 0.1
#: rates in Hz between which there can be speech; and those that recorders write, beside whole multiples of 11025
_RATES = (4000, 768_000)
_USUAL = {1000 * k for k in (4, 5, 6, 8, 10, 12, 15, 16, 18, 20, 24, 25, 30, 32, 40, 48, 50, 64, 96, 192, 384, 768)}
_USUAL |= {5512, 9600, 11127, 12500, 12800, 18900, 22254, 22255, 37800, 44056, 47952, 48048}
#: times full scale from which samples are no sound but of another scale
_OTHER_SCALE = 8.0
#: a channel is dead that is so much below the loudest; channels are of one sound if they correlate so much
_DEAD, _ALIKE = 10.0 ** (-40 / 20), 0.3
#: the share of samples at full scale from which a recording is clipped
_CLIPPED = 0.01
#: different values of samples below which there is more noise of rounding than speech
_COARSE = 20
#: of bytes in another order: how rough noise can be, how much smoother sound is, and how many samples are looked at
_ROUGHEST, _SMOOTHER, _LOOKED_AT = 1.5, 0.7, 1 << 16


def check_rate(rate: int, place: str) -> None:
    """
    Raises:
        SereError: D603 if there can be no speech at so many Hz.
    """
    if not _RATES[0] <= rate <= _RATES[1]:
        raise error("D603", f"its header says {rate} Hz: no speech is recorded so", "write the true rate into it", place)


class Measures:
    """Of the samples of an utterance, block by block.

    Args:
        rate: in Hz.
        full_scale: what the samples of an undamaged file do not exceed.
        place: of messages.
    """

    def __init__(self, rate: int, full_scale: float, place: str) -> None:
        self._rate, self._full_scale, self._place = rate, full_scale, place
        self._count, self._broken, self._first, self._clipped = 0, 0, "", 0
        self._sum, self._gram = np.zeros(1), np.zeros((1, 1))
        self._low, self._high, self._peak = np.inf, -np.inf, 0.0

    def add(self, channels: NDArray[np.float32], mono: NDArray[np.float32]) -> None:
        """One more block, `[N, channels]`, and what it is mixed down to."""
        finite = np.isfinite(channels)
        if not finite.all():
            if not self._broken:
                frame, channel = np.argwhere(~finite)[0]
                where = f"{(self._count + frame) / self._rate:.3f} s" + (f", channel {channel + 1}" if channels.shape[1] > 1 else "")
                self._first = f"{'NaN' if np.isnan(channels[frame, channel]) else 'an infinite value'} at {where}"
            self._broken += int((~finite).sum())
        self._count += len(channels)
        if self._broken:
            return
        values = channels.astype(np.float64)
        self._sum = self._sum + values.sum(axis=0)
        self._gram = self._gram + values.T @ values
        level = np.abs(channels)
        self._peak = max(self._peak, float(level.max()))
        self._clipped += int((level >= 0.999).any(axis=1).sum())
        self._low, self._high = min(self._low, float(mono.min())), max(self._high, float(mono.max()))

    def refuse(self, length: int, samples: NDArray[np.float32]) -> None:
        """Is this no speech?

        Args:
            length: samples that are left of it without the silence at its ends.
            samples: of these, as they are, `[N]`.

        Raises:
            SereError: D603 (its rate), D604 (no samples), D605 (silent or constant), D606 (NaN, infinite, another scale or byte
                order), D612 (too short).
        """
        if not self._count:
            raise self._error("D604", "the audio file has no samples")
        check_rate(self._rate, self._place)
        if self._broken:
            raise self._error("D606", f"{self._broken} samples are not finite; the first is {self._first}")
        seconds = f"{self._count / self._rate:.2f} s"
        if max(self._high, -self._low) <= SILENCE:
            hint = "its channels cancel each other when mixed: features.channel takes one of them" if self._peak > SILENCE else ""
            raise self._error("D605", f"all {seconds} are digital silence (below -90 dBFS)", hint)
        if self._peak > _OTHER_SCALE:
            integers = 128 <= self._peak <= 32768
            hint = "divide them by 32768: they look like 16-bit integers" if integers else "write them again from their source"
            raise self._error("D606", f"samples peak at {self._peak:.4g} times full scale: they are of another scale, or none", hint)
        if length < LEAST * self._rate:
            trimmed = f" of {self._count}, the rest is silence," if length < self._count else ""
            raise self._error("D612", f"{length} samples{trimmed} at {self._rate} Hz: too short to be speech")
        if self._high - self._low <= 2 * SILENCE:
            raise self._error("D605", f"all {seconds} have the value {self._high:.4g}: an offset without sound")
        if _swapped(samples[:_LOOKED_AT]):
            hint = "write the file again with the right byte order: `sox -x`, or ffmpeg's s16be"
            raise self._error("D606", "its 16-bit samples are noise, and sound with their bytes in the other order", hint)

    def remarks(self, samples: NDArray[np.float32]) -> tuple[str, ...]:
        """What is odd, each as `kind: detail`.

        Args:
            samples: of the utterance, as they are, `[N]`.
        """
        found = []
        mean, power = self._sum / self._count, np.sqrt(np.diag(self._gram) / self._count)
        if len(power) > 1:
            found += self._channels(mean, power)
        if len(samples) < _SHORT * self._rate:
            found.append(f"very short: {len(samples) / self._rate:.3f} s")
        if self._rate % 11025 and self._rate not in _USUAL:
            found.append(f"unusual rate: {self._rate} Hz; is its header right?")
        if self._peak > 1.001 * self._full_scale:
            found.append(f"beyond full scale: samples peak at {self._peak:.3g}")
        elif self._clipped > _CLIPPED * self._count:
            found.append(f"clipped: {self._clipped / self._count:.0%} of the samples are at full scale")
        offset, spread = np.abs(mean).max(), np.sqrt(np.maximum(0, power**2 - mean**2)).max()
        if offset > spread:
            found.append(f"constant offset: {offset:.3g}, more than the signal itself ({spread:.2g} RMS)")
        if self._peak < 1e-3:
            found.append(f"very quiet: samples peak at {20 * np.log10(self._peak):.0f} dBFS")
        if len(np.unique(samples[:4096])) <= _COARSE and (levels := len(np.unique(samples))) <= _COARSE:
            found.append(f"coarse: only {levels} different values, little more than 4 bits")
        return tuple(found)

    def _channels(self, mean: NDArray[np.float64], power: NDArray[np.float64]) -> list[str]:
        spread = np.sqrt(np.maximum(power**2 - mean**2, 0))
        quiet = spread <= _DEAD * spread.max()
        if quiet.any():
            numbers, live = ", ".join(str(1 + k) for k in np.flatnonzero(quiet)), 1 + int(spread.argmax())
            hint = f"; features.channel: {('left', 'right')[live - 1]} takes channel {live}" if live < 3 else ""
            return [f"dead channel: {numbers} of {len(power)}; mixing lowers the level{hint}"]
        covariance = self._gram / self._count - np.outer(mean, mean)
        alike = (covariance / np.outer(spread, spread))[0, 1:]
        worst = float(alike.min())
        if worst < -_ALIKE:
            return [f"inverted channel: correlation {worst:.2f}, so that mixing cancels; features.channel takes one"]
        if worst < _ALIKE:
            return [f"different channels: correlation {worst:.2f}; another person's? features.channel takes one"]
        return []

    def _error(self, code: str, message: str, hint: str = "") -> SereError:
        return error(code, message, hint, self._place)


def _swapped(samples: NDArray[np.float32]) -> bool:
    """Are these 16-bit samples with their two bytes in the wrong order?  In the other order they are smoother then.

    Of 400 utterances of EmoDB, EMOVO and RAVDESS none is, and 393 are when their bytes are swapped; the others are very quiet.
    """
    scaled = samples * 32768
    whole = np.rint(scaled)
    if len(samples) < 100 or not np.array_equal(whole, scaled) or not (whole % 256).any():  # other than 16 bits
        return False
    other = whole.clip(-32768, 32767).astype(np.int16).byteswap().astype(np.float64)
    given = _roughness(whole)
    return given < _ROUGHEST and _roughness(other) < _SMOOTHER * given


def _roughness(samples: NDArray[np.floating]) -> float:
    """The mean step between samples over their mean distance from their mean: about 1.4 of white noise, 0.4 of speech."""
    return float(np.abs(np.diff(samples)).mean() / max(np.abs(samples - samples.mean()).mean(), 1e-12))
