"""The generated pages are those of the code as it is."""

from __future__ import annotations

import re

import pytest
import yaml

from docs.make_pages import PAGES, fragment
from sere_core.cli.explain import advice
from sere_core.config import load
from sere_core.config.model import RunConfig
from sere_registry.catalog import Catalog
from sere_registry.entries import Entry
from sere_registry.errors import CODES
from sere_registry.kinds import FIRST_PARTY
from tests.docs.pages import DOCS
from tests.small import SMALL

CATALOG = Catalog(environ={})
ENTRIES = [CATALOG.find(each.kind, each.full_name) for each in CATALOG.entries if each.distribution == FIRST_PARTY]


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_up_to_date(page: str) -> None:
    assert (DOCS / page).read_text(encoding="utf-8") == PAGES[page](), "run: python docs/make_pages.py"


@pytest.mark.parametrize(
    "entry",
    [entry for entry in ENTRIES if entry.kind in ("loss", "method", "resonance", "dynamics", "selector", "view")],
    ids=lambda each: each.full_name,
)
def test_a_components_fragment_is_part_of_a_config(entry: Entry) -> None:
    laid = yaml.safe_load(SMALL) | yaml.safe_load(fragment(entry))
    config = {key: value for key, value in laid.items() if value is not None}  # null takes away what it is laid over
    if entry.kind == "resonance":
        config["losses"] = {"adapt": {"use": "sere.tric"}}
    resolved = load(config)
    assert entry.full_name in {bound.full_name for bound in resolved.components.values()}


def test_every_code_has_a_meaning_a_cause_and_a_hint() -> None:
    found = advice()
    assert list(found) == list(CODES)
    assert not [code for code, more in found.items() if more["cause"].endswith((".", " ")) or not more["hint"].endswith(".")]
    assert re.findall(r"^### (\w+)$", (DOCS / "errors.md").read_text(encoding="utf-8"), re.MULTILINE) == list(CODES)


def test_every_key_of_a_config_is_described() -> None:
    text = (DOCS / "config.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .+ \| .* \| (.*) \|$", text, re.MULTILINE)
    assert {name for name, _ in rows} >= set(RunConfig.model_fields)
    assert not [name for name, meaning in rows if not meaning.strip()]


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (DOCS / page).read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (DOCS / link).exists()]
