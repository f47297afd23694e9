"""The report in headless Chromium: it sorts, filters and unfolds, by keyboard too, and the console stays silent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browsers
import pytest
from browsers import click, look, resize, settle, too_wide, wrong

if browsers.MISSING and browsers.REQUIRED:
    raise RuntimeError(f"the browser tests need {', '.join(browsers.MISSING)}")

needs_browser = pytest.mark.skipif(bool(browsers.MISSING), reason=browsers.NOT_RUN)

ROWS = "return [...document.querySelectorAll('#table-catalogue tbody tr')].filter(r => !r.hidden)"
METHODS = f"{ROWS}.map(r => r.cells[0].textContent)"
COLUMN = f"{ROWS}.map(r => r.cells[arguments[0]].textContent)"
SHOWN = "return document.getElementById('table-catalogue-shown').textContent"
OPEN = "return [...document.querySelectorAll('details[open]')].map(d => d.id)"
FOCUS = "return document.activeElement"


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with browsers.started() as driver:
        yield driver


@pytest.fixture(scope="module")
def index(results: Path) -> str:
    return (results / "index.html").as_uri()


def click_head(driver: Any, column: int) -> None:
    click(driver, driver.find_elements("css selector", "#table-catalogue thead button")[column])


# --------------------------------------------------------------------------- what a reader does


def wrong_with_sorting(driver: Any, column: int) -> list[str]:
    """Click on a head twice: the years of the rows rise, then fall, and the head says so."""
    found = []
    for way, name in ((1, "ascending"), (-1, "descending")):
        click_head(driver, column)
        years = [int(text) for text in driver.execute_script(COLUMN, column)]
        if years != sorted(years, reverse=way < 0):
            found.append(f"not {name}: {years}")
        said = driver.execute_script(
            "return [...document.querySelectorAll('#table-catalogue th[aria-sort]')]"
            ".map(h => h.getAttribute('aria-sort'))"
        )
        if said[column] != name or said.count("none") != len(said) - 1:
            found.append(f"the head does not say {name}")
    return found


@needs_browser
def test_the_catalogue_sorts_both_ways_and_filters(driver: Any, index: str) -> None:
    look(driver, index)
    everything = driver.execute_script(METHODS)
    assert everything == ["BC", "BNN", "BNN+", "MD-tanh"]
    assert driver.execute_script(SHOWN) == "4 of 4 pairs shown."
    assert wrong_with_sorting(driver, 1) == []
    click_head(driver, 2)
    grades = [text.split()[-1] for text in driver.execute_script(COLUMN, 2)]
    assert grades == ["smooth", "smooth", "lipschitz", "unprincipled"]
    for _ in range(2):  # empty cells stay last both ways, in a column of words too
        click_head(driver, 9)
        repairs = driver.execute_script(COLUMN, 9)
        assert repairs[0] != "\N{EN DASH}"
        assert set(repairs[1:]) == {"\N{EN DASH}"}

    find = driver.find_element("css selector", ".filter input[type=search]")
    find.send_keys("bnn darabi")  # a name and a word of the source
    assert driver.execute_script(METHODS) == ["BNN+"]
    assert driver.execute_script(SHOWN) == "1 of 4 pairs shown."
    hidden = "return [...document.querySelectorAll('#pairs > details')].filter(d => d.hidden).length"
    assert driver.execute_script(hidden) == 3
    find.clear()
    find.send_keys("tanh(beta*x)")  # a formula
    assert driver.execute_script(METHODS) == ["MD-tanh"]
    find.clear()
    find.send_keys("nothing has this")
    assert driver.execute_script(SHOWN) == "0 of 4 pairs shown; reset the filter to see all."
    find.clear()
    click(driver, driver.find_element("css selector", ".filter input[value=smooth]"))
    assert sorted(driver.execute_script(METHODS)) == ["BNN", "BNN+"]
    assert driver.execute_script(SHOWN) == "2 of 4 pairs shown."
    # the address keeps it
    kept = driver.current_url
    order = driver.execute_script(METHODS)
    look(driver, kept)
    assert driver.execute_script(METHODS) == order
    click(driver, driver.find_element("css selector", ".filter button[type=reset]"))
    assert sorted(driver.execute_script(METHODS)) == everything
    driver.find_element("css selector", ".filter select[name=convex] option[value=yes]").click()
    assert driver.execute_script(METHODS) == ["MD-tanh"]
    assert driver.get_log("browser") == []


@needs_browser
def test_a_verdict_a_certificate_and_a_theorem_unfold(driver: Any, index: str) -> None:
    look(driver, index)
    assert driver.execute_script(OPEN) == []
    click(driver, driver.find_element("link text", "BNN"))
    assert driver.execute_script(OPEN) == ["pair-bnn"]
    pair = driver.find_element("id", "pair-bnn")
    assert pair.find_element("css selector", "figure img").is_displayed()
    assert "Proximal map P" in pair.text
    assert "for all real x" not in pair.text
    click(driver, pair.find_element("css selector", "#certificate-bnn > summary"))
    assert "for all real x with 0 < x < 1: x > 0" in pair.text
    assert "accepted" in pair.text
    assert "bnn.certificate.json" in pair.text

    row = driver.find_element("css selector", '#table-statements a[href="#theorem-1"]')
    click(driver, row)
    theorem = driver.find_element("id", "theorem-1")
    assert theorem.get_attribute("open")
    for words in ("identity (I)", "Derivation", "proved", "Runs", "float64 runs", "Made again by"):
        assert words in theorem.text
    fold = driver.find_element("css selector", "button.fold")
    click(driver, fold)
    assert driver.execute_script("return document.querySelectorAll('#pairs > details:not([open])').length") == 0
    click(driver, fold)
    assert driver.execute_script("return document.querySelectorAll('#pairs > details[open]').length") == 0
    # an address leads to a pair that the filter has hidden, too
    driver.find_element("css selector", ".filter input[type=search]").send_keys("tanh(beta")
    assert not pair.is_displayed()
    driver.execute_script("location.hash = '#pair-bnn'")
    settle(driver)
    assert pair.is_displayed()
    assert pair.get_attribute("open")
    assert driver.get_log("browser") == []


@needs_browser
def test_the_page_works_by_keyboard_alone(driver: Any, index: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(*keys: str) -> Any:
        ActionChains(driver).send_keys(*keys).perform()
        return driver.execute_script(FOCUS)

    def tab_to(what: str, most: int = 80) -> Any:
        for _ in range(most):
            press(Keys.TAB)
            if driver.execute_script("return document.activeElement.matches(arguments[0])", what):
                return driver.execute_script(FOCUS)
        raise AssertionError(f"not reached by Tab: {what}")

    look(driver, index)
    first = press(Keys.TAB)
    assert (first.text, first.is_displayed()) == ("Skip to the content", True)
    press(Keys.ENTER)
    settle(driver)
    assert driver.execute_script(FOCUS).get_attribute("id") == "main"
    tab_to(".filter input[type=search]")
    press("BNN")
    assert driver.execute_script(METHODS) == ["BNN", "BNN+"]
    tab_to(".filter input[value=lipschitz]")
    press(Keys.SPACE)
    assert driver.execute_script(METHODS) == ["BNN+"]
    head = tab_to("#table-catalogue thead button")
    assert driver.execute_script("return getComputedStyle(arguments[0]).outlineStyle", head) == "solid"
    press(Keys.ENTER)
    assert head.find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    tab_to("#table-catalogue tbody a")
    press(Keys.ENTER)
    settle(driver)
    assert driver.execute_script(OPEN) == ["pair-bnn-plus"]
    assert driver.execute_script(FOCUS).tag_name == "summary"
    press(Keys.ENTER)
    assert driver.execute_script(OPEN) == []
    assert driver.get_log("browser") == []


@needs_browser
@pytest.mark.parametrize("name", ["index.html", "theorems.html", "gallery.html", "methods/bnn-plus.html"])
def test_a_page_is_sound_and_fits_a_phone_in_light_and_dark(driver: Any, results: Path, name: str) -> None:
    look(driver, (results / name).as_uri())
    driver.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    assert wrong(driver) == []
    for width, dark in ((1280, True), (390, True), (390, False)):
        resize(driver, width, dark)
        assert not too_wide(driver)
        ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(20, 24, 29)" if dark else "rgb(255, 255, 255)")
    assert driver.get_log("browser") == []


@needs_browser
def test_every_link_leads_somewhere_and_to_every_page(driver: Any, index: str, results: Path) -> None:
    from urllib.parse import unquote, urlparse

    seen, waiting = set(), [index]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        look(driver, page)
        links = driver.execute_script("return [...document.querySelectorAll('a[href]')].map(a => a.href)")
        assert links
        for link in dict.fromkeys(links):
            address, _, place = link.partition("#")
            path = Path(unquote(urlparse(address).path))
            assert path.is_file(), link
            if address == page and place:
                assert driver.execute_script("return !!document.getElementById(arguments[0])", place), link
            if address.endswith(".html") and address not in seen and address not in waiting:
                waiting.append(address)
        assert driver.get_log("browser") == []
    assert seen == {path.as_uri() for path in results.rglob("*.html")}


# --------------------------------------------------------------------------- mutants


def spoil(results: Path, folder: Path, name: str, old: str, new: str) -> str:
    """The address of a copy of a page with one text changed, beside the same pictures."""
    text = (results / name).read_text()
    assert old in text
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.replace(old, new, 1))
    (folder / "figures").symlink_to(results / "figures")
    return path.as_uri()


@needs_browser
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("const sorted =", "undefinedName();\nconst sorted =", "undefinedName is not defined"),
        ("const sorted =", "console.warn('careful');\nconst sorted =", "careful"),
        ('src="../figures/pair-bnn.svg"', 'src="../figures/none.svg"', "without words: ../figures/none.svg"),
        (' alt="', ' alt="" title="', "without words: ../figures/pair-bnn.svg"),
        ("<h2>Certificate</h2>", "<h4>Certificate</h4>", "h4 after h1"),
        (">Skip to the content<", "><", "a link without a name"),
        ('<main id="main"', '<main style="min-width: 3000px" id="main"', "wider than the window"),
    ],
)
def test_a_spoiled_page_is_rejected(driver: Any, results: Path, tmp_path: Path, old: str, new: str, words: str) -> None:
    look(driver, spoil(results, tmp_path, "methods/bnn.html", old, new))
    assert [w for w in wrong(driver) if words in w]


@needs_browser
def test_a_sort_that_does_nothing_is_rejected(driver: Any, results: Path, tmp_path: Path) -> None:
    look(driver, spoil(results, tmp_path, "index.html", "table.tBodies[0].append(...rows);", ""))
    assert [w for w in wrong_with_sorting(driver, 1) if w.startswith("not ")]


# --------------------------------------------------------------------------- without a browser


def test_without_a_browser_it_is_said_or_it_fails(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", __file__, "-p", "no:xdist", "-q"]
    command += ["-k", "test_a_sort_that_does_nothing_is_rejected"]
    runs = [
        subprocess.Popen(
            command,
            env={**environment, "PATH": str(tmp_path), "PROXPAIR_BROWSER": required},
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            text=True,
        )
        for required in ("", "required")
    ]
    said = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 2]
    assert said[0].count("NOT RUN: browser tests (no Chromium") == 1
    assert "the browser tests need Chromium, chromedriver" in said[1]
