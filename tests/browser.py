"""A page as a real browser shows it: headless Chromium, by Debian's packages chromium and chromium-driver."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Shown:
    """What the browser made of a page."""

    title: str
    sections: list[str]
    """The headings of the second level, in their order."""
    images: int
    broken: list[str]
    """What stands for images that did not load."""
    unnamed: int
    """Images without words for those who cannot see them."""
    console: list[str]
    """Whatever the page logged, errors of its own and of the browser."""
    requests: list[str]
    """Addresses that were asked for, the page itself among them."""
    overflow: int
    """Pixels by which the page is wider than a phone's screen."""


@contextmanager
def browser(*flags: str) -> Iterator[Any]:
    """A driver; `flags` are passed to Chromium. Skips the test if Chromium or its driver is not installed."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    for name, program in programs.items():
        if program is None:
            pytest.skip(f"{name} is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900", *flags):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs["chromedriver"]))
    try:
        yield driver
    finally:
        driver.quit()


def show(driver: Any, page: Path) -> Shown:
    """Open a page from the disk, on a desk and on a phone."""
    for log in ("browser", "performance"):
        driver.get_log(log)
    driver.get(page.absolute().as_uri())
    images = driver.execute_script("return Array.from(document.images, i => [i.alt, i.complete && i.naturalWidth > 0])")
    sections = driver.execute_script("return Array.from(document.querySelectorAll('h2'), h => h.textContent)")
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    wide = driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return Shown(
        title=driver.title,
        sections=sections,
        images=len(images),
        broken=[alt for alt, loaded in images if not loaded],
        unnamed=sum(not alt for alt, _ in images),
        console=[entry["message"] for entry in driver.get_log("browser")],
        requests=[address for address in sent if not address.startswith("data:")],
        overflow=wide,
    )
