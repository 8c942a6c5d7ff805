"""Each requirement of a plan, held against one candidate: what was found, the verdict, what would settle it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from steelyard import numbers
from steelyard.decision import amounts
from steelyard.decision.words import flag, quality_flag
from steelyard.records.measurement import Load
from steelyard.records.plan import Figures, Outcome, Plan, QualityFigures, Verdict, Weighed
from steelyard.records.requirements import Latency, Requirements
from steelyard.report import wording
from steelyard.report.explained import Kept
from steelyard.verdicts import late_items_needed, load_verdict

BUSY = "The machine was busy while it was timed: weigh again when it is quiet."


def held_against(plan: Plan, figures: Figures, outcome: Outcome) -> Iterator[Kept]:
    """One line for each requirement, in the order in which they are told everywhere.

    What breaks a requirement of speed and is called undecided all the same was timed on a disturbed machine.
    """
    for kept in _held(plan, figures):
        of_speed = not kept.requirement.startswith(("--quality", "--memory"))
        if outcome == "undecided" and kept.verdict == "fail" and of_speed:
            yield msgspec.structs.replace(kept, verdict="undecided", settled_by=BUSY)
        else:
            yield kept


def _held(plan: Plan, figures: Figures) -> Iterator[Kept]:
    wanted = plan.requirements
    if wanted.latency is not None:
        yield _latency(wanted.latency, plan, figures)
    if quality_flag(wanted):
        yield _quality(wanted, figures.quality)
    if wanted.memory_mb is not None:
        found = f"It needs {numbers.megabytes(figures.memory_mb)} at its peak."
        yield Kept(
            requirement=flag("memory", wanted), verdict=_at_most(figures.memory_mb, wanted.memory_mb), found=found
        )
    if wanted.budget_per_month is not None and figures.cost.per_month is not None:
        month = figures.cost.per_month
        found = f"It costs {numbers.money(month, figures.cost.currency)} a month."
        yield Kept(requirement=flag("budget", wanted), verdict=_at_most(month, wanted.budget_per_month), found=found)


def quality_alone(plan: Plan, entry: Weighed) -> Iterator[Kept]:
    """Of a candidate whose speed was not measured: what is known."""
    if entry.quality is not None and quality_flag(plan.requirements):
        yield _quality(plan.requirements, entry.quality)


def _at_most(value: float, limit: float) -> Verdict:
    return "pass" if value <= limit else "fail"


def _quality(wanted: Requirements, quality: QualityFigures) -> Kept:
    needed = quality.items_needed
    settled = ""
    if quality.verdict == "undecided":
        settled = (
            f"About {numbers.count(needed)} items would settle it, were the observed rates the true ones."
            if needed
            else "No number of items would settle it: what was observed lies on the limit itself."
        )
    return Kept(
        requirement=quality_flag(wanted), verdict=quality.verdict, found=quality_found(quality), settled_by=settled
    )


def quality_found(quality: QualityFigures) -> str:
    """Value, difference and bound on how many items."""
    metric, lower = quality.metric, quality.lower_is_better
    value, expected = (amounts.value(metric, v, lower_is_better=lower) for v in (quality.value, quality.reference))
    change = amounts.change(metric, quality.drop, lower_is_better=lower)
    items = f"{numbers.count(quality.items)} items that {'did not select it' if quality.confirmed else 'select'}"
    worst = amounts.value(metric, quality.value_bound, lower_is_better=lower)
    most = amounts.at_most(metric, quality.bound, lower_is_better=lower)
    return (
        f"{metric} {value}, the reference {expected}, on {items}: {change}. With "
        f"{numbers.stated_percent(quality.confidence)} confidence {most}, and {wording.no_worse_than(quality)} {worst}."
    )


def _latency(latency: Latency, plan: Plan, figures: Figures) -> Kept:
    requirement = flag("latency", plan.requirements)
    if figures.load is not None:
        return _under_load(requirement, latency, plan.requirements.confidence, figures.load)
    if figures.capacity_per_replica <= 0:
        return Kept(requirement=requirement, verdict="fail", found=_alone(latency, figures))
    told = wording.latency_at(figures, latency.percentile)
    found = (
        f"p{latency.percentile:g} {numbers.duration_ms(told)} at {numbers.rate(figures.latency.rate_per_s)} per "
        f"replica, {figures.latency.source}; it holds up to {numbers.rate(figures.capacity_per_replica)}."
    )
    return Kept(requirement=requirement, verdict=_at_most(told, latency.bound_ms), found=found)


def _alone(latency: Latency, figures: Figures) -> str:
    median = figures.service[0].median_ms
    return (
        f"One request alone takes {numbers.duration_ms(median)} (median), so no rate keeps p{latency.percentile:g} "
        f"within {numbers.stated_ms(latency.bound_ms)}."
    )


def _under_load(requirement: str, latency: Latency, confidence: float, load: Load) -> Kept:
    verdict = load_verdict(load, latency, confidence)
    allowed = numbers.percent(1 - latency.percentile / 100)
    found = (
        f"Under real load of {numbers.rate(load.rate_per_s)}, {numbers.count(load.late)} of "
        f"{numbers.count(load.requests)} requests were late ({numbers.percent(load.late / max(load.requests, 1))}, "
        f"{allowed} allowed){_spells(load)}."
    )
    settled = ""
    if verdict == "undecided":
        needed = late_items_needed(load.late, load.requests, latency.percentile, confidence, load.clustering)
        settled = (
            f"About {numbers.count(needed)} requests would settle it."
            if needed
            else "No number of requests would settle it: the share of late ones lies on the limit itself."
        )
    return Kept(requirement=requirement, verdict=verdict, found=found, settled_by=settled)


def _spells(load: Load) -> str:
    if load.clustering < 2:
        return ""
    return (
        f"; they come in spells, so that {numbers.significant(load.clustering, 2)} requests tell as much as one alone"
    )
