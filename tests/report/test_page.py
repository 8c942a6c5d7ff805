from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from steelyard.errors import InputError
from steelyard.records.plan import Gain, Plan
from steelyard.report.page import render, write

swap = msgspec.structs.replace
Plans = Callable[[str], Plan]
NAMES = ("met", "infeasible", "undecided", "unpriced", "single", "hostile")


class Outline(HTMLParser):
    """Collects headings, elements and visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._hidden += tag in ("script", "style")
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text = f"{self.text} {data}"

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", self.text)


@pytest.mark.parametrize("name", NAMES)
def test_headings_are_in_order(plan_of: Plans, name: str) -> None:
    levels = Outline(render(plan_of(name))).levels
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_referred_to_outside_of_the_page(plan_of: Plans, name: str) -> None:
    outline = Outline(render(plan_of(name)))
    for tag, attributes in outline.elements:
        for key in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(key) or "data:").startswith("data:"), (tag, attributes)
    policy = [a["content"] for t, a in outline.elements if t == "meta" and "http-equiv" in a]
    assert policy[0] is not None
    assert policy[0].startswith(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    )
    assert "sourceMappingURL" not in render(plan_of(name))


def test_the_head_tells_the_decision_and_its_figures(plan_of: Plans) -> None:
    plan = plan_of("met")
    words = Outline(render(plan)).words
    assert plan.summary in words
    for told in ("Requirements met", "4.52×", "85.5%", "at least 84.9% with 95% confidence", "84.6% required"):
        assert told in words
    for told in ("0.0403 USD", "Cost per month", "140 USD", "24.4% of it idle (34.19 USD)", "at the required rate"):
        assert told in words
    for told in ("Energy per million requests", "estimated from processor time: 40.0 W at capacity, 11.5 W when idle"):
        assert told in words
    for told in ("9.34 ms", "20 ms required", "661 requests/s", "512 MB allowed"):
        assert told in words


def test_without_price_or_rate_cost_counts_in_machine_hours(plan_of: Plans) -> None:
    words = Outline(render(plan_of("unpriced"))).words
    assert "0.42 machine-hours" in words
    assert "Replicas" not in words
    assert "per month" not in words


def test_what_binds_and_what_would_help_is_told_when_nothing_fits(plan_of: Plans) -> None:
    plan = plan_of("infeasible")
    words = Outline(render(plan)).words
    assert "No candidate meets the requirements" in words
    assert f"Nearest candidate {plan.nearest}" in words
    assert "The nearest candidate breaks --p95 1.5ms" in words
    assert "--max-drop 1% → --max-drop 3.6%" in words
    assert f"would run {plan.relaxations[0].candidate}" in words
    assert "broken 1.5 ms required" in words


def test_undecided_tells_how_many_items_would_settle_it(plan_of: Plans) -> None:
    words = Outline(render(plan_of("undecided"))).words
    assert "The nearest candidate leaves undecided --max-drop 1%" in words
    assert "500 items do not settle it; about 1,900 would" in words


def test_the_proof_holds_hashes_machine_price_and_how_to_reproduce(plan_of: Plans) -> None:
    plan = plan_of("met")
    outline = Outline(render(plan))
    titles = {attributes.get("title") for _, attributes in outline.elements}
    assert {plan.subject.model_sha256, plan.subject.data_sha256, plan.machine.fingerprint} <= titles
    assert set(plan.artefacts["int8-nncf"].values()) <= titles
    for told in (*plan.subject.told, *plan.warnings, plan.machine.cpu, plan.price.source, "steelyard check ."):
        assert told in outline.words
    assert "41 made, 6 resumed" in outline.words
    assert "Steelyard 0.1.0, 24 November 2026, 13:40 UTC" in outline.words


def test_every_candidate_has_its_outcome_in_words_and_its_reason(plan_of: Plans) -> None:
    plan = plan_of("met")
    words = Outline(render(plan)).words
    for entry in plan.candidates:
        assert re.search(re.escape(entry.id) + r" .{0,14}" + re.escape(entry.failure or "") + ".{0,2}", words)
        assert f"{entry.reason} {entry.verdict}" in words


def test_what_a_server_may_switch_between_is_told_where_there_is_anything(plan_of: Plans) -> None:
    words = Outline(render(plan_of("met"))).words
    told = words.partition("What a server may switch between")[2]
    assert re.search(
        r"original accuracy 85\.6% \(no change\), .* alone, 190 MB int8-nncf chosen accuracy 85\.5% \(", told
    )
    for name in ("infeasible", "unpriced", "single"):
        assert "may switch between" not in Outline(render(plan_of(name))).words


def test_a_reference_that_cannot_serve_is_told_without_numbers(plan_of: Plans) -> None:
    plan = plan_of("met")
    cost = swap(plan.reference.cost, per_million=None)
    stuck = swap(plan.reference, cost=cost, capacity_per_replica=0.0)
    words = Outline(render(swap(plan, reference=stuck, gain=Gain(speed=None, cost=None)))).words
    assert "the reference cannot keep the latency bound at any rate" in words
    assert "inf" not in re.findall(r"[a-z]+", words)


def test_names_that_look_like_markup_stay_text(plan_of: Plans) -> None:
    html = render(plan_of("hostile"))
    assert [tag for tag, _ in Outline(html).elements].count("img") == 0
    assert [tag for tag, _ in Outline(html).elements].count("script") == 3
    assert html.count("</script") == 3
    assert "{{ 7*7 }}" in Outline(html).words


def test_a_page_that_cannot_be_written_says_where_and_what_to_do(plan_of: Plans, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing.*No such file") as caught:
        write(plan_of("single"), tmp_path / "missing" / "report.html")
    assert "folder that exists" in caught.value.hint


def _colours(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", css))


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2: relative luminances of the lighter and the darker colour."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_text_has_contrast_aa_in_light_and_dark(plan_of: Plans) -> None:
    light, _, dark = render(plan_of("single")).partition("prefers-color-scheme: dark")
    for css in (light, dark.partition("@media")[0]):
        colours = _colours(css)
        for ground in ("paper", "raised", "wash"):
            for text in ("ink", "muted", "chosen", "fails", "undecided"):
                assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        assert _contrast(colours["dominated"], colours["paper"]) >= 3
