"""What the user demands of the system."""

from __future__ import annotations

from typing import Literal

from steelyard.errors import UsageError
from steelyard.records.arrivals import POISSON, Arrivals
from steelyard.records.base import Record
from steelyard.records.machine import NO_CURRENCY, Price

Scenario = Literal["server", "single", "offline"]
Priority = Literal["cost", "speed", "quality", "knee"]


class Latency(Record):
    """At least `percentile` per cent of the requests must be answered within `bound_ms` milliseconds."""

    percentile: float
    bound_ms: float

    def __post_init__(self) -> None:
        if not 0 < self.percentile < 100:
            raise UsageError(
                f"a latency percentile lies between 0 and 100, got {self.percentile:g}",
                "for example --p95 5ms",
            )
        if not self.bound_ms > 0:
            raise UsageError(f"a latency bound is longer than 0 ms, got {self.bound_ms:g} ms")


class Requirements(Record):
    """Everything the plan must keep, and what to prefer among the plans that keep it.

    Units: rates in requests per second, memory in MB (10^6 bytes), money in the price's currency,
    quality in the metric's own units (1 % of accuracy is 0.01).
    """

    latency: Latency | None = None
    quality_floor: float | None = None
    """The metric's value must be at least this; for metrics that are better the higher they are."""
    quality_drop: float | None = None
    """The metric may be worse than the reference's by at most this: in its own units, and for errors (`mse`, `mae`
    and others that are better the lower they are) as a share of the reference's error."""
    rate_per_s: float | None = None
    scenario: Scenario = "offline"
    """server: requests arrive by themselves (`arrivals`); single: one after another; offline: all are at hand."""
    memory_mb: float | None = None
    budget_per_month: float | None = None
    priority: Priority = "cost"
    confidence: float = 0.95
    headroom: float = 0.0
    """Share of capacity to be kept free: 0.2 plans replicas for 1.2 times the rate."""
    spare: int | None = None
    """Replicas beyond those that the rate takes, for failure: 1 is n+1. None: none, and some at spot prices."""
    budget_currency: str = ""
    """As it was stated; empty: the price's."""
    arrivals: Arrivals = POISSON
    """How requests come in the server scenario."""
    quality_ceiling: float | None = None
    """The metric's value must be at most this; for metrics that are better the lower they are."""

    def __post_init__(self) -> None:
        _positive("a rate", self.rate_per_s, "requests/s")
        _positive("a memory limit", self.memory_mb, "MB")
        _positive("a budget", self.budget_per_month, "per month")
        if not 0.5 <= self.confidence < 1:
            raise UsageError(f"confidence lies between 50% and 100%, got {self.confidence:.4g}", "for example 95%")
        if self.headroom < 0:
            raise UsageError(f"headroom is not negative, got {self.headroom:g}")
        if self.spare is not None and self.spare < 0:
            raise UsageError(f"spare replicas are 0 or more, got {self.spare}", "for example --spare 1")
        if self.quality_drop is not None and not 0 <= self.quality_drop <= 1:
            raise UsageError(f"a quality drop lies between 0 and 1 (0% and 100%), got {self.quality_drop:g}")
        self._check_scenario()

    def quality_limit(self, *, lower_is_better: bool) -> float | None:
        """The value that the metric must keep, whichever way it is better."""
        return self.quality_ceiling if lower_is_better else self.quality_floor

    def check_direction(self, metric: str, *, lower_is_better: bool) -> None:
        """Refuse a quality that is demanded the wrong way round for this metric."""
        floor, ceiling = self.quality_floor, self.quality_ceiling
        if lower_is_better and floor is not None:
            raise UsageError(
                f'{metric} is an error, better the lower it is: --quality ">={floor:g}" would demand a bad model',
                f'demand at most so much: --quality "<={floor:g}"',
            )
        if not lower_is_better and ceiling is not None:
            raise UsageError(
                f'{metric} is better the higher it is: --quality "<={ceiling:g}" would demand a bad model',
                f'demand at least so much: --quality ">={ceiling:g}"',
            )

    def check_currency(self, price: Price) -> None:
        """Refuse a budget in another currency than the price's."""
        stated = self.budget_currency
        if not stated or stated == price.currency:
            return
        if price.currency == NO_CURRENCY:
            raise UsageError(
                f"a budget in {stated} can only be held against a price, and none was given",
                f"add one, for example --price 0.10{stated}/h or --machine m7a.large",
            )
        raise UsageError(
            f"the budget is in {stated}, the price in {price.currency}: no exchange rate is known here",
            "state both in one currency",
        )

    def _check_scenario(self) -> None:
        if self.scenario == "offline" and self.latency is not None:
            raise UsageError(
                "a latency bound and the offline scenario contradict each other: offline work has no arrivals",
                "drop one of them, or use --scenario single",
            )
        if self.scenario == "single" and self.rate_per_s is not None:
            raise UsageError(
                "a rate and the single scenario contradict each other: single means one request after another",
                "drop one of them; a rate implies the server scenario",
            )
        if self.scenario != "server" and self.arrivals != POISSON:
            raise UsageError(
                f"arrivals ({self.arrivals.words}) belong to the server scenario, got the {self.scenario} one",
                "add a latency bound, for example --p95 20ms, or drop --arrivals",
            )
        if self.scenario == "server" and self.latency is None:
            raise UsageError(
                "the server scenario needs a latency bound: without one any queue is good enough",
                "add for example --p95 20ms, or use --scenario offline",
            )


def _positive(what: str, value: float | None, unit: str) -> None:
    if value is not None and not 0 < value < float("inf"):
        raise UsageError(f"{what} is a number above 0 {unit}, got {value:g}")
