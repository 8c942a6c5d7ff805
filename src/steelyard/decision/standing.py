"""Where one candidate stands against the requirements."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import msgspec

from steelyard.decision.worth import capacity_at_most, capacity_of, cost_of, latency_of, quantile, replicas_for
from steelyard.errors import InputError
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Price
from steelyard.records.measurement import Evidence, Load, Quality, Speed
from steelyard.records.plan import Cost, LatencyFigures
from steelyard.records.requirements import Requirements
from steelyard.records.subject import Split
from steelyard.verdicts import Judgement, judge_quality, spent

Stand = Literal["passes", "fails", "undecided", "failed", "not measured"]

DISTURBED = 1.25
"""The reference this much slower beside a candidate than on its own: the machine was busy with something else."""

MOST_SLOWED = 10.0
"""Beside other load threads that spin run five to ten times as long; no timing is off by more than that."""


@dataclass(frozen=True)
class Standing:
    """One candidate's evidence, held against requirements and price. Figures are computed when they are asked for."""

    candidate: Candidate
    evidence: Evidence
    requirements: Requirements
    price: Price
    split: Split
    place: int = 0
    """In the subject's list, which begins with what changes the least."""

    @property
    def quality(self) -> Quality | None:
        """On the confirming items if it was measured there, on the selecting ones otherwise."""
        return self.evidence.confirmed or self.evidence.selected

    @property
    def speed(self) -> Speed | None:
        """Service times, if they were measured."""
        return self.evidence.speed

    @cached_property
    def judgement(self) -> Judgement | None:
        """The verdict on its quality, at the confidence that this evidence allows."""
        quality = self.quality
        return None if quality is None else self.judged(quality, self._confidence(quality))

    @property
    def confidence(self) -> float:
        """At which its quality is judged: a look at a part of the selecting items must be surer than the whole."""
        return self.requirements.confidence if self.quality is None else self._confidence(self.quality)

    def judged(self, quality: Quality, confidence: float) -> Judgement:
        """The verdict on some quality at some confidence."""
        limit = self.requirements.quality_limit(lower_is_better=quality.lower_is_better)
        return judge_quality(quality, limit, self.requirements.quality_drop, confidence)

    def _confidence(self, quality: Quality) -> float:
        looks = self.split.looks
        if quality is self.evidence.confirmed or quality.items not in looks:
            return self.requirements.confidence
        return spent(self.requirements.confidence, quality.items, looks)

    @cached_property
    def capacity(self) -> float:
        """Requests per second per replica, no more than held under real load; 0 without service times."""
        predicted = capacity_of(self.candidate, self.speed.service, self.requirements) if self.speed else 0.0
        load = self.load
        if load is None or load.held_per_s is None or load.held_per_s >= (load.tried_per_s or 0.0):
            return predicted
        return min(predicted, load.held_per_s)

    @property
    def load(self) -> Load | None:
        """The test of its capacity under real load, if there was one for these requirements."""
        load, latency = self.evidence.load, self.requirements.latency
        if load is None or latency is None or self.requirements.scenario != "server":
            return None
        tested = (load.percentile, load.bound_ms, load.arrivals)
        return load if tested == (latency.percentile, latency.bound_ms, self.requirements.arrivals.words) else None

    @property
    def is_disturbed(self) -> bool:
        """Whether the machine was busy with something else while it was timed: it may well be faster."""
        return self.speed is not None and self.speed.reference_ratio > DISTURBED

    @property
    def _may_be_in_time(self) -> bool:
        """Whether its quickest batch would be in time on a quiet machine, however much it was slowed down here."""
        latency = self.requirements.latency
        if latency is None or self.speed is None:
            return True
        quickest = min(one.quantiles_ms[0] for one in self.speed.service)
        return quickest / MOST_SLOWED <= latency.bound_ms

    @cached_property
    def capacity_at_most(self) -> float:
        """A bound on the capacity, without simulation."""
        return capacity_at_most(self.candidate, self.speed.service, self.requirements) if self.speed else 0.0

    def at_rate(self, rate: float) -> Standing:
        """The same for another required rate."""
        return self._moved(replace(self, requirements=msgspec.structs.replace(self.requirements, rate_per_s=rate)))

    def at_price(self, price: Price) -> Standing:
        """The same at another price."""
        return self._moved(replace(self, price=price))

    def _moved(self, moved: Standing) -> Standing:
        """What neither rate nor price changes is not computed anew."""
        for name in ("judgement", "capacity", "capacity_at_most", "breaks_whatever_its_speed", "loses_selection"):
            moved.__dict__[name] = getattr(self, name)
        return moved

    @property
    def cost(self) -> Cost:
        """At its capacity."""
        return cost_of(self.capacity, self.requirements, self.price)

    @property
    def replicas(self) -> int | None:
        """For the required rate, those to spare counted."""
        return replicas_for(self.capacity, self.requirements, self.price)

    @cached_property
    def latency(self) -> LatencyFigures:
        """Under the plan's load. Raises `InputError` for a candidate whose speed was not measured."""
        if self.speed is None:
            raise InputError(f"the speed of {self.candidate.id} was not measured")
        return latency_of(self.candidate, self.speed.service, self.capacity, self.requirements)

    @property
    def latency_that_counts(self) -> float:
        """The required percentile in ms, p95 when none is required."""
        required = self.requirements.latency
        return quantile(self.latency.quantiles, required.percentile if required else 95)

    @property
    def spending(self) -> float:
        """What is compared when cost decides: per month where a rate is required, per million requests otherwise."""
        cost = self.cost
        value = cost.per_million if cost.per_month is None else cost.per_month
        return math.inf if value is None else value

    @cached_property
    def breaks_whatever_its_speed(self) -> tuple[str, ...]:
        """The requirements it breaks that need no simulation to tell: quality, memory, a hopeless latency."""
        return tuple(_broken(self))

    @cached_property
    def breaks(self) -> tuple[str, ...]:
        """The requirements it breaks: quality, memory, latency, budget."""
        return (*self.breaks_whatever_its_speed, *_broken_by_speed(self))

    @cached_property
    def in_the_running(self) -> bool:
        """It ran to the end, and neither its speed, memory and cost nor the selecting items speak against it."""
        probe = self.evidence.probe
        if probe is None or probe.failure is not None or self.speed is None or self.quality is None:
            return False
        return not set(self.breaks) - {"quality"} and not self.loses_selection

    @cached_property
    def loses_selection(self) -> bool:
        """Whether the selecting items speak against it; where none were asked, the confirming ones."""
        selected = self.evidence.selected or self.evidence.confirmed
        return selected is not None and self.judged(selected, self._confidence(selected)).verdict == "fail"

    @property
    def may_pass(self) -> bool:
        """Undecided only because the confirming items have not been asked yet."""
        return self.stand == "undecided" and self.evidence.confirmed is None

    @cached_property
    def stand(self) -> Stand:
        """All in all."""
        probe = self.evidence.probe
        if probe is None or (probe.failure is None and self.judgement is None):
            return "not measured"
        if probe.failure is not None:
            return "failed"
        if self.breaks:
            only_slow = not set(self.breaks) - {"latency", "budget"}
            return "undecided" if only_slow and self.is_disturbed and self._may_be_in_time else "fails"
        if self.speed is None:
            return "not measured"
        return "undecided" if self.judgement and self.judgement.verdict == "undecided" else "passes"


def _broken(standing: Standing) -> Iterator[str]:
    requirements, probe = standing.requirements, standing.evidence.probe
    if standing.judgement is not None and standing.judgement.verdict == "fail":
        yield "quality"
    if probe is not None and requirements.memory_mb is not None and probe.memory_mb > requirements.memory_mb:
        yield "memory"
    if standing.speed is not None and standing.capacity_at_most <= 0:
        yield "latency"


def _broken_by_speed(standing: Standing) -> Iterator[str]:
    requirements = standing.requirements
    if standing.speed is None or "latency" in standing.breaks_whatever_its_speed:
        return
    if standing.capacity <= 0:
        yield "latency"
    elif requirements.budget_per_month is not None and (standing.cost.per_month or 0) > requirements.budget_per_month:
        yield "budget"


def stand(
    candidates: Iterable[Candidate],
    evidence: Mapping[str, Evidence],
    requirements: Requirements,
    price: Price,
    split: Split,
    prices: Mapping[str, Price] = MappingProxyType({}),
) -> list[Standing]:
    """Where each candidate stands, in the order given. `prices` by machine, for those that name one."""
    return [
        Standing(
            candidate=c,
            evidence=evidence.get(c.id) or Evidence(candidate_id=c.id),
            requirements=requirements,
            price=prices.get(c.machine, price),
            split=split,
            place=place,
        )
        for place, c in enumerate(candidates)
    ]
