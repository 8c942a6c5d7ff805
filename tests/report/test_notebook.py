from __future__ import annotations

from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser

from playwright.sync_api import BrowserContext

from steelyard.records.plan import Plan
from steelyard.report.notebook import fragment
from steelyard.report.page import render


class Frame(HTMLParser):
    """The attributes of the frame, and the elements outside of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.attributes: dict[str, str | None] = {}
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "iframe":
            self.attributes = dict(attrs)


def test_the_frame_holds_the_page_and_may_only_run_scripts(plan_of: Callable[[str], Plan]) -> None:
    frame = Frame(fragment(plan_of("met")))
    assert frame.attributes["srcdoc"] == render(plan_of("met"))
    assert frame.attributes["sandbox"] == "allow-scripts"
    assert frame.attributes["height"] == "720"


def test_the_plain_table_tells_every_candidate_where_frames_are_stripped(plan_of: Callable[[str], Plan]) -> None:
    plan = plan_of("met")
    html = fragment(plan)
    plain = unescape(html[html.index("</iframe>") :])
    assert plain.count("<tr>") == len(plan.candidates) + 1
    for entry in plan.candidates:
        assert entry.id in plain
        assert entry.reason in plain


def test_names_that_look_like_markup_do_not_leave_the_frame(plan_of: Callable[[str], Plan]) -> None:
    tags = Frame(fragment(plan_of("hostile"))).tags
    assert {"img", "script"} & set(tags) == set()
    assert tags.count("iframe") == 1


def test_the_charts_are_drawn_inside_the_frame(context: BrowserContext, plan_of: Callable[[str], Plan]) -> None:
    page = context.new_page()
    page.set_content(fragment(plan_of("met")))
    frame = page.frame_locator("iframe")
    frame.locator("#table").wait_for()
    drawn = frame.locator("canvas").evaluate_all("all => all.map((one) => Boolean(Chart.getChart(one)))")
    assert drawn == [True] * 4
