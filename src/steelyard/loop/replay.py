"""Another day, or another promise, for a bundle: simulated from what was measured, without hardware."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from steelyard.arrivals import Floats, arrival_times, shown_s
from steelyard.bundle import read_plan
from steelyard.errors import UsageError
from steelyard.ladder import ladder_of
from steelyard.loop import order
from steelyard.records.base import Record
from steelyard.records.plan import Plan, Verdict
from steelyard.records.requirements import Latency
from steelyard.simulation import Outcome, replay, static
from steelyard.switching import Ladder
from steelyard.verdicts import late_verdict

SHORTEST_S = 60.0
FEWEST, MOST_BY_DEFAULT, MOST = 10_000, 300_000, 5_000_000
"""Requests."""


class ReplayedRung(Record):
    """A variant that may answer."""

    variant: str
    quality: float
    cost_per_thousand: float | None
    share: float
    """Of the requests answered when the controller chooses."""


class ReplayedRow(Record):
    """One way to serve these requests, and what becomes of them."""

    name: str
    """`switching`, or the variant that answers everything."""
    outcome: Outcome
    violations: float
    """Share of the requests that were answered late, or refused."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    """Of the requests answered."""
    verdict: Verdict
    """Whether enough requests are answered in time, at the plan's confidence; "undecided" for want of a percentile."""


class Replayed(Record):
    """What would happen on that day."""

    bundle: str
    arrivals: str
    """As typed."""
    rate_per_s: float
    """That one replica gets on average."""
    seconds: float
    requests: int
    bound_ms: float
    percentile: float
    metric: str
    currency: str
    rungs: tuple[ReplayedRung, ...]
    """The most accurate first."""
    rows: tuple[ReplayedRow, ...]
    """Switching first, then each variant on its own, without switching or admission."""
    told: tuple[str, ...]
    """How the trace was read, and what was taken for granted."""

    @property
    def switching(self) -> ReplayedRow:
        """What serving the bundle does."""
        return self.rows[0]


def replay_bundle(
    arrivals: str,
    bundle: str | Path,
    latency: Latency | None = None,
    rate_per_s: float | None = None,
    seconds: float | None = None,
    seed: int = 0,
) -> Replayed:
    """Simulate one replica of a bundle (or plan file) under other arrivals, another bound or another rate.

    `arrivals`: `poisson`, `gamma:CV`, `trace:FILE`. Without a latency the plan's own is promised; without a rate one
    replica's part of the plan's is sent, or, when it has none, what one replica was found to carry; without seconds
    so long that the pattern shows. Equal seeds give equal outcomes. Raises UsageError for what does not fit together,
    DataError for a trace that cannot be read, BundleError for a plan that cannot.
    """
    plan = read_plan(bundle)
    told: list[str] = []
    promised = latency or plan.requirements.latency
    if promised is None:
        raise UsageError("the plan promises no latency", "say one, for example --p95 50ms")
    bound_s = promised.bound_ms / 1000
    ladder = ladder_of(plan, bound_s)
    rate = _rate(plan, told) if rate_per_s is None else rate_per_s
    pattern = order.arrivals({"arrivals": arrivals})
    count = _count(rate, max(SHORTEST_S, shown_s(pattern, bound_s)), seconds)
    times = arrival_times(pattern, rate, count, bound_s, np.random.default_rng([seed, 0]))
    rows = _rows(times, ladder, promised, plan.requirements.confidence, seed)
    return Replayed(
        bundle=str(bundle),
        arrivals=pattern.words,
        rate_per_s=rate,
        seconds=float(times[-1]),
        requests=count,
        bound_ms=promised.bound_ms,
        percentile=promised.percentile,
        metric=plan.reference.quality.metric,
        currency=plan.price.currency,
        rungs=_rungs(ladder, rows[0].outcome),
        rows=rows,
        told=(*pattern.told, *told),
    )


def _rate(plan: Plan, told: list[str]) -> float:
    """What one replica gets."""
    required, capacity = plan.requirements.rate_per_s, plan.capacity_per_replica
    if required is not None:
        sharing = max(1, (plan.replicas or 1) - (plan.cost.spare if plan.cost else 0))
        if sharing > 1:
            told.append(f"{required:,.4g} requests/s on {sharing} replicas: one of them is simulated")
        return required / sharing
    if not capacity:
        raise UsageError("the plan names no rate", "say one, for example --rate 500/s")
    told.append(f"the plan requires no rate: {capacity:,.4g} requests/s is what one replica carries")
    return capacity


def _count(rate: float, usual_s: float, seconds: float | None) -> int:
    """How many requests."""
    if seconds is None:
        return int(min(max(rate * usual_s, FEWEST), MOST_BY_DEFAULT))
    count = rate * seconds
    if not 1 <= count <= MOST or math.isnan(count):
        raise UsageError(
            f"between 1 and {MOST:,} requests can be simulated, got {rate:,.4g}/s for {seconds:,.4g} s",
            "another --rate or --duration",
        )
    return int(count)


def _rows(times: Floats, ladder: Ladder, latency: Latency, confidence: float, seed: int) -> tuple[ReplayedRow, ...]:
    outcomes = [("switching", replay(times, ladder, seed=seed))]
    if len(ladder.rungs) > 1:
        outcomes += [(rung.name, static(times, ladder, place, seed)) for place, rung in enumerate(ladder.rungs)]
    return tuple(_row(name, outcome, latency, confidence) for name, outcome in outcomes)


def _row(name: str, outcome: Outcome, latency: Latency, confidence: float) -> ReplayedRow:
    p50, p95, p99 = (outcome.latency_ms[at] for at in (50, 95, 99))
    missed = outcome.late + outcome.refused
    return ReplayedRow(
        name=name,
        outcome=outcome,
        violations=outcome.violations,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        verdict=late_verdict(missed, outcome.requests, latency.percentile, confidence),
    )


def _rungs(ladder: Ladder, outcome: Outcome) -> tuple[ReplayedRung, ...]:
    shares: Sequence[float] = outcome.shares
    return tuple(
        ReplayedRung(
            variant=rung.name, quality=rung.quality, cost_per_thousand=rung.cost_per_thousand, share=shares[place]
        )
        for place, rung in enumerate(ladder.rungs)
    )
