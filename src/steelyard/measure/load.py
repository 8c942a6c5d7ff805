"""Real load on a candidate: its own dispatcher and runner, requests sent at their scheduled times."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from steelyard.measure.process import Child
from steelyard.measure.speed import batch_sizes, measure_service
from steelyard.records.arrivals import Arrivals
from steelyard.records.candidate import Candidate
from steelyard.records.measurement import Load, ServiceTime
from steelyard.records.requirements import Latency
from steelyard.scheduling import PLANNED_QUANTILE, profile

GLANCE_S = 0.05


def measure_load(
    child: Child,
    candidate: Candidate,
    rate: float,
    arrivals: Arrivals,
    seconds: float,
    latency: Latency,
    service: Sequence[ServiceTime] = (),
    seed: int = 0,
) -> Load:
    """One run of `seconds` at `rate` requests per second on an opened candidate.

    The dispatcher plans with `service`; without any, batches are first timed for a moment.
    """
    if not service:
        service = [measure_service(child, candidate, size, GLANCE_S) for size in batch_sizes(candidate.max_batch)]
    plan = profile(service, PLANNED_QUANTILE, candidate.max_batch)
    reply = child.ask(
        "load",
        workers=candidate.workers,
        plan_s=plan.seconds,
        arrivals=arrivals,
        rate=rate,
        seconds=seconds,
        bound_s=latency.bound_ms / 1e3,
        seed=seed,
    )
    return msgspec.convert(reply, Load)
