"""A Chromium without a head, for looking at pages; what it logs and asks the network for is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-device-scale-factor=1",
)  # fmt: skip


def missing() -> str:
    """Why there is no browser here; "" if there is one."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed"
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)} (Debian: apt-get install chromium chromium-driver)" if absent else ""


@contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """A browser with a new profile in the empty folder `profile`."""
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver: Any = Chrome(options=options, service=ChromeService(executable_path=str(shutil.which("chromedriver"))))
    try:
        driver.get("about:blank")
        driver.get_log("performance")  # what the start page of the browser itself asked for
        yield driver
    finally:
        driver.quit()


def show(driver: Any, page: Path, width: int, scheme: str, height: int = 900) -> None:
    """Open a page in a window of `width` CSS pixels, in "light" or "dark"."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    driver.get(page.as_uri())


def screenshot(driver: Any, path: Path, width: int) -> None:
    """The whole page as a PNG."""
    import base64

    height = min(driver.execute_script("return document.documentElement.scrollHeight"), 16_000)
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True, "clip": clip})
    path.write_bytes(base64.b64decode(taken["data"]))


def requests(driver: Any) -> list[str]:
    """What was asked for over the network since the last call: every address but files and data URLs."""
    found = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.append(message["params"]["request"]["url"])
    return [url for url in found if not url.startswith(("file:", "data:"))]
