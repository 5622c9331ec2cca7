"""Writes `docs/errors.md`, the catalogue of error codes: `python docs/make_errors.py`.

What a code means stands in `sere_registry.errors`, its cause and hint in `sere_core/cli/error_codes.yaml`, as for `sere explain`.
"""

from __future__ import annotations

from pathlib import Path

from sere_core.cli.explain import FAMILIES, advice
from sere_registry.errors import CODES, EXIT_CODES

PAGE = Path(__file__).with_name("errors.md")

_INTRODUCTION = """\
# Error codes

Written by `docs/make_errors.py`: meanings come from `sere_registry/errors.py`, causes and hints from
`sere_core/cli/error_codes.yaml`.

Every mistake is one line, and all that can be found at once are reported at once:

    my.yaml:14:3: losses.adapt.use: [R201] no loss named 'trik'
        did you mean 'tric'? losses: coral, cross_entropy, fixmatch, tric

`sere explain CODE` prints what stands here. Codes are stable. The first letter says whose mistake it is and which exit code the command
gets: 0 is done, 130 is interrupted. Anything without a code is a bug of sere and keeps its traceback.
"""


def page() -> str:
    parts, more = [_INTRODUCTION], advice()
    for letter, title in FAMILIES.items():
        parts.append(f"## {letter}: {title[0].upper()}{title[1:]}\n\nExit code {EXIT_CODES[letter]}.\n")
        for code, meaning in CODES.items():
            if code.startswith(letter):
                parts.append(f"### {code}\n\n**{meaning[0].upper()}{meaning[1:]}.**\n")
                parts.append(f"Typical cause: {more[code]['cause']}.\n\nHint: {more[code]['hint']}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
