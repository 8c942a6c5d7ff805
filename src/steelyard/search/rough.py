"""What a glance can tell: bounds on a candidate's capacity that are wide enough to be safe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.records.candidate import Candidate
from steelyard.records.measurement import ServiceTime
from steelyard.records.requirements import Requirements

MARGIN = 1.3
"""A careful timing is trusted to lie within this factor of the glance."""
LARGER_BATCHES = 1.25
"""Batches larger than those of the glance may bring this much more."""


@dataclass(frozen=True)
class Rough:
    """Bounds on requests per second of one replica, from a glance."""

    candidate: Candidate
    at_least: float
    at_most: float


def rough(candidate: Candidate, glance: Sequence[ServiceTime], requirements: Requirements) -> Rough:
    """Bounds from service times of a few batch sizes; with a latency bound only batches that fit under it count."""
    bound = requirements.latency.bound_ms if requirements.latency else float("inf")
    single = requirements.scenario == "single"
    seen = [s for s in glance if s.batch == 1] if single else glance
    best = max((_rate(s, candidate, s.median_ms) for s in seen if s.median_ms <= bound), default=0.0)
    dream = max((_rate(s, candidate, s.quantiles_ms[0]) for s in seen if s.quantiles_ms[0] <= bound), default=0.0)
    larger = 1.0 if single or candidate.max_batch <= max(s.batch for s in glance) else LARGER_BATCHES
    # Under a latency bound queueing takes a share of the throughput, which one capacity per replica may lose by half.
    certain = best / MARGIN * (0.5 if requirements.latency and not single else 1.0)
    return Rough(candidate, at_least=certain, at_most=dream * MARGIN * larger)


def _rate(service: ServiceTime, candidate: Candidate, milliseconds: float) -> float:
    return service.batch / milliseconds * 1e3 * candidate.streams
