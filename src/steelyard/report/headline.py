"""The head of the report: the figures that matter of the chosen candidate, or of the nearest one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from steelyard import numbers
from steelyard.records.base import Record
from steelyard.records.plan import Chosen, Figures, Plan, QualityFigures
from steelyard.report import wording

STATUS = {
    "met": "Requirements met",
    "infeasible": "No candidate meets the requirements",
    "undecided": "Undecided",
}


class Tile(Record):
    """One big figure with what it means and what it is held against."""

    label: str
    value: str
    unit: str
    note: str
    verdict: Literal["pass", "fail", "undecided", ""] = ""


def leading(plan: Plan) -> Figures | None:
    """The figures that the head tells: the chosen candidate's, or else the nearest one's."""
    if plan.chosen:
        return plan.chosen_figures
    return next((entry.figures for entry in plan.candidates if entry.id == plan.nearest), None)


def spelt(candidate: Chosen) -> str:
    """How a candidate is run, in words."""
    threads = _counted(candidate.threads, "thread")
    streams = f"{candidate.streams} streams of {threads} each" if candidate.streams > 1 else f"one stream of {threads}"
    if candidate.instances > 1:
        streams = f"{candidate.instances} processes of {streams}"
    batch = "one request at a time" if candidate.max_batch == 1 else f"batches of up to {candidate.max_batch} requests"
    return f"{candidate.variant} in {candidate.runtime}, computing in {candidate.precision}, {streams}, {batch}"


def tiles(plan: Plan) -> list[Tile]:
    """The big figures, in reading order."""
    figures = leading(plan)
    if figures is None:
        return []
    return [
        *_gains(plan),
        _quality(plan, figures.quality),
        _cost(figures),
        _latency(plan, figures),
        _capacity(figures),
        *_replicas(plan, figures),
        *_month(plan, figures),
        *_energy(figures),
        _memory(plan, figures),
    ]


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _gains(plan: Plan) -> Iterator[Tile]:
    if plan.gain is None:
        return
    reference = plan.reference
    without = "the reference cannot keep the latency bound at any rate"
    speed, cost = plan.gain.speed, plan.gain.cost
    note = (
        without if speed is None else f"of the reference’s {numbers.rate(reference.capacity_per_replica)} per replica"
    )
    yield Tile(label="Gain in speed", value=_times(speed), unit="", note=note)
    before = reference.cost.per_million
    if cost is None or before is None:
        yield Tile(label="Gain in cost", value=numbers.MISSING, unit="", note=without)
    else:
        note = f"below the reference’s {numbers.money(before, reference.cost.currency)} per million"
        yield Tile(label="Gain in cost", value=_times(cost), unit="", note=note)


def _times(factor: float | None) -> str:
    return numbers.MISSING if factor is None else numbers.times(factor)


def _quality(plan: Plan, quality: QualityFigures) -> Tile:
    return Tile(
        label=f"Quality: {quality.metric}",
        value=wording.quality(quality.metric, quality.value),
        unit="",
        note=", ".join(_quality_note(plan, quality)),
        verdict=quality.verdict,
    )


def _quality_note(plan: Plan, quality: QualityFigures) -> Iterator[str]:
    bound = wording.quality(quality.metric, wording.surely(plan, quality))
    yield f"{wording.no_worse_than(quality)} {bound} with {numbers.stated_percent(quality.confidence)} confidence"
    limit = wording.quality_limit(plan)
    yield f"{wording.quality(quality.metric, limit)} required" if limit is not None else "none required"
    if quality.items_needed is not None:
        items, needed = numbers.count(quality.items), numbers.count(quality.items_needed)
        yield f"{items} items do not settle it; about {needed} would"


def _cost(figures: Figures) -> Tile:
    cost = figures.cost
    if cost.per_million is None:
        return Tile(
            label="Cost",
            value=numbers.MISSING,
            unit="",
            note="it cannot serve within the latency bound",
            verdict="fail",
        )
    at_rate, full = cost.per_million_at_rate, "every replica used to its capacity"
    return Tile(
        label="Cost per million requests",
        value=numbers.amount(cost.per_million),
        unit=cost.currency,
        note=full if at_rate is None else f"{full}; {numbers.money(at_rate, cost.currency)} at the required rate",
    )


def _month(plan: Plan, figures: Figures) -> Iterator[Tile]:
    cost, budget = figures.cost, plan.requirements.budget_per_month
    if cost.per_month is None:
        return
    idle = "every replica, 730 hours"
    if cost.idle_per_month is not None and cost.utilisation is not None:
        share, money = numbers.percent(1 - cost.utilisation), numbers.money(cost.idle_per_month, cost.currency)
        idle = f"{share} of it idle ({money})"
    value = numbers.amount(cost.per_month)
    if budget is None:
        yield Tile(label="Cost per month", value=value, unit=cost.currency, note=idle)
        return
    verdict: Literal["pass", "fail"] = "pass" if cost.per_month <= budget else "fail"
    note = f"{numbers.stated(budget)} {cost.currency} allowed; {idle}"
    yield Tile(label="Cost per month", value=value, unit=cost.currency, note=note, verdict=verdict)


def _energy(figures: Figures) -> Iterator[Tile]:
    energy = figures.energy
    if energy is None:
        return
    idle = "" if energy.idle_watts is None else f", {numbers.significant(energy.idle_watts)} W when idle"
    kind = "estimated from processor time" if energy.estimated else "measured"
    note = f"{kind}: {numbers.significant(energy.watts)} W at capacity{idle}"
    value = numbers.significant(energy.wh_per_million)
    yield Tile(label="Energy per million requests", value=value, unit="Wh", note=note)


def _latency(plan: Plan, figures: Figures) -> Tile:
    percentile = wording.told_percentile(plan)
    latency = wording.latency_at(figures, percentile)
    value, _, unit = numbers.duration_ms(latency).partition(" ")
    told = f"at {numbers.rate(figures.latency.rate_per_s)} per replica"
    label = f"Latency {wording.percentile(percentile)}"
    if plan.requirements.latency is None:
        return Tile(label=label, value=value, unit=unit, note=told)
    bound = plan.requirements.latency.bound_ms
    verdict: Literal["pass", "fail"] = "pass" if latency <= bound else "fail"
    return Tile(
        label=label, value=value, unit=unit, note=f"{numbers.stated_ms(bound)} required, {told}", verdict=verdict
    )


def _capacity(figures: Figures) -> Tile:
    value = numbers.significant(figures.capacity_per_replica)
    return Tile(label="Capacity per replica", value=value, unit="requests/s", note=f"on {figures.candidate.machine}")


def _replicas(plan: Plan, figures: Figures) -> Iterator[Tile]:
    wanted = plan.requirements
    if figures.replicas is None or wanted.rate_per_s is None:
        return
    note = f"for {numbers.stated(wanted.rate_per_s)} requests/s"
    if wanted.headroom:
        note += f" and {numbers.stated_percent(wanted.headroom)} headroom"
    if figures.cost.spare:
        note += f"; {numbers.count(figures.cost.spare)} of them to spare"
    yield Tile(label="Replicas", value=numbers.count(figures.replicas), unit="", note=note)


def _memory(plan: Plan, figures: Figures) -> Tile:
    value, _, unit = numbers.megabytes(figures.memory_mb).partition(" ")
    limit = plan.requirements.memory_mb
    if limit is None:
        return Tile(label="Memory", value=value, unit=unit, note=f"loads in {numbers.seconds(figures.load_s)}")
    verdict: Literal["pass", "fail"] = "pass" if figures.memory_mb <= limit else "fail"
    note = f"{numbers.stated(limit)} MB allowed, loads in {numbers.seconds(figures.load_s)}"
    return Tile(label="Memory", value=value, unit=unit, note=note, verdict=verdict)
