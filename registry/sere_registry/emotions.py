"""One emotion vocabulary for all corpora, the names that corpora use for it, and class names of one's own."""

from __future__ import annotations

import re

#: the vocabulary, in the order that classes are numbered
EMOTIONS: tuple[str, ...] = (
    "anger", "boredom", "calm", "contempt", "disgust", "excitement",
    "fear", "frustration", "happiness", "neutral", "sadness", "surprise",
)  # fmt: skip

#: other spellings -> the vocabulary
ALIASES: dict[str, str] = {
    "angry": "anger", "ang": "anger", "rage": "anger",
    "bored": "boredom",
    "contemptuous": "contempt",
    "disgusted": "disgust", "dis": "disgust",
    "excited": "excitement", "exc": "excitement",
    "anxiety": "fear", "anxious": "fear", "fearful": "fear", "afraid": "fear", "fea": "fear",
    "frustrated": "frustration", "fru": "frustration",
    "happy": "happiness", "joy": "happiness", "joyful": "happiness", "hap": "happiness",
    "neu": "neutral", "normal": "neutral",
    "sad": "sadness",
    "surprised": "surprise", "sur": "surprise",
}  # fmt: skip

#: what a manifest writes, beside nothing at all, for an utterance whose emotion nobody has labelled
UNKNOWN = "unknown"
#: what no class can be called: predictions.csv has a column for each class beside these, and no label is no class
RESERVED = ("id", "fold", "prediction", "truth", UNKNOWN)
_CLASS = re.compile(r"\w[\w .+/-]{0,39}")


def canonical(label: str) -> str | None:
    """The vocabulary's name for a corpus's label, or None if it has none.

    >>> canonical("Happy"), canonical("Freude")
    ('happiness', None)
    """
    word = label.strip().lower()
    if word in EMOTIONS:
        return word
    return ALIASES.get(word)


def class_name(word: str) -> str | None:
    """A class by the vocabulary's name, or by one of the user's own; None for what can name no class.

    >>> class_name("Happy"), class_name("stress"), class_name("id"), class_name("")
    ('happiness', 'stress', None, None)
    """
    own = word.strip()
    known = canonical(own)
    return known or (own if _CLASS.fullmatch(own) and own.lower() not in RESERVED else None)
