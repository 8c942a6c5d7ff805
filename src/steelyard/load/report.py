"""A run of load in numbers, and the verdict on it."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from steelyard.arrivals import Floats
from steelyard.load.job import Job
from steelyard.load.outcome import Outcome
from steelyard.machines.here import this_machine
from steelyard.records.load_report import SCHEMA, Bin, Client, LoadReport, Tail
from steelyard.records.plan import Verdict
from steelyard.verdicts import clustering_of, late_items_needed, late_verdict
from steelyard.version import VERSION

QUANTILES, BINS = 101, 16
BUSY_CORE = 0.85
"""A client that uses so much of a core no longer keeps up with certainty."""
LATE_MS, LATE_SHARE = 1.0, 0.1
"""A client whose p99 of lateness is above both (of the bound) is told."""
WAITED_SHARE = 0.01
NEVER_S = 1e6
"""In place of infinity, where the arithmetic needs a number."""


def summary(outcome: Outcome, job: Job, rate: float) -> LoadReport:
    """The run in numbers. Requests that failed are late, whatever the bound."""
    took, span = outcome.answered - outcome.due, float(outcome.due[-1] - outcome.due[0])
    fine = np.isfinite(took)
    answered, sent = int(fine.sum()), int(np.count_nonzero(~np.isnan(outcome.sent)))
    late, blameless, clustering, verdict, needed = _judged(outcome, job)
    return LoadReport(
        schema=SCHEMA,
        steelyard=VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        target=job.target.url,
        model=job.model.name,
        model_version=job.model.version,
        encoding="json" if job.form.json else "binary",
        items=job.items,
        arrivals=job.arrivals.words,
        rate_asked_per_s=rate,
        rate_sent_per_s=_figures(sent / span) if span else rate,
        answered_per_s=_figures(answered / outcome.seconds) if outcome.seconds else 0.0,
        seconds=_figures(span),
        requests=len(took),
        answered=answered,
        failed=dict(outcome.failed),
        errors=dict(outcome.errors),
        latency=_tail(took),
        latency_answered=_tail(took[fine]),
        latency_once_sent=_tail((outcome.answered - outcome.sent)[fine]),
        quantiles_ms=_quantiles_ms(took[fine]),
        histogram=_histogram(took[fine]),
        variants={name: _figures(count / answered) for name, count in sorted(outcome.variants.items())},
        client=_client(outcome),
        requirement=job.latency,
        confidence=job.confidence,
        late=late,
        late_without_client=blameless,
        clustering=_figures(clustering),
        verdict=verdict,
        requests_needed=needed,
        interrupted=outcome.interrupted,
        gave_up=outcome.gave_up,
        warnings=(*job.arrivals.told, *_warnings(outcome, job)),
    )


def _judged(outcome: Outcome, job: Job) -> tuple[int | None, int | None, float, Verdict | None, int | None]:
    """Late requests with and without the client's share, how they cluster, the verdict, and what would settle it."""
    if job.latency is None:
        return None, None, 1.0, None, None
    took, percentile = outcome.answered - outcome.due, job.latency.percentile
    clustering = clustering_of(np.minimum(took, NEVER_S).tolist(), percentile)
    late = int(np.count_nonzero(took > job.bound_s))
    blameless = int(np.count_nonzero(~(outcome.answered - outcome.taken <= job.bound_s + _own_s(outcome, percentile))))
    verdict = late_verdict(late, len(took), percentile, job.confidence, clustering)
    needed = None
    if verdict == "undecided":
        needed = late_items_needed(late, len(took), percentile, job.confidence, clustering)
    elif late_verdict(blameless, len(took), percentile, job.confidence, clustering) != verdict:
        verdict = "undecided"  # it would fail by what is the client's own fault
    return late, blameless, clustering, verdict, needed


def _own_s(outcome: Outcome, percentile: float) -> float:
    """How late the client may have been in reading an answer. It cannot be seen; in sending it was so late."""
    late = (outcome.taken - outcome.due)[~np.isnan(outcome.taken)]
    return float(np.percentile(late, percentile)) if len(late) else 0.0


def _client(outcome: Outcome) -> Client:
    return Client(
        connections=outcome.connections,
        reopened=outcome.reopened,
        waited=outcome.waited,
        late=_tail((outcome.taken - outcome.due)[~np.isnan(outcome.taken)]),
        core_share=_figures(outcome.core_share),
        loop=outcome.loop,
        machine=this_machine(),
    )


def _warnings(outcome: Outcome, job: Job) -> list[str]:
    """What makes the figures less worth, or wants another setting."""
    told, requests = [], len(outcome.due)
    if outcome.core_share > BUSY_CORE:
        told.append(
            f"the client used {outcome.core_share:.0%} of a core and may be the bottleneck: some of the latency is its "
            "own; send less, or load from several machines"
        )
    late = outcome.taken - outcome.due
    late_ms = _percentile_ms(late[~np.isnan(late)], 99) or 0.0
    if late_ms > max(LATE_MS, LATE_SHARE * job.bound_s * 1e3):
        told.append(
            f"the client itself was {late_ms:.3g} ms late or more with 1% of the requests; that counts in the latency. "
            "Is something else busy on its machine?"
        )
    if outcome.waited > WAITED_SHARE * requests:
        told.append(
            f"{outcome.waited:,} of {requests:,} requests found none of {outcome.connections} connections free and "
            "waited for one; that counts in the latency. A server that could take more at once gets them with "
            "--connections"
        )
    if outcome.reopened > max(outcome.connections, 0.1 * requests):
        told.append(f"connections had to be opened again {outcome.reopened:,} times: the server does not keep them")
    return told


def _tail(seconds: Floats) -> Tail:
    p50, p90, p95, p99, p99_9, most = (_percentile_ms(seconds, p) for p in (50, 90, 95, 99, 99.9, 100))
    return Tail(p50=p50, p90=p90, p95=p95, p99=p99, p99_9=p99_9, max=most)


def _percentile_ms(seconds: Floats, percentile: float) -> float | None:
    """In milliseconds; None: infinite, or of nothing."""
    if not len(seconds):
        return None
    value = float(np.percentile(seconds, percentile, method="higher"))
    return _figures(value * 1e3) if np.isfinite(value) else None


def _quantiles_ms(seconds: Floats) -> tuple[float, ...]:
    if not len(seconds):
        return ()
    return tuple(_figures(value * 1e3) for value in np.quantile(seconds, np.linspace(0, 1, QUANTILES)))


def _histogram(seconds: Floats) -> tuple[Bin, ...]:
    """Counts between edges that are evenly spaced on a logarithmic scale, from the fastest to the slowest."""
    if not len(seconds):
        return ()
    taken = np.maximum(seconds * 1e3, 1e-3)
    low, high = float(taken.min()), float(taken.max())
    edges = np.geomspace(low, max(high, low * 1.01), BINS + 1)
    edges[0], edges[-1] = low, max(edges[-1], high)
    counts, _ = np.histogram(taken, edges)
    return tuple(
        Bin(from_ms=_figures(a), to_ms=_figures(b), count=int(count))
        for a, b, count in zip(edges[:-1], edges[1:], counts, strict=True)
    )


def _figures(value: float) -> float:
    return float(f"{value:.5g}")
