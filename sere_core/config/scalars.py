"""What a plain (unquoted) YAML scalar means here: YAML 1.2, and an error where YAML 1.1 would read it otherwise."""

from __future__ import annotations

import re

Scalar = str | int | float | bool | None

_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_SWITCHES = {spelled for word in ("yes", "no", "on", "off") for spelled in (word, word.capitalize(), word.upper())}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,16}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_ODD = re.compile(r"[-+]?0[0-9_]+|[-+]?[0-9][0-9]*_[0-9_]*(\.[0-9_]*)?|[-+]?[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?|0o[0-7]+|[-+]?0b[01_]+")
_LONGEST = 30  # more digits than any number of a config has


class Ambiguous(ValueError):
    """A scalar that two readers of YAML read as two things; the argument says what to write instead."""


def plain(text: str) -> Scalar:
    """The value of a plain scalar.

    Raises:
        Ambiguous: for yes/no/on/off, 010, 1_000, 1:30, 0o17, 0b1 and overlong numbers.

    >>> plain("3e-4"), plain("true"), plain("~"), plain("de")
    (0.0003, True, None, 'de')
    """
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if text in _SWITCHES:
        truth = "true" if text.lower() in ("yes", "on") else "false"
        raise Ambiguous(f"write {truth}, or '{text}' in quotes for the word")
    if _ODD.fullmatch(text):
        raise Ambiguous(f"write '{text}' in quotes for text, or the number in decimal digits alone")
    if _INT.fullmatch(text):
        return int(_short(text))
    if _HEX.fullmatch(text):
        return int(text, 16)
    if _FLOAT.fullmatch(text):
        return float(_short(text))
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def _short(text: str) -> str:
    if len(text) > _LONGEST:
        raise Ambiguous("the number has too many digits; put it in quotes if it is text")
    return text
