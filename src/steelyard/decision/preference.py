"""In which order candidates are preferred, and which of them no other beats."""

from __future__ import annotations

import math
from collections.abc import Sequence

from steelyard.decision.standing import Standing

TIE = 0.05
"""Costs and latencies closer than this are a tie: undisturbed medians move by up to 5 % from run to run."""


def running(standings: Sequence[Standing]) -> list[Standing]:
    """Those that nothing speaks against but, perhaps, the confirming items; most preferred first.

    The order depends on speed, price and the selecting items alone, so that the confirming items stay fresh.
    """
    able = [s for s in standings if s.in_the_running]
    priority = standings[0].requirements.priority if standings else "cost"
    ordered = sorted(able, key=lambda s: _preference(s, priority))
    if priority == "knee" and ordered:
        knee = _knee(ordered)
        ordered.sort(key=lambda s: s is not knee)
    elif priority != "quality" and ordered:
        ordered = _ties_to_quality(ordered, priority)
    return ordered


def contenders(standings: Sequence[Standing]) -> list[Standing]:
    """Those that keep every requirement, or may do so once they are confirmed; most preferred first."""
    return [s for s in running(standings) if s.stand == "passes" or s.may_pass]


def _preference(standing: Standing, priority: str) -> tuple[float, ...]:
    drop = _selecting_drop(standing)
    if priority == "speed":
        slowness = (
            1 / standing.capacity if standing.requirements.scenario == "offline" else standing.latency_that_counts
        )
        return (slowness, standing.spending, drop)
    if priority == "quality":
        return (drop, standing.spending, 1 / standing.capacity)
    return (standing.spending, 1 / standing.capacity, drop)


def _selecting_drop(standing: Standing) -> float:
    """The drop on the items that select: the order must not depend on the items that confirm."""
    quality = standing.evidence.selected or standing.quality
    return math.inf if quality is None else 0.0 if quality.identical else quality.drop


def _ties_to_quality(ordered: list[Standing], priority: str) -> list[Standing]:
    """Among those that the measurements cannot tell from the best, the better quality goes first.

    Of equal quality the one that the subject lists first, which changes the least.
    """
    best = _preference(ordered[0], priority)[:2]
    tied = [s for s in ordered if all(v <= b * (1 + TIE) for v, b in zip(_preference(s, priority), best, strict=False))]
    tied.sort(key=lambda s: (max(_selecting_drop(s), 0.0), s.place))
    return tied + [s for s in ordered if s not in tied]


def _knee(ordered: Sequence[Standing]) -> Standing:
    """The point of the front farthest from the straight line between its ends (log cost × quality)."""
    points = [(math.log(s.cost.per_million or math.inf), -_selecting_drop(s)) for s in ordered]
    (x0, x1), (y0, y1) = ((min(p[i] for p in points), max(p[i] for p in points)) for i in (0, 1))

    def gain(point: tuple[float, float]) -> float:
        cheap = (x1 - point[0]) / (x1 - x0) if x1 > x0 else 0.0
        good = (point[1] - y0) / (y1 - y0) if y1 > y0 else 0.0
        return cheap + good

    return ordered[max(range(len(points)), key=lambda i: gain(points[i]))]


def front(passing: Sequence[Standing], chosen: Standing | None = None) -> list[Standing]:
    """Those that no other beats in cost, latency and quality at once, cheapest first.

    The chosen one is always among them: what beats it does so by less than the measurements can tell.
    """
    points = {s.candidate.id: _objectives(s) for s in passing}

    def beaten(one: Standing) -> bool:
        return any(_dominates(points[other.candidate.id], points[one.candidate.id]) for other in passing)

    kept = [s for s in passing if s is chosen or not beaten(s)]
    return sorted(kept, key=lambda s: points[s.candidate.id])


def _objectives(standing: Standing) -> tuple[float, float, float]:
    quality = standing.quality
    drop = 0.0 if quality is None or quality.identical else quality.drop
    return (_three(standing.cost.per_million or math.inf), _three(standing.latency_that_counts), round(drop, 4))


def _three(value: float) -> float:
    """To three significant digits: more are not in the measurements."""
    return float(f"{value:.3g}")


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
