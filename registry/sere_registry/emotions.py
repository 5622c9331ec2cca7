"""One emotion vocabulary for all corpora, and the names that corpora use for it."""

from __future__ import annotations

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


def canonical(label: str) -> str | None:
    """The vocabulary's name for a corpus's label, or None if it has none.

    >>> canonical("Happy"), canonical("Freude")
    ('happiness', None)
    """
    word = label.strip().lower()
    if word in EMOTIONS:
        return word
    return ALIASES.get(word)
