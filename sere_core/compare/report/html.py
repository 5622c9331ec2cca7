"""From a template to a page: one file, which has its style in it and fetches nothing."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sere_core.compare.report.words import MINUS

TEMPLATE = Path(__file__).parent / "template"


def render(template: str, **values: object) -> bytes:
    """The page of `template`, a file of the folder of that name, as UTF-8."""
    environment = Environment(loader=FileSystemLoader(TEMPLATE), autoescape=True, undefined=StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters["typeset"] = typeset
    style = Markup((TEMPLATE / "style.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(style=style, **values).encode()


def typeset(text: str) -> str:
    """A cell's text with the signs that a page has."""
    return "–" if text == "-" else re.sub(r"^-(?=\d)", MINUS, text)
