"""What a file is, by its bytes; and is all there that its container declares?

Decoders read what is left of a truncated file without a word, so this is looked at before they are called.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

from sere_registry import error
from sere_registry.errors import counted

#: those that PyAV decodes: of video, of telephones (.m4a) and of browsers (.webm)
BY_PYAV = ("AVI", "MP4", "Matroska", "AAC", "ASF")

#: suffix -> the container that a file of this name must hold
_NAMED = {".wav": "WAV", ".flac": "FLAC", ".ogg": "Ogg", ".mp3": "MP3", ".avi": "AVI", ".aiff": "AIFF", ".aif": "AIFF"}

_UNKNOWN = "unknown length: the header does not say it, and what is there is read"
#: sizes that writers to a pipe put where they do not know it, beside nothing and the largest numbers
_STREAMED = (0x7FFFFFFF, 0x80000000, 0x7FFFF000)
#: bytes of samples so few that a writer has not filled in their number; bytes of a tag behind them, at most
_LITTLE, _TAG = 16, 512
#: containers whose samples may be followed by chunks only
_LAST = ("WAV", "W64", "AIFF", "CAF", "SVX")
_LACKS = "truncated: the header promises {} bytes of samples, there are {}"
_CUT = "truncated: its last {} is cut off"


@dataclass(frozen=True)
class Container:
    """What the bytes of a file say.

    Args:
        kind: "WAV", "FLAC", "MP3", ..., or a description of what else it is.
        fault: why the file must not be read; "" for none.
        remark: what its user should know; "" for nothing.
        patch: bytes to be read at a place instead of those there: a size that was never filled in.
        start: where it begins, behind a tag.
        frames: how many it declares, where the patch hides them from the decoder.
    """

    kind: str
    fault: str = ""
    remark: str = ""
    patch: tuple[int, bytes] | None = None
    start: int = 0
    frames: int | None = None


class Content:
    """The bytes of a file, read where they are looked at."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.size = file, file.seek(0, 2)

    def __call__(self, at: int, count: int) -> bytes:
        self._file.seek(at)
        return self._file.read(max(0, min(count, self.size - at)))


@dataclass(frozen=True)
class _Chunks:
    """How a container lists its chunks: bytes of a name and a size, from where, in which order, aligned to so many bytes.

    `data` names those that must be whole; where it is one, nothing behind it matters.  `whole`: a size counts name and size, too.
    """

    start: int
    data: tuple[bytes, ...]
    order: Literal["big", "little"] = "little"
    name: int = 4
    size: int = 4
    align: int = 1
    whole: bool = False
    size_first: bool = False

    def __call__(self, content: Content, start: int, kind: str) -> Container:
        at, head, wide, remark = start + self.start, self.name + self.size, 0, ""
        while at + head <= content.size:
            field, width, begin = at + (0 if self.size_first else self.name), self.size, at + head
            name = content(at + (self.size if self.size_first else 0), self.name)
            size, is_data = self._number(content, field, width), name in self.data
            if self.size_first and size == 1:  # a wide size of MP4
                field, width, begin = at + head, 8, begin + 8
                size = self._number(content, field, width) - 8
            wide = begin + 8 if name == b"ds64" else wide
            if wide and is_data and size == 0xFFFFFFFF:  # RF64
                field, width, size = wide, 8, self._number(content, wide, 8)
            there, least = content.size - begin, head if self.whole else 0
            never = size < least + _LITTLE and not self.size_first and not self._follows(content, begin)
            if is_data and there and (never or size >= (1 << 8 * width) - 256 or size in _STREAMED):
                patch = min(there + least, (1 << 8 * width) - 257).to_bytes(width, self.order)
                return Container(kind, remark=_UNKNOWN, patch=(field, patch))
            if name == b"fmt " and (odd := self._format(content, begin)):
                remark = odd
            if is_data and size - least > there:
                return Container(kind, _LACKS.format(size - least, there))
            behind = begin + size - least
            behind += -(behind - start) % self.align
            if is_data and kind in _LAST and content.size - behind > _TAG and not self._follows(content, behind):
                remark = f"odd length: behind its {size - least} bytes of samples are {content.size - behind} that are no chunk"
            if (is_data and len(self.data) == 1) or size < least or (self.size_first and not size):
                break
            at = begin + size - least
            at += -(at - start) % self.align
        return Container(kind, remark=remark)

    def _number(self, content: Content, at: int, width: int) -> int:
        return int.from_bytes(content(at, width), self.order)

    def _format(self, content: Content, at: int) -> str:
        """What is odd about the format of uncompressed samples: a header that was changed by accident contradicts itself."""
        code, channels, rate, speed, block, bits = (
            self._number(content, at + begin, width) for begin, width in ((0, 2), (2, 2), (4, 4), (8, 4), (12, 2), (14, 2))
        )
        if code == 1 and bits not in (8, 16, 20, 24, 32):
            return f"odd header: samples of {counted(bits, 'bit')} are unusual"
        if code in (1, 3) and (speed != rate * block or block != channels * -(-bits // 8)):
            return f"odd header: {rate} Hz x {channels} channels x {bits} bits are not {speed} bytes a second in blocks of {block}"
        return ""

    def _follows(self, content: Content, at: int) -> bool:
        """Is there another chunk?"""
        size = self._number(content, at + self.name, self.size)
        name, head = content(at, 4).decode("latin-1"), 0 if self.whole else self.name + self.size
        return len(name) == 4 and name.isascii() and name.isprintable() and at + head + size <= content.size + 1


def _au(content: Content, start: int, kind: str) -> Container:
    order: Literal["big", "little"] = "big" if content(start, 1) == b"." else "little"
    offset, size = (int.from_bytes(content(start + at, 4), order) for at in (4, 8))
    there = content.size - start - offset
    if size and there - size > _TAG:
        return Container(kind, remark=f"odd length: behind its {size} bytes of samples are {there - size} more")
    if size == 0 and there > 0:
        return Container(kind, remark=_UNKNOWN, patch=(start + 8, b"\xff" * 4))
    if size == 0xFFFFFFFF:
        return Container(kind, remark=_UNKNOWN)
    return Container(kind, _LACKS.format(size, there) if size > there else "")


def _nist(content: Content, start: int, kind: str) -> Container:
    lines = content(start, 4096).decode("latin-1").split("end_head")[0].splitlines()
    fields = {words[0]: words[2] for line in lines if len(words := line.split()) == 3}
    try:
        counts = [int(fields.get(name, 1)) for name in ("sample_count", "sample_n_bytes", "channel_count")]
        there = content.size - start - int(lines[1])
    except (ValueError, IndexError):
        return Container(kind)
    size = counts[0] * counts[1] * counts[2] if fields.get("sample_coding", "pcm") in ("pcm", "ulaw", "alaw") else 0
    return Container(kind, _LACKS.format(size, there) if size > there else "")


def _flac(content: Content, start: int, kind: str) -> Container:
    """The number of samples is taken out of the header, so that the decoder goes to the end, and held against what comes."""
    fields, at, last = int.from_bytes(content(start + 18, 8), "big"), start + 4, False
    while not last and len(block := content(at, 4)) == 4:
        at, last = at + 4 + int.from_bytes(block[1:], "big"), block[0] > 127
    code, rate, total = content(at + 2, 1)[-1:], fields >> 44, fields & (1 << 36) - 1
    if code and _FLAC_RATES.get(code[0] & 15, rate) != rate:
        return Container(kind, f"damaged: its header says {rate} Hz, its frames {_FLAC_RATES[code[0] & 15]} Hz")
    patch = bytes([content(start + 21, 1)[0] & 0xF0, 0, 0, 0, 0]) if len(content(start, 26)) == 26 else b""
    return Container(kind, remark="" if total else _UNKNOWN, patch=(start + 21, patch), frames=total or None)


def _ogg(content: Content, start: int, kind: str) -> Container:
    """Pages: each has a number and a checksum, and the last one of a stream says that it is."""
    at, pages, open_streams, begun = start, dict[bytes, int](), set[bytes](), 0
    while content(at, 4) == b"OggS":
        head = content(at, 27)
        lacing = content(at + 27, head[26]) if len(head) == 27 else b""
        if len(head) < 27 or len(lacing) < head[26] or at + 27 + len(lacing) + sum(lacing) > content.size:
            return Container(kind, _CUT.format("page"))
        page, stream = content(at, 27 + len(lacing) + sum(lacing)), head[14:18]
        turned = (page[:22] + bytes(4) + page[26:]).translate(_TURNED)
        crc = zlib.crc32(turned, 0xFFFFFFFF) ^ 0xFFFFFFFF  # zlib's polynomial, from the other end of each byte
        if crc.to_bytes(4, "big").translate(_TURNED) != head[22:26][::1]:
            return Container(kind, f"damaged: the checksum of page {sum(pages.values()) + 1} is wrong")
        number = int.from_bytes(head[18:22], "little")
        begun += head[5] & 2 > 0
        if stream in open_streams and number > pages[stream]:
            return Container(kind, f"damaged: {number - pages[stream]} of its pages are missing before page {number}")
        pages[stream] = number + 1
        open_streams = open_streams - {stream} if head[5] & 4 else open_streams | {stream}
        at += len(page)
    if open_streams and content.size > at:
        return Container(kind, f"damaged: at byte {at} there is no page" if content.size - at > 3 else _CUT.format("page"))
    if open_streams:
        return Container(kind, remark="open end: its last page does not say that it is the last; is it truncated?")
    return Container(kind, remark=f"several streams: the first of {begun} is read" if begun > 1 else "")


def _mp3(content: Content, start: int, kind: str) -> Container:
    """Frames, counted against what an encoder wrote into the first."""
    at, frames, declared, lost = start, 0, None, 0
    while at + 4 <= content.size:
        length, info = _mp3_frame(content(at, 4))
        if not length:
            rest = content(at, 4096)
            follows = next((k for k in range(1, len(rest) - 4) if rest[k] == 0xFF and _pair(content, at + k)), 0)
            if rest[:3] in (b"TAG", b"ID3") or rest[:4] == b"APET" or not follows:
                break
            at, lost = at + follows, lost + (frames > 0)
            continue
        if at + length > content.size:
            return Container(kind, _CUT.format("frame") if declared is None or frames < declared else "")
        if not frames and declared is None:
            side = content(at + info, 120)
            for tag, flags, count in ((b"Xing", 4, 8), (b"Info", 4, 8)):
                if side[:4] == tag and side[flags + 3] & 1:
                    declared = int.from_bytes(side[count : count + 4], "big")
            if content(at + 36, 4) == b"VBRI":
                declared = int.from_bytes(content(at + 50, 4), "big")
            frames -= declared is not None  # the frame that holds the count is not counted
        at, frames = at + length, frames + 1
    if declared and frames < declared - 1:
        return Container(kind, f"truncated: {declared} frames promised, there are {frames}")
    if declared and frames > declared + 1:
        return Container(kind, remark=f"odd length: {declared} frames promised, there are {frames}; the first are read")
    return Container(kind, remark=f"damaged: between its frames are bytes that are none, at {lost} places" if lost else "")


def _pair(content: Content, at: int) -> bool:
    length = _mp3_frame(content(at, 4))[0]
    return length > 0 and _mp3_frame(content(at + length, 4))[0] > 0


def _mp3_frame(head: bytes) -> tuple[int, int]:
    """Bytes of a frame of layer III, 0 if there is none; and where in it a count of frames would stand."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2 or head[1] & 0x18 == 8 or head[2] >> 4 in (0, 15):
        return 0, 0
    first, rate = head[1] & 0x18 == 0x18, (44100, 48000, 32000, 0)[head[2] >> 2 & 3]
    if not rate:
        return 0, 0
    rate >>= 0 if first else 1 if head[1] & 0x10 else 2
    step = head[2] >> 4
    low = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    kbits = ((0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320) if first else low)[step]
    mono = head[3] >> 6 == 3
    info = 4 + ((17 if mono else 32) if first else (9 if mono else 17)) + (0 if head[1] & 1 else 2)
    return (144 if first else 72) * kbits * 1000 // rate + (head[2] >> 1 & 1), info


def _aac(content: Content, start: int, kind: str) -> Container:
    at = start
    while len(head := content(at, 7)) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        length = int.from_bytes(head[3:6], "big") >> 5 & 0x1FFF if len(head) == 7 else 8
        if at + length > content.size:
            return Container(kind, _CUT.format("frame"))
        at += max(7, length)
    return Container(kind)


def _matroska(content: Content, start: int, kind: str) -> Container:
    """Elements; segments and clusters of unknown size, as browsers stream them, are looked into."""
    at, unknown = start, False
    while at < content.size:
        first = content(at, 1)[0]
        name = content(at, 9 - first.bit_length())
        length = content(at + len(name), 1)
        if not first or not length or not length[0]:
            break
        width = 9 - length[0].bit_length()
        size = int.from_bytes(content(at + len(name), width), "big") & (1 << 7 * width) - 1
        at += len(name) + width
        if size == (1 << 7 * width) - 1 and name in (b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"):
            unknown = True
            continue
        if at + size > content.size:
            return Container(kind, _LACKS.format(size, content.size - at))
        at += size
    return Container(kind, remark=_UNKNOWN if unknown else "")


#: code in a frame -> Hz
_FLAC_RATES = {1: 88200, 2: 176400, 3: 192000, 4: 8000, 5: 16000, 6: 22050, 7: 24000, 8: 32000, 9: 44100, 10: 48000, 11: 96000}
_TURNED = bytes(int(f"{each:08b}"[::-1], 2) for each in range(256))
_RIFF = _Chunks(12, (b"data",), align=2)
_W64_DATA = (b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0O\x8e\xdb\x8a",)
_ASF_DATA = (b"\x36\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",)

#: kind -> what its first bytes are (at which place), and what looks for its end
_KINDS: tuple[tuple[str, Callable[[bytes], bool], Callable[[Content, int, str], Container] | None], ...] = (
    ("WAV", lambda head: head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE", _RIFF),
    ("WAV", lambda head: head[:4] == b"RIFX" and head[8:12] == b"WAVE", replace(_RIFF, order="big")),
    ("W64", lambda head: head[:4] == b"riff" and head[24:28] == b"wave", _Chunks(40, _W64_DATA, name=16, size=8, align=8, whole=True)),
    ("AVI", lambda head: head[:4] == b"RIFF" and head[8:11] == b"AVI", _Chunks(12, (b"LIST",) * 2, align=2)),
    ("FLAC", lambda head: head[:4] == b"fLaC", _flac),
    ("Ogg", lambda head: head[:4] == b"OggS", _ogg),
    ("AIFF", lambda head: head[:4] == b"FORM" and head[8:11] == b"AIF", _Chunks(12, (b"SSND",), "big", align=2)),
    ("SVX", lambda head: head[:4] == b"FORM" and head[8:12] in (b"8SVX", b"16SV"), _Chunks(12, (b"BODY",), "big", align=2)),
    ("CAF", lambda head: head[:4] == b"caff", _Chunks(8, (b"data",), "big", size=8)),
    ("AU", lambda head: head[:4] in (b".snd", b"dns."), _au),
    ("NIST Sphere", lambda head: head[:7] == b"NIST_1A", _nist),
    ("VOC", lambda head: head[:19] == b"Creative Voice File", _Chunks(26, (b"\1", b"\2", b"\x09"), name=1, size=3)),
    ("MP3", lambda head: _mp3_frame(head[:4])[0] > 0, _mp3),
    ("MP4", lambda head: head[4:8] == b"ftyp", _Chunks(0, (b"mdat", b"moov", b"moof"), "big", whole=True, size_first=True)),
    ("AAC", lambda head: len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0, _aac),
    ("ASF", lambda head: head[:4] == b"\x30\x26\xb2\x75", _Chunks(0, _ASF_DATA, name=16, size=8, whole=True)),
    ("Matroska", lambda head: head[:4] == b"\x1aE\xdf\xa3", _matroska),
    ("a Git LFS pointer (the audio itself was not downloaded)", lambda head: head.startswith(b"version https://git-lfs"), None),
    ("an HTML page (a failed download?)", lambda head: head.lstrip().lower().startswith((b"<!doctype", b"<html")), None),
    ("a ZIP archive", lambda head: head[:4] == b"PK\x03\x04", None),
    ("zeros only", lambda head: not any(head), None),
    ("text", lambda head: all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head), None),
)


#: containers; what else a file may be is a description
KINDS = frozenset(name for name, _, check in _KINDS if check)


def examine(file: BinaryIO, path: Path) -> Container:
    """What a file is, if it can be that and is whole.

    Raises:
        SereError: D603 (empty, truncated, damaged, or not what its name says).
    """
    place, content, start = str(path), Content(file), 0
    if not content.size:
        raise error("D603", "the file is empty (0 bytes)", place=place)
    while (tag := content(start, 10))[:3] == b"ID3" and len(tag) == 10:  # in front of any container
        start += 10 + sum((byte & 127) << 7 * (3 - k) for k, byte in enumerate(tag[6:])) + (10 if tag[5] & 16 else 0)
    if start >= content.size:
        raise error("D603", f"truncated: its ID3 tag ends at byte {start}, the file at {content.size}", "copy it again", place)
    head = content(start, 512)
    kinds = ((name, check) for name, found, check in _KINDS if found(head))
    kind, check = next(kinds, ("MP3", _mp3) if start else ("bytes of no known audio format", None))
    wanted = _NAMED.get(path.suffix.lower())
    if wanted is not None and kind in _NAMED.values() and kind != wanted:
        what = f"the file is named {path.suffix} but its bytes are {kind}"
        raise error("D603", what, "convert or rename it", place)
    found = check(content, start, kind) if check else Container(kind)
    if found.fault:
        raise error("D603", found.fault, "copy it again", place)
    return replace(found, start=start)
