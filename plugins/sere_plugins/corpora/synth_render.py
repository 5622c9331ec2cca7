"""The voice: pulses, breath and friction, shaped by formants frame by frame (a source-filter synthesiser)."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

from sere_plugins.corpora.synth_score import STEP, Score, Speaker, Track, generator, prosody, read, sentence, speaker
from sere_plugins.corpora.synth_tables import LANGUAGES
from sere_plugins.specs.corpora import SyntheticParams
from sere_registry.utterances import Utterance

RATE = 16000
HOP = round(STEP * RATE)
WINDOW = 4 * HOP
SPECTRUM = 8 * HOP
#: RMS of neutral speech, of full scale
LEVEL = 0.04
#: formants above the three that articulation moves, Hz; and the bandwidths of all five
UPPER = (3500.0, 4500.0)
BANDWIDTHS = (75.0, 100.0, 150.0, 220.0, 280.0)
TAPS = np.arange(-5, 6)


def wav(params: SyntheticParams, utterance: Utterance) -> bytes:
    """One utterance as the bytes of a WAV file: 16 kHz, mono, 16 bit."""
    samples = np.round(np.tanh(_samples(params, utterance)) * 32767).astype("<i2")
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, "PCM_16", format="WAV")
    return file.getvalue()


def _samples(params: SyntheticParams, utterance: Utterance) -> Track:
    """One utterance, `[n]`, from random numbers of its own, so that order and number of utterances do not matter."""
    recording, emotion, language = utterance.recording, utterance.emotion, LANGUAGES[params.language]
    name, text = recording.speaker, recording.text or ""
    # at the default difficulty a linear model on statistics of log-mel bands gets about 0.70 across xa and xb from 5 shots,
    # 0.78 from all labels
    spread = 2.1 * params.difficulty
    voice = speaker(language, recording.gender or "", spread, generator("speaker", params.seed, name))
    # a sentence belongs to the language: the same for every speaker, emotion and seed
    words = sentence(language, params.seconds, generator("sentence", params.language, text))
    rng = generator("utterance", params.seed, name, text, emotion)
    manner = prosody(voice, language, emotion, spread, rng)
    score = read(words, language, voice, manner, rng)
    speech = _speak(score, voice, manner["tilt"], float(np.exp(manner["jitter"])), rng)
    noise = _coloured(rng.normal(0, 1, len(speech)), voice.colour) * 10 ** (voice.noise / 20)
    return LEVEL * 10 ** (voice.gain / 20) * (speech + noise)


def _speak(score: Score, voice: Speaker, tilt: float, rough: float, rng: np.random.Generator) -> Track:
    frames = len(score.pitch)
    length = frames * HOP
    pulses = _pulses(score, min(voice.jitter * rough, 0.08), length, rng)
    white = rng.normal(0, 1, (2, length))
    grid, fine = np.arange(frames) * HOP, np.arange(length)
    breath = white[0] * np.interp(fine, grid, score.breath)
    friction = white[1] * np.interp(fine, grid, score.friction)

    # single precision from here: there are a hundred thousand bins to an utterance, and 16 bits at the end
    frequencies = (np.arange(SPECTRUM // 2 + 1) * (RATE / SPECTRUM)).astype(np.float32)
    octaves = np.log2(np.maximum(frequencies, 80.0) / 300.0)
    slope = -6.0 + voice.tilt + tilt + 0.15 * score.effort
    source = np.exp(np.outer((slope * (np.log(10) / 20)).astype(np.float32), octaves))
    source[:, 0] = 0.0
    # breath has half the slope: turbulence is nearly white
    spectrum = _spectra(pulses, frames) * source + _spectra(breath, frames) * np.sqrt(source)
    spectrum /= _resonances(score, voice.tract, frequencies)
    hissing = np.flatnonzero(score.friction > 1e-4)
    centre = np.log2(score.centre[hissing]).astype(np.float32)[:, None]
    hiss = np.exp(-0.5 * ((np.log2(np.maximum(frequencies, 40.0))[None, :] - centre) / 0.45) ** 2)
    spectrum[hissing] += _spectra(friction, frames)[hissing] * hiss
    pieces: NDArray[np.float32] = np.fft.irfft(spectrum, SPECTRUM, axis=1).astype(np.float32, copy=False)
    return _overlap_add(pieces, length)


def _pulses(score: Score, jitter: float, length: int, rng: np.random.Generator) -> Track:
    """A pulse for each glottal closure, at fractional samples, with irregular times and heights."""
    grid, fine = np.arange(len(score.pitch)) * HOP, np.arange(length)
    phase = np.cumsum(np.interp(fine, grid, score.pitch) / RATE)
    times = np.interp(np.arange(1, int(phase[-1])), phase, fine)
    period = RATE / np.interp(times, grid, score.pitch)
    times = times + rng.normal(0, jitter, len(times)) * period
    heights = np.interp(times, grid, score.voice) * np.sqrt(period) * np.exp(rng.normal(0, 0.03 + 4 * jitter, len(times)))
    # band-limited: a windowed sinc around each time
    first = np.floor(times).astype(np.int64)[:, None] + TAPS[None, :]
    away = first - times[:, None]
    kernel = np.sinc(away) * np.cos(np.pi * np.clip(away / (2 * len(TAPS) / 2), -0.5, 0.5)) ** 2
    line = np.zeros(length + 2 * len(TAPS))
    np.add.at(line, np.clip(first + len(TAPS), 0, len(line) - 1), heights[:, None] * kernel)
    return line[len(TAPS) : len(TAPS) + length]


def _resonances(score: Score, scale: float, frequencies: NDArray[np.float32]) -> NDArray[np.complex64]:
    """The denominator of five resonances in cascade, `[T, bins]`, 1 at 0 Hz."""
    denominator = np.ones((len(score.pitch), len(frequencies)), dtype=np.complex64)
    factor = np.empty_like(denominator)
    for index, bandwidth in enumerate(BANDWIDTHS):
        if index < len(score.formants.T):
            formant, width = score.formants[:, index], bandwidth * (1.0 + 2.0 * score.nasal)
        else:  # the same in every frame
            formant, width = np.array([UPPER[index - 3] * scale]), np.array([bandwidth])
        square = formant**2 + (width / 2) ** 2
        factor.real = 1.0 - frequencies**2 * (1.0 / square).astype(np.float32)[:, None]
        factor.imag = frequencies * (width / square).astype(np.float32)[:, None]
        denominator *= factor
    return denominator


def _spectra(signal: Track, frames: int) -> NDArray[np.complex64]:
    padded = np.concatenate((np.zeros(WINDOW // 2), signal, np.zeros(WINDOW))).astype(np.float32)
    cut = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: frames * HOP : HOP]
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
    spectra: NDArray[np.complex64] = np.fft.rfft(cut * window, SPECTRUM, axis=1).astype(np.complex64, copy=False)
    return spectra


def _overlap_add(frames: NDArray[np.float32], length: int) -> Track:
    parts = frames.reshape(len(frames), SPECTRUM // HOP, HOP)
    line = np.zeros((len(frames) + SPECTRUM // HOP - 1, HOP))
    for shift in range(SPECTRUM // HOP):
        line[shift : shift + len(frames)] += parts[:, shift]
    return line.reshape(-1)[WINDOW // 2 : WINDOW // 2 + length] / 2.0


def _coloured(white: Track, pole: float) -> Track:
    """Noise of unit power through one pole, by its truncated impulse response."""
    kernel = pole ** np.arange(128)
    return np.convolve(white, kernel / np.sqrt((kernel**2).sum()))[: len(white)]
