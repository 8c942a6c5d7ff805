"""What may still become of each candidate: bounds on its speed and quality, and what measuring it may gain."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from scipy.special import ndtr

from steelyard.decision import Standing
from steelyard.decision.worth import cost_of
from steelyard.records.measurement import Quality
from steelyard.search.keeping import ONE_SIDED, Belief, chance_to_keep, expected_drop
from steelyard.search.kinship import Beliefs, Kinship, Seen
from steelyard.search.known import Known

CAREFUL, GLANCED = 0.03, 0.08
"""Deviation of a figure's logarithm from timing to timing."""
IN_DISTURBANCE = 3.0
"""By how much a timing on a busy machine is the less certain."""
HOPELESS = 1.0
"""What misses the latency bound says little about how fast its relatives are that keep it."""
WORTH = 0.02
"""A candidate that is better by less is not worth looking for."""
NOTHING_YET = math.log(2.0)
"""What a first candidate that keeps every requirement is worth, where there is none: as much as being twice as fast."""
LIKELY = 0.5
"""Chance to keep every requirement."""
SAFE = 0.85
"""Chance from which on a candidate is one to fall back on, should the bolder ones not be confirmed."""
KIN = 0.3
"""What is left of the chance to keep the quality when the same variant, computed otherwise, could not be confirmed."""


class Prospect(NamedTuple):
    """Of one candidate. Bounds are one-sided ones at 95 %."""

    standing: Standing
    low: float
    """Pessimistic bound on its figure (see `figure.Figure`)."""
    high: float
    """Optimistic bound on its figure."""
    drop: Belief
    keeps: float
    """Chance that it keeps the quality; 0: it does not, or breaks another requirement for sure."""
    chance: float
    """Chance that it is better, by what is worth it, than the best of those looked at that will be proven."""
    gain: float
    """How much better than that one it is expected to be (logarithm of the figure; being worse counts as 0)."""
    gain_now: float
    """How much better than the best of those that were measured to the end."""
    to_finish_s: float
    """Seconds until it could be chosen."""


class Prospects:
    """Those of all candidates, in their order."""

    def __init__(self, known: Known, kinship: Kinship) -> None:
        self._known = known
        self._beliefs: Beliefs = kinship.beliefs(list(_seen(known)))
        self._reference: Quality | None = known.reference.evidence.selected
        self._unproven = {s.candidate.variant for s in known.standings[1:] if _is_unproven(s)}
        self._keeps = [self._chance_to_keep(standing) for standing in known.standings]
        self._drops = [self._drop(standing) for standing in known.standings]
        able = [s for s in known.standings if self._keeps[s.place] > 0]
        self._finished = self._ordered(s.place for s in able if s.in_the_running)
        self._looked_at = self._ordered(s.place for s in able if s.speed or s.candidate.id in known.glances)
        self.all = [self._prospect(standing) for standing in known.standings]

    def _ordered(self, places: Iterable[int]) -> list[int]:
        return sorted(places, key=lambda place: -self._beliefs.mean[place])

    @property
    def likely(self) -> Prospect | None:
        """The fastest of those looked at that more likely than not keep every requirement."""
        return next(self._likely(), None)

    @property
    def leader(self) -> Prospect | None:
        """The fastest of these that there is time for to be chosen."""
        return next((p for p in self._likely() if p.to_finish_s <= self._known.left_s), None)

    @property
    def haven(self) -> Prospect | None:
        """The fastest of those that there is time for, keep every requirement almost for sure and beat the reference.

        None when one of them is measured to the end: there is something to fall back on.
        """
        safe = [p for p in self.all[1:] if p.keeps >= SAFE and self._is_worth_more(p)]
        if any(p.standing.in_the_running for p in safe):
            return None
        in_time = [p for p in safe if self._known.is_open(p.standing) and p.to_finish_s <= self._known.left_s]
        return max(in_time, key=lambda p: self._beliefs.mean[p.standing.place], default=None)

    def _is_worth_more(self, prospect: Prospect) -> bool:
        lead, _ = self._beliefs.lead(prospect.standing.place, self._known.reference.place)
        return lead > math.log1p(WORTH)

    def _likely(self) -> Iterator[Prospect]:
        return (self.all[place] for place in self._looked_at if self._keeps[place] >= LIKELY)

    def _capacity(self, standing: Standing, mean: float) -> float:
        return standing.capacity or (0.0 if self._known.figure.is_latency else math.exp(mean))

    def _prospect(self, standing: Standing) -> Prospect:
        place = standing.place
        mean, deviation = float(self._beliefs.mean[place]), self._beliefs.deviation(place)
        chance, gain = self._over(self._looked_at, standing)
        gain_now = self._over(self._finished, standing)[1]
        keeps = self._keeps[place]
        return Prospect(
            standing=standing,
            low=mean - ONE_SIDED * deviation,
            high=mean + ONE_SIDED * deviation,
            drop=self._drops[place],
            keeps=keeps,
            chance=keeps * chance,
            gain=keeps * gain,
            gain_now=keeps * gain_now,
            to_finish_s=self._known.to_finish(standing, self._capacity(standing, mean)),
        )

    def _over(self, rivals: Sequence[int], standing: Standing) -> tuple[float, float]:
        """Chance and expected gain over the best rival that will be proven, if this one is proven itself."""
        nobody, chance, gain = 1.0, 0.0, 0.0
        for place, proven in self._against(rivals, standing):
            lead, spread = self._beliefs.lead(standing.place, place)
            chance += nobody * proven * float(ndtr((lead - math.log1p(WORTH)) / spread))
            gain += nobody * proven * _expected_above(lead, spread)
            nobody *= 1 - proven
        return chance + nobody, gain + nobody * NOTHING_YET

    def _against(self, rivals: Sequence[int], standing: Standing) -> Iterator[tuple[int, float]]:
        """The rivals that count against it, the fastest first, and the chance of each to be proven."""
        numerics = standing.candidate.numerics
        for place in rivals:
            same = self._known.standings[place].candidate.numerics == numerics
            if place != standing.place and (same or self._is_as_good(place, standing.place)):
                yield place, 1.0 if same else self._keeps[place]

    def _is_as_good(self, rival: int, place: int) -> bool:
        """Where quality itself is an aim, only those of no lower quality count."""
        if self._known.reference.requirements.priority in ("cost", "speed"):
            return True
        return self._drops[rival].mean <= self._drops[place].at_least

    def _drop(self, standing: Standing) -> Belief:
        keeps = self._known.outlooks[standing.candidate.id].keeps
        return expected_drop(standing.evidence.selected, keeps)

    def _chance_to_keep(self, standing: Standing) -> float:
        if self._known.failure(standing) or self._breaks(standing):
            return 0.0
        keeps = self._known.outlooks[standing.candidate.id].keeps
        chance = chance_to_keep(standing, keeps, self._reference)
        is_kin = standing.evidence.confirmed is None and standing.candidate.variant in self._unproven
        return chance * KIN if is_kin else chance

    def _breaks(self, standing: Standing) -> bool:
        """Whether it breaks a requirement, quality aside, for sure."""
        if set(standing.breaks_whatever_its_speed) - {"quality"}:
            return True
        if standing.speed is not None:
            return bool(set(standing.breaks) - {"quality"})
        glance = self._known.glances.get(standing.candidate.id)
        if glance is None:
            return False
        return not self._known.figure.may_keep_the_bound(standing.candidate, glance) or self._too_dear(standing)

    def _too_dear(self, standing: Standing) -> bool:
        """Whether even its optimistic bound is beyond the budget."""
        requirements = standing.requirements
        if requirements.budget_per_month is None or self._known.figure.is_latency:
            return False
        high = self._beliefs.mean[standing.place] + ONE_SIDED * self._beliefs.deviation(standing.place)
        month = cost_of(math.exp(high), requirements, standing.price).per_month
        return month is not None and month > requirements.budget_per_month


def _is_unproven(standing: Standing) -> bool:
    """Whether the confirming items could not prove its quality."""
    confirmed = standing.evidence.confirmed
    if confirmed is None:
        return False
    return standing.judged(confirmed, standing.requirements.confidence).verdict != "pass"


def _seen(known: Known) -> Iterator[Seen]:
    """Every figure that was measured, the careful one where there is one."""
    for standing in known.standings:
        candidate, speed = standing.candidate, standing.speed or known.glances.get(standing.candidate.id)
        if speed is None:
            continue
        deviation = GLANCED if speed.rough else CAREFUL * (IN_DISTURBANCE if standing.is_disturbed else 1.0)
        if known.figure.is_hopeless(candidate, speed):
            deviation = HOPELESS
        yield Seen(standing.place, known.figure.of(candidate, speed), deviation)


def _expected_above(lead: float, spread: float) -> float:
    """Expected positive part of a normal variable (the "expected improvement" of D. R. Jones et al., 1998)."""
    z = lead / spread
    return lead * float(ndtr(z)) + spread * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
