"""What a candidate is worth: its capacity, the latency of its requests, what it costs."""

from __future__ import annotations

import math
from functools import lru_cache

from steelyard import capacity as simulated
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Price
from steelyard.records.measurement import ServiceTime
from steelyard.records.plan import Cost, LatencyFigures
from steelyard.records.requirements import Requirements

HOURS_PER_MONTH = 730
USUAL_LOAD = 0.7
"""Without a required rate, latencies are told at this share of a replica's capacity."""


def capacity_of(candidate: Candidate, service: tuple[ServiceTime, ...], requirements: Requirements) -> float:
    """Requests per second that one replica serves while keeping the latency bound; 0 when it cannot keep it at all."""
    return _capacity(service, candidate.workers, candidate.max_batch, requirements)


def capacity_at_most(candidate: Candidate, service: tuple[ServiceTime, ...], requirements: Requirements) -> float:
    """A bound on `capacity_of` that needs no simulation."""
    if requirements.scenario != "server" or requirements.latency is None:
        return capacity_of(candidate, service, requirements)
    return simulated.optimistic_capacity(service, candidate.workers, candidate.max_batch, requirements.latency)


@lru_cache(maxsize=20_000)
def _capacity(service: tuple[ServiceTime, ...], streams: int, max_batch: int, requirements: Requirements) -> float:
    if requirements.scenario == "single":
        return _single_capacity(service, requirements)
    if requirements.latency is None:
        return simulated.throughput(service, streams, max_batch)
    return simulated.capacity(service, streams, max_batch, requirements.latency, arrivals=requirements.arrivals)


def _single_capacity(service: tuple[ServiceTime, ...], requirements: Requirements) -> float:
    """One request after another: the reciprocal of the mean service time, if the percentile keeps the bound."""
    times = service[0].quantiles_ms
    bound = requirements.latency
    if bound is not None and quantile(times, bound.percentile) > bound.bound_ms:
        return 0.0
    return 1e3 / (sum(times) / len(times))


def quantile(evenly_spaced: tuple[float, ...], percentile: float) -> float:
    """A percentile read off evenly spaced quantiles, interpolated."""
    place = percentile / 100 * (len(evenly_spaced) - 1)
    low = int(place)
    high = min(low + 1, len(evenly_spaced) - 1)
    return evenly_spaced[low] + (place - low) * (evenly_spaced[high] - evenly_spaced[low])


def replicas_for(capacity: float, requirements: Requirements) -> int | None:
    """Replicas that the required rate takes; None without a rate or without capacity."""
    if requirements.rate_per_s is None or capacity <= 0:
        return None
    return math.ceil(requirements.rate_per_s * (1 + requirements.headroom) / capacity - 1e-9)


def cost_of(capacity: float, requirements: Requirements, price: Price) -> Cost:
    """Per million requests at full use, and per month for the required rate."""
    replicas = replicas_for(capacity, requirements)
    return Cost(
        per_million=price.per_hour / 3600 / capacity * 1e6 if capacity > 0 else None,
        per_month=None if replicas is None else replicas * price.per_hour * HOURS_PER_MONTH,
        currency=price.currency,
    )


def latency_of(
    candidate: Candidate, service: tuple[ServiceTime, ...], capacity: float, requirements: Requirements
) -> LatencyFigures:
    """Latencies under the plan's load: the required rate spread over the replicas, or the usual share of capacity."""
    replicas = replicas_for(capacity, requirements)
    rate = capacity * USUAL_LOAD
    if replicas is not None and requirements.rate_per_s is not None:
        rate = requirements.rate_per_s / replicas
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
