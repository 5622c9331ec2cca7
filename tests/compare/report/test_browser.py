"""What Chromium makes of the report: nothing logged, nothing fetched, nothing wider than the window; in light and in dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser import COLOURS, assert_it_fits, browser, show

__all__ = ["browser"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_and_asks_for_nothing(browser: Any, comparison: Path, width: int, scheme: str) -> None:
    assert_it_fits(browser, comparison / "report.html", width, scheme)


def test_colours_follow_the_reader_and_a_name_runs_no_code(browser: Any, comparison: Path) -> None:
    found = {}
    for scheme in ("light", "dark"):
        show(browser, comparison / "report.html", 1280, scheme)
        found[scheme] = browser.execute_script(COLOURS)
        assert found[scheme]["drawn"] == found[scheme]["ink"]
    assert found["light"]["paper"] == "rgb(255, 255, 255)" and found["dark"]["paper"] == "rgb(20, 23, 28)"
    assert browser.execute_script("return document.querySelectorAll('script, [onerror], img[src=\"x\"]').length") == 0
    assert browser.execute_script("return document.querySelector('tbody').textContent").count("alert") == 2
