"""The fenced blocks of a page, each with the comment above it that says what it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(
    r"(?:^<!-- (?P<role>[a-z ]+): (?P<about>.+?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        role: "file" (write it), "resolves" (a part of what a config resolves to), "answers" (a part of what the
            commands above print), "leaves" (files of the record in an output folder), or "".
        about: the file's name, the config's name, ...
        language: what stands after the fence.
        line: where the block begins.
    """

    role: str
    about: str
    language: str
    text: str
    line: int


def blocks(page: str) -> Iterator[Block]:
    """The blocks of `docs/<page>`, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        yield Block(found["role"] or "", found["about"] or "", found["language"], found["text"], text.count("\n", 0, found.start()) + 1)


def fences(page: str) -> int:
    """How many fences the page has: two for each block, or one is not closed."""
    return len(re.findall(r"^\s*```", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE))
