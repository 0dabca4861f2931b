"""A headless Chromium for tests of pages: what it shows, asks for and complains of."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DESKTOP, PHONE = (1280, 900), (390, 844)
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@dataclass(frozen=True)
class Page:
    """A page that is open in the browser."""

    driver: Any

    def run(self, script: str, *arguments: object) -> Any:
        """The value of a script's ``return``."""
        return self.driver.execute_script(script, *arguments)

    def complaints(self) -> list[str]:
        """What stands on the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call, without data in the page itself."""
        events = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        urls = [str(parameters["request"]["url"]) for parameters in sent]
        return [url for url in urls if not url.startswith("data:")]

    def open(self, path: Path, size: tuple[int, int] = DESKTOP, *, dark: bool = False) -> None:
        """Load a file at that width and height."""
        width, height = size
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        # From a page of another address, so that a fragment of the last one is not kept.
        self.driver.get("about:blank")
        self.complaints()
        self.requests()
        self.driver.get(path.as_uri())


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A browser with an empty profile; the test is skipped where there is none.

    Args:
        folder: for its profile and downloads.
    """
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if not all(programs):
        missing = "no chromium and chromedriver on the PATH (Debian: chromium, chromium-driver)"
        if os.environ.get("LUNGAUG_REQUIRE_ALL") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(programs[0])
    for option in (*OPTIONS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
    driver = webdriver.Chrome(options=options, service=Service(str(programs[1])))
    driver.implicitly_wait(2)  # for what follows an event of the page
    try:
        yield Page(driver)
    finally:
        driver.quit()
