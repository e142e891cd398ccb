"""A report opens from disk in a real browser, shows the run, names its groups, and runs nobody's code but its own."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from typer.testing import CliRunner

from catalogs.errors import BadRequest, Refused
from pipeline.cli.main import app
from pipeline.report.page import Options, report
from pipeline.results.label import read_file
from pipeline.rundir.run_directory import RunDirectory
from tests.conftest import TinyRelease
from tests.survey.browser import asked_for, chromium, one, opened, until
from tests.survey.conftest import Runner, objects_of, write_toml
from tests.survey.hostile import HOSTILE, WORSE, config_of, hostile_release

NOTES = 'arms "and" \\ bars\n\ttwo lines, é \u2028 🌀 # no comment'


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run, its report against a truth, and the release it was made of."""
    base = tmp_path_factory.mktemp("reported")
    tiny = hostile_release(base / "release")
    config = config_of(tiny)
    write_toml(config, tiny.folder / "survey.toml")
    Runner()(config, tiny.folder, base / "run")
    truth = pa.table({"object_id": list(tiny.table["NUMBER"]), "class": list(tiny.table["KIND"])})
    pq.write_table(truth, base / "truth.parquet")
    # so many stamps that every object is on some sheet
    options = ["--truth", str(base / "truth.parquet"), "--stamps", "64", "--no-umap"]
    done = CliRunner().invoke(app, ["report", str(base / "run"), *options])
    assert done.exit_code == 0, done.output
    return base, base / "run" / "report" / "index.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as started:
        yield started


def test_page_opens_from_disk_without_a_network_or_an_error(finished, browser):
    _, page = finished
    opened(browser, page)
    until(lambda: browser.execute_script("return document.readyState") == "complete")
    browser.execute_script("document.querySelectorAll('img').forEach((i) => (i.loading = 'eager'))")
    until(lambda: browser.execute_script("return [...document.images].every((i) => i.complete)"))
    assert browser.execute_script("return [...document.images].filter((i) => !i.naturalWidth).length") == 0
    stamps = {path.name for path in (page.parent / "stamps").iterdir()}
    assert len(browser.find_elements(By.CSS_SELECTOR, "button.stamp")) >= len(stamps) > 20
    assert all(url.startswith(("file:", "data:")) for url in asked_for(browser))
    assert browser.get_log("browser") == []


def test_strangers_ids_and_words_are_text_and_nothing_else(finished, browser):
    _, page = finished
    opened(browser, page)
    objects = json.loads(one(browser, "#data").get_attribute("textContent"))["objects"]
    shown = {key: value["id"] for key, value in objects.items() if value["id"] in (HOSTILE, WORSE)}
    assert sorted(shown.values()) == sorted([HOSTILE, WORSE])
    for key, name in shown.items():
        one(browser, f"button.stamp[data-key='{key}']").click()
        assert one(browser, "dialog h3").text == f"Object {name}"
        browser.find_element(By.CSS_SELECTOR, "dialog .close").click()
    colour = Select(one(browser, "#colour"))
    colour.select_by_visible_text("WORD")
    assert WORSE in one(browser, "#legend").text
    canvas = one(browser, "#plane")
    for _ in range(3):
        canvas.send_keys(Keys.ARROW_RIGHT)
    assert browser.execute_script("return window.hacked") is None
    assert browser.find_elements(By.CSS_SELECTOR, "[onerror], img[src='x']") == []
    assert len(browser.find_elements(By.CSS_SELECTOR, "script")) == 2
    assert browser.get_log("browser") == []


def test_click_on_a_stamp_tells_the_object_and_keys_go_on_to_the_next(finished, browser):
    base, page = finished
    opened(browser, page)
    rows = {row["object_id"]: row for row in objects_of(base / "run").to_pylist()}
    first = one(browser, "button.stamp")
    first.click()
    dialog = browser.find_element(By.TAG_NAME, "dialog")
    cells = dialog.find_elements(By.CSS_SELECTOR, "tr")
    told = dict(row.text.split(" ", 1) for row in cells if " " in row.text)
    row = rows[one(browser, "dialog h3").text.removeprefix("Object ")]
    assert told["group"] == str(row["group"])
    assert told["KIND"] == row["KIND"]
    assert float(told["agreement"]) == pytest.approx(row["agreement"], rel=1e-3)
    before = one(browser, "dialog h3").text
    dialog.send_keys(Keys.ARROW_RIGHT)
    assert one(browser, "dialog h3").text != before
    dialog.send_keys(Keys.ESCAPE)
    until(lambda: not dialog.is_displayed())
    assert browser.switch_to.active_element.get_attribute("class") == "stamp"


def test_map_is_coloured_by_any_column_and_walked_by_keys(finished, browser):
    _, page = finished
    opened(browser, page)
    picture = "return document.getElementById('plane').toDataURL()"
    until(lambda: one(browser, "#plane").get_attribute("height") != "150")
    seen = {browser.execute_script(picture)}
    for name in ("class", "agreement", "MAG (mag)", "KIND"):
        Select(one(browser, "#colour")).select_by_visible_text(name)
        assert one(browser, "#legend h4").text.startswith(name)
        seen.add(browser.execute_script(picture))
    assert len(seen) == 5
    one(browser, "#legend button").click()
    assert browser.switch_to.active_element.get_attribute("aria-pressed") == "true"
    Select(one(browser, "#axis-x")).select_by_index(2)
    assert browser.execute_script(picture) not in seen
    one(browser, "#plane").send_keys(Keys.ARROW_LEFT)
    assert "object_id" in one(browser, "#details").text


def test_groups_that_a_person_names_are_what_label_reads(finished, browser):
    base, page = finished
    opened(browser, page)
    groups = [
        f.get_attribute("data-group") for f in browser.find_elements(By.CSS_SELECTOR, "[data-kind=class]")
    ]
    one(browser, f"#class-{groups[0]}").send_keys('odd "one" \\')
    # ChromeDriver types no character beyond the first plane
    field = one(browser, f"#notes-{groups[0]}")
    browser.execute_script(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))", field, NOTES
    )
    one(browser, f"#class-{groups[1]}").send_keys("SPH")
    save = one(browser, "#save")
    assert not save.is_enabled()
    assert "say who" in one(browser, "#progress").text
    one(browser, "#author").send_keys("É. Hubble")
    browser.refresh()
    assert one(browser, f"#class-{groups[1]}").get_attribute("value") == "SPH", "a reload loses nothing"
    one(browser, f"#class-{groups[1]}").send_keys(Keys.BACKSPACE * 3, "12")
    assert not one(browser, "#save").is_enabled()
    assert one(browser, f"#class-{groups[1]}").get_attribute("aria-invalid") == "true"
    one(browser, f"#class-{groups[1]}").send_keys(Keys.BACKSPACE * 2, "SPH")
    one(browser, "#save").click()
    file = until(lambda: next(browser.downloads.glob("*.toml"), None))
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    assert values["author"] == "É. Hubble"
    assert values["groups"][groups[0]] == {"class": 'odd "one" \\', "notes": NOTES}
    record = RunDirectory(str(base / "run")).record()
    decision = read_file(file, record, author=None, forget=False)
    assert decision.groups == {
        groups[0]: {"class": 'odd "one" \\', "notes": NOTES},
        groups[1]: {"class": "SPH", "notes": None},
    }
    assert decision.fit == record["fingerprints"]["fit"]


@pytest.mark.parametrize("width", [1200, 800])
def test_nothing_sticks_out_and_everything_has_a_name(finished, browser, width):
    _, page = finished
    browser.set_window_size(width, 900)
    opened(browser, page)
    wide = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1]
    nameless = """return [...document.querySelectorAll('img:not([alt]), input, textarea, select, button, canvas[tabindex]')]
        .filter((e) => e.tagName === 'IMG' || !(e.labels?.length || e.ariaLabel || e.textContent.trim() || e.querySelector('img[alt]')))
        .map((e) => e.outerHTML)"""
    assert browser.execute_script(nameless) == []


def test_confusion_counts_what_the_catalog_says(finished, browser):
    base, page = finished
    opened(browser, page)
    rows = objects_of(base / "run").to_pylist()
    expected = Counter((r["KIND"], r["class"] or "unnamed") for r in rows if r["kept"])
    table = one(browser, "#classes .wide[aria-label='Kept objects'] table")
    names = [cell.text for cell in table.find_elements(By.CSS_SELECTOR, "thead th")][1:-2]
    for line in table.find_elements(By.CSS_SELECTOR, "tbody tr")[:2]:
        truth = line.find_element(By.TAG_NAME, "th").text
        counts = [int(cell.text) for cell in line.find_elements(By.TAG_NAME, "td")[: len(names) + 1]]
        assert dict(zip(names, counts, strict=False)) == {name: expected[truth, name] for name in names}
        assert counts[-1] == sum(r["KIND"] == truth and not r["kept"] for r in rows)
    held = json.loads((base / "run/models/classes.json").read_text())["held_out"]
    text = one(browser, "#classes").text
    assert "held-out 50%" in text
    assert 0 < held["objects"] < 64
    assert text.count("objects have a truth, ") == 2
    assert f", {held['objects']} of them are kept" in text
    assert (page.parent / "plots/concentration_asymmetry.svg").stat().st_size > 1000


def test_validation_stands_in_the_report_and_says_when_it_is_old(finished, tmp_path, browser):
    base, page = finished
    opened(browser, page)
    assert "tuningfork validate" in one(browser, "#validation .note").text
    run = tmp_path / "run"
    shutil.copytree(base / "run", run, ignore=shutil.ignore_patterns("report"))
    CliRunner().invoke(app, ["validate", str(run)])
    verdicts = Counter(pq.read_table(run / "validation.parquet")["verdict"].to_pylist())
    opened(browser, Path(report(str(run), Options(stamps=1, umap=False))))
    assert browser.find_elements(By.CSS_SELECTOR, "#validation .note") == []
    shown = browser.find_elements(By.CSS_SELECTOR, "#validation tbody tr")
    assert len(shown) == verdicts.total() > 1
    assert all(
        f"{count} {verdict}" in one(browser, "#validation").text for verdict, count in verdicts.items()
    )
    record = json.loads((run / "run.json").read_text())
    record["fingerprints"]["publish"] = "another"
    (run / "run.json").write_text(json.dumps(record))
    opened(browser, Path(report(str(run), Options(stamps=1, umap=False))))
    assert "published anew" in one(browser, "#validation .note").text


@pytest.mark.slow
def test_report_without_its_release_says_so_and_finds_it_again(finished, tmp_path, browser):
    base, _ = finished
    moved = base / "moved"
    (base / "release").rename(moved)
    try:
        page = tmp_path / "gone"
        report(str(base / "run"), Options(out=str(page), umap=False))
        opened(browser, page / "index.html")
        assert "There are no stamps" in one(browser, "#groups [role=note]").text
        assert browser.find_elements(By.CSS_SELECTOR, "button.stamp") == []
        assert browser.find_elements(By.CSS_SELECTOR, "[data-kind=class]")
        report(str(base / "run"), Options(out=str(page), umap=False, config=moved / "survey.toml", stamps=2))
        assert any((page / "stamps").iterdir())
    finally:
        moved.rename(base / "release")


def test_stamps_of_other_objects_are_never_shown(finished, tmp_path):
    base, _ = finished
    other = TinyRelease(tmp_path / "other", bands=("g", "r", "i"))
    other.table["NUMBER"] = [f"other {k}" for k in range(len(other.table))]
    for name in ("KIND", "WORD", "A", "C"):
        other.table[name] = other.table["MAG"]
    other.write()
    config = write_toml(config_of(other), tmp_path / "other" / "survey.toml")
    page = report(str(base / "run"), Options(out=str(tmp_path / "page"), umap=False, config=config))
    assert not (tmp_path / "page" / "stamps").exists()
    assert "holds other objects" in (tmp_path / page).read_text(encoding="utf-8")


def test_a_truth_that_cannot_be_one_is_refused(finished, tmp_path):
    base, _ = finished
    run = str(base / "run")
    twice = tmp_path / "twice.csv"
    pa.csv.write_csv(pa.table({"object_id": ["03", "03"], "class": ["SPH", "LTD"]}), twice)
    refusals = {
        "twice": Options(truth=str(twice)),
        "no such column": Options(truth=str(twice), truth_column="klass"),
        "cannot be read": Options(truth=str(tmp_path / "absent.csv")),
        "neither Parquet nor CSV": Options(truth=str(tmp_path / "truth.fits")),
    }
    for said, options in refusals.items():
        with pytest.raises(Refused, match=said):
            report(run, options)


def test_a_folder_with_something_else_in_it_is_left_alone(finished, tmp_path):
    base, _ = finished
    (tmp_path / "index.html").write_text("my homepage")
    with pytest.raises(Refused, match="holds no report"):
        report(str(base / "run"), Options(out=str(tmp_path)))
    assert (tmp_path / "index.html").read_text() == "my homepage"


def test_a_run_that_has_published_nothing_is_refused(finished, tmp_path):
    base, _ = finished
    with pytest.raises(Refused, match="there is no run here"):
        report(str(tmp_path / "nothing"))
    shutil.copy(base / "run" / "run.json", tmp_path)
    with pytest.raises(BadRequest, match="no catalog yet"):
        report(str(tmp_path))
    assert not (tmp_path / "report").exists()


@pytest.mark.slow
def test_umap_is_on_the_map_where_it_is_installed(finished, tmp_path, browser):
    base, _ = finished
    pages = [tmp_path / name / "index.html" for name in ("a", "b")]
    for page in pages:
        report(str(base / "run"), Options(out=str(page.parent), stamps=1))
    opened(browser, pages[0])
    Select(one(browser, "#axis-x")).select_by_visible_text("UMAP 1")
    assert Select(one(browser, "#axis-y")).first_selected_option.text == "UMAP 2"
    assert pages[0].read_bytes() == pages[1].read_bytes(), "the same run gives the same map"
    shutil.rmtree(tmp_path)
