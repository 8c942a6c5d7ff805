"""How the report words what a plan holds: outcomes, quality in its metric's units, requirements as they were stated."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import get_args

from steelyard import numbers
from steelyard.decision.amounts import is_own
from steelyard.records.arrivals import Arrivals
from steelyard.records.plan import Energy, Figures, Outcome, Plan, QualityFigures
from steelyard.records.requirements import Requirements

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
"""In the order in which they are told."""

MEANING: dict[Outcome, str] = {
    "chosen": "what the plan runs",
    "front": "keeps every requirement; nothing is better in cost, latency and quality at once",
    "dominated": "keeps every requirement; something else is at least as good in everything",
    "fails": "breaks a requirement",
    "undecided": "the items or runs do not suffice to say",
    "failed": "could not be run",
    "not measured": "dropped early by the search",
}
SCENARIOS = {
    "server": "server: requests arrive by themselves",
    "single": "single: one request after another",
    "offline": "offline: all requests are at hand",
}
PRIORITIES = {
    "cost": "the lowest cost",
    "speed": "the shortest latency",
    "quality": "the best quality",
    "knee": "the knee of the front: where a little more of one costs much of another",
}
_SHARES = ("accuracy", "agreement", "recall", "precision", "top", "f1")
"""Metrics that are shares of the items are written as percentages."""


def is_share(metric: str) -> bool:
    """Whether a metric's values are shares of the items (and read best as percentages)."""
    return not is_own(metric) and any(word in metric.lower() for word in _SHARES)


def quality(metric: str, value: float) -> str:
    """A value of the metric, in its own units."""
    return numbers.percent(value) if is_share(metric) else numbers.significant(value, 4)


def difference(metric: str, value: float, *, lower_is_better: bool = False) -> str:
    """The size of a drop: points of a share, per cent of the reference's error, or in the metric's units."""
    if lower_is_better:
        return f"{numbers.significant(abs(value) * 100, 2)} %"
    if not is_share(metric):
        return numbers.significant(abs(value))
    return f"{numbers.percent(abs(value)).rstrip('%')} points"


def surely(plan: Plan, figures: QualityFigures) -> float:
    """What the metric surely is no worse than: the reference's and the bound of the drop, or, when a value is required,
    the bound of the value itself."""
    if plan.requirements.quality_limit(lower_is_better=figures.lower_is_better) is not None:
        return figures.value_bound
    return _after(figures.reference, figures.bound, lower_is_better=figures.lower_is_better)


def _after(reference: float, drop: float, *, lower_is_better: bool) -> float:
    return reference * (1 + drop) if lower_is_better else reference - drop


def no_worse_than(figures: QualityFigures) -> str:
    """How a bound of the metric is told: "at least", of an error "at most"."""
    return "at most" if figures.lower_is_better else "at least"


def drop(figures: QualityFigures) -> str:
    """How the candidate's quality differs from the reference's, and the bound of the drop."""
    most = f"; with {numbers.stated_percent(figures.confidence)} confidence {_at_most(figures)}"
    if figures.drop == 0:
        return f"as good as the reference{most}"
    return f"{_change(figures, figures.drop)} than the reference{most}"


def _change(figures: QualityFigures, drop: float) -> str:
    worse, better = ("larger", "smaller") if figures.lower_is_better else ("lower", "higher")
    size = difference(figures.metric, drop, lower_is_better=figures.lower_is_better)
    return f"{size} {worse if drop > 0 else better}"


def _at_most(figures: QualityFigures) -> str:
    if figures.bound > 0:
        return f"at most {_change(figures, figures.bound)}"
    if figures.bound == 0:
        return "not larger" if figures.lower_is_better else "not lower"
    return f"at least {_change(figures, figures.bound)}"


def arrivals(pattern: Arrivals) -> str:
    """The pattern of arrivals for people."""
    if pattern.kind == "trace":
        return f"as recorded in {pattern.source}, scaled to the rate"
    if pattern.kind == "gamma" and pattern.cv != 1:
        how = "in bursts" if pattern.cv > 1 else "more evenly than at random"
        return f"{how} (gamma: gaps deviate by {pattern.cv:g} times their mean)"
    return "at random (Poisson)"


def energy(figures: Energy | None) -> str:
    """Energy per million requests: "12.3 Wh", "≈ 12.3 Wh" where it is an estimate."""
    if figures is None:
        return numbers.MISSING
    return f"{'≈ ' if figures.estimated else ''}{numbers.significant(figures.wh_per_million)} Wh"


def percentile(value: float) -> str:
    """The name of a latency percentile: 95.0 → "p95", 99.9 → "p99.9"."""
    return f"p{value:g}"


def told_percentile(plan: Plan) -> float:
    """The percentile that the plan's latency is told at: the required one, else the 95th."""
    return plan.requirements.latency.percentile if plan.requirements.latency else 95.0


def latency_at(figures: Figures, wanted: float) -> float:
    """The latency in ms at a percentile: as measured for 50, 95 and 99, else read off the quantiles (NaN without)."""
    latency = figures.latency
    known = {50.0: latency.p50, 95.0: latency.p95, 99.0: latency.p99}
    if wanted in known:
        return known[wanted]
    if len(latency.quantiles) < 2:
        return math.nan
    position = wanted / 100 * (len(latency.quantiles) - 1)
    low = min(int(position), len(latency.quantiles) - 2)
    step = latency.quantiles[low + 1] - latency.quantiles[low]
    return latency.quantiles[low] + (position - low) * step


def quality_limit(plan: Plan) -> float | None:
    """The worst quality that the requirements allow, or None when they do not speak of it."""
    wanted, reference = plan.requirements, plan.reference.quality
    lower = reference.lower_is_better
    limit = wanted.quality_limit(lower_is_better=lower)
    limits = [] if limit is None else [limit]
    if wanted.quality_drop is not None:
        limits.append(_after(reference.value, wanted.quality_drop, lower_is_better=lower))
    return (min if lower else max)(limits, default=None)


def requirements(plan: Plan) -> Iterator[tuple[str, str]]:
    """The requirements as they were stated, as (what, how much)."""
    wanted, metric = plan.requirements, plan.reference.quality.metric
    if wanted.latency:
        share = numbers.stated_percent(wanted.latency.percentile / 100)
        yield "Latency", f"{share} of the requests within {numbers.stated_ms(wanted.latency.bound_ms)}"
    if wanted.quality_floor is not None:
        yield "Quality", f"{metric} at least {stated_quality(metric, wanted.quality_floor)}"
    if wanted.quality_ceiling is not None:
        yield "Quality", f"{metric} at most {stated_quality(metric, wanted.quality_ceiling)}"
    if wanted.quality_drop is not None and plan.reference.quality.lower_is_better:
        allowed = numbers.stated_percent(wanted.quality_drop)
        yield "Quality drop", f"{metric} at most {allowed} larger than the reference’s"
    elif wanted.quality_drop is not None:
        allowed = stated_difference(metric, wanted.quality_drop)
        yield "Quality drop", f"{metric} at most {allowed} below the reference"
    yield from _limits(wanted, plan.price.currency)


def _limits(wanted: Requirements, currency: str) -> Iterator[tuple[str, str]]:
    if wanted.rate_per_s is not None:
        yield "Rate", f"{numbers.stated(wanted.rate_per_s)} requests per second"
    yield "Scenario", SCENARIOS[wanted.scenario]
    if wanted.scenario == "server":
        yield "Arrivals", arrivals(wanted.arrivals)
    if wanted.memory_mb is not None:
        yield "Memory", f"at most {numbers.stated(wanted.memory_mb)} MB"
    if wanted.budget_per_month is not None:
        yield "Budget", f"at most {numbers.stated(wanted.budget_per_month)} {currency} per month"
    if wanted.headroom:
        yield "Headroom", f"{numbers.stated_percent(wanted.headroom)} above the rate"
    if wanted.spare is not None:
        yield "Spare", f"{numbers.count(wanted.spare)} {'replica' if wanted.spare == 1 else 'replicas'}"
    yield "Preferred", PRIORITIES[wanted.priority]
    yield "Confidence", numbers.stated_percent(wanted.confidence)


def stated_quality(metric: str, value: float) -> str:
    """A value of the metric that somebody demanded."""
    return numbers.stated_percent(value) if is_share(metric) else numbers.stated(value)


def stated_difference(metric: str, value: float) -> str:
    """A difference in the metric that somebody demanded."""
    if not is_share(metric):
        return numbers.stated(value)
    points = numbers.stated(round(value * 100, 9))
    return f"{points} point" if points == "1" else f"{points} points"
