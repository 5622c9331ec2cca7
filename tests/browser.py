"""A headless Chromium that looks at pages: what is wider than the window, cut, logged or fetched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-device-scale-factor=1",
)  # fmt: skip
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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium with a new profile; where there is none, the tests that look at pages are skipped."""
    driver_module = pytest.importorskip("selenium.webdriver")
    binary, server = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if binary is None or server is None:
        pytest.skip("the page cannot be looked at (Debian: apt-get install chromium chromium-driver)")
    options = driver_module.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = driver_module.Chrome(options=options, service=driver_module.ChromeService(executable_path=server))
    try:
        driver.get("about:blank")
        driver.get_log("performance")  # what the start page of the browser itself asked for
        yield driver
    finally:
        driver.quit()


def show(driver: Any, page: Path, width: int, scheme: str) -> None:
    """Open a page in a window of `width` CSS pixels, in "light" or "dark"."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    driver.get(page.as_uri())


def requests(driver: Any) -> list[str]:
    """What was asked for over the network since the last call: every address but files and data URLs."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith(("file:", "data:"))]


def assert_it_fits(driver: Any, page: Path, width: int, scheme: str) -> None:
    """Nothing is wider than the window or cut, nothing logged, and nothing fetched."""
    show(driver, page, width, scheme)
    driver.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert driver.execute_script("return document.documentElement.scrollWidth") == width
    assert driver.execute_script(TOO_WIDE) == []
    assert driver.execute_script(CLIPPED) == []
    assert driver.get_log("browser") == []
    assert requests(driver) == []
