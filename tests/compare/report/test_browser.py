"""What a browser makes of the report: nothing logged, nothing fetched, nothing wider than the window; in light and in dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.compare.report.browser import requests, screenshot, show

TOO_WIDE = """
const wide = [];
for (const each of document.querySelectorAll('body *')) {
  if (each.closest('.scroll') && !each.classList.contains('scroll')) continue;
  if (each.closest('svg') && each.tagName !== 'svg') continue;
  const box = each.getBoundingClientRect();
  if (box.width && (box.right > window.innerWidth + 1 || box.left < -1)) wide.push(each.tagName + '.' + each.className);
}
return wide;
"""
CLIPPED = """
const clipped = [];
for (const drawing of document.querySelectorAll('figure svg')) {
  const frame = drawing.getBoundingClientRect();
  for (const text of drawing.querySelectorAll('text')) {
    const box = text.getBoundingClientRect();
    const over = Math.max(frame.left - box.left, box.right - frame.right, frame.top - box.top, box.bottom - frame.bottom);
    if (box.width && over > 3) clipped.push([drawing.parentElement.id, text.textContent, over]);
  }
}
return clipped;
"""
COLOURS = """
const seen = (each) => getComputedStyle(each);
return {paper: seen(document.body).backgroundColor, ink: seen(document.body).color,
        drawn: seen(document.querySelector('figure svg text')).fill};
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_and_asks_for_nothing(browser: Any, comparison: Path, tmp_path: Path, width: int, scheme: str) -> None:
    show(browser, comparison / "report.html", width, scheme)
    browser.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    assert browser.execute_script(TOO_WIDE) == []
    assert browser.execute_script(CLIPPED) == []
    assert browser.get_log("browser") == []
    assert requests(browser) == []
    picture = tmp_path / f"report-{width}-{scheme}.png"
    screenshot(browser, picture, width)
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 50_000


def test_colours_follow_the_reader(browser: Any, comparison: Path) -> None:
    found = {}
    for scheme in ("light", "dark"):
        show(browser, comparison / "report.html", 1280, scheme)
        found[scheme] = browser.execute_script(COLOURS)
        assert found[scheme]["drawn"] == found[scheme]["ink"]
    assert found["light"]["paper"] == "rgb(255, 255, 255)" and found["dark"]["paper"] == "rgb(20, 23, 28)"


def test_a_name_runs_no_code(browser: Any, comparison: Path) -> None:
    show(browser, comparison / "report.html", 1280, "light")
    assert browser.execute_script("return document.querySelectorAll('script, [onerror], img[src=\"x\"]').length") == 0
    assert browser.execute_script("return document.querySelector('tbody').textContent").count("alert") == 2
