"""The report in a real browser: it opens without a network, at every width, and can be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browsers import DESKTOP, PHONE, Page, chromium
from lungaug.stages import report
from report_pages import build_report

SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])

COLUMN = """
const table = [...document.querySelectorAll(`#${arguments[0]} table`)][0];
const index = [...table.tHead.rows[0].cells].findIndex((c) => c.textContent === arguments[1]);
if (arguments[2]) table.tHead.rows[0].cells[index].querySelector("button").click();
return [...table.tBodies[0].rows].map((row) => row.cells[index].textContent);
"""
CONTRAST = """
const light = (c) => {
  const [r, g, b] = c.match(/[\\d.]+/g).map((v) => v / 255).map(
    (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (e) => {
  for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor;
    if (!c.endsWith(", 0)")) return c;
  }
};
const found = {};
for (const e of document.querySelectorAll("h1, p, td, th button, nav a, summary, figcaption, dt")) {
  if (!e.textContent.trim() || !e.getClientRects().length) continue;
  const [a, b] = [getComputedStyle(e).color, ground(e)].map(light).sort((x, y) => y - x);
  const name = e.tagName + "." + e.className, ratio = (a + 0.05) / (b + 0.05);
  found[name] = Math.min(found[name] ?? 99, ratio);
}
return found;
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results") / "phantom"
    arguments = build_report(root)
    report.run(**arguments, output=root / "report.html")
    return root / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("chromium")) as page:
        yield page


def column(page: Page, section: str, name: str, *, click: bool = False) -> list[str]:
    """The cells of a column of the section's first table; after a click on its heading."""
    found: list[str] = page.run(COLUMN, section, name, click)
    return found


@SIZES
def test_the_page_opens_without_a_network_and_without_complaints(
    browser: Page, path: Path, size: tuple[int, int]
) -> None:
    browser.open(path, size)
    loaded = browser.run(
        "return [...document.images].map((i) => [i.complete, i.naturalWidth, i.alt.length])"
    )
    assert len(loaded) == 6 + 5 + 3
    assert all(done and width > 0 and words > 20 for done, width, words in loaded)
    assert browser.requests() == [path.as_uri()]
    assert browser.complaints() == []


@SIZES
def test_nothing_is_wider_than_the_window(browser: Page, path: Path, size: tuple[int, int]) -> None:
    browser.open(path, size)
    browser.run("for (const d of document.querySelectorAll('details')) d.open = true;")
    wide, room = browser.run(
        "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
    )
    assert wide == room
    # A phone's browser shrinks a page that is too wide, and scrollWidth with it.
    assert browser.run("return innerWidth") == size[0]
    cut = browser.run(
        "return [...document.querySelectorAll('main *')].filter((e) =>"
        " e.getBoundingClientRect().right > innerWidth + 1"
        " && !e.closest('.wide, .plate, pre')).map((e) => e.outerHTML.slice(0, 80))"
    )
    assert cut == []


@SIZES
def test_every_section_is_reached_by_the_navigation(
    browser: Page, path: Path, size: tuple[int, int]
) -> None:
    browser.open(path, size)
    names = browser.run("return [...document.querySelectorAll('section')].map((s) => s.id)")
    links = browser.run("return [...document.querySelectorAll('nav a')].map((a) => a.hash)")
    assert links == [f"#{name}" for name in names]
    assert len(names) == 11
    phone = size == PHONE
    for name in names:
        menu = browser.driver.find_element("css selector", "nav button")
        assert menu.is_displayed() == phone
        if phone:
            menu.click()
        link = browser.driver.find_element("css selector", f"nav a[href='#{name}']")
        link.click()
        assert not (phone and link.is_displayed())
        top, bottom = browser.run(
            "const r = document.querySelector(arguments[0] + ' h2').getBoundingClientRect();"
            "return [r.top, r.bottom]",
            f"#{name}",
        )
        assert 0 <= top < bottom <= size[1], name
        marked = browser.driver.find_elements(
            "css selector", f"nav a[aria-current][href='#{name}']"
        )
        assert len(marked) == 1, name


def test_numbers_sort_as_numbers_and_what_is_missing_comes_last(browser: Page, path: Path) -> None:
    browser.open(path)
    seconds = ["7", "98.5", "100", "1,200 (900 to 1,300)"]
    assert column(browser, "cost", "seconds", click=True) == seconds
    assert column(browser, "cost", "seconds", click=True) == seconds[::-1]
    scores = ["0.09 [0.01, 0.2]", "0.61 [0.52, 0.70]", "0.7 (n=4)"]
    assert column(browser, "cost", "Dice", click=True) == [*scores, "–"]
    assert column(browser, "cost", "Dice", click=True) == [*scores[::-1], "–"]
    assert column(browser, "cost", "arm", click=True) == ["blur", "mirror", "noise", "none"]
    state = "return [...document.querySelectorAll('#cost th[aria-sort]')].map((h) => h.ariaSort)"
    assert browser.run(state) == ["ascending"]


def test_a_table_sorts_by_the_keyboard(browser: Page, path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(path)
    before = column(browser, "cost", "arm")
    button = browser.driver.find_elements("css selector", "#cost th button")[0]
    button.send_keys(Keys.ENTER)
    button.send_keys(Keys.ENTER)
    assert column(browser, "cost", "arm") == sorted(before, reverse=True)


@SIZES
def test_details_open_and_show_what_they_hold(
    browser: Page, path: Path, size: tuple[int, int]
) -> None:
    browser.open(path, size)
    heights = browser.run(
        "return [...document.querySelectorAll('details')].map((d) => {"
        " for (let n = d; n; n = n.parentElement) if (n.tagName === 'DETAILS') n.open = true;"
        " const body = d.children[1]; return body.getBoundingClientRect().height; })"
    )
    assert len(heights) > 10
    assert min(heights) > 10


def test_every_training_has_curves_that_are_drawn(browser: Page, path: Path) -> None:
    browser.open(path)
    runs: list[dict[str, Any]] = browser.run(
        "return [...document.querySelectorAll('.run')].map((run) => ({"
        " title: run.querySelector('h4').textContent, words: run.textContent,"
        " panels: [...run.querySelectorAll('.panel')].map((p) => ({"
        "  unit: p.querySelector('.unit').textContent,"
        "  lines: [...p.querySelectorAll('polyline')].map((l) => l.getTotalLength()) })) }))"
    )
    units = {run["title"]: [p["unit"] for p in run["panels"]] for run in runs}
    segmenters = [f"unet, {arm}, fixed, seed 0" for arm in ("none", "online", "metalung")]
    assert units == {
        **{name: ["loss", "Dice"] for name in segmenters},
        "none, fixed, seed 0": ["loss", "area under the ROC curve"],
        "mirror, fixed, seed 0": ["loss", "area under the ROC curve"],
        "copypaste, fixed": [],
        "dcgan, fixed": ["loss", "score, 0 to 1", "spread, 1 as the crops"],
        "vqvae, fixed": ["loss", "codes in use", "loss"],
    }
    drawn = [length for run in runs for p in run["panels"] for length in p["lines"]]
    assert len(drawn) == 3 * 3 + 2 * 3 + 5 + 3
    assert min(drawn) > 100
    words = " ".join(run["words"] for run in runs)
    assert "Kept: step 210 of 300, validation area under the ROC curve 0.981" in words
    assert "Noted from step 310 on: the samples are alike." in words


def test_a_training_leads_to_its_settings(browser: Page, path: Path) -> None:
    browser.open(path)
    browser.driver.find_element("css selector", ".run a").click()
    opened = browser.run("return document.querySelector('details:target').open")
    assert opened is True


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Page, path: Path, dark: bool) -> None:
    browser.open(path, dark=dark)
    ratios: dict[str, float] = browser.run(CONTRAST)
    assert len(ratios) > 8
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}
