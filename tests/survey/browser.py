"""A real browser for the report's tests: headless Chromium, driven by its own driver."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)


@contextmanager
def chromium(folder: Path, width: int = 1200, height: int = 900) -> Iterator[webdriver.Chrome]:
    """A browser with a profile of its own; what it downloads lands in `folder`/downloads."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("Chromium is absent: make chromium")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    (folder / "downloads").mkdir()
    options.add_experimental_option(
        "prefs",
        {"download.default_directory": str(folder / "downloads"), "download.prompt_for_download": False},
    )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    started.downloads = folder / "downloads"
    try:
        yield started
    finally:
        started.quit()


def opened(browser: webdriver.Chrome, page: Path) -> webdriver.Chrome:
    """Open a page from disk, with what earlier tests typed forgotten."""
    browser.get(page.as_uri())
    browser.execute_script("localStorage.clear()")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.refresh()
    return browser


def one(browser: webdriver.Chrome, selector: str) -> Any:
    """The only, or the first, element of a selector, in the middle of the window."""
    found = browser.find_element(By.CSS_SELECTOR, selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
    return found


def asked_for(browser: webdriver.Chrome) -> list[str]:
    """Addresses that the page has asked for since it was opened."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """The first answer of `condition` that is not false."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"still false after {seconds} s")
