"""From a sentence of a made-up language to tracks over time: pitch, formants, voice, breath and friction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sere_plugins.corpora.synth_languages import CONSONANTS, VOWELS, Language
from sere_plugins.corpora.synth_speakers import Speaker

Track = NDArray[np.float64]
#: seconds between two values of a track
STEP = 0.004
SCHWA = np.array(VOWELS["@"], dtype=np.float64)
#: share of its syllable's duration
SHARES = {"stop": 0.42, "voiced stop": 0.34, "fricative": 0.42, "nasal": 0.32, "glide": 0.28}
BURST = 0.012


@dataclass(frozen=True)
class Syllable:
    """A syllable: its sounds, whether it carries stress, its tone in semitones, and whether a phrase ends with it."""

    onset: tuple[str, ...]
    vowel: str
    coda: str
    stressed: bool
    tone: float
    final: bool


@dataclass(frozen=True)
class Score:
    """Tracks of one utterance, a value each `STEP` seconds.

    Args:
        pitch: Hz.
        formants: Hz, `[T, 3]`.
        voice, breath, friction: amplitudes of the three sources.
        centre: Hz, of the friction.
        nasal: 0 to 1.
        effort: dB, how far a moment stands out.
    """

    pitch: Track
    formants: Track
    voice: Track
    breath: Track
    friction: Track
    centre: Track
    nasal: Track
    effort: Track


def sentence(language: Language, seconds: float, rng: np.random.Generator) -> tuple[Syllable, ...]:
    """Draw words until a neutral reading lasts about `seconds`."""
    mean = language.syllable * (1.15 + 0.45 * (language.stress - 1.0))
    wanted = max(2, round((seconds - 0.34) / mean * rng.uniform(0.8, 1.2)))
    found: list[Syllable] = []
    phrase = 0
    while len(found) < wanted:
        length = min(int(rng.integers(1, 4)), wanted - len(found))
        stressed = language.stressed % length if length > abs(language.stressed) - (language.stressed < 0) else 0
        phrase += length
        ends = len(found) + length >= wanted or (phrase >= 7 and wanted - len(found) - length >= 3)
        for position in range(length):
            onset = [str(rng.choice(language.onsets))]
            if rng.random() < language.cluster and CONSONANTS[onset[0]].manner in ("stop", "voiced stop", "fricative"):
                onset.append(str(rng.choice(("l", "r"))))
            last = position == length - 1
            found.append(
                Syllable(
                    tuple(onset),
                    str(rng.choice(language.vowels)),
                    str(rng.choice(language.codas)),
                    position == stressed,
                    float(rng.choice(language.tones)),
                    last and ends,
                )
            )
        if ends:
            phrase = 0
    return tuple(found)


def read(
    syllables: tuple[Syllable, ...], language: Language, voice: Speaker, prosody: Mapping[str, float], rng: np.random.Generator
) -> Score:
    """Read a sentence aloud: durations, pitch and articulation, as the language, the speaker and the emotion want it."""
    tempo = 1.0 / (voice.rate * np.exp(prosody["rate"]))
    pieces: list[_Piece] = [_Piece(rng.uniform(0.05, 0.14), SCHWA)]
    points: list[tuple[float, float]] = []
    effort: list[tuple[float, float]] = []
    now = pieces[0].seconds
    phrase = 0
    ends = [index for index, syllable in enumerate(syllables) if syllable.final]
    for index, syllable in enumerate(syllables):
        length = ends[phrase] - (ends[phrase - 1] if phrase else -1)
        place = (index - (ends[phrase - 1] if phrase else -1) - 0.5) / length
        sounds = _sounds(syllable, language, tempo, rng)
        seconds = sum(piece.seconds for piece in sounds)
        base = language.decline * (0.5 - place) + syllable.tone
        points.append((now, base))
        if syllable.stressed:
            points.append((now + seconds * language.peak, base + language.accent * rng.uniform(0.7, 1.3)))
        loud = (2.0 + prosody["burst"]) * (1.0 if syllable.stressed else -0.4) - 2.5 * (place - 0.5)
        effort += [(now, loud), (now + 0.7 * seconds, loud)]
        pieces += sounds
        now += seconds
        if syllable.final:
            points.append((now, base + language.final + prosody["final"]))
            phrase += 1
            quiet = rng.uniform(0.08, 0.16) * np.exp(prosody["pause"]) if index < len(syllables) - 1 else rng.uniform(0.05, 0.14)
            pieces.append(_Piece(quiet, SCHWA))
            now += quiet
    return _tracks(pieces, points, effort, now, voice, prosody, rng)


@dataclass(frozen=True)
class _Piece:
    """A stretch with constant targets; amplitudes are linear."""

    seconds: float
    formants: Track
    voice: float = 0.0
    breath: float = 0.0
    friction: float = 0.0
    centre: float = 3000.0
    nasal: float = 0.0


def _sounds(syllable: Syllable, language: Language, tempo: float, rng: np.random.Generator) -> list[_Piece]:
    total = language.syllable * tempo * (language.stress if syllable.stressed else 1.0) * (1.35 if syllable.final else 1.0)
    total *= float(np.exp(rng.normal(0, 0.08)))
    pieces: list[_Piece] = []
    for sound in syllable.onset:
        pieces += _consonant(sound, total)
    share = 1.0 - (0.3 if len(syllable.onset) == 1 else 0.45)
    vowel = np.array(VOWELS[syllable.vowel], dtype=np.float64)
    if not syllable.stressed:
        vowel = vowel + language.reduce * (SCHWA - vowel)
    pieces.append(_Piece(share * total, vowel, voice=1.0))
    if syllable.coda:
        pieces += _consonant(syllable.coda, 0.7 * total)
    return pieces


def _consonant(sound: str, total: float) -> list[_Piece]:
    made = CONSONANTS[sound]
    seconds = SHARES[made.manner] * total
    formants = np.array((260.0, made.locus, 2450.0))
    noise = float(10 ** (made.level / 20))
    if made.manner == "nasal":
        return [_Piece(seconds, formants, voice=0.45, nasal=1.0)]
    if made.manner == "glide":
        return [_Piece(seconds, np.array((360.0, made.locus, 2300.0)), voice=0.6)]
    if made.manner == "fricative":
        breath = 0.5 if sound == "h" else 0.0
        return [_Piece(seconds, formants, voice=0.0, breath=breath, friction=noise, centre=made.noise)]
    voiced = made.manner == "voiced stop"
    closure = _Piece(max(seconds - BURST - (0.0 if voiced else 0.018), 0.01), formants, voice=0.14 if voiced else 0.0)
    burst = _Piece(BURST, formants, voice=0.1 if voiced else 0.0, friction=1.6 * noise, centre=made.noise)
    return [closure, burst] if voiced else [closure, burst, _Piece(0.018, formants, breath=0.35)]


def _tracks(
    pieces: list[_Piece],
    points: list[tuple[float, float]],
    effort: list[tuple[float, float]],
    seconds: float,
    voice: Speaker,
    prosody: Mapping[str, float],
    rng: np.random.Generator,
) -> Score:
    frames = int(np.ceil(seconds / STEP))
    times = np.arange(frames, dtype=np.float64) * STEP
    which = np.minimum(np.searchsorted(np.cumsum([piece.seconds for piece in pieces]), times, side="right"), len(pieces) - 1)

    def spread(values: list[float]) -> Track:
        return np.asarray(values, dtype=np.float64)[which]

    formants = np.stack([piece.formants for piece in pieces])[which]
    formants = np.stack([_smooth(column, 15) for column in formants.T], axis=1) * voice.tract * np.exp(prosody["smile"])
    contour = _smooth(_line(times, points), 13)
    shaking = prosody["tremor"] if prosody["tremor"] > 0 else 0.0
    wobble = shaking * np.sin(2 * np.pi * (rng.uniform(5, 7) * times + rng.random()))
    wander = _smooth(rng.normal(0, 1.2, frames), 41)
    semitones = prosody["level"] + np.exp(prosody["range"]) * voice.movement * contour + wobble + wander
    loud = _smooth(_line(times, effort), 11)
    gain = 10 ** ((loud + prosody["energy"]) / 20)
    voiced = _smooth(spread([piece.voice for piece in pieces]), 7) * gain
    breathy = 10 ** ((voice.breath + prosody["breath"]) / 20)
    return Score(
        pitch=np.clip(voice.pitch * 2 ** (semitones / 12), 55.0, 620.0),
        formants=formants,
        voice=voiced,
        breath=(0.05 * breathy * voiced) + _smooth(spread([piece.breath for piece in pieces]), 3) * gain * 0.6,
        friction=_smooth(spread([piece.friction for piece in pieces]), 3) * gain,
        centre=spread([piece.centre for piece in pieces]),
        nasal=_smooth(spread([piece.nasal for piece in pieces]), 7),
        effort=loud,
    )


def _line(times: Track, points: list[tuple[float, float]]) -> Track:
    """Straight lines between points (seconds, value)."""
    at, values = np.asarray(points).T
    order = np.argsort(at, kind="stable")  # a late accent may have its peak after the next syllable has begun
    line: Track = np.interp(times, at[order], values[order])
    return line


def _smooth(values: Track, width: int) -> Track:
    kernel = np.hanning(width + 2)[1:-1]
    padded = np.pad(values, width // 2, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")[: len(values)]
