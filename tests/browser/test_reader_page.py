"""The reader's sheet in a real browser: cases are shown, answered by keys, and exported."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from browsers import PHONE, Page, chromium
from generated_results import build_generated
from lungaug.evaluation.reader import ANSWER_COLUMNS
from lungaug.stages import reader_sheet
from synthetic_results import MADE_BY

TEXT = Path(reader_sheet.__file__).parents[2] / "report"
SECONDS = 20


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results") / "phantom"
    made = build_generated(root)
    reader_sheet.run(
        slices=made["slices"][0],
        inserted=made["inserted"],
        text=TEXT,
        root=root,
        fold="fixed",
        output=root / "sheet.html",
        key=root / "key.tsv",
        settings=reader_sheet.Settings(
            n_each=3, size_bins_mm=(3.0, 14.0, 40.0), fov_mm=60.0, side_px=64
        ),
        provenance=MADE_BY,
    )
    return root / "sheet.html"


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads: Path) -> Iterator[Page]:
    with chromium(downloads) as page:
        yield page


PRESS = "document.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0], bubbles: true}))"


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.run(PRESS, key)


def downloaded(folder: Path) -> str:
    """The text of the file that arrives there."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        whole = [path for path in folder.iterdir() if path.suffix == ".csv"]
        if whole and whole[0].stat().st_size:
            return whole[0].read_text(encoding="utf-8")
        time.sleep(0.1)
    raise AssertionError(f"no answers in {folder}: {list(folder.iterdir())}")


def test_cases_are_answered_and_the_answers_exported(
    browser: Page, sheet: Path, downloads: Path
) -> None:
    browser.open(sheet)
    browser.driver.find_element("id", "go").click()
    n_cases = browser.run("return pictures.length")
    assert n_cases > 3
    for number in range(n_cases):
        shown = browser.run(
            "return document.getElementById('picture').decode().then(() =>"
            " document.getElementById('picture').naturalWidth)"
        )
        assert shown == 64
        assert f"Case {number + 1} of" in browser.driver.find_element("id", "title").text
        press(browser, "r" if number % 2 else "i", "4", "Enter")
    assert f"All {n_cases} cases are answered" in browser.driver.find_element("id", "left").text
    browser.driver.find_element("id", "download-end").click()
    rows = csv.DictReader(io.StringIO(downloaded(downloads)))
    answers = list(rows)
    assert tuple(rows.fieldnames or ()) == ANSWER_COLUMNS
    assert [a["answer"] for a in answers] == [("inserted", "real")[i % 2] for i in range(n_cases)]
    assert {a["confidence"] for a in answers} == {"4"}
    asked = browser.requests()
    assert asked[0] == sheet.as_uri()
    assert all(url.startswith("blob:") for url in asked[1:])
    assert browser.complaints() == []


def test_a_phone_needs_no_scrolling_to_the_side(browser: Page, sheet: Path) -> None:
    browser.open(sheet, PHONE)
    assert browser.run("return [document.documentElement.scrollWidth, innerWidth]") == [390, 390]
    browser.driver.find_element("id", "go").click()
    assert browser.run("return [document.documentElement.scrollWidth, innerWidth]") == [390, 390]
