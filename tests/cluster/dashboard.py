"""Ray's dashboard as a person sees it while `tuningfork run --dashboard` works; run as a program it takes the picture in docs/.

`python -m tests.cluster.dashboard survey.toml docs/ray_dashboard.png` waits until a third of the slices is encoded.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By

from tests.survey.browser import chromium, until
from tests.survey.conftest import COMMAND

PATIENCE = 300.0
"""Seconds that a page or a run may take on a busy machine."""
TOKEN = Path.home() / ".ray" / "auth_token"
"""Where the docs say that it is."""
DIALOG = "input[placeholder='Enter your authentication token']"
OVERVIEW = "//h4[text()='Ray Data Overview']"
FOLDED = "//*[local-name()='title' and starts-with(., 'Expand Dataset')]/.."
TABLE = "return [...document.querySelectorAll('tr')].map(row => [...row.cells].map(cell => cell.innerText.trim()))"
TO_TOP = "arguments[0].scrollIntoView({block: 'start'})"
CLICK = "arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))"


@contextlib.contextmanager
def running(config: Path, out: Path) -> Iterator[str]:
    """The dashboard's address while a run works; the run is interrupted at the end."""
    log = out.with_suffix(".log")
    with log.open("wb") as said:
        command = [COMMAND, "run", str(config), "--out", str(out), "--dashboard"]
        process = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
    try:
        yield until(lambda: _address(process, log), PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.wait(PATIENCE)


def _address(process: subprocess.Popen[bytes], log: Path) -> str | None:
    assert process.poll() is None, log.read_text()
    found = re.search(r"^Ray dashboard: (\S+)$", log.read_text(), re.MULTILINE)
    return found and found[1]


def log_in(browser: Chrome, token: str) -> None:
    """Type the token that the dashboard asks for."""
    (field,) = until(lambda: browser.find_elements(By.CSS_SELECTOR, DIALOG), PATIENCE)
    field.send_keys(token, Keys.ENTER)


def open_job(browser: Chrome, address: str) -> None:
    """Open the page of the first job, and in it what Ray Data does, operator by operator."""
    until(lambda: browser.find_elements(By.CSS_SELECTOR, "a[href*='#/jobs/']"), PATIENCE)
    browser.get(f"{address}/#/jobs/01000000")
    for path in (OVERVIEW, FOLDED):
        (folded,) = until(lambda path=path: browser.find_elements(By.XPATH, path), PATIENCE)
        browser.execute_script(CLICK, folded)


@dataclass(frozen=True)
class Row:
    """A line of the table of datasets and their operators."""

    name: str
    done: int
    total: int
    state: str


def rows(browser: Chrome) -> list[Row]:
    """What the table shows now: a dataset, and below it its operators."""
    found = []
    for cells in browser.execute_script(TABLE):
        progress = re.fullmatch(r"(\d+) / (\d+)", cells[2]) if len(cells) > 10 else None
        if progress:
            found.append(Row(cells[1], int(progress[1]), int(progress[2]), cells[3]))
    return found


def part_done(browser: Chrome, share: float) -> list[Row] | None:
    """The table, as soon as such a share of the slices is written."""
    found = rows(browser)
    return found if len(found) > 1 and found[0].done > share * max(1, found[0].total) else None


def main(config: str, picture: str) -> None:
    """Take the picture."""
    with tempfile.TemporaryDirectory() as folder, running(Path(config), Path(folder) / "run") as address:
        (Path(folder) / "browser").mkdir()
        with chromium(Path(folder) / "browser", 1500, 780) as browser:
            browser.get(f"{address}/#/jobs")
            log_in(browser, TOKEN.read_text(encoding="utf-8"))
            open_job(browser, address)
            print(*until(lambda: part_done(browser, 1 / 3), PATIENCE), sep="\n")
            browser.execute_script("document.body.style.zoom = 0.8")
            browser.execute_script(TO_TOP, browser.find_element(By.XPATH, OVERVIEW))
            browser.save_screenshot(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
