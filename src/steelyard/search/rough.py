"""What a glance can tell: bounds on a candidate's capacity that are wide enough to be safe."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from steelyard.decision.worth import capacity_of
from steelyard.records.candidate import Candidate
from steelyard.records.measurement import ServiceTime
from steelyard.records.requirements import Requirements

MARGIN = 1.2
"""A careful timing is trusted to lie within this factor of the glance."""
LARGER_BATCHES = 1.25
"""Batches larger than those of the glance may bring this much more."""


@dataclass(frozen=True)
class Rough:
    """Bounds on requests per second of one replica, from a glance."""

    candidate: Candidate
    at_least: float
    at_most: float


def rough(candidate: Candidate, glance: tuple[ServiceTime, ...], requirements: Requirements) -> Rough:
    """Bounds from rough service times of a few batch sizes, put through the same queue as careful ones would be."""
    largest = max(service.batch for service in glance)
    capped = msgspec.structs.replace(candidate, max_batch=min(candidate.max_batch, largest))
    seen = capacity_of(capped, glance, requirements)
    larger = LARGER_BATCHES if candidate.max_batch > largest and requirements.scenario != "single" else 1.0
    if seen <= 0:
        # By a glance it cannot keep the latency bound; a careful timing may just do.
        return Rough(candidate, at_least=0.0, at_most=capacity_of(capped, _quicker(glance), requirements) * larger)
    return Rough(candidate, at_least=seen / MARGIN, at_most=seen * MARGIN * larger)


def _quicker(glance: tuple[ServiceTime, ...]) -> tuple[ServiceTime, ...]:
    """The same service times, each as much shorter as a careful timing might find them."""
    return tuple(
        msgspec.structs.replace(s, quantiles_ms=tuple(value / MARGIN for value in s.quantiles_ms)) for s in glance
    )
