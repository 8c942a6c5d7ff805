"""The table of all candidates."""

from __future__ import annotations

from collections.abc import Iterator

from steelyard import numbers
from steelyard.records.base import Record
from steelyard.records.plan import Figures, Outcome, Plan, Weighed
from steelyard.report import wording
from steelyard.report.scatter import name, role


class Column(Record):
    """One sortable column of figures."""

    key: str
    title: str
    unit: str = ""


class Cell(Record):
    """One figure; `order` is what sorting compares, None sorts last."""

    text: str
    order: float | None = None
    note: str = ""


class Row(Record):
    """One candidate."""

    id: str
    outcome: Outcome
    order: int
    mark: str
    """The shape that stands for it, as in the charts."""
    name: str
    reason: str
    cells: tuple[Cell, ...]


def columns(plan: Plan) -> list[Column]:
    """The columns of figures, in the order of a row's cells."""
    return [
        Column(key="quality", title=plan.reference.quality.metric.capitalize()),
        Column(key="p50", title="p50"),
        Column(key="p95", title="p95"),
        Column(key="p99", title="p99"),
        Column(key="capacity", title="Capacity", unit="requests/s"),
        Column(key="cost", title="Cost per million", unit=plan.price.currency),
        Column(key="memory", title="Memory"),
    ]


def rows(plan: Plan) -> list[Row]:
    """All candidates, in the plan's order."""
    return [_row(plan, entry) for entry in plan.candidates]


def outcomes(plan: Plan) -> list[tuple[Outcome, int, str]]:
    """Each outcome that occurs, how often, and what it means."""
    counted = {each: sum(entry.verdict == each for entry in plan.candidates) for each in wording.OUTCOMES}
    return [(each, number, wording.MEANING[each]) for each, number in counted.items() if number]


def _row(plan: Plan, entry: Weighed) -> Row:
    return Row(
        id=entry.id,
        outcome=entry.verdict,
        order=wording.OUTCOMES.index(entry.verdict),
        mark=role(plan, entry),
        name=name(plan, entry.id),
        reason=f"{entry.failure}: {entry.reason}" if entry.failure else entry.reason,
        cells=tuple(_cells(plan, entry.figures))
        if entry.figures
        else (Cell(text=numbers.MISSING),) * len(columns(plan)),
    )


def _cells(plan: Plan, figures: Figures) -> Iterator[Cell]:
    quality, latency, cost = figures.quality, figures.latency, figures.cost.per_million
    surely = wording.quality(quality.metric, wording.surely(plan, quality))
    yield Cell(
        text=wording.quality(quality.metric, quality.value),
        order=-quality.value if quality.lower_is_better else quality.value,
        note=f"{'≤' if quality.lower_is_better else '≥'} {surely}",
    )
    for value in (latency.p50, latency.p95, latency.p99):
        yield Cell(text=numbers.duration_ms(value), order=value)
    yield Cell(text=numbers.significant(figures.capacity_per_replica), order=figures.capacity_per_replica)
    yield Cell(text=numbers.MISSING if cost is None else numbers.significant(cost), order=cost)
    yield Cell(text=numbers.megabytes(figures.memory_mb), order=figures.memory_mb)
