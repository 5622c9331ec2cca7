"""Who speaks: voices, their habits, and the prosody of one utterance."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sere_plugins.corpora.synth_emotions import PARAMETERS, RULES
from sere_plugins.corpora.synth_languages import Language


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
