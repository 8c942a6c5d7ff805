"""What `steelyard load` found, as it is written in JSON. The schema is versioned: `steelyard.load/1`."""

from __future__ import annotations

from typing import Literal

from steelyard.records.base import Record
from steelyard.records.machine import Machine
from steelyard.records.plan import Verdict
from steelyard.records.requirements import Latency

SCHEMA: Literal["steelyard.load/1"] = "steelyard.load/1"
FOUND_SCHEMA: Literal["steelyard.load-found/1"] = "steelyard.load-found/1"


class Tail(Record):
    """Percentiles in milliseconds; null: so many were never answered that it has no end."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p99_9: float | None
    max: float | None


class Bin(Record):
    """Answers that took longer than `from_ms` and up to `to_ms`."""

    from_ms: float
    to_ms: float
    count: int


class Client(Record):
    """How the client itself fared: what it is to blame for, and what its figures rest on."""

    connections: int
    """Opened at the start."""
    reopened: int
    """How often one was lost, or closed by the server, and opened again."""
    waited: int
    """Requests that found no connection free; the wait is part of their latency."""
    late: Tail
    """How long after it was due the client got to a request."""
    core_share: float
    """Of one core's time, what the client used; near 1 it is the bottleneck."""
    loop: str
    """The event loop: uvloop or asyncio."""
    machine: Machine


class LoadReport(Record):
    """One run of load on a server. Latency counts from the scheduled arrival."""

    schema: Literal["steelyard.load/1"]
    steelyard: str
    created: str
    """UTC, ISO 8601."""
    target: str
    model: str
    model_version: str
    """Empty: the server chose."""
    encoding: Literal["binary", "json"]
    items: int
    """In each request."""
    arrivals: str
    """The pattern, as it is typed: `poisson`, `gamma:2`, `trace:requests.csv`."""
    rate_asked_per_s: float
    rate_sent_per_s: float
    """Requests that left over the time in which they were due."""
    answered_per_s: float
    """Requests answered over the time from the first being due to the last answer."""
    seconds: float
    """From the first request being due to the last."""
    requests: int
    """Those that were due; a warm-up before is not counted."""
    answered: int
    failed: dict[str, int]
    """By the status of the answer, or: lost (the connection was), malformed (no HTTP), unreachable, unanswered (until
    the run ended), given up (the queue only grew)."""
    errors: dict[str, str]
    """The first error of each kind, in the server's words."""
    latency: Tail
    """Of all requests; one that failed was never answered."""
    latency_answered: Tail
    """Of those that were answered alone."""
    latency_once_sent: Tail
    """The same, counted from when they left: without waiting for a free connection."""
    quantiles_ms: tuple[float, ...]
    """101 evenly spaced quantiles of the latency of those that were answered, from the minimum to the maximum."""
    histogram: tuple[Bin, ...]
    """Of those that were answered; as wide on a logarithmic scale."""
    variants: dict[str, float]
    """Shares of the answers that named a variant, by variant."""
    client: Client
    requirement: Latency | None
    confidence: float
    late: int | None
    """Requests that took longer than the bound, or failed; null: no bound was given."""
    late_without_client: int | None
    """The same, without what the client is to blame for: counted from when it got to them, and with an allowance for
    reading answers as late as it sent requests, at the percentile of the requirement."""
    clustering: float
    """So many consecutive requests tell as much about lateness as one on its own: lateness comes in spells."""
    verdict: Verdict | None
    requests_needed: int | None
    """About how many requests would settle an undecided verdict; null: it is settled, or hopeless."""
    interrupted: bool
    gave_up: bool
    warnings: tuple[str, ...]


class Try(Record):
    """One rate that was tried."""

    rate_per_s: float
    requests: int
    late: int
    p50: float | None
    p99: float | None
    answered_per_s: float
    verdict: Verdict


class FoundReport(Record):
    """The highest rate at which the latency bound held."""

    schema: Literal["steelyard.load-found/1"]
    requirement: Latency
    held_per_s: float
    """The highest rate that was tried and held; 0: none did. To hold, a run passes with each request counted for one,
    as capacities are simulated; the report of a single run is more careful with lateness that comes in spells."""
    failed_per_s: float | None
    """The lowest rate that was tried and did not hold; null: all held."""
    precision: float
    """How far apart the two may be, as a share."""
    tries: tuple[Try, ...]
    held: LoadReport | None
    """The run at the highest rate that held; null: none did, or it was interrupted before."""
    interrupted: bool
    warnings: tuple[str, ...]
