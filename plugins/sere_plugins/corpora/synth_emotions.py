"""Emotion as rules on prosody and voice, relative to the same speaker's neutral speech.

The directions are those of rule-based emotional synthesis: J. Cahn, "The generation of affect in synthesized speech", 1990;
F. Burkhardt and W. Sendlmeier, "Verification of acoustical correlates of emotional speech using formant synthesis", 2000;
M. Schröder, "Emotional speech synthesis: a review", Eurospeech 2001.  The sizes are chosen here.
"""

from __future__ import annotations

from collections.abc import Mapping

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
