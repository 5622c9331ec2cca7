"""What is spoken and how: a speaker, a sentence of a made-up language, and its reading as tracks over time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sere_plugins.corpora.synth_tables import CONSONANTS, PARAMETERS, RULES, VOWELS, Language

Track = NDArray[np.float64]
#: seconds between two values of a track
STEP = 0.004
SCHWA = np.array(VOWELS["@"], dtype=np.float64)
#: share of its syllable's duration
SHARES = {"stop": 0.42, "voiced stop": 0.34, "fricative": 0.42, "nasal": 0.32, "glide": 0.28}
BURST = 0.012


def generator(*key: object) -> np.random.Generator:
    """A stream of random numbers of its own for every key, the same on every machine."""
    content = "|".join(str(part) for part in key)
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(content.encode()).digest()[:16], "big")))


@dataclass(frozen=True)
class Speaker:
    """A voice and its habits.

    Args:
        pitch: Hz, median of neutral speech.
        tract: factor on all formants (a shorter vocal tract: above 1).
        movement: factor on all pitch movements.
        rate: factor on tempo.
        breath: dB of breathiness.
        tilt: dB per octave of brightness.
        jitter: standard deviation of a period, relative to the period.
        gain: dB of the recording.
        noise: dB of the room, relative to neutral speech.
        colour: pole of the room's noise; nearer 1 is duller.
        strength: factor on the rules of emotion.
        habits: emotion -> prosodic parameter -> how much is added.
    """

    pitch: float
    tract: float
    movement: float
    rate: float
    breath: float
    tilt: float
    jitter: float
    gain: float
    noise: float
    colour: float
    strength: float
    habits: Mapping[str, Mapping[str, float]]


def speaker(language: Language, gender: str, spread: float, rng: np.random.Generator) -> Speaker:
    """Draw a voice; `spread` scales how far habits stray from the rules."""
    female = gender == "female"
    return Speaker(
        pitch=(200.0 if female else 112.0) * float(2 ** ((rng.normal(0, 2.0) + language.level) / 12)),
        tract=(1.16 if female else 1.0) * float(np.exp(rng.normal(0, 0.035))),
        movement=float(np.exp(rng.normal(0, 0.15))),
        rate=float(np.exp(rng.normal(0, 0.07))),
        breath=float(rng.normal(1.5 if female else 0.0, 1.5)) + language.breath,
        tilt=float(rng.normal(0, 0.7)) + language.tilt,
        jitter=0.006 * float(np.exp(rng.normal(0, 0.25))),
        gain=float(rng.normal(0, 3.0)),
        noise=float(rng.uniform(-46, -28)),
        colour=float(rng.uniform(0.3, 0.95)),
        strength=float(np.exp(rng.normal(0, 0.2 * spread))),
        habits={emotion: {name: float(rng.normal(0, habit)) * spread for name, (_, _, habit) in PARAMETERS.items()} for emotion in RULES},
    )


def prosody(voice: Speaker, language: Language, emotion: str, spread: float, rng: np.random.Generator) -> dict[str, float]:
    """The prosodic parameters of one utterance: rule, the language's and the speaker's ways, and chance."""
    rule, shows, habit = RULES[emotion], language.shows.get(emotion, {}), voice.habits[emotion]
    return {
        name: voice.strength * rule.get(name, 0.0) + spread * shows.get(name, 0.0) + habit[name] + spread * float(rng.normal(0, chance))
        for name, (_, chance, _) in PARAMETERS.items()
    }


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
            vowel, coda = str(rng.choice(language.vowels)), str(rng.choice(language.codas))
            tone = float(rng.choice(language.tones))
            found.append(Syllable(tuple(onset), vowel, coda, position == stressed, tone, last and ends))
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
