"""Service times of a candidate for growing batches, interleaved with the reference so that noise shows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from steelyard.measure.power import meter
from steelyard.measure.process import Child
from steelyard.records.candidate import Candidate
from steelyard.records.measurement import ServiceTime, Speed
from steelyard.scheduling import batch_times

QUANTILES = 41
ROUNDS = 2
"""Candidate and reference take turns this often for each batch size."""
RUNS_WANTED = 60
MOST_RUNS = 4000
SHORTEST_S = 0.1
LONGEST_S = 1.2
SLOWEST_BATCH_S = 2.0
"""A batch that takes longer than this ends the ladder."""
WORTHWHILE = 1.03
"""A larger batch must raise throughput by this much over the best before, or the ladder ends after one more step."""
REFERENCE_S = 0.05
PAUSE_S = 0.05
"""Between turns: the threads of an engine go on spinning for a while after its last run."""
USUAL_ITEM_S = 0.005
FEW = 5
"""With fewer undisturbed runs than this, the disturbed ones are counted in as well."""


def batch_sizes(most: int) -> list[int]:
    """1, 2, 4 … `most`."""
    sizes = [1]
    while sizes[-1] * 2 <= most:
        sizes.append(sizes[-1] * 2)
    return sizes if sizes[-1] == most else [*sizes, most]


def measure_service(child: Child, candidate: Candidate, batch: int, seconds: float) -> ServiceTime:
    """Service times of one batch size, measured in one go of `seconds`."""
    return service_time(batch, [_time(child, candidate, batch, seconds)])


def measure_speed(
    child: Child, candidate: Candidate, reference: Child, reference_candidate: Candidate, quiet_ms: float, effort: float
) -> Speed:
    """Service times up the ladder of batch sizes.

    `quiet_ms` is the reference's median service time of one item when it was measured on its own; `effort` scales
    the time spent (1.0: about 60 runs a batch size, between 0.1 and 1.2 s).
    """
    watched = meter()
    power = watched.power()
    service: list[ServiceTime] = []
    beside: list[ServiceTime] = []
    for batch in _ladder(candidate.max_batch, service):
        seconds = effort * _seconds(service, batch, child, candidate)
        samples, spans = [], []
        for _ in range(ROUNDS):
            time.sleep(PAUSE_S)
            begun = watched.read(child)
            samples.append(_time(child, candidate, batch, seconds / ROUNDS))
            spans.append((begun, watched.read(child)))
            time.sleep(PAUSE_S)
            beside.append(service_time(1, [_time(reference, reference_candidate, 1, REFERENCE_S)]))
        service.append(msgspec.structs.replace(service_time(batch, samples), watts=watched.watts(spans)))
    return Speed(service=tuple(service), reference_ratio=_ratio(beside, quiet_ms), power=power)


def ladder_seconds(service: Sequence[ServiceTime], most: int, effort: float) -> float:
    """About how long `measure_speed` takes, judging by rough service times (none: of a model of usual size)."""
    total = SHORTEST_S / 2
    times = batch_times(service, 0.5, most) if service else []
    for batch in batch_sizes(most):
        expected = times[batch - 1] / 1e3 if times else USUAL_ITEM_S * batch
        total += ROUNDS * (max(effort * _wanted(expected) / ROUNDS, expected) + REFERENCE_S + 2 * PAUSE_S)
        if expected * 2 > SLOWEST_BATCH_S:
            break
    return total


def _ladder(most: int, service: Sequence[ServiceTime]) -> Iterator[int]:
    """Batch sizes while larger ones are still worth measuring; reads what the loop appends to `service`."""
    for batch in batch_sizes(most):
        if service and service[-1].median_ms / 1e3 * 2 > SLOWEST_BATCH_S:
            return
        if len(service) >= 3:
            *before, second, last = [s.batch / s.median_ms for s in service]
            if max(second, last) < max(before) * WORTHWHILE:
                return
        yield batch


def _seconds(service: Sequence[ServiceTime], batch: int, child: Child, candidate: Candidate) -> float:
    """How long to measure a batch size so that about RUNS_WANTED runs fit, within bounds."""
    if service:
        expected_ms = service[-1].median_ms * batch / service[-1].batch
    else:
        expected_ms = measure_service(child, candidate, batch, SHORTEST_S / 2).median_ms
    return _wanted(expected_ms / 1e3)


def _wanted(expected: float) -> float:
    """Seconds of timing for runs that are expected to take so many seconds each."""
    return min(max(expected * RUNS_WANTED, SHORTEST_S), LONGEST_S)


def _time(child: Child, candidate: Candidate, batch: int, seconds: float) -> dict[str, Any]:
    reply: dict[str, Any] = child.ask(
        "time", batch=batch, streams=candidate.streams, threads=candidate.threads, seconds=seconds, most=MOST_RUNS
    )
    return reply


def service_time(batch: int, samples: Sequence[dict[str, Any]]) -> ServiceTime:
    """Several goes of timing folded into one record; few undisturbed runs → the disturbed ones count as well."""
    clean = [seconds for sample in samples for seconds in sample["clean"]]
    disturbed = [seconds for sample in samples for seconds in sample["disturbed"]]
    used = clean if len(clean) >= min(FEW, len(clean) + len(disturbed)) else clean + disturbed
    quantiles = np.quantile(np.asarray(used), np.linspace(0, 1, QUANTILES)) * 1e3
    return ServiceTime(
        batch=batch,
        quantiles_ms=tuple(float(f"{value:.6g}") for value in quantiles),
        runs=len(used),
        disturbed=len(disturbed),
    )


def _ratio(beside: Sequence[ServiceTime], quiet_ms: float) -> float:
    """How much slower the reference ran beside the candidate than on its own."""
    return float(f"{statistics.median(s.median_ms for s in beside) / quiet_ms:.4g}")
