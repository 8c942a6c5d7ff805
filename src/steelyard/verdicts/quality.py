"""Does a candidate keep the quality that is demanded: pass, fail or undecided, and what would settle it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from steelyard.records.base import Record
from steelyard.records.measurement import Quality
from steelyard.records.plan import Verdict
from steelyard.verdicts.bounds import drop_bounds, proportion_lower, proportion_upper
from steelyard.verdicts.settle import until_settled

FEWEST_FOR_BOOTSTRAP = 30
"""Below this many items resampling them says too little about the rest of the world."""
FINEST = 1e-3
"""The rarest error that the limits of a Quality were made for; beyond it they are drawn out as normal tails are."""


class Judgement(Record):
    """What the observed quality allows to be said about the quality demanded."""

    verdict: Verdict
    value_bound: float
    """With the confidence asked for, the value is not worse than this (in the metric's units)."""
    drop_bound: float
    """With the confidence asked for, the drop against the reference is not larger than this."""
    items_needed: int | None = None
    """When undecided: about how many items would settle it, were the observed rates the true ones; None: hopeless."""


class Bounds(NamedTuple):
    """One-sided limits of a candidate's value and of its drop, all at one confidence."""

    value_low: float
    value_high: float
    drop_low: float
    drop_high: float


def judge_quality(quality: Quality, limit: float | None, drop: float | None, confidence: float) -> Judgement:
    """Whether the value keeps `limit` and the drop against the reference is at most `drop`.

    The limit is the lowest value, or of an error the highest. Pass: every demanded bound holds with one-sided
    `confidence`. Fail: the data exclude one of them with that confidence (over both together, when both are
    demanded). Otherwise undecided, with the items that would help.
    Raises ValueError when an unpaired quality carries no limits.
    """
    bounds = bounds_of(quality, confidence)
    verdict = _verdict(quality, limit, drop, confidence, 1.0)
    needed = None
    if verdict == "undecided":

        def settled(factor: float) -> bool:
            return _verdict(quality, limit, drop, confidence, factor) != "undecided"

        needed = until_settled(settled, quality.items)
    worst = bounds.value_high if quality.lower_is_better else bounds.value_low
    return Judgement(verdict=verdict, value_bound=worst, drop_bound=bounds.drop_high, items_needed=needed)


def _verdict(quality: Quality, limit: float | None, drop: float | None, confidence: float, factor: float) -> Verdict:
    demands = (limit is not None) + (drop is not None)
    if not demands:
        return "pass"
    if quality.paired is None and quality.items * factor < FEWEST_FOR_BOOTSTRAP:
        return "undecided"
    held = bounds_of(quality, confidence, factor)
    if (limit is None or _keeps(quality, held, limit)) and (drop is None or held.drop_high <= drop):
        return "pass"
    # Two chances to fail by bad luck share one allowance; a pass needs both bounds and so needs no such care.
    excluded = held if demands == 1 else bounds_of(quality, 1 - (1 - confidence) / demands, factor)
    if (limit is not None and _excludes(quality, excluded, limit)) or (drop is not None and excluded.drop_low > drop):
        return "fail"
    return "undecided"


def _keeps(quality: Quality, held: Bounds, limit: float) -> bool:
    return held.value_high <= limit if quality.lower_is_better else held.value_low >= limit


def _excludes(quality: Quality, held: Bounds, limit: float) -> bool:
    return held.value_low > limit if quality.lower_is_better else held.value_high < limit


def bounds_of(quality: Quality, confidence: float, factor: float = 1.0) -> Bounds:
    """One-sided bounds, as they would be with `factor` times the items and the same rates; 1 = the data at hand."""
    low, high = _value_bounds(quality, confidence, factor)
    if quality.identical:
        return Bounds(low, high, 0.0, 0.0)
    if quality.paired is None:
        return Bounds(low, high, *_resampled(quality.drops, quality.drop, quality, quality.reach, confidence, factor))
    pair = quality.paired
    drops = drop_bounds(pair.only_reference * factor, pair.only_candidate * factor, pair.items * factor, confidence)
    return Bounds(low, high, *drops)


def _value_bounds(quality: Quality, confidence: float, factor: float) -> tuple[float, float]:
    if quality.paired is None:
        # The reach is told for the drop, which of an error is a share of the reference's.
        reach = quality.reach * (quality.reference if quality.lower_is_better else 1.0)
        return _resampled(quality.values, quality.value, quality, reach, confidence, factor)
    right = (quality.paired.both + quality.paired.only_candidate) * factor
    n = quality.paired.items * factor
    return proportion_lower(right, n, confidence), proportion_upper(right, n, confidence)


def _resampled(
    limits: Sequence[float], estimate: float, quality: Quality, reach: float, confidence: float, factor: float
) -> tuple[float, float]:
    """Limits read off, but never closer to the estimate than a kind of item that was not seen could move it.

    Where nearly all answers agree resampling them hardly moves anything, and would claim certainty that the items do
    not give; the exact limit for "none of n seen" keeps it honest. With more items the first part shrinks with their
    root, this one with their number.
    """
    if not limits:
        raise ValueError("a quality without paired counts carries limits of its value and its drop")
    shares = max(1 - confidence, FINEST)
    low, high = np.quantile(np.asarray(limits, np.float64), [shares, 1 - shares])
    stretch = math.sqrt(math.log(1 - confidence) / math.log(shares)) if confidence < 1 else math.inf
    unseen = reach * proportion_upper(0, quality.items, confidence)
    unseen_then = reach * proportion_upper(0, quality.items * factor, confidence)

    def then(distance: float) -> float:
        seen = max(distance * stretch, unseen)
        spread = math.sqrt(max(seen * seen - unseen * unseen, 0.0) / factor)
        return math.hypot(spread, unseen_then)

    return estimate - then(estimate - float(low)), estimate + then(float(high) - estimate)
