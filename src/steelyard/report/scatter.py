"""What the two scatter charts draw: quality against cost, and quality against latency."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from steelyard import numbers
from steelyard.records.base import Record
from steelyard.records.plan import Figures, Plan, Weighed
from steelyard.report import wording

LOG_FROM = 10.0
"""An axis is logarithmic when its largest value is more than this many times its smallest."""


class Axis(Record):
    """One axis; `unit` follows the numbers on it."""

    title: str
    unit: str = ""
    log: bool = False


class Rule(Record):
    """A requirement, drawn as a line across the chart; the side that breaks it is tinted."""

    axis: Literal["x", "y"]
    at: float
    text: str
    breaks: Literal["above", "below", "neither"] = "neither"


class Mark(Record):
    """One candidate. `role` decides shape and colour, `name` is written beside it, `lines` appear on hover or tap."""

    x: float
    y: float
    low: float
    """The confidence bound of the quality, the end of the whisker."""
    below: bool
    """It lies below the scale and is drawn on its lower edge."""
    role: str
    name: str
    title: str
    lines: tuple[str, ...]


class Scatter(Record):
    """One scatter chart with its text alternative."""

    x: Axis
    y: Axis
    bottom: float | None
    """Where the y axis begins; None: wherever suits."""
    marks: tuple[Mark, ...]
    front: tuple[tuple[float, float], ...]
    """What nothing beats in the two dimensions shown, from the left to the right."""
    rules: tuple[Rule, ...]
    text: str


def cost_scatter(plan: Plan) -> Scatter:
    """Quality against the cost of a million requests."""
    points = [
        (entry, entry.figures, entry.figures.cost.per_million)
        for entry in plan.candidates
        if entry.figures and entry.figures.cost.per_million is not None
    ]
    return _scatter(plan, Axis(title=f"cost per million requests, {plan.price.currency}"), points, [])


def latency_scatter(plan: Plan) -> Scatter:
    """Quality against the latency percentile that is required, or else the 95th."""
    percentile = wording.told_percentile(plan)
    points = [
        (entry, entry.figures, wording.latency_at(entry.figures, percentile))
        for entry in plan.candidates
        if entry.figures
    ]
    title = f"{wording.percentile(percentile)} latency, ms"
    return _scatter(plan, Axis(title=title), points, latency_rules(plan))


def latency_rules(plan: Plan) -> list[Rule]:
    """The required latency bound as a line, if there is one."""
    wanted = plan.requirements.latency
    if wanted is None:
        return []
    text = f"{wording.percentile(wanted.percentile)} ≤ {numbers.stated_ms(wanted.bound_ms)}"
    return [Rule(axis="x", at=wanted.bound_ms, text=text, breaks="above")]


def is_log(values: Iterable[float]) -> bool:
    """Whether values spread so far that their axis should be logarithmic."""
    positive = [value for value in values if 0 < value < math.inf]
    return bool(positive) and max(positive) > LOG_FROM * min(positive)


def role(plan: Plan, entry: Weighed) -> str:
    """What decides an entry's shape: its outcome, except that the reference has a shape of its own."""
    is_reference = entry.id == plan.reference.candidate.id and entry.verdict != "chosen"
    return "reference" if is_reference else entry.verdict


def name(plan: Plan, identity: str) -> str:
    """What is written beside a candidate that the reader looks for; empty for the others."""
    is_reference = identity == plan.reference.candidate.id
    if plan.chosen and identity == plan.chosen.id:
        return "chosen = reference" if is_reference else "chosen"
    if identity == plan.nearest:
        return "nearest"
    return "reference" if is_reference else ""


def _scatter(
    plan: Plan, axis: Axis, points: Sequence[tuple[Weighed, Figures, float]], rules: Sequence[Rule]
) -> Scatter:
    points = [point for point in points if math.isfinite(point[2]) and point[2] > 0]
    floor = list(_limit_rule(plan))
    bottom = _bottom(plan, [figures for _, figures, _ in points])
    marks = tuple(_mark(plan, entry, figures, x, bottom) for entry, figures, x in points)
    return Scatter(
        x=Axis(title=axis.title, log=is_log([*(mark.x for mark in marks), *(rule.at for rule in rules)])),
        y=Axis(title=height(plan), unit="%" if _in_percent(plan) else ""),
        bottom=bottom,
        marks=marks,
        front=_front(plan, marks),
        rules=(*rules, *floor),
        text=_text(height(plan), axis.title, marks, (*rules, *floor)),
    )


def height(plan: Plan) -> str:
    """What the vertical axis shows. Up is better: of an error it is the reference's over the candidate's."""
    quality = plan.reference.quality
    return f"reference’s {quality.metric} / {quality.metric}" if quality.lower_is_better else quality.metric


def _in_percent(plan: Plan) -> bool:
    quality = plan.reference.quality
    return quality.lower_is_better or wording.is_share(quality.metric)


def scaled(plan: Plan, value: float) -> float:
    """A value of the metric as the axis shows it: shares as percentages, errors by how much better the reference is."""
    quality = plan.reference.quality
    shown = quality.value / value if quality.lower_is_better and value > 0 else value
    return round(shown * 100, 6) if _in_percent(plan) else shown


def _limit_rule(plan: Plan) -> Iterator[Rule]:
    limit, quality = wording.quality_limit(plan), plan.reference.quality
    if limit is not None:
        text = f"{quality.metric} {'≤' if quality.lower_is_better else '≥'} {wording.quality(quality.metric, limit)}"
        yield Rule(axis="y", at=scaled(plan, limit), text=text, breaks="below")


def _mark(plan: Plan, entry: Weighed, figures: Figures, x: float, bottom: float | None) -> Mark:
    y = scaled(plan, figures.quality.value)
    below = bottom is not None and y < bottom
    return Mark(
        x=x,
        y=bottom if below and bottom is not None else y,
        low=scaled(plan, wording.surely(plan, figures.quality)),
        below=below,
        role=role(plan, entry),
        name=name(plan, entry.id),
        title=entry.id,
        lines=tuple(_lines(plan, entry, figures)),
    )


def _lines(plan: Plan, entry: Weighed, figures: Figures) -> Iterator[str]:
    quality, percentile = figures.quality, wording.told_percentile(plan)
    yield f"{entry.verdict}{' (the reference)' if entry.id == plan.reference.candidate.id else ''}"
    worst = wording.quality(quality.metric, wording.surely(plan, quality))
    yield f"{quality.metric} {wording.quality(quality.metric, quality.value)}, {wording.no_worse_than(quality)} {worst}"
    if figures.cost.per_million is not None:
        yield f"{numbers.money(figures.cost.per_million, figures.cost.currency)} per million"
    yield f"{wording.percentile(percentile)} {numbers.duration_ms(wording.latency_at(figures, percentile))}"
    yield f"{numbers.rate(figures.capacity_per_replica)} per replica"


def _bottom(plan: Plan, shown: Sequence[Figures]) -> float | None:
    """Where the quality axis begins, when candidates of hopeless quality would squeeze all others together."""
    limit = wording.quality_limit(plan)
    values = [scaled(plan, figures.quality.value) for figures in shown]
    of_interest = [plan.reference.quality.value, *([] if limit is None else [limit])]
    keeping = {entry.id for entry in plan.candidates if entry.verdict not in ("fails", "failed")}
    of_interest += [wording.surely(plan, f.quality) for f in shown if f.candidate.id in keeping]
    of_interest += [f.quality.value for f in shown if f.candidate.id in keeping]
    heights = [scaled(plan, value) for value in of_interest]
    low, high = min(heights), max(heights)
    bottom = low - max(2 * (high - low), 0.02 * abs(high))
    return None if not values or min(values) >= bottom else bottom


def _front(plan: Plan, marks: Sequence[Mark]) -> tuple[tuple[float, float], ...]:
    best, kept = -math.inf, []
    for mark in sorted((m for m in marks if m.title in plan.front), key=lambda m: (m.x, -m.y)):
        if mark.y > best:
            kept.append((mark.x, mark.y))
            best = mark.y
    return tuple(kept)


def _text(metric: str, across: str, marks: Sequence[Mark], rules: Sequence[Rule]) -> str:
    """The text alternative: what is drawn, the candidates that have a name, the requirements."""
    parts = [f"Scatter chart of {metric} against {across}, {len(marks)} candidates."]
    parts += [f"{m.name}: {m.title}, {'; '.join(m.lines[1:])}." for m in marks if m.name]
    front = [m.title for m in marks if m.role == "front"]
    if front:
        parts.append(f"Also on the front: {', '.join(front)}.")
    if rules:
        parts.append(f"Required: {', '.join(rule.text for rule in rules)}.")
    return " ".join(parts)
