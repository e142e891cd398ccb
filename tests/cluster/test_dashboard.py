"""What Ray's dashboard shows a person of a run, in a browser: it asks for the token, names the flow and tells how far it is."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.by import By

from tests.cluster.dashboard import (
    DIALOG,
    PATIENCE,
    TOKEN,
    Row,
    log_in,
    open_job,
    part_done,
    rows,
    running,
)
from tests.conftest import TinyRelease
from tests.survey.browser import chromium, until
from tests.survey.conftest import write_toml

pytestmark = pytest.mark.slow

SLICES = 16


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A browser that has seen the dashboard of a run, and what it saw on the way."""
    base = tmp_path_factory.mktemp("dashboard")
    tiny = TinyRelease(base / "release", per_side=16)
    slow = {"model": "galaxy-atto", "input": 128, "turns": 4}
    config = write_toml(tiny.config(encode=slow), tiny.folder / "survey.toml")
    (base / "browser").mkdir()
    with running(config, base / "run") as address, chromium(base / "browser", 1500, 1000) as browser:
        browser.get(f"{address}/#/jobs")
        yield browser, address


def text(browser) -> str:
    return browser.execute_script("return document.body.innerText")


def test_dashboard_lets_somebody_in_without_the_token(page):
    browser, _ = page
    log_in(browser, "0" * 64)
    until(lambda: "Invalid authentication token" in text(browser), PATIENCE)
    assert "tuningfork run" not in text(browser)
    browser.refresh()
    log_in(browser, TOKEN.read_text(encoding="utf-8"))
    until(lambda: "tuningfork run" in text(browser), PATIENCE)
    assert browser.find_elements(By.CSS_SELECTOR, DIALOG) == []


def test_page_does_not_tell_the_flow_and_how_far_it_is(page):
    browser, address = page
    open_job(browser, address)
    early = until(lambda: part_done(browser, 0), PATIENCE)
    later = until(lambda: part_done(browser, early[0].done / SLICES), PATIENCE)
    for dataset, *operators in (early, later):
        assert dataset.name.startswith("tiny-")
        assert " encode_" in dataset.name
        flow = ["Input", "ReadSlices", "MapBatches(Encode)", "MapBatches(write_part)"]
        assert [each.name for each in operators] == flow
        assert {each.total for each in operators} == {SLICES}
        assert dataset.done == operators[-1].done <= operators[-2].done <= operators[-3].done
    assert 0 < early[0].done < later[0].done
    assert Row("Input", SLICES, SLICES, "FINISHED") in rows(browser)


def test_actors_have_no_names(page):
    browser, address = page
    browser.get(f"{address}/#/actors")
    until(lambda: "MapWorker(MapBatches(Encode))" in text(browser), PATIENCE)
