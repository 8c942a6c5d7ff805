"""Sample plans, and pages of a real browser that look at their reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from steelyard.records.plan import Plan
from steelyard.report.page import write


@pytest.fixture(scope="session")
def plan_of() -> Callable[[str], Plan]:
    """A sample plan by its name: met, infeasible, undecided, unpriced, single, hostile."""
    samples = import_module("sample_plans")

    def make(name: str) -> Plan:
        plan = getattr(samples, f"{name}_plan")()
        assert isinstance(plan, Plan)
        return plan

    return make


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile; an error on the page or a request to anything but the file itself fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 844})
    faults: list[str] = []
    requests: list[str] = []
    context.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    context.on("weberror", lambda error: faults.append(str(error.error)))
    context.on("request", lambda request: requests.append(request.url))
    yield context
    context.close()
    assert faults == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "about:"))] == []
    assert len([url for url in requests if url.startswith("file:")]) <= 1


@pytest.fixture
def opened(context: BrowserContext, plan_of: Callable[[str], Plan], tmp_path: Path) -> Callable[..., Page]:
    """Open the report of a sample plan; `width` in CSS pixels, `scheme` light or dark."""

    def open_report(name: str, width: int = 1280, scheme: str = "light") -> Page:
        file = tmp_path / "report.html"
        write(plan_of(name), file)
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.goto(file.as_uri())
        return page

    return open_report
