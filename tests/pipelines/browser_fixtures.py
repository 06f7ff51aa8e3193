"""A browser for tests of pages; a test module takes it with `pytest_plugins = ["tests.pipelines.browser_fixtures"]`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium; tests skip where it or playwright is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pages are tested with the package playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("pages are tested in Chromium, which is not installed")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()
