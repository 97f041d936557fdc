"""Pages in a real browser, looked through by axe-core (it comes with selenium-axe-python), and for cut tables."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import pytest
from django.conf import settings
from selenium import webdriver

from tests.pages import Browser

CHROMIUM: Final = shutil.which("chromium")
DRIVER: Final = shutil.which("chromedriver")

_SCRIPT: Final = (files("selenium_axe_python") / "axe-core" / "axe.min.js").read_text()
_TAGS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_RUN: Final = """
const [tags, without, done] = arguments;
const rules = Object.fromEntries(without.map(name => [name, {enabled: false}]));
axe.run(document, {runOnly: {type: "tag", values: tags}, rules, resultTypes: ["violations"]}).then(
  found => done(found.violations.map(each => [each.id, each.nodes.map(node => node.target.join(" "))])),
  error => done([["axe", [String(error)]]]),
);
"""
_WIDER: Final = """
const wide = [document.documentElement, ...document.querySelectorAll(".table-wrap")];
return wide.filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.textContent.trim().slice(0, 60));
"""
"""What has to be scrolled sideways: the page, or one of the portal's tables."""
SHAPES: Final = [
    ("light", "en", 1280),
    pytest.param("dark", "vi", 1280, marks=pytest.mark.looks),
    pytest.param("light", "vi", 390, marks=pytest.mark.looks),
    pytest.param("dark", "en", 390, marks=pytest.mark.looks),
]
"""Theme, language and width that pages are looked at in; the suite does the first."""


@contextlib.contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    browser.set_script_timeout(20)
    try:
        yield browser
    finally:
        browser.quit()


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody with a browser of this width, theme and language."""

    chromium: webdriver.Chrome
    origin: str
    without: tuple[str, ...] = ()
    """Rules that are not asked."""

    def sign_in(self, visitor: Browser, *, theme: str, language: str, width: int) -> None:
        """As the one who is signed in there."""
        features = [
            {"name": "prefers-color-scheme", "value": theme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        metrics = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
        self.chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.chromium.get(f"{self.origin}/static/mark.svg")
        self.chromium.delete_all_cookies()
        cookies = {settings.SESSION_COOKIE_NAME: "", settings.LANGUAGE_COOKIE_NAME: language}
        cookies |= {name: morsel.value for name, morsel in visitor.cookies.items()}
        for name, value in cookies.items():
            if value:
                self.chromium.add_cookie({"name": name, "value": value, "path": "/"})

    def faults(self, paths: Iterable[str]) -> dict[str, dict[str, list[str]]]:
        """By page, the rules that it breaks and where; pages without a fault are left out."""
        found = {path: self._faults_of(path) for path in paths}
        return {path: faults for path, faults in found.items() if faults}

    def _faults_of(self, path: str) -> dict[str, list[str]]:
        self.chromium.get(self.origin + path)
        assert self.chromium.current_url == self.origin + path, f"{path} leads to {self.chromium.current_url}"
        wider = self.chromium.execute_script(_WIDER)
        self.chromium.execute_script(_SCRIPT)
        told: Any = self.chromium.execute_async_script(_RUN, list(_TAGS), list(self.without))
        return dict(told) | ({"wider": wider} if wider else {})
