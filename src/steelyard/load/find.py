"""The highest rate at which a server keeps a latency bound, found by loading it."""

from __future__ import annotations

import math
from collections.abc import Callable

from steelyard.capacity import bracket
from steelyard.errors import Interrupted, UsageError
from steelyard.load.job import Job
from steelyard.load.report import BUSY_CORE
from steelyard.records.load_report import FOUND_SCHEMA, FoundReport, LoadReport, Try
from steelyard.records.requirements import Latency
from steelyard.verdicts import late_verdict

PRECISION = 0.05
ENOUGH = 4
"""Each run sends at least so many times the requests of which none may be late for a pass."""


def seconds_at(job: Job, rate: float) -> float:
    """How long a run at this rate takes: as ordered, or as long as a verdict takes at all."""
    if job.latency is None:
        return job.seconds
    fewest = math.log(1 - job.confidence) / math.log(job.latency.percentile / 100)
    return max(job.seconds, ENOUGH * fewest / rate)


def find(job: Job, guess: float, run: Callable[[float], LoadReport]) -> FoundReport:
    """Run at one rate after another, from the guess on, until one holds and one `PRECISION` higher does not.

    A run holds as it does in the simulation: the binomial bound on its late requests. Raises `UsageError` without a
    bound to hold.
    """
    if job.latency is None:
        raise UsageError("--find needs a latency bound to keep", "for example --p95 20ms")
    runs: list[LoadReport] = []
    interrupted = False

    def holds(rate: float) -> bool:
        report = run(rate)
        if report.interrupted:
            raise Interrupted("stopped in the middle of a run")
        runs.append(report)
        return _tried(report, latency).verdict == "pass"

    latency = job.latency
    try:
        bracket(holds, guess, PRECISION)
    except Interrupted:
        interrupted = True
    return _found(runs, latency, interrupted)


def _found(runs: list[LoadReport], latency: Latency, interrupted: bool) -> FoundReport:
    tries = tuple(_tried(report, latency) for report in runs)
    held = [report for report, tried in zip(runs, tries, strict=True) if tried.verdict == "pass"]
    best = max(held, key=lambda report: report.rate_asked_per_s, default=None)
    rate = best.rate_asked_per_s if best else 0.0
    above = [report for report, tried in zip(runs, tries, strict=True) if tried.verdict != "pass"]
    nearest = min(above, key=lambda report: report.rate_asked_per_s, default=None)
    return FoundReport(
        schema=FOUND_SCHEMA,
        requirement=latency,
        held_per_s=rate,
        failed_per_s=nearest.rate_asked_per_s if nearest else None,
        precision=PRECISION,
        tries=tries,
        held=best,
        interrupted=interrupted,
        warnings=_warnings(nearest),
    )


def _tried(report: LoadReport, latency: Latency) -> Try:
    late = report.requests if report.late is None else report.late
    return Try(
        rate_per_s=report.rate_asked_per_s,
        requests=report.requests,
        late=late,
        p50=report.latency.p50,
        p99=report.latency.p99,
        answered_per_s=report.answered_per_s,
        verdict=late_verdict(late, report.requests, latency.percentile, report.confidence),
    )


def _warnings(nearest: LoadReport | None) -> tuple[str, ...]:
    """Whether it was the client that ended the search."""
    if nearest is None or nearest.client.core_share <= BUSY_CORE:
        return ()
    return (
        f"at {nearest.rate_asked_per_s:g}/s the client used {nearest.client.core_share:.0%} of a core: the server may "
        "well carry more than was found",
    )
