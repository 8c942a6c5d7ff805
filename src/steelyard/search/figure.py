"""The one number by which speeds are compared, as the requirements' priority has it."""

from __future__ import annotations

import math

import msgspec

from steelyard.decision import Standing
from steelyard.decision.worth import quantile
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Price
from steelyard.records.measurement import Evidence, Speed
from steelyard.records.requirements import Requirements
from steelyard.records.subject import Split

MARGIN = 1.2
"""A careful timing is trusted to lie within this factor of a glance."""
NO_SPLIT = Split(select=0, confirm=0)


class Figure:
    """Logarithm of requests per second, or of one over the latency; more is better."""

    def __init__(self, requirements: Requirements, price: Price) -> None:
        self._requirements = requirements
        self._price = price
        self.is_latency = requirements.priority == "speed" and requirements.scenario != "offline"

    def of(self, candidate: Candidate, speed: Speed) -> float:
        """Of measured service times. One that cannot keep the latency bound is the lower the more it is beyond it."""
        standing = self._standing(candidate, speed)
        if standing.capacity <= 0:
            return self._hopeless(candidate, speed)
        return -math.log(standing.latency_that_counts) if self.is_latency else math.log(standing.capacity)

    def is_hopeless(self, candidate: Candidate, speed: Speed) -> bool:
        """Whether it serves nothing within the latency bound, by these service times."""
        return self._standing(candidate, speed).capacity <= 0

    def may_keep_the_bound(self, candidate: Candidate, glance: Speed) -> bool:
        """Whether a careful timing could find that it serves within the latency bound at all."""
        return self._standing(candidate, quicker(glance)).capacity > 0

    def words(self, value: float) -> str:
        """`1,200 requests/s`, or `3.4 ms`."""
        if self.is_latency:
            return f"{math.exp(-value):,.3g} ms"
        number = math.exp(value)
        return f"{number:,.0f} requests/s" if number >= 100 else f"{number:.3g} requests/s"

    def _standing(self, candidate: Candidate, speed: Speed) -> Standing:
        evidence = Evidence(candidate_id=candidate.id, speed=speed)
        return Standing(candidate, evidence, self._requirements, self._price, NO_SPLIT)

    def _hopeless(self, candidate: Candidate, speed: Speed) -> float:
        alone, bound = speed.service[0], self._requirements.latency
        beyond = 1.0
        if bound is not None:
            beyond = max(1.0, quantile(alone.quantiles_ms, bound.percentile) / bound.bound_ms)
        if self.is_latency:
            return -math.log(alone.median_ms * beyond)
        return math.log(candidate.workers / alone.median_ms * 1e3) - 2 * math.log(beyond) - math.log(MARGIN)


def quicker(speed: Speed) -> Speed:
    """The same service times, each as much shorter as a careful timing might find them."""
    service = tuple(
        msgspec.structs.replace(s, quantiles_ms=tuple(value / MARGIN for value in s.quantiles_ms))
        for s in speed.service
    )
    return msgspec.structs.replace(speed, service=service)
