"""Real load on a candidate: its own dispatcher and runner, requests sent at their scheduled times."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from steelyard.measure.process import Child
from steelyard.records.arrivals import Arrivals
from steelyard.records.candidate import Candidate
from steelyard.records.measurement import Load
from steelyard.records.requirements import Latency

QUANTILES = 101


def measure_load(
    child: Child, candidate: Candidate, rate: float, arrivals: Arrivals, seconds: float, latency: Latency, seed: int = 0
) -> Load:
    """One run of `seconds` at `rate` requests per second on an opened candidate."""
    reply: dict[str, Any] = child.ask(
        "load",
        rate=rate,
        arrivals=msgspec.to_builtins(arrivals),
        seconds=seconds,
        latency=msgspec.to_builtins(latency),
        candidate=msgspec.to_builtins(candidate),
        seed=seed,
    )
    latencies, sent_late = np.asarray(reply["latency_s"]) * 1e3, np.asarray(reply["sent_late_s"]) * 1e3
    return Load(
        rate_per_s=rate,
        arrivals=arrivals.words,
        seconds=reply["seconds"],
        requests=len(latencies),
        late=int(np.count_nonzero(latencies > latency.bound_ms)),
        bound_ms=latency.bound_ms,
        quantiles_ms=_quantiles(latencies),
        sent_late_ms=_quantiles(sent_late),
        generator_share=reply["generator_share"],
        mean_batch=reply["mean_batch"],
        answered_per_s=reply["answered_per_s"],
    )


def _quantiles(values: np.ndarray[Any, Any]) -> tuple[float, ...]:
    return tuple(float(f"{value:.5g}") for value in np.quantile(values, np.linspace(0, 1, QUANTILES)))
