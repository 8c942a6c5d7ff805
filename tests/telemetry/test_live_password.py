"""The live page of a server that wants a token: a browser asks for it as a password, and no other page gains by it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, expect

from serving_here import serving_here
from steelyard.protocol.guards import Guards
from steelyard.protocol.http import Http
from steelyard.telemetry.live import live_pages
from watched import Made

TOKEN = "a-token-of-some-length"
HOSTILE = """<form method="post" action="{target}" enctype="text/plain"><input name="{{&quot;a" value="&quot;:1}}">
</form><p>{done}</p><script>
const ask = () => fetch("{target}", {{method: "POST", mode: "no-cors", credentials: "include", body: "{{}}"}});
if (location.hash === "#form") document.forms[0].submit();
else ask().catch(() => null).then(() => document.body.append("asked"));
</script>"""


@pytest.fixture
def made() -> Iterator[Made]:
    made = Made()
    made.busy(30)
    yield made
    made.close()


@pytest.fixture
def url(made: Made) -> Iterator[str]:
    pages = live_pages(made.repository, made.history)
    with serving_here(Http(made.repository, Guards(token=TOKEN), pages)) as port:
        yield f"http://127.0.0.1:{port}"


def logged_in(browser: Browser, password: str = TOKEN) -> BrowserContext:
    """Answers when the browser asks for a name and password, not before."""
    return browser.new_context(http_credentials={"username": "me", "password": password})


def test_the_page_and_what_it_polls_are_there_once_the_token_is_given(browser: Browser, url: str, made: Made) -> None:
    context = logged_in(browser)
    page = context.new_page()
    page.goto(f"{url}/live")
    expect(page.locator("canvas")).to_have_count(6)
    made.batch(2, [0.3] * 7, "the queue is long")
    made.second()
    expect(page.locator(".decisions")).to_contain_text("the queue is long")
    expect(page.locator("#lost")).to_be_hidden()
    context.close()


def test_without_the_token_nothing_is_shown(browser: Browser, url: str) -> None:
    asked, wrong = browser.new_context(), logged_in(browser, "another-token-of-some-length")
    with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):  # it asked, and nobody answered
        asked.new_page().goto(f"{url}/live")
    answer = wrong.new_page().goto(f"{url}/live")
    assert answer is not None
    assert (answer.status, "digits" in answer.text()) == (401, False)
    asked.close()
    wrong.close()


@pytest.fixture
def elsewhere(url: str) -> Iterator[str]:
    """The page of somebody else, which would like to unload the model."""
    text = HOSTILE.format(target=f"{url}/v2/repository/models/digits/unload", done="here").encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_pages_of_others_cannot_use_the_password_that_the_browser_knows(
    browser: Browser, url: str, elsewhere: str, made: Made
) -> None:
    context = logged_in(browser)
    page = context.new_page()
    page.goto(f"{url}/live")
    expect(page.locator("canvas")).to_have_count(6)
    answered: list[tuple[str, int, str]] = []
    context.on("response", lambda told: answered.append((told.request.method, told.status, told.url)))
    page.goto(f"{elsewhere}/")
    expect(page.locator("body")).to_contain_text("asked")
    page.goto(f"{elsewhere}/#form")
    page.goto("about:blank")
    page.goto(f"{elsewhere}/#form")
    page.wait_for_url(f"{url}/**")
    posts = [(status, where) for method, status, where in answered if method == "POST"]
    assert {status for status, _ in posts} == {403}
    assert len(posts) >= 2
    assert made.repository.slot("digits").ready
    context.close()
