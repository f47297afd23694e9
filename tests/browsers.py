"""Headless Chromium with its driver, both as installed on this machine, and what it finds wrong with a page.

Nothing is fetched: the paths of browser and driver are given, so selenium looks for no other.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = [
    name
    for name, found in (("Chromium", BROWSER), ("chromedriver", DRIVER), ("selenium", find_spec("selenium")))
    if not found
]
REQUIRED = os.environ.get("PROXPAIR_BROWSER") == "required"
NOT_RUN = f"NOT RUN: browser tests (no {', no '.join(MISSING)}; make test-browser installs it)"

NAMED = {"button", "link", "searchbox", "textbox", "checkbox", "combobox", "image", "img", "DisclosureTriangle"}
"""The roles of what needs a name that a screen reader can say."""

LOADED = """
const done = arguments[0];
const pictures = [...document.images];
for (const picture of pictures) picture.loading = 'eager';
Promise.all(pictures.map(p => p.complete ? 0 : new Promise(r => p.onload = p.onerror = r))).then(() =>
  done(pictures.filter(p => !p.naturalWidth || !p.alt.trim()).map(p => p.getAttribute('src'))));
"""
HEADINGS = """
return [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(h => Number(h.tagName[1]));
"""


@contextmanager
def started() -> Iterator[Any]:
    """A driver of headless Chromium that logs what the console says."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER or "chromium"
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions"):
        options.add_argument(flag)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")  # no network
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER or "chromedriver"))
    try:
        driver.set_script_timeout(20)
        yield driver
    finally:
        driver.quit()


def look(driver: Any, address: str, width: int = 1280, dark: bool = False) -> None:
    """Open a page anew at a width, in a colour scheme, without motion."""
    resize(driver, width, dark)
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get(address)


def resize(driver: Any, width: int, dark: bool) -> None:
    """Another width and colour scheme for the page that is open."""
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    features = [
        {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def click(driver: Any, what: Any) -> None:
    """Click on the middle of an element, where nothing lies over it, and let the page answer."""
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", what)
    what.click()
    settle(driver)


def settle(driver: Any) -> None:
    """Wait until what the page does after an event is done."""
    driver.execute_async_script("setTimeout(arguments[0], 20)")


def too_wide(driver: Any) -> bool:
    """Whether the page scrolls sideways."""
    return bool(driver.execute_script("return document.documentElement.scrollWidth > innerWidth"))


def wrong(driver: Any) -> list[str]:
    """What is wrong with the page that is open: its console, pictures, names, headings and width."""
    found = [f"a picture that is broken or without words: {name}" for name in driver.execute_async_script(LOADED)]
    tree = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    for node in tree:
        role = node.get("role", {}).get("value")
        if not node.get("ignored") and role in NAMED and not str(node.get("name", {}).get("value", "")).strip():
            found.append(f"a {role} without a name")
    levels = driver.execute_script(HEADINGS)
    found += [f"a heading h{b} after h{a}" for a, b in pairwise(levels) if b > a + 1]
    if too_wide(driver):
        found.append("the page is wider than the window")
    found += [f"the console says: {entry['level']} {entry['message']}" for entry in driver.get_log("browser")]
    return found


__all__ = [
    "BROWSER",
    "DRIVER",
    "MISSING",
    "NOT_RUN",
    "REQUIRED",
    "click",
    "look",
    "resize",
    "settle",
    "started",
    "too_wide",
    "wrong",
]
