"""The tables of the synthetic corpus: what the sounds are, how each made-up language speaks, what emotion changes.

Emotion is a set of rules on prosody and voice, relative to the same speaker's neutral speech.  The directions are those of
rule-based emotional synthesis: J. Cahn, "The generation of affect in synthesized speech", 1990; F. Burkhardt and
W. Sendlmeier, "Verification of acoustical correlates of emotional speech using formant synthesis", 2000; M. Schröder,
"Emotional speech synthesis: a review", Eurospeech 2001.  The sizes are chosen here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: vowel -> the first three formants in Hz, for a vocal tract of 17.5 cm
VOWELS: dict[str, tuple[float, float, float]] = {
    "i": (290, 2250, 2950), "e": (410, 2000, 2550), "E": (560, 1800, 2480), "a": (730, 1250, 2450), "o": (450, 850, 2400),
    "O": (600, 930, 2450), "u": (310, 800, 2300), "y": (285, 1750, 2150), "2": (400, 1520, 2200), "1": (320, 1480, 2350),
    "@": (500, 1450, 2450),
}  # fmt: skip


@dataclass(frozen=True)
class Consonant:
    """A consonant: how it is made, the second formant it pulls towards, and the noise it makes.

    Args:
        manner: "stop", "voiced stop", "fricative", "nasal" or "glide".
        locus: Hz, of the second formant.
        noise: Hz, the centre of its burst or friction; 0 for none.
        level: dB, of that noise.
    """

    manner: str
    locus: float
    noise: float = 0.0
    level: float = 0.0


CONSONANTS: dict[str, Consonant] = {
    "p": Consonant("stop", 900, 1000, -14), "t": Consonant("stop", 1750, 4200, -8),
    "k": Consonant("stop", 2000, 2000, -9),
    "b": Consonant("voiced stop", 900, 900, -22),
    "d": Consonant("voiced stop", 1750, 3800, -18), "g": Consonant("voiced stop", 2000, 1900, -18),
    "f": Consonant("fricative", 1000, 5500, -20), "s": Consonant("fricative", 1750, 6000, -8), "S": Consonant("fricative", 1850, 3000, -7),
    "x": Consonant("fricative", 1400, 1600, -13), "h": Consonant("fricative", 1450, 1700, -20),
    "m": Consonant("nasal", 1000), "n": Consonant("nasal", 1650), "N": Consonant("nasal", 2050),
    "l": Consonant("glide", 1250), "r": Consonant("glide", 1350), "w": Consonant("glide", 700), "j": Consonant("glide", 2200),
}  # fmt: skip


@dataclass(frozen=True)
class Language:
    """A made-up language.

    Args:
        vowels, onsets, codas: its sounds; a sound that stands twice is twice as frequent, "" is no coda.
        cluster: how often an onset takes a glide too.
        syllable: s, the duration of an unstressed syllable.
        stress: how much longer a stressed syllable is.
        reduce: how far unstressed vowels go towards schwa, 0 to 1.
        stressed: the syllable of a word that carries stress, counted from 0, or from the end.
        decline: semitones by which pitch falls over a phrase.
        accent: semitones of a pitch accent.
        peak: where in its syllable the accent has its peak, 0 to 1 and beyond.
        final: semitones of the movement at the end of a phrase.
        tones: semitones, one of which each syllable carries; (0,) for a language without tones.
        level: semitones, how high its speakers speak.
        breath: dB of breathiness.
        tilt: dB per octave, brightness.
        shows: how it shows an emotion otherwise than the rules say: emotion -> prosodic parameter -> how much is added.
    """

    vowels: tuple[str, ...]
    onsets: tuple[str, ...]
    codas: tuple[str, ...]
    cluster: float
    syllable: float
    stress: float
    reduce: float
    stressed: int
    decline: float
    accent: float
    peak: float
    final: float
    tones: tuple[float, ...] = (0.0,)
    level: float = 0.0
    breath: float = 0.0
    tilt: float = 0.0
    shows: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


LANGUAGES: dict[str, Language] = {
    # open syllables of equal length, early stress, falling phrases
    "xa": Language(
        vowels=("a", "a", "e", "i", "o", "u"),
        onsets=("p", "t", "k", "b", "d", "m", "n", "l", "r", "s", "f"),
        codas=("", "", "", "n", "s"),
        cluster=0.05, syllable=0.145, stress=1.25, reduce=0.1, stressed=-2,
        decline=3.0, accent=3.0, peak=0.5, final=-2.5,
    ),
    # clusters, strong stress with reduction; wide and rising when neutral, as happiness is in xa
    "xb": Language(
        vowels=("a", "e", "E", "i", "O", "u", "y", "2"),
        onsets=("t", "k", "d", "g", "b", "S", "x", "s", "r", "l", "n", "m", "h"),
        codas=("", "n", "s", "l", "r", "x"),
        cluster=0.3, syllable=0.15, stress=1.6, reduce=0.7, stressed=0,
        decline=2.0, accent=4.5, peak=0.8, final=1.5, level=1.0, tilt=0.7,
        shows={
            "anger": {"level": -2.0, "energy": -1.0, "rate": -0.08, "final": -1.0},
            "fear": {"breath": 2.0, "energy": -1.0, "range": 0.1},
            "happiness": {"energy": -0.5, "final": -1.0, "rate": 0.04},
            "sadness": {"level": 1.2, "tremor": 0.2, "energy": 0.5},
        },
    ),
    # quick, short, level syllables; high when neutral, as fear is in xa
    "xc": Language(
        vowels=("a", "i", "u"),
        onsets=("k", "t", "s", "S", "m", "n", "h", "r", "j", "w"),
        codas=("", "", "", "N"),
        cluster=0.0, syllable=0.125, stress=1.05, reduce=0.0, stressed=0,
        decline=1.5, accent=1.8, peak=1.1, final=0.0, level=2.5, breath=2.0,
        shows={
            "anger": {"level": -1.0, "range": -0.2, "tilt": 0.5},
            "happiness": {"level": 0.6, "burst": -0.6},
            "fear": {"level": -1.2, "rate": -0.05, "tremor": 0.1},
            "sadness": {"rate": 0.06, "breath": 1.2},
        },
    ),
    # tones; slow, low and breathy when neutral, as sadness is in xa
    "xd": Language(
        vowels=("a", "E", "i", "o", "u", "1"),
        onsets=("p", "t", "k", "d", "N", "m", "n", "l", "x", "w", "j", "h"),
        codas=("", "", "N", "m", "k"),
        cluster=0.0, syllable=0.185, stress=1.1, reduce=0.15, stressed=-1,
        decline=2.5, accent=1.5, peak=0.4, final=-1.0, tones=(-2.0, 0.0, 2.5), level=-1.0, breath=3.0, tilt=-0.7,
        shows={
            "anger": {"rate": -0.05, "burst": 1.2},
            "happiness": {"range": -0.2, "tilt": 0.4},
            "fear": {"energy": -1.2, "level": -0.6},
            "sadness": {"final": 1.2, "range": 0.1},
        },
    ),
}  # fmt: skip

#: parameter -> (unit, how far it strays from one utterance to the next, how far from one speaker's habit to another's)
PARAMETERS: dict[str, tuple[str, float, float]] = {
    "level": ("semitones of mean pitch", 1.2, 0.9),
    "range": ("log of the factor on all pitch movements", 0.24, 0.18),
    "final": ("semitones added to the movement at a phrase's end", 1.1, 0.7),
    "rate": ("log of the factor on tempo", 0.08, 0.06),
    "energy": ("dB", 1.5, 1.1),
    "burst": ("dB by which stressed syllables stand out", 1.2, 0.9),
    "tilt": ("dB per octave; more is brighter", 0.7, 0.5),
    "breath": ("dB of breathiness", 1.7, 1.2),
    "jitter": ("log of the factor on the irregularity of periods", 0.25, 0.2),
    "tremor": ("semitones of slow shaking", 0.12, 0.08),
    "smile": ("log of the factor on formants", 0.012, 0.01),
    "pause": ("log of the factor on pauses", 0.25, 0.2),
}

RULES: dict[str, Mapping[str, float]] = {
    "anger": {
        "level": 2.5, "range": 0.4, "final": -1.5, "rate": 0.15, "energy": 5.0, "burst": 4.0, "tilt": 2.0, "breath": -3.0, "jitter": 0.4,
        "pause": -0.3,
    },
    "boredom": {"level": -1.5, "range": -0.7, "rate": -0.22, "energy": -2.0, "burst": -1.5, "tilt": -0.8, "pause": 0.3},
    "disgust": {
        "level": -1.5, "range": -0.1, "final": -1.5, "rate": -0.2, "energy": -0.5, "burst": 1.5, "tilt": 0.6, "jitter": 0.8, "smile": -0.03,
    },
    "fear": {
        "level": 4.0, "range": -0.15, "final": 0.5, "rate": 0.22, "energy": -0.5, "tilt": 0.6, "breath": 4.0, "jitter": 0.7, "tremor": 0.5,
        "pause": 0.2,
    },
    "happiness": {"level": 4.0, "range": 0.55, "final": 3.0, "rate": 0.08, "energy": 1.5, "burst": 1.5, "tilt": 0.6, "smile": 0.06},
    "neutral": {},
    "sadness": {
        "level": -1.5, "range": -0.6, "final": -1.0, "rate": -0.24, "energy": -4.0, "burst": -2.0, "tilt": -1.5, "breath": 4.0,
        "jitter": 0.3, "tremor": 0.15, "smile": -0.02, "pause": 0.5,
    },
    "surprise": {"level": 5.0, "range": 0.7, "final": 6.0, "rate": 0.03, "energy": 2.5, "burst": 2.5, "tilt": 0.8, "breath": 1.0},
}  # fmt: skip
