"""How requests arrive when nobody schedules them: at random, in bursts, or as they once did."""

from __future__ import annotations

import math
from typing import Literal

from steelyard.errors import UsageError
from steelyard.records.base import Record

ArrivalKind = Literal["poisson", "gamma", "trace"]

MOST_RATES = 1024
"""A recorded pattern is kept in at most this many stretches of time."""
MOST_GAPS = 2048
"""A recorded order of requests is kept in at most this many gaps."""
SMOOTHEST, BURSTIEST = 0.05, 20.0


class Arrivals(Record):
    """The pattern of arrivals, told without a rate: it is scaled to whatever rate is asked for.

    poisson: independent of each other. gamma: gaps between requests with deviation over mean `cv` (1 is Poisson,
    more comes in bursts, less is more even). trace: recorded; `rates` is how the rate rose and fell over time, which
    keeps its own speed when the rate is scaled, and `gaps` how request followed request, which goes faster then.
    """

    kind: ArrivalKind = "poisson"
    cv: float = 1.0
    rates: tuple[float, ...] = ()
    """Of a trace: the rate in consecutive stretches of `step_s`, their mean is 1; empty: it was even."""
    step_s: float = 1.0
    """Seconds that one entry of `rates` lasts."""
    gaps: tuple[float, ...] = ()
    """Of a trace of single requests: consecutive gaps, their mean is 1; empty: random (Poisson) within a stretch."""
    source: str = ""
    """Of a trace: the file."""
    sha256: str = ""
    """Of a trace: hash of the file."""
    told: tuple[str, ...] = ()
    """Of a trace: how it was read and what was noticed."""

    def __post_init__(self) -> None:
        if not SMOOTHEST <= self.cv <= BURSTIEST:
            raise UsageError(
                f"the variation of gamma arrivals lies between {SMOOTHEST:g} and {BURSTIEST:g}, got {self.cv:g}",
                "for example --arrivals gamma:2; 1 is Poisson, more comes in bursts",
            )
        if self.kind == "trace" and not (self.rates or self.gaps):
            raise UsageError("a trace holds rates or gaps, got neither", "for example --arrivals trace:requests.csv")
        if len(self.rates) > MOST_RATES or len(self.gaps) > MOST_GAPS:
            raise UsageError(
                f"a pattern is kept in at most {MOST_RATES} rates and {MOST_GAPS} gaps, "
                f"got {len(self.rates)} and {len(self.gaps)}"
            )
        _mean_one("rates", self.rates)
        _mean_one("gaps", self.gaps)
        if not 0 < self.step_s < math.inf:
            raise UsageError(f"a stretch of a pattern lasts longer than 0 s, got {self.step_s:g} s")

    @property
    def words(self) -> str:
        """As it is typed: `poisson`, `gamma:2`, `trace:requests.csv`."""
        return {"poisson": "poisson", "gamma": f"gamma:{self.cv:g}", "trace": f"trace:{self.source}"}[self.kind]


def _mean_one(what: str, values: tuple[float, ...]) -> None:
    """Rates and gaps are relative: none negative, their mean 1."""
    if not values:
        return
    if not all(0 <= value < math.inf for value in values):
        raise UsageError(f"the {what} of a pattern are finite and not negative")
    mean = math.fsum(values) / len(values)
    if abs(mean - 1) > 0.01:
        raise UsageError(f"the {what} of a pattern have the mean 1, got {mean:g}")


POISSON = Arrivals()
