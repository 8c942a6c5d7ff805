"""Open-loop load on a server of the Open Inference Protocol, by the client of `steelyard load`, in this process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steelyard.arrivals import Floats, poisson
from steelyard.load.bodies import Form, random_requests
from steelyard.load.model import ask_model
from steelyard.load.outcome import How
from steelyard.load.run import load
from steelyard.load.target import Target

CONNECTIONS = 256
LATE = 0.05
"""Share of the requests that may be late: bounds are on p95."""
WARM_S = 0.5


@dataclass(frozen=True)
class Offered:
    """What came of one rate."""

    rate: float
    """Requests a second that were due, by a Poisson process."""
    latencies_s: Floats
    """From due to answered; infinite: failed or never answered."""
    late: float
    """Share of the requests that were answered after the bound, or not at all."""
    client_cores: float
    """Of one core's time, what the client used."""

    @property
    def holds(self) -> bool:
        """Whether the bound was kept."""
        return self.late <= LATE

    def ms(self, quantile: float) -> float:
        """The latency below which this share of the requests is."""
        return float(np.quantile(self.latencies_s, quantile, method="higher") * 1000)


def requests_of(port: int, model: str) -> Sequence[bytes]:
    """Requests of one random item each, binary tensors, as the server tells what the model takes."""
    target = Target("127.0.0.1", port)
    return random_requests(target, ask_model(target, model), Form(), seed=0)


def offer(port: int, requests: Sequence[bytes], rate: float, seconds: float, bound_s: float, seed: int = 0) -> Offered:
    """Send requests at this rate for so long, after a moment that warms up and does not count."""
    warm, count = int(rate * WARM_S), int(rate * seconds)
    due = poisson(rate, warm + count, np.random.default_rng(seed))
    how = How(connections=CONNECTIONS, uncounted=warm, bound_s=bound_s, hopeless_s=max(2.0, 20 * bound_s))
    outcome = load(Target("127.0.0.1", port), requests, due, how)
    latencies = outcome.answered - outcome.due
    return Offered(rate, latencies, float(np.mean(latencies > bound_s)), outcome.core_share)


def highest(
    port: int, requests: Sequence[bytes], rates: Sequence[float], seconds: float, bound_s: float
) -> Offered | None:
    """The first of the falling rates that holds; None: none does."""
    for rate in rates:
        found = offer(port, requests, rate, seconds, bound_s)
        print(f"  {rate:,.0f}/s: {found.late:.1%} late, client {found.client_cores:.0%} of a core", file=sys.stderr)
        if found.holds:
            return found
    return None


def saturated(port: int, requests: Sequence[bytes], seconds: float = 3.0) -> float:
    """Requests answered a second while there is always one waiting, from growing heaps that are due at once."""
    count = 64
    while True:
        outcome = load(Target("127.0.0.1", port), requests, np.zeros(count), How(connections=CONNECTIONS))
        answered = int(np.isfinite(outcome.answered).sum())
        took = float(outcome.answered[np.isfinite(outcome.answered)].max() - outcome.due[0]) if answered else seconds
        if took >= seconds / 2:
            return answered / took
        count = int(count * min(8.0, max(2.0, seconds / took)))
