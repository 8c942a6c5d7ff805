"""What a reader sees and does, in a real browser. The fixtures fail on any page error and any outside request."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from steelyard.records.plan import Plan

Opened = Callable[..., Page]
NAMES = ("met", "infeasible", "undecided", "unpriced", "single", "hostile")
INKED = """all => all.map((canvas) => {
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const colours = new Set();
  for (let at = 0; at < pixels.length; at += 4) if (pixels[at + 3]) colours.add(pixels.slice(at, at + 3).join());
  return colours.size;
})"""


def ids(page: Page) -> list[str]:
    found = page.locator("#table tbody tr:visible th code").all_text_contents()
    return [text.strip() for text in found]


def values(page: Page, key: str) -> list[float]:
    """What a column shows, in the order shown, without the candidates that have no figure."""
    orders: list[str] = page.locator(f"#table tbody td[data-key={key}]").evaluate_all(
        "all => all.map(c => c.dataset.order)"
    )
    return [float(order) for order in orders if order]


def settled(page: Page) -> None:
    """Wait until the page has told its listeners of a change of medium or colours, and has been laid out anew."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def pixels(page: Page, key: str, role: str) -> list[float]:
    """Where the first mark of a role stands on its canvas."""
    place: list[float] = page.evaluate(
        """([key, role]) => {
          const chart = Chart.getChart(key);
          const at = chart.data.datasets.findIndex((set) => set.data.some((one) => one.role === role));
          const { x, y } = chart.getDatasetMeta(at).data[0];
          return [x, y];
        }""",
        [key, role],
    )
    return place


@pytest.mark.parametrize("name", NAMES)
def test_every_chart_is_drawn(opened: Opened, name: str) -> None:
    page = opened(name)
    inked = page.locator("canvas").evaluate_all(INKED)
    assert len(inked) == 4
    assert all(colours > 5 for colours in inked)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_never_scrolls_sideways(opened: Opened, name: str) -> None:
    page = opened(name)
    for width in (1280, 1000, 700, 390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        edges = page.locator("canvas").evaluate_all("all => all.map((c) => c.getBoundingClientRect().right)")
        assert max(edges) <= width


def test_on_a_phone_every_figure_of_a_candidate_is_within_sight(opened: Opened) -> None:
    page = opened("met", 390)
    edges = page.locator("#table tbody td").evaluate_all("all => all.map((c) => c.getBoundingClientRect().right)")
    assert max(edges) <= 390
    label = page.locator("#table tbody td[data-key=p95]").first.evaluate("c => getComputedStyle(c, '::before').content")
    assert label == '"p95"'


def test_a_click_on_a_header_sorts_up_then_down(opened: Opened) -> None:
    page = opened("met")
    header = page.locator("th[data-key=p95]")
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    rising = values(page, "p95")
    assert rising == sorted(rising)
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert values(page, "p95") == rising[::-1]
    page.locator("th[data-key=id] button").click()
    assert header.get_attribute("aria-sort") is None
    assert ids(page) == sorted(ids(page))


def test_candidates_without_a_figure_stay_last_whichever_way_it_is_sorted(opened: Opened) -> None:
    page = opened("met")
    for _ in range(2):
        page.locator("th[data-key=outcome] button").click()
    without = {"original.torch.bf16.t2s1b1", "original.tflite.f32.t2s1b1"}
    assert set(ids(page)[:2]) == without
    for _ in range(2):
        page.locator("th[data-key=p95] button").click()
        assert set(ids(page)[-2:]) == without


def test_the_table_can_be_sorted_from_the_keyboard(opened: Opened) -> None:
    page = opened("met")
    page.locator("th[data-key=memory] button").focus()
    page.keyboard.press("Enter")
    assert values(page, "memory") == sorted(values(page, "memory"))


def test_the_filter_shows_one_outcome_and_all_again(opened: Opened) -> None:
    page = opened("met")
    everything = ids(page)
    page.locator(".filter button", has_text="fails").click()
    assert len(ids(page)) == 3
    assert page.locator("#table tbody tr:visible .chip").all_inner_texts() == ["fails"] * 3
    assert page.locator(".shown").inner_text() == "3 of 14 candidates: fails"
    assert page.locator(".filter button[aria-pressed=true]").inner_text().split() == ["fails", "3"]
    page.locator(".filter button", has_text="all").click()
    assert ids(page) == everything


def test_pointing_at_a_mark_shows_its_id_and_figures(opened: Opened, plan_of: Callable[[str], Plan]) -> None:
    page = opened("met")
    page.locator("#latency").scroll_into_view_if_needed()
    box = page.locator("#latency").bounding_box()
    assert box is not None
    x, y = pixels(page, "latency", "chosen")
    page.mouse.move(box["x"] + x, box["y"] + y)
    tooltip: dict[str, Any] = page.evaluate(
        """() => {
          const { opacity, title, body } = Chart.getChart("latency").tooltip;
          return { shown: opacity, title, body: body[0].lines };
        }"""
    )
    chosen = plan_of("met").chosen
    assert chosen is not None
    assert tooltip["shown"] == 1
    assert tooltip["title"] == [chosen.id]
    assert tooltip["body"] == [
        "chosen",
        "accuracy 85.5%, at least 84.9%",
        "0.0403 USD per million",
        "p95 9.34 ms",
        "661/s per replica",
    ]


def test_the_chosen_mark_differs_in_shape_from_all_others(opened: Opened) -> None:
    page = opened("met")
    shapes = page.evaluate(
        """Chart.getChart("cost").data.datasets.filter((set) => set.mark)
           .map((set) => [set.data[0].role, set.pointStyle[0], set.backgroundColor === set.mark.colour])"""
    )
    by_role = {role: (style, filled) for role, style, filled in shapes}
    assert len(set(by_role.values())) == len(by_role)
    assert set(by_role) == {"chosen", "front", "dominated", "fails", "undecided", "reference"}


def test_charts_follow_the_colour_scheme(opened: Opened) -> None:
    page = opened("met")
    colour = "Chart.getChart('cost').options.scales.x.ticks.color"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    settled(page)
    assert page.evaluate(colour) != light
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"


def test_for_print_the_charts_take_the_width_of_the_paper_and_light_colours(opened: Opened) -> None:
    page = opened("met", 390, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    settled(page)
    assert page.evaluate("Chart.getChart('cost').width") == 680
    assert page.evaluate("Chart.getChart('cost').options.scales.x.ticks.color") == "#59626d"
    inked = page.locator("canvas").evaluate_all(INKED)
    assert all(colours > 5 for colours in inked)
    page.emulate_media(media="screen", color_scheme="dark")
    settled(page)
    assert page.evaluate("Chart.getChart('cost').width") < 390


@pytest.mark.parametrize("name", ["met", "infeasible"])
def test_it_prints_on_a4_with_all_sections_and_redrawn_charts(opened: Opened, tmp_path: Path, name: str) -> None:
    page = opened(name)
    page.evaluate(
        """() => {
          window.printed = [];
          addEventListener("beforeprint", () => printed.push(Chart.getChart("cost").width));
        }"""
    )
    document = page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    assert document.startswith(b"%PDF")
    assert page.evaluate("printed") == [680]
    boxes = set(re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", document))
    assert {(round(float(w)), round(float(h))) for w, h in boxes} == {(595, 842)}
    assert 4 <= len(re.findall(rb"/Type /Page\b", document)) <= 8
    page.emulate_media(media="print")
    settled(page)
    for heading in ("The balance", "How it behaves", "All candidates", "What this rests on"):
        assert page.get_by_role("heading", name=heading).is_visible()
    assert page.locator(".filter").is_hidden()


def test_hostile_names_stay_inert(opened: Opened) -> None:
    page = opened("hostile")
    page.locator("th[data-key=id] button").click()
    page.locator(".filter button", has_text="front").click()
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 0
    assert "{{ 7*7 }}" in page.locator("h1").inner_text()
    assert "<img src=x" in page.locator("#table tbody tr:visible .reason").first.inner_text()


@pytest.mark.parametrize("name", NAMES)
def test_each_chart_is_an_image_with_a_text_alternative(opened: Opened, name: str) -> None:
    page = opened(name)
    images = page.get_by_role("img")
    assert images.count() == 4
    for image in images.all():
        assert len(image.get_attribute("aria-label") or "") > 60
