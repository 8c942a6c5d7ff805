"""What a candidate is worth: its capacity, the latency of its requests, what it costs."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from steelyard import capacity as simulated
from steelyard.records.arrivals import Arrivals
from steelyard.records.candidate import Candidate
from steelyard.records.machine import HOURS_PER_MONTH, Price
from steelyard.records.measurement import ServiceTime, Speed
from steelyard.records.plan import Cost, Energy, LatencyFigures
from steelyard.records.requirements import Latency, Requirements, Scenario

USUAL_LOAD = 0.7
"""Without a required rate, latencies are told at this share of a replica's capacity."""
SPOT_SPARE = 0.1
"""Of the replicas at spot prices, how many may be taken away at once without harm (one at least), unless the
requirements say how many. A rule of thumb: no provider promises how many it takes."""


def capacity_of(candidate: Candidate, service: tuple[ServiceTime, ...], requirements: Requirements) -> float:
    """Requests per second that one replica serves while keeping the latency bound; 0 when it cannot keep it at all."""
    return _capacity(service, candidate.workers, candidate.max_batch, _load_of(requirements))


def capacity_at_most(candidate: Candidate, service: tuple[ServiceTime, ...], requirements: Requirements) -> float:
    """A bound on `capacity_of` that needs no simulation."""
    if requirements.scenario != "server" or requirements.latency is None:
        return capacity_of(candidate, service, requirements)
    return simulated.optimistic_capacity(service, candidate.workers, candidate.max_batch, requirements.latency)


class _Load(NamedTuple):
    """The part of the requirements that a replica's capacity depends on: rates, prices and floors leave it alone."""

    scenario: Scenario
    latency: Latency | None
    arrivals: Arrivals


def _load_of(requirements: Requirements) -> _Load:
    return _Load(requirements.scenario, requirements.latency, requirements.arrivals)


@lru_cache(maxsize=20_000)
def _capacity(service: tuple[ServiceTime, ...], streams: int, max_batch: int, load: _Load) -> float:
    if load.scenario == "single":
        return _single_capacity(service, load.latency)
    if load.latency is None:
        return simulated.throughput(service, streams, max_batch)
    return simulated.capacity(service, streams, max_batch, load.latency, arrivals=load.arrivals)


def _single_capacity(service: tuple[ServiceTime, ...], bound: Latency | None) -> float:
    """One request after another: the reciprocal of the mean service time, if the percentile keeps the bound."""
    times = service[0].quantiles_ms
    if bound is not None and quantile(times, bound.percentile) > bound.bound_ms:
        return 0.0
    return 1e3 / (sum(times) / len(times))


def quantile(evenly_spaced: tuple[float, ...], percentile: float) -> float:
    """A percentile read off evenly spaced quantiles, interpolated."""
    place = percentile / 100 * (len(evenly_spaced) - 1)
    low = int(place)
    high = min(low + 1, len(evenly_spaced) - 1)
    return evenly_spaced[low] + (place - low) * (evenly_spaced[high] - evenly_spaced[low])


def needed_for(capacity: float, requirements: Requirements) -> int | None:
    """Replicas that the required rate and its headroom take; None without a rate or without capacity."""
    if requirements.rate_per_s is None or capacity <= 0:
        return None
    return math.ceil(requirements.rate_per_s * (1 + requirements.headroom) / capacity - 1e-9)


def spare_for(needed: int, requirements: Requirements, price: Price) -> int:
    """Replicas beyond those needed: as many as required; else none, and at spot prices one in ten, at least one."""
    if requirements.spare is not None:
        return requirements.spare
    return max(1, math.ceil(SPOT_SPARE * needed - 1e-9)) if price.spot else 0


def replicas_for(capacity: float, requirements: Requirements, price: Price) -> int | None:
    """All replicas to be paid: needed and spare. None without a rate or without capacity."""
    needed = needed_for(capacity, requirements)
    return None if needed is None else needed + spare_for(needed, requirements, price)


def cost_of(capacity: float, requirements: Requirements, price: Price) -> Cost:
    """Per million requests at full use; for the required rate per month, per million, and what of it stands idle."""
    per_million = price.per_hour / 3600 / capacity * 1e6 if capacity > 0 else None
    needed, rate = needed_for(capacity, requirements), requirements.rate_per_s
    if needed is None or rate is None:
        return Cost(per_million=per_million, per_month=None, currency=price.currency)
    spare = spare_for(needed, requirements, price)
    per_month = (needed + spare) * price.per_hour * HOURS_PER_MONTH
    utilisation = rate / ((needed + spare) * capacity)
    return Cost(
        per_million=per_million,
        per_month=per_month,
        currency=price.currency,
        per_million_at_rate=per_month / (rate * 3600 * HOURS_PER_MONTH) * 1e6,
        idle_per_month=per_month * (1 - utilisation),
        utilisation=utilisation,
        spare=spare,
    )


def energy_of(candidate: Candidate, speed: Speed) -> Energy | None:
    """At full use: the power drawn while the batch of best throughput was served; None when nothing is known of it."""
    metered = [s for s in speed.service if s.watts is not None]
    if not metered or speed.power is None:
        return None
    best = max(metered, key=lambda s: s.batch / s.median_ms)
    per_second = candidate.workers * best.batch * len(best.quantiles_ms) / sum(best.quantiles_ms) * 1e3
    watts = best.watts or 0.0
    return Energy(
        wh_per_million=watts / per_second / 3600 * 1e6,
        watts=watts,
        idle_watts=speed.power.idle_watts,
        source=speed.power.source,
        estimated=speed.power.estimated,
    )


def latency_of(
    candidate: Candidate, service: tuple[ServiceTime, ...], capacity: float, requirements: Requirements
) -> LatencyFigures:
    """Latencies under the plan's load: the required rate spread over the replicas, or the usual share of capacity.

    Those to spare are reckoned to be gone: the bound must hold without them.
    """
    needed = needed_for(capacity, requirements)
    rate = capacity * USUAL_LOAD
    if needed is not None and requirements.rate_per_s is not None:
        rate = requirements.rate_per_s / needed
    return _latency(service, candidate.workers, candidate.max_batch, rate, requirements)


@lru_cache(maxsize=20_000)
def _latency(
    service: tuple[ServiceTime, ...], streams: int, max_batch: int, rate: float, requirements: Requirements
) -> LatencyFigures:
    if requirements.scenario == "server" and requirements.latency is not None and rate > 0:
        bound_s = requirements.latency.bound_ms / 1e3
        latencies = simulated.latency_at(service, streams, max_batch, rate, bound_s, arrivals=requirements.arrivals)
        quantiles = tuple(float(f"{value:.5g}") for value in latencies)
        source = "simulated from measured service times"
    else:
        quantiles, source = _best_batch(service, requirements).quantiles_ms, "measured"
    return LatencyFigures(
        p50=quantile(quantiles, 50),
        p95=quantile(quantiles, 95),
        p99=quantile(quantiles, 99),
        rate_per_s=rate,
        source=source,  # type: ignore[arg-type]
        quantiles=quantiles,
    )


def _best_batch(service: tuple[ServiceTime, ...], requirements: Requirements) -> ServiceTime:
    """The batch that offline work is served in; one at a time otherwise."""
    if requirements.scenario == "offline":
        return max(service, key=lambda s: s.batch / s.median_ms)
    return service[0]
