"""The generated pages are those of the code as it is."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest

from sere_core.cli.explain import advice
from sere_core.config import load
from sere_core.config.model import RunConfig
from sere_registry.errors import CODES
from tests.docs.pages import DOCS


def maker(name: str) -> ModuleType:
    """A script of `docs/`, imported without running it."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("script", "page"), [("make_errors", "errors.md"), ("make_config", "config.md")])
def test_the_page_is_up_to_date(script: str, page: str) -> None:
    assert (DOCS / page).read_text(encoding="utf-8") == maker(script).page(), f"run: python docs/{script}.py"


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


def test_the_run_in_the_readme_is_that_of_the_default_config() -> None:
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"sere-default[ /(]+([0-9a-f]{12})", readme)
    assert shown and set(shown) == {load(DOCS.parent / "configs" / "sere_default.yaml").digest()}


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (DOCS / page).read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (DOCS / link).exists()]
