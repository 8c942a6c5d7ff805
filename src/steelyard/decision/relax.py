"""When nothing meets the requirements: what is nearest, what binds, and the smallest change that would help."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from steelyard.decision.choice import choose
from steelyard.decision.preference import running
from steelyard.decision.standing import Standing
from steelyard.decision.words import flag
from steelyard.decision.worth import capacity_of, cost_of, quantile
from steelyard.records.plan import Relaxation
from steelyard.records.requirements import Latency, Requirements

QUEUEING = 1.1
"""A latency bound must leave this much room over the bare service time."""
FREE = {"latency": {"latency": None}, "memory": {"memory_mb": None}, "budget": {"budget_per_month": None}}


@dataclass(frozen=True)
class Change:
    """One candidate would pass if one requirement were `instead`; `stretch` = how far that is, as a ratio."""

    requirement: str
    instead: Requirements
    standing: Standing
    stretch: float


def nearest(standings: Sequence[Standing]) -> Standing | None:
    """The candidate that comes closest: fewest requirements broken, undecided before broken, then the cheapest."""
    ran = [s for s in standings if s.stand in ("fails", "undecided") and s.speed is not None]
    ran = ran or [s for s in standings if s.stand in ("fails", "undecided")]
    changes = {change.standing.candidate.id: change.stretch for change in reversed(_changes(standings))}
    return min(ran, key=lambda s: (len(_binding(s)), changes.get(s.candidate.id, math.inf), s.spending), default=None)


def binding(standing: Standing) -> tuple[str, ...]:
    """The requirements that it breaks or does not provably keep, as they are typed."""
    return tuple(flag(name, standing.requirements) for name in _binding(standing))


def _binding(standing: Standing) -> tuple[str, ...]:
    return standing.breaks or ("quality",)


def relaxations(standings: Sequence[Standing]) -> tuple[Relaxation, ...]:
    """For each requirement that could give way alone, the smallest change that gives a plan; the least stretched first.

    A change that lets one candidate pass alone is not enough: it must be chosen among all that then run.
    """
    smallest: dict[str, Change] = {}
    for change in _changes(standings):
        if change.requirement not in smallest and _gives_a_plan(standings, change.instead):
            smallest[change.requirement] = change
    return tuple(
        Relaxation(
            requirement=flag(name, change.standing.requirements),
            instead=flag(name, change.instead),
            candidate=change.standing.candidate.id,
        )
        for name, change in smallest.items()
    )


def _changes(standings: Sequence[Standing]) -> list[Change]:
    """Every change of one requirement that lets one candidate pass, the least stretched first."""
    found = []
    for standing in standings:
        if standing.stand not in ("fails", "undecided") or standing.speed is None or len(_binding(standing)) != 1:
            continue
        change = _change(standing, _binding(standing)[0])
        if change is not None and _would_pass(standing, change.instead):
            found.append(change)
    return sorted(found, key=lambda change: change.stretch)


def _would_pass(standing: Standing, requirements: Requirements) -> bool:
    return replace(standing, requirements=requirements).stand == "passes"


def _gives_a_plan(standings: Sequence[Standing], requirements: Requirements) -> bool:
    return choose(running([replace(s, requirements=requirements) for s in standings])).chosen is not None


def _change(standing: Standing, requirement: str) -> Change | None:
    if requirement == "latency":
        return _looser_latency(standing)
    if requirement == "quality":
        return _lower_quality(standing)
    wanted = standing.requirements
    if requirement == "memory":
        needed, allowed, field = standing.evidence.probe.memory_mb, wanted.memory_mb, "memory_mb"  # type: ignore[union-attr]
    else:
        needed, allowed, field = standing.cost.per_month, wanted.budget_per_month, "budget_per_month"
    if needed is None or not allowed:
        return None
    instead = msgspec.structs.replace(wanted, **{field: _rounded_up(needed)})
    return Change(requirement, instead, standing, needed / allowed)


def _looser_latency(standing: Standing) -> Change | None:
    """The tightest bound at which it has capacity, and stays within the budget where there is one."""
    wanted, speed = standing.requirements, standing.speed
    if wanted.latency is None or speed is None:
        return None
    bound = quantile(speed.service[0].quantiles_ms, wanted.latency.percentile) * QUEUEING
    for _ in range(12):
        latency = Latency(percentile=wanted.latency.percentile, bound_ms=_rounded_up(bound))
        instead = msgspec.structs.replace(wanted, latency=latency)
        capacity = capacity_of(standing.candidate, speed.service, instead)
        month = cost_of(capacity, instead, standing.price).per_month
        if capacity > 0 and (wanted.budget_per_month is None or (month or 0) <= wanted.budget_per_month):
            return Change("latency", instead, standing, latency.bound_ms / wanted.latency.bound_ms)
        bound *= 1.25
    return None


def _lower_quality(standing: Standing) -> Change | None:
    """What its evidence does prove."""
    wanted, judgement, quality = standing.requirements, standing.judgement, standing.quality
    if judgement is None or quality is None:
        return None
    changed: dict[str, float] = {}
    stretch = 1.0
    if wanted.quality_drop is not None and judgement.drop_bound > wanted.quality_drop:
        changed["quality_drop"] = min(1.0, _rounded_up(judgement.drop_bound))
        stretch += changed["quality_drop"] - wanted.quality_drop
    if wanted.quality_floor is not None and judgement.value_bound < wanted.quality_floor:
        changed["quality_floor"] = math.floor(judgement.value_bound * 1000) / 1000
        stretch += wanted.quality_floor - changed["quality_floor"]
    if wanted.quality_ceiling is not None and judgement.value_bound > wanted.quality_ceiling:
        changed["quality_ceiling"] = _rounded_up(judgement.value_bound)
        stretch *= changed["quality_ceiling"] / wanted.quality_ceiling if wanted.quality_ceiling > 0 else math.inf
    if not changed:
        return None
    return Change("quality", msgspec.structs.replace(wanted, **changed), standing, stretch)


def _rounded_up(value: float) -> float:
    """To two significant digits, upwards."""
    if value <= 0:
        return 0.0
    scale = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / scale - 1e-9) * scale:.3g}")
