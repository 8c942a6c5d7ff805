"""The report of a search as one HTML file: the front of quality against cost, and all that was tried."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from steelyard import numbers
from steelyard.records.base import Record
from steelyard.records.evaluation import Interval
from steelyard.records.searching import OnFront, Search, Tried
from steelyard.report import wording
from steelyard.report.page import templates

WIDTH, HEIGHT = 840, 400
LEFT, RIGHT, TOP, BOTTOM = 76, 20, 16, 44
"""Margins of the chart, in its own units."""
LABELS_FROM = 1.6
"""Costs further apart than this get more than one label a decade."""
GRID = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the height at which a line is drawn."""


class Mark(Record):
    """One network in the chart."""

    x: float
    y: float
    role: str
    name: str
    """Written beside it; empty: nothing."""
    title: str


class Label(Record):
    """A place on an axis, and what stands there."""

    at: float
    text: str


class Chart(Record):
    """Quality upwards, cost to the right, on a logarithmic scale."""

    marks: tuple[Mark, ...]
    front: str
    """The path of what a cost buys: steps through the networks of the front."""
    across: tuple[Label, ...]
    upwards: tuple[Label, ...]
    text: str


def render(search: Search) -> str:
    """The whole page; nothing is fetched."""
    context: dict[str, Any] = {
        "search": search,
        "rows": tuple(rows(search)),
        "chart": chart(search),
        "others": sorted(search.tried, key=lambda tried: tried.number),
        "counted": counted(search),
        "cost": cost_title(search),
        "value": lambda found: "–" if found is None else wording.quality(search.metric, found),
        "costs": lambda tried: "–" if tried.serving is None else _cost(search, tried.serving.capacity_per_s),
        "count": numbers.count,
        "seconds": numbers.seconds,
        "size": {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT, "bottom": HEIGHT - BOTTOM},
    }
    return templates().get_template("searching.html").render(context)


class Row(Record):
    """A network of the front, in words: for the page and for the terminal."""

    number: int
    told: str
    validation: str
    test: str
    cost: str
    rate: str
    item: str
    parameters: str
    folder: str


def rows(search: Search) -> Iterator[Row]:
    """The front, the cheapest first."""
    tried = {each.number: each for each in search.tried}
    for member in search.front:
        own = tried[member.number]
        yield Row(
            number=member.number,
            told=own.told,
            validation=wording.quality(search.metric, member.validation),
            test=_interval(search.metric, member.test),
            cost=numbers.amount(member.per_million),
            rate=numbers.rate(member.serving.capacity_per_s),
            item=numbers.duration_ms(member.serving.item_ms),
            parameters=numbers.count(own.parameters),
            folder=member.folder,
        )


def counted(search: Search) -> str:
    """How many networks came to which end, in words."""
    ends = {ending: sum(tried.ending == ending for tried in search.tried) for ending in ENDINGS}
    parts = [f"{number} {ENDINGS[ending]}" for ending, number in ends.items() if number]
    of_all = f" of {numbers.count(search.points)}" if search.points is not None else ""
    return f"{len(search.tried)}{of_all} networks were tried: {', '.join(parts)}"


ENDINGS = {"finished": "trained to the end", "stopped": "given up early", "failed": "failed"}


def cost_title(search: Search) -> str:
    """What is counted as cost."""
    return f"{search.price.currency} per million"


def _interval(metric: str, found: Interval | None) -> str:
    if found is None:
        return "–"
    told, low, high = (wording.quality(metric, each) for each in (found.value, found.low, found.high))
    return f"{told} ({low} to {high})"


def _per_million(search: Search, capacity: float) -> float:
    return search.price.per_hour / 3600 / capacity * 1e6 if capacity else math.inf


def _cost(search: Search, capacity: float) -> str:
    return numbers.amount(_per_million(search, capacity)) if capacity else "too slow"


# --- the chart ------------------------------------------------------------------------------------------------------


def chart(search: Search) -> Chart | None:
    """None when there is nothing to be drawn."""
    members = {each.number: each for each in search.front}
    points = [each for each in (_point(search, tried, members.get(tried.number)) for tried in search.tried) if each]
    if not points:
        return None
    across, upwards = _Scale([math.log10(p.x) for p in points]), _Scale(_of_interest(points))
    marks = tuple(
        Mark(
            x=LEFT + across.share(math.log10(p.x)) * (WIDTH - LEFT - RIGHT),
            y=_height(upwards.share(p.y)),
            role=p.role,
            name=p.name,
            title=p.title,
        )
        for p in sorted(points, key=lambda p: p.role == "front")
    )
    return Chart(
        marks=marks,
        front=_steps([mark for mark in marks if mark.role == "front"]),
        across=tuple(_across(across)),
        upwards=tuple(Label(at=_height(at), text=wording.quality(search.metric, upwards.value(at))) for at in GRID),
        text=f"{search.metric} against {cost_title(search)}: {counted(search)}; {len(members)} are on the front",
    )


def _point(search: Search, tried: Tried, member: OnFront | None) -> Mark | None:
    serving = tried.serving
    if serving is None or tried.validation is None or not serving.capacity_per_s:
        return None
    role = "front" if member else {"finished": "dominated", "stopped": "fails"}.get(tried.ending, "failed")
    cost = _per_million(search, serving.capacity_per_s)
    quality = wording.quality(search.metric, tried.validation)
    title = f"{tried.number}: {tried.told}; {search.metric} {quality}, {tried.reason}"
    return Mark(x=cost, y=tried.validation, role=role, name=str(tried.number) if member else "", title=title)


def _of_interest(points: Sequence[Mark]) -> list[float]:
    """What the vertical axis shows: networks given up in their first epochs may lie far below, at its end."""
    return [p.y for p in points if p.role in ("front", "dominated")] or [p.y for p in points]


class _Scale:
    """From values to shares of an axis; a little room at both ends."""

    def __init__(self, values: Sequence[float]) -> None:
        span = (max(values) - min(values)) or abs(max(values)) * 0.1 or 1.0
        self.low, self.high = min(values) - 0.12 * span, max(values) + 0.08 * span

    def share(self, value: float) -> float:
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def value(self, share: float) -> float:
        return self.low + share * (self.high - self.low)


def _height(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _across(scale: _Scale) -> Iterator[Label]:
    """1, 2, 5 of each decade, or only the decades where these would stand too close."""
    leading = (1, 2, 5) if scale.high - scale.low < LABELS_FROM else (1,)
    for decade in range(math.floor(scale.low), math.ceil(scale.high) + 1):
        for digit in leading:
            place = decade + math.log10(digit)
            if scale.low <= place <= scale.high:
                at = LEFT + scale.share(place) * (WIDTH - LEFT - RIGHT)
                yield Label(at=at, text=numbers.stated(float(f"{10**place:.1g}")))


def _steps(front: Sequence[Mark]) -> str:
    """To the right along what is reached, up where more cost buys more."""
    ordered = sorted(front, key=lambda mark: mark.x)
    if not ordered:
        return ""
    path = f"M{ordered[0].x:.1f} {ordered[0].y:.1f}" + "".join(f" H{mark.x:.1f} V{mark.y:.1f}" for mark in ordered[1:])
    return f"{path} H{WIDTH - RIGHT}"
