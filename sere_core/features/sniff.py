"""What the bytes of an audio file look like, whatever its name says, and whether a WAV holds all that its header promises."""

from __future__ import annotations

import struct
from pathlib import Path

#: suffix -> the container that a file of this name must hold
CONTAINERS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "Ogg", ".mp3": "MP3", ".avi": "AVI", ".aiff": "AIFF", ".aif": "AIFF"}

#: sizes that writers to a pipe put where they do not know the size
_UNKNOWN_SIZES = (0xFFFFFFFF, 0x7FFFFFFF, 0)


def container(path: Path) -> str:
    """A container's name ("WAV", "FLAC", "MP3", ...) or a description of what else the file's first bytes are.

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        return "an empty file"
    for name, found in (
        ("WAV", head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE"),
        ("AVI", head[:4] == b"RIFF" and head[8:11] == b"AVI"),
        ("FLAC", head[:4] == b"fLaC"),
        ("Ogg", head[:4] == b"OggS"),
        ("AIFF", head[:4] == b"FORM" and head[8:11] == b"AIF"),
        ("MP3", head[:3] == b"ID3" or (len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 == 0x02)),
        ("MP4", head[4:8] == b"ftyp"),
        ("Matroska", head[:4] == b"\x1aE\xdf\xa3"),
        ("NIST Sphere", head[:7] == b"NIST_1A"),
        ("a Git LFS pointer (the audio itself was not downloaded)", head.startswith(b"version https://git-lfs")),
        ("an HTML page (a failed download?)", head.lstrip().lower().startswith((b"<!doctype", b"<html"))),
        ("a ZIP archive", head[:4] == b"PK\x03\x04"),
        ("zeros only", not any(head)),
    ):
        if found:
            return name
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return "text"
    return "bytes of no known audio format"


def wav_shortfall(path: Path) -> tuple[int, int] | None:
    """The bytes of samples that a RIFF/WAVE header promises and those there are, if there are fewer; else None.

    libsndfile silently reads what is left of a truncated file, so this is checked before it is asked.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return None
        at = 12
        while at + 8 <= size:
            file.seek(at)
            name, length = struct.unpack("<4sI", file.read(8))
            if name == b"data":
                there = size - at - 8
                return (length, there) if length not in _UNKNOWN_SIZES and there < length else None
            at += 8 + length + (length & 1)
    return None
