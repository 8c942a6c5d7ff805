"""The live page: what its parts tell, and what a person sees of it in a real browser."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from steelyard.protocol.reply import HttpFailure, Reply
from steelyard.serve.canary import Terms
from steelyard.serve.served import Promise
from steelyard.telemetry import live
from steelyard.telemetry.live import live_pages
from steelyard.telemetry.metrics import metrics_page
from watched import Made

ASSETS = Path(live.__file__).with_name("assets")
PATIENCE_S = 20
HOSTILE = "<script>alert(1)</script>\"'&"
INKED = """all => all.map((canvas) => {
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const colours = new Set();
  for (let at = 0; at < pixels.length; at += 4) if (pixels[at + 3]) colours.add(pixels.slice(at, at + 3).join());
  return colours.size;
})"""

Pages = Mapping[tuple[str, str], Callable[[Mapping[str, str]], Reply]]


@pytest.fixture
def made() -> Iterator[Made]:
    made = Made()
    yield made
    made.close()


def pages_of(made: Made) -> Pages:
    return {
        **live_pages(made.repository, made.history),
        ("GET", "/metrics"): metrics_page(made.repository, made.history),
    }


def text(made: Made, path: str = "/live") -> str:
    return pages_of(made)["GET", path]({}).body.decode()


def series(made: Made, since: str = "0") -> dict[str, Any]:
    told = msgspec.json.decode(pages_of(made)["GET", "/live/series"]({"since": since}).body)
    assert isinstance(told, dict)
    return told


def tiles(page: str) -> dict[str, str]:
    """Figure and note by label, without the markup."""
    found = {}
    for tile in re.findall(r'<li class="tile.*?</li>', page, re.DOTALL):
        words = [" ".join(part.split()) for part in re.sub(r"<[^>]*>", "\x00", tile).split("\x00")]
        label, *rest = [word for word in words if word]
        found[label] = " ".join(rest)
    return found


def test_figures_tell_of_now(made: Made) -> None:
    for _ in range(10):
        made.batch(0, [0.01] * 18)
        made.batch(2, [0.06] * 2)
        made.second()
    told = tiles(text(made))
    assert told["Answered"] == "20.0 /s over 10 s"
    assert told["p50"] == "10.0 ms bound 50.0 ms"
    assert told["p95"] == "60.0 ms ✕ broken bound 50.0 ms"
    assert told["Late or lost"] == "10 % ✕ broken allowed 5%"
    assert told["Quality"] == "0.904 best 0.910, over a minute"
    assert told["Cost per thousand"] == "3.70 over a minute"
    assert told["Waiting"] == "0 2 served side by side"


def test_without_requests_or_promises_nothing_is_made_up(made: Made) -> None:
    told = tiles(text(made))
    assert told["p95"] == "– bound 50.0 ms"
    assert told["Late or lost"] == "– allowed 5%"
    assert told["Quality"].startswith("– ")
    assert "No batch was served yet." in text(made)
    unpromised = Made(promise=Promise(float("inf"), lower_is_better=True), priced=False)
    unpromised.batch(0, [0.01])
    unpromised.second()
    told = tiles(text(unpromised))
    assert told["p95"] == "10.0 ms"
    assert told["Cost per thousand"] == "– over a minute"
    assert told["Quality"] == "0.910 best 0.850, over a minute"
    unpromised.close()


def test_costs_are_told_in_the_currency_of_the_plan() -> None:
    made = Made(promise=Promise(0.05, 95, currency="EUR"))
    made.batch(0, [0.01])
    made.second()
    assert tiles(text(made))["Cost per thousand"] == "4.00 EUR, over a minute"
    made.close()


def test_every_choice_is_told_with_its_reason(made: Made) -> None:
    made.batch(2, [0.01] * 3, f"9 wait: {HOSTILE}")
    made.batch(0, [0.01], "")
    for path in ("/live", "/live/now"):
        page = text(made, path)
        assert HOSTILE not in page
        assert "9 wait: &lt;script&gt;" in page
        assert "there was nothing to choose" in page
        assert re.search(r"<code>distilled</code> <small>1 batch of 3</small>", page)


def test_a_model_that_is_not_ready_is_told(made: Made) -> None:
    assert "Ready" in text(made)
    made.missing = 1
    assert "1 of 1 models not ready" in text(made)
    assert "unavailable: a process is missing" in text(made)
    made.repository.unload("digits")
    assert "it was unloaded" in text(made, "/live/now")
    assert "Nothing is loaded." in text(made)
    assert series(made)["models"][0]["bound"] is None


def test_a_canary_is_told_while_it_runs_and_when_it_is_over() -> None:
    made = Made(canary=Terms(share=0.25, for_s=3600))
    assert "Canary" not in text(made)
    made.repository.load("digits")
    canary = made.canary()
    made.history.look()
    made.batch(0, [0.01] * 3)
    made.batch(2, [0.02], "few wait", of=canary.model)
    canary.look()
    made.second()
    for path in ("/live", "/live/now"):
        page = text(made, path)
        assert "version 2 gets 25% of the requests beside version 1: 1 so far, 0 s of 3600 s" in page
        assert '<span class="state">undecided</span> 0 of 1 requests got no answer, of the other version' in page
        assert "<code>distilled</code> of version 2 <small>" in page
        assert "<code>original</code> of version 1 <small>" in page
    told = tiles(text(made))
    assert told["Answered"] == "4.00 /s over 10 s"
    assert told["Waiting"] == "0 4 served side by side"
    slot = made.repository.slot("digits")
    slot.settle(canary, canary.ended("rolled_back", "failures", f"it failed: {HOSTILE}"))
    page = text(made)
    assert "version 2 was rolled back now: it failed: &lt;script&gt;" in page
    assert HOSTILE not in page
    assert "gets 25%" not in page
    assert "version 1" in page
    made.close()


def test_series_tell_what_is_new_since_a_moment(made: Made) -> None:
    made.busy(20)
    whole = series(made)
    [model] = whole["models"]
    assert model["variants"] == ["original", "int8-nncf", "distilled"]
    assert (model["bound"], model["best"]) == (50.0, 0.91)
    at = model["columns"]["at"]
    assert len(at) == 20
    later = series(made, repr(at[16]))
    assert later["run"] == whole["run"]
    new = later["models"][0]["columns"]
    assert new["at"] == at[17:]
    assert new["share"] == [row[17:] for row in model["columns"]["share"]]
    assert all(sum(shares) == pytest.approx(100) for shares in zip(*model["columns"]["share"], strict=True))


@pytest.mark.parametrize("since", ["", "x", "nan", "inf", "1e999"])
def test_a_moment_that_is_none_is_refused(made: Made, since: str) -> None:
    with pytest.raises(HttpFailure, match="'since' is not a number"):
        series(made, since)


def test_pages_may_load_nothing_but_their_own_files(made: Made) -> None:
    for (_, path), page in pages_of(made).items():
        if not path.startswith("/live"):
            continue
        headers = dict(page({}).headers)
        policy = headers[b"content-security-policy"].decode()
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';"), path
        assert "unsafe" not in policy
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert (b"no-store" in headers[b"cache-control"]) != path.startswith("/live/assets/")
    whole = text(made)
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script>", whole)
    assert not re.search(r"(?:src|href)=\"(?!live/assets/|metrics|data:,)", whole)
    named = re.findall(r"\"live/assets/([\w.]+)\?", whole)
    assert sorted(named) == sorted(live.ASSETS)


def test_files_of_others_are_those_told_with_their_licences() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|.*`(\w+\.LICENSE)` \| `([0-9a-f]{64})` \|$", (ASSETS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)  # fmt: skip  # noqa: E501
    assert {name for name, _, _ in rows} == {"htmx.min.js", "uPlot.iife.min.js", "uPlot.min.css"}
    for name, licence, digest in rows:
        assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() == digest
        assert "permission" in (ASSETS / licence).read_text(encoding="utf-8").lower()


# --- in a browser ---------------------------------------------------------------------------------------------------


class Site:
    """A server of pages that may be told to fail."""

    def __init__(self, pages: Pages) -> None:
        site = self
        self.status: int | None = None

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                page = pages.get(("GET", parts.path))
                answer = page(dict(parse_qsl(parts.query))) if page else Reply(404, (), b"")
                status = site.status or answer.status
                self.send_response(status)
                for name, value in answer.headers:
                    self.send_header(name.decode(), value.decode())
                if not answer.headers:
                    self.send_header("content-length", "0")
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def site(made: Made) -> Iterator[Site]:
    made.busy(90)
    site = Site(pages_of(made))
    yield site
    site.close()


@pytest.fixture
def context(browser: Browser, site: Site) -> Iterator[BrowserContext]:
    """A fresh profile; an error on the page or a request to anybody else fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    faults: list[str] = []
    requests: list[str] = []
    context.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    context.on("weberror", lambda error: faults.append(str(error.error)))
    context.on("request", lambda request: requests.append(request.url))
    yield context
    context.close()
    if site.status is None:
        assert faults == []
    assert [url for url in requests if not url.startswith((site.url, "data:"))] == []


def opened(context: BrowserContext, site: Site, width: int = 1280, scheme: str = "light") -> Page:
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(f"{site.url}/live")
    expect(page.locator("canvas")).to_have_count(6)
    return page


def until(page: Page, script: str) -> None:
    """Wait for it to be true. (Playwright's own way evaluates text on the page, which the page forbids.)"""
    deadline = time.monotonic() + PATIENCE_S
    while not page.evaluate(script):
        assert time.monotonic() < deadline, script
        page.wait_for_timeout(20)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_all_charts_are_drawn_and_nothing_scrolls_sideways(
    context: BrowserContext, site: Site, width: int, scheme: str
) -> None:
    page = opened(context, site, width, scheme)
    until(page, f"() => ({INKED})([...document.querySelectorAll('canvas')]).every((colours) => colours > 5)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    edges = page.locator("canvas, .tile, .decisions li").evaluate_all(
        "all => all.map((c) => c.getBoundingClientRect())"
    )
    assert max(edge["right"] for edge in edges) <= width
    columns = len({edge["left"] for edge in page.locator(".plot").evaluate_all("all => all.map((c) => c.getBoundingClientRect())")})  # fmt: skip  # noqa: E501
    assert columns == (1 if width == 390 else 2)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(21, 24, 28)" if scheme == "dark" else "rgb(251, 251, 249)")


def test_figures_choices_and_charts_follow_without_a_reload(context: BrowserContext, site: Site, made: Made) -> None:
    page = opened(context, site)
    expect(page.locator("#pulse")).to_have_text("● Ready")
    expect(page.locator(".plot[data-chart=share] .u-legend")).to_contain_text("int8-nncf")
    page.evaluate("window.stayed = true")
    for _ in range(10):
        made.batch(2, [0.3] * 7, "the queue is long")
        made.second()
    made.missing = 1
    expect(page.locator(".tile", has_text="p95")).to_contain_text("broken")
    expect(page.locator(".decisions")).to_contain_text("the queue is long")
    expect(page.locator("#pulse")).to_contain_text("1 of 1 models not ready")
    last = page.locator(".plot[data-chart=share] .u-legend tr", has_text="distilled").locator("td")
    expect(last).to_have_text("100%")
    assert page.evaluate("known.get('digits').columns.at.length") == 100
    assert page.evaluate("window.stayed")


def test_a_new_run_of_the_server_begins_the_charts_anew(context: BrowserContext, site: Site, made: Made) -> None:
    page = opened(context, site)
    until(page, "known.get('digits')?.columns.at.length === 90")
    made.history.began += 5000
    made.now += 1.0
    made.history.look()
    until(page, "known.get('digits')?.columns.at.length === 91")
    expect(page.locator("canvas")).to_have_count(6)


def test_charts_fit_when_the_window_changes_and_take_other_colours(context: BrowserContext, site: Site) -> None:
    page = opened(context, site)
    page.set_viewport_size({"width": 390, "height": 900})
    until(page, "[...document.querySelectorAll('.uplot')].every((one) => one.getBoundingClientRect().right <= 390)")
    page.emulate_media(color_scheme="dark")
    until(page, "() => known.get('digits').charts[0].plot.series[1].stroke() === '#69b3ee'")
    expect(page.locator("canvas")).to_have_count(6)


def test_axes_tell_values_apart_that_differ_little(context: BrowserContext, site: Site) -> None:
    page = opened(context, site)
    assert page.evaluate("toldApart([0.8985, 0.899, 0.8995, 0.9])") == ["0.8985", "0.899", "0.8995", "0.9"]
    assert page.evaluate("toldApart([0, 500, 1000])") == ["0", "500", "1,000"]
    assert page.evaluate("toldApart([1, 1])") == ["1", "1"]


def test_a_server_that_fails_is_told_and_the_old_figures_stay(context: BrowserContext, site: Site) -> None:
    page = opened(context, site)
    figures = page.locator(".tile .value").all_text_contents()
    site.status = 500
    expect(page.locator("#lost")).to_be_visible()
    assert page.locator(".tile .value").all_text_contents() == figures
    site.status = 200
    expect(page.locator("#lost")).to_be_hidden()


def test_without_scripts_the_figures_are_there(browser: Browser, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.url}/live")
    expect(page.locator(".tile")).to_have_count(8)
    expect(page.locator("noscript")).to_be_visible()
    context.close()
