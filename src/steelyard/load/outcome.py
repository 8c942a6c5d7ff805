"""How a run of load is made, how far it has come, and what became of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from steelyard.arrivals import Floats


@dataclass(frozen=True)
class How:
    """How a run is made."""

    connections: int = 64
    uncounted: int = 0
    """So many requests at the beginning warm the server up and are not counted."""
    bound_s: float = 0.0
    """The latency that is asked for; 0: none is."""
    patience_s: float = 30.0
    """How long answers are waited for after the last request was due."""
    hopeless_s: float = math.inf
    """When a request has waited for a free connection so long, no more are sent: the queue only grows."""


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    due: int
    total: int
    answered: int
    failed: int
    seconds: float
    """Since the first request was due."""


@dataclass(frozen=True)
class Outcome:
    """What became of the requests that count, in the order in which they were due. Times of `time.monotonic()`."""

    due: Floats
    taken: Floats
    """When the client got to it; NaN: never."""
    sent: Floats
    """When it left, which may be later where no connection was free; NaN: never."""
    answered: Floats
    """Infinite: it failed, or was never answered."""
    failed: Mapping[str, int]
    """By the status of the answer, or `lost`, `malformed`, `unreachable`, `unanswered`, `given up`."""
    errors: Mapping[str, str]
    """The first error of each kind, in words."""
    variants: Mapping[str, int]
    """Answers by the variant that they name."""
    connections: int
    reopened: int
    """How often a connection was opened again."""
    waited: int
    """Requests that found no connection free."""
    seconds: float
    """From the first request that counts being due to the end."""
    core_share: float
    """Of one core's time, what the client used."""
    loop: str
    interrupted: bool = False
    gave_up: bool = False
