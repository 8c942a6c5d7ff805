"""What the two line charts draw: the distribution of latencies, and service time per batch size."""

from __future__ import annotations

from collections.abc import Sequence

from steelyard import numbers
from steelyard.records.base import Record
from steelyard.records.measurement import ServiceTime
from steelyard.records.plan import Figures, Plan
from steelyard.report import wording
from steelyard.report.scatter import Axis, Rule, is_log, latency_rules, name

SPAN = (0.05, 0.95)
"""The share of the undisturbed runs that the band around a median holds lies between these."""


class Curve(Record):
    """One line; `band` is empty or holds the lower and upper edge at each point."""

    name: str
    title: str
    role: str
    points: tuple[tuple[float, float], ...]
    band: tuple[tuple[float, float], ...] = ()


class Curves(Record):
    """One line chart with its text alternative."""

    x: Axis
    y: Axis
    curves: tuple[Curve, ...]
    rules: tuple[Rule, ...]
    text: str


def compared(plan: Plan) -> list[Figures]:
    """The chosen (or nearest) candidate and the reference, each once."""
    entries = {entry.id: entry.figures for entry in plan.candidates}
    leading = plan.chosen_figures or entries.get(plan.nearest or "")
    same = leading is not None and leading.candidate.id == plan.reference.candidate.id
    return [leading] if same and leading else [f for f in (leading, plan.reference) if f]


def distribution(plan: Plan) -> Curves | None:
    """The share of requests (%) answered within each latency (ms); None without quantiles."""
    figures = [each for each in compared(plan) if len(each.latency.quantiles) > 1]
    if not figures:
        return None
    rules = [*latency_rules(plan), *_percentile_rule(plan)]
    values = [value for each in figures for value in each.latency.quantiles]
    return Curves(
        x=Axis(title="latency, ms", log=is_log([*values, *(rule.at for rule in rules if rule.axis == "x")])),
        y=Axis(title="requests answered", unit="%"),
        curves=tuple(_cumulative(plan, each) for each in figures),
        rules=tuple(rules),
        text=_distribution_text(plan, figures),
    )


def service(plan: Plan) -> Curves | None:
    """Service time (ms) per batch size: the median with the span of most runs; None without service times."""
    figures = [each for each in compared(plan) if each.service]
    if not figures:
        return None
    medians = [each.median_ms for one in figures for each in one.service]
    return Curves(
        x=Axis(title="requests in one batch", log=True),
        y=Axis(title="service time, ms", log=is_log(medians)),
        curves=tuple(_service_curve(plan, each) for each in figures),
        rules=(),
        text=_service_text(plan, figures),
    )


def _role(plan: Plan, figures: Figures) -> str:
    is_reference = figures.candidate.id == plan.reference.candidate.id
    return "reference" if is_reference and not (plan.chosen and plan.chosen.id == figures.candidate.id) else "chosen"


def _percentile_rule(plan: Plan) -> list[Rule]:
    wanted = plan.requirements.latency
    if wanted is None:
        return []
    text = f"{numbers.stated_percent(wanted.percentile / 100)} of the requests"
    return [Rule(axis="y", at=wanted.percentile, text=text)]


def _cumulative(plan: Plan, figures: Figures) -> Curve:
    quantiles = figures.latency.quantiles
    points = tuple((value, 100 * step / (len(quantiles) - 1)) for step, value in enumerate(quantiles) if value > 0)
    identity = figures.candidate.id
    return Curve(name=name(plan, identity), title=identity, role=_role(plan, figures), points=points)


def _service_curve(plan: Plan, figures: Figures) -> Curve:
    ordered = sorted(figures.service, key=lambda each: each.batch)
    identity = figures.candidate.id
    return Curve(
        name=name(plan, identity),
        title=identity,
        role=_role(plan, figures),
        points=tuple((float(each.batch), each.median_ms) for each in ordered),
        band=tuple(_span(each) for each in ordered),
    )


def _span(each: ServiceTime) -> tuple[float, float]:
    last = len(each.quantiles_ms) - 1
    low, high = (each.quantiles_ms[round(share * last)] for share in SPAN)
    return low, high


def _distribution_text(plan: Plan, figures: Sequence[Figures]) -> str:
    parts = ["Cumulative distribution of request latency."]
    for each in figures:
        latency = each.latency
        told = ", ".join(
            f"{label} {numbers.duration_ms(value)}"
            for label, value in (("p50", latency.p50), ("p95", latency.p95), ("p99", latency.p99))
        )
        parts.append(f"{name(plan, each.candidate.id)}: {each.candidate.id}, {told}.")
    if plan.requirements.latency:
        wanted = plan.requirements.latency
        parts.append(f"Required: {wording.percentile(wanted.percentile)} within {numbers.stated_ms(wanted.bound_ms)}.")
    return " ".join(parts)


def _service_text(plan: Plan, figures: Sequence[Figures]) -> str:
    parts = ["Median service time per batch size."]
    for each in figures:
        ordered = sorted(each.service, key=lambda one: one.batch)
        told = ", ".join(f"batch {one.batch} {numbers.duration_ms(one.median_ms)}" for one in ordered)
        parts.append(f"{name(plan, each.candidate.id)}: {each.candidate.id}, {told}.")
    return " ".join(parts)
