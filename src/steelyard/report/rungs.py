"""What a server may switch between, in words."""

from __future__ import annotations

from steelyard import numbers
from steelyard.decision import amounts
from steelyard.ladder import figures_of
from steelyard.records.base import Record
from steelyard.records.plan import Figures, Plan
from steelyard.report import wording

TITLE = "What a server may switch between"
HOW = "The most accurate that the load permits answers; each keeps every requirement."


class RungTold(Record):
    """One rung of the ladder."""

    variant: str
    id: str
    text: str
    """Its quality, what it serves alone, and its memory."""


def rungs(plan: Plan) -> list[RungTold]:
    """The most accurate first; none where there is nothing to switch to."""
    return [_told(figures) for figures in figures_of(plan)] if len(plan.ladder) > 1 else []


def _told(figures: Figures) -> RungTold:
    quality = figures.quality
    value = wording.quality(quality.metric, quality.value)
    change = amounts.change(quality.metric, quality.drop, lower_is_better=quality.lower_is_better)
    serves = numbers.rate(figures.capacity_per_replica)
    return RungTold(
        variant=figures.candidate.variant,
        id=figures.candidate.id,
        text=f"{quality.metric} {value} ({change}), {serves} alone, {numbers.megabytes(figures.memory_mb)}",
    )
