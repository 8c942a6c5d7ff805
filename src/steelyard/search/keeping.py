"""How likely a kind of numerics is to keep the quality that is demanded, before the confirming items have told."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, ndtr, ndtri, pdtr

from steelyard.decision import Standing
from steelyard.records.measurement import Quality
from steelyard.records.requirements import Requirements
from steelyard.verdicts import proportion_upper

Floats = npt.NDArray[np.float64]

USUAL_DROP = 0.01
"""What experience's chances to keep the quality are told for."""
SMALLEST_DROP = 1e-4
UNSEEN = 0.5
"""Added to counts of right and wrong, so that few items do not seem to prove anything."""
CONFIDENCE = 0.95
ONE_SIDED = 1.645
"""Deviations to the limit of a one-sided 95 %."""


class Belief(NamedTuple):
    """What is believed of a drop in quality, or of a value: normal, in the metric's units."""

    mean: float
    deviation: float

    @property
    def at_least(self) -> float:
        """With 95 % confidence."""
        return self.mean - ONE_SIDED * self.deviation

    @property
    def at_most(self) -> float:
        """With 95 % confidence."""
        return self.mean + ONE_SIDED * self.deviation


def expected_drop(quality: Quality | None, keeps: float) -> Belief:
    """From experience (chance `keeps` of a drop below `USUAL_DROP`) and the selecting items, where they were asked."""
    before = Belief(0.0, USUAL_DROP / float(ndtri(min(max(keeps, 0.55), 0.999))))
    if quality is None:
        return before
    if quality.identical:
        return Belief(0.0, 0.0)
    seen = Belief(quality.drop, _deviation_of_drop(quality) / math.sqrt(quality.items))
    weight = before.deviation**2 / (before.deviation**2 + seen.deviation**2)
    return Belief(weight * seen.mean, math.sqrt(weight) * seen.deviation)


def usual_drop(keeps: float) -> float:
    """The middle of what experience expects of a drop, spread evenly over magnitudes as `_chance_below` does."""
    magnitudes = math.log(USUAL_DROP / SMALLEST_DROP) * 0.5 / max(keeps, 0.5)
    return SMALLEST_DROP * math.exp(magnitudes)


def chance_to_keep(standing: Standing, keeps: float, reference: Quality | None) -> float:
    """Chance that the confirming items will prove the quality that is demanded; 0 or 1 once they told.

    `reference`: the reference's own quality, if it is known.
    """
    requirements, evidence = standing.requirements, standing.evidence
    if evidence.confirmed is not None:
        return float(standing.judged(evidence.confirmed, requirements.confidence).verdict == "pass")
    if standing.judgement is not None and standing.judgement.verdict == "fail":
        return 0.0
    known, items = evidence.selected, max(standing.split.confirm, 1)
    identical = known is not None and known.identical
    chances = [1.0]
    if requirements.quality_drop is not None and not identical:
        chances.append(_chance_below(requirements.quality_drop, keeps, known, items))
    room = _room(reference, requirements)
    if room is not None and reference is not None:
        own = Belief(0.0, _deviation_of_value(reference) / math.sqrt(reference.items))
        chances.append(_normal_below(room, own) if identical else _chance_below(room, keeps, known, items))
    return min(chances)


@lru_cache(maxsize=10_000)
def _chance_below(limit: float, keeps: float, seen: Quality | None, items: int) -> float:
    """That the true drop, measured on so many fresh items, is proven to be below the limit.

    Drops are spread evenly over magnitudes, `keeps` of them below `USUAL_DROP`: what is wrong is often very wrong.
    """
    if limit <= 0:
        return 0.0
    drops = np.geomspace(SMALLEST_DROP, 1.0, 81)
    small = drops <= USUAL_DROP
    weights = np.where(small, keeps / small.sum(), (1 - keeps) / (~small).sum())
    noise = Noise(seen)
    if seen is not None:
        weights = weights * noise.likelihood(drops, seen)
    total = float(weights.sum())
    return float((weights * noise.proven(drops, limit, items)).sum() / total) if total > 0 else 0.0


class Noise:
    """How drops scatter when they are measured: as counts when items are only lost, normally when some are won too."""

    def __init__(self, seen: Quality | None) -> None:
        paired = None if seen is None else seen.paired
        self._counts = seen is None or (paired is not None and paired.only_candidate == 0)
        self._won = paired.only_candidate / paired.items if paired is not None else 0.0
        self._item = _deviation(seen.drops, seen.items) if seen is not None and paired is None else 0.0

    def _deviation(self, drops: Floats, items: int) -> Floats:
        variance = np.full_like(drops, self._item**2) if self._item else drops + 2 * self._won
        return np.asarray(np.sqrt(variance / items))

    def likelihood(self, drops: Floats, seen: Quality) -> Floats:
        """Of what was seen, for each true drop."""
        if self._counts and seen.paired is not None:
            lost, expected = seen.paired.only_reference, drops * seen.items
            return np.asarray(np.exp(lost * np.log(expected) - expected - gammaln(lost + 1)))
        deviation = self._deviation(drops, seen.items)
        return np.asarray(np.exp(-(((seen.drop - drops) / deviation) ** 2) / 2) / deviation)

    def proven(self, drops: Floats, limit: float, items: int) -> Floats:
        """Chance that so many items prove each true drop to be below the limit."""
        if self._counts:
            most = _most_lost(limit, items)
            return np.asarray(pdtr(most, drops * items)) if most >= 0 else np.zeros_like(drops)
        deviation = self._deviation(drops, items)
        return np.asarray(ndtr((limit - drops - ONE_SIDED * deviation) / deviation))


@lru_cache(maxsize=1000)
def _most_lost(limit: float, items: int) -> int:
    """So many of the items may be lost, and the drop is still proven to be below the limit; −1: none may."""
    most = -1
    while most < items and proportion_upper(most + 1, items, CONFIDENCE) <= limit:
        most += 1
    return most


def _normal_below(limit: float, belief: Belief) -> float:
    return float(ndtr((limit - belief.mean) / max(belief.deviation, 1e-9)))


def _room(quality: Quality | None, requirements: Requirements) -> float | None:
    """How much worse than here the value may be; None when no value is demanded, or nothing is known."""
    if quality is None:
        return None
    limit = requirements.quality_limit(lower_is_better=quality.lower_is_better)
    if limit is None:
        return None
    return limit - quality.value if quality.lower_is_better else quality.value - limit


def _deviation_of_drop(quality: Quality) -> float:
    """How much the drop varies from item to item (standard deviation)."""
    if quality.paired is None:
        return _deviation(quality.drops, quality.items)
    total = quality.paired.items + 2 * UNSEEN
    lost = (quality.paired.only_reference + UNSEEN) / total
    won = (quality.paired.only_candidate + UNSEEN) / total
    return math.sqrt(lost + won - (lost - won) ** 2)


def _deviation_of_value(quality: Quality) -> float:
    if quality.paired is None:
        return _deviation(quality.values, quality.items)
    share = (quality.value * quality.paired.items + UNSEEN) / (quality.paired.items + 2 * UNSEEN)
    return math.sqrt(share * (1 - share))


def _deviation(limits: tuple[float, ...], items: int) -> float:
    """From evenly spaced quantiles of what a mean over so many items may be."""
    last = len(limits) - 1
    between = limits[round(0.95 * last)] - limits[round(0.05 * last)]
    return max(between / (2 * ONE_SIDED) * math.sqrt(items), 1e-6)
