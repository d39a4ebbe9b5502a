"""Chromium without a screen, and what axe-core says of a page in it; `make browser` installs what it takes."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

AXE = Path(__file__).parents[2] / "build" / "node_modules" / "axe-core" / "axe.min.js"
WITHIN_S = 150.0
LOOKS = pytest.mark.parametrize(
    ("name", "width", "scheme"), [("light", 1200, "light"), ("dark", 1200, "dark"), ("phone", 360, "dark")]
)


@contextmanager
def chromium_at(address: str) -> Iterator[Any]:
    """Headless Chromium at a page, 1200 pixels wide."""
    try:
        from selenium import webdriver  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        pytest.fail("needs selenium: make browser")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs or not AXE.exists():
        pytest.fail(f"needs chromium, chromedriver (apt install chromium chromium-driver) and {AXE}: make browser")
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs[0])
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--lang=en-GB"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(programs[1])))
    try:
        driver.set_script_timeout(WITHIN_S)
        resize(driver, 1200, 1000)
        driver.get(address)
        yield driver
    finally:
        driver.quit()


def resize(browser: Any, width: int, height: int, scheme: str = "light") -> None:
    """The window's size in CSS pixels, and whether its owner prefers it light or dark."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def text(browser: Any, selector: str) -> str:
    """All the text of an element."""
    return str(browser.execute_script("return document.querySelector(arguments[0]).textContent", selector))


def wait_for(browser: Any, selector: str, what: str) -> str:
    """The text of an element once `what` stands in it."""
    deadline = time.monotonic() + WITHIN_S
    while what not in (found := text(browser, selector)):
        assert time.monotonic() < deadline, f"{selector} says {found!r}, and never {what!r}"
        time.sleep(0.1)
    return found


def keep(browser: Any, name: str) -> None:
    """A picture for whoever asked for one with TIDEGATE_SCREENSHOTS=DIRECTORY."""
    if "TIDEGATE_SCREENSHOTS" in os.environ:
        browser.save_screenshot(str(Path(os.environ["TIDEGATE_SCREENSHOTS"]) / f"{name}.png"))


def judged_by_axe(browser: Any) -> tuple[list[object], int]:
    """What axe-core finds serious or critical, with the elements, and how many of its rules are kept."""
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    found = browser.execute_async_script("axe.run().then(arguments[0])")
    serious: list[object] = [
        (each["id"], [node["target"] for node in each["nodes"]])
        for each in found["violations"]
        if each["impact"] in {"serious", "critical"}
    ]
    return serious, len(found["passes"])


def sticks_out_px(browser: Any) -> int:
    """By how much the page is wider than its window."""
    return int(browser.execute_script("return document.documentElement.scrollWidth - innerWidth"))


def loaded_from(browser: Any) -> list[str]:
    """Addresses of all that the page has loaded."""
    return list(browser.execute_script("return performance.getEntriesByType('resource').map(each => each.name)"))
