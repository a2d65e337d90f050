"""A headless Chromium, and what a person does with a page."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By

WIDTH, HEIGHT = 1280, 900
_STARTING_S = 60.0


def chromium(downloads: Path) -> webdriver.Chrome:
    """A browser that reaches this machine alone; skips the test where there is none."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        f"--window-size={WIDTH},{HEIGHT}",
        # A page that asks the internet for anything fails loudly.
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ):
        options.add_argument(argument)
    options.add_experimental_option(
        "prefs",
        {
            "download.default_directory": str(downloads),
            "profile.default_content_setting_values.automatic_downloads": 1,
        },
    )
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    browser.set_page_load_timeout(_STARTING_S)
    return browser


class Page:
    """A page of the dashboard in a browser."""

    def __init__(self, browser: webdriver.Chrome, address: str) -> None:
        self.browser = browser
        self.address = address
        self.width = WIDTH

    def open(self, path: str, heading: str) -> None:
        """Go there by its address, and wait for the heading."""
        self.browser.get(f"{self.address}{path}")
        self.wait(lambda: heading in self.headings(), f"{path} has the heading {heading!r}")

    def headings(self) -> list[str]:
        found = self.script("return [...document.querySelectorAll('h1,h2,h3')].map(e => e.innerText.trim())")
        return list(found)

    def text(self) -> str:
        """All that is written on it."""
        return str(self.script("return document.body.innerText"))

    def metrics(self) -> dict[str, str]:
        """Label -> value of the tiles."""
        return dict(
            self.script(
                "const text = (tile, part) =>"
                " tile.querySelector(`[data-testid=stMetric${part}]`).innerText.trim();"
                " return [...document.querySelectorAll('[data-testid=stMetric]')]"
                ".map(tile => [text(tile, 'Label'), text(tile, 'Value')])"
            )
        )

    def script(self, code: str, *arguments: Any) -> Any:
        return self.browser.execute_script(code, *arguments)

    def upload(self, *files: Path) -> None:
        """Give the first uploader a file, as its dialog would."""
        self.wait(lambda: self.find("input[type=file]"), "there is an uploader")
        for file in files:
            self.find("input[type=file]")[0].send_keys(str(file))

    def find(self, selector: str) -> list[Any]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def click(self, label: str) -> None:
        """Press the button with this label."""
        path = f"//button[contains(., '{label}')]"
        self.wait(lambda: self.browser.find_elements(By.XPATH, path), f"there is a button {label!r}")
        element = self.browser.find_elements(By.XPATH, path)[0]
        self.script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def wait(self, condition: Callable[[], Any], what: str, deadline_s: float = 60.0) -> None:
        """Until `condition` holds; elements that are drawn anew meanwhile are looked up again."""
        until = time.monotonic() + deadline_s
        while True:
            try:
                if condition():
                    return
            except (StaleElementReferenceException, WebDriverException):
                if time.monotonic() > until:
                    raise
            if time.monotonic() > until:
                raise AssertionError(f"not within {deadline_s} s: {what}\n{self.text()[:2_000]}")
            # Asks the browser for its next picture, which takes a moment and no longer.
            self.browser.execute_async_script("setTimeout(arguments[0], 100)")

    def scheme(self, name: str) -> None:
        """`light` or `dark`, as the system of a person would say."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def settle(self) -> None:
        """Until every part is loaded and every chart is drawn."""
        self.wait(
            lambda: self.script(
                "const all = selector => [...document.querySelectorAll(selector)];"
                " return !all('[data-testid=stSkeleton], [data-testid=stSpinner]').length"
                " && all('[data-testid=stVegaLiteChart]').every(chart => chart.querySelector('canvas, svg'))"
            ),
            "the page is drawn",
        )

    def picture(self, path: Path) -> None:
        """All of the page, from top to bottom."""
        height = self.script("return document.querySelector('[data-testid=stMain]').scrollHeight")
        self._size(max(height, HEIGHT))
        self.settle()
        self.browser.save_screenshot(str(path))
        self._size(HEIGHT)

    def resize(self, width: int) -> None:
        """Give the window another width, in pixels."""
        self.width = width
        self._size(HEIGHT)

    def overflow(self) -> int:
        """Pixels that it is wider than its window."""
        return int(
            self.script(
                "const main = document.querySelector('[data-testid=stMain]');"
                " return Math.max(main.scrollWidth - main.clientWidth,"
                " document.documentElement.scrollWidth - window.innerWidth)"
            )
        )

    def complaints(self) -> list[str]:
        """What the browser's console holds of errors since the last call."""
        log: list[dict[str, str]] = self.browser.get_log("browser")  # type: ignore[no-untyped-call]
        return [line["message"] for line in log if line["level"] == "SEVERE"]

    def _size(self, height: int) -> None:
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": self.width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
