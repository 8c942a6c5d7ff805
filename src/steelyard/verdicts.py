"""Pass, fail or undecided, each at a stated confidence: never a bare comparison of two noisy numbers.

Everything here is pure arithmetic on counts and replicates. Bounds are one-sided: "with 95 % confidence not
more than" and "not less than" are two statements, each wrong in at most 5 % of the cases.

Right and wrong answers are judged by Clopper and Pearson's exact limits ("The use of confidence or fiducial
limits", Biometrika 26, 1934). The drop between paired answers joins two such limits by the square-and-add rule,
see `paired_drop_bounds`. Other metrics bring bootstrap replicates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv

from steelyard.records.base import Record
from steelyard.records.measurement import Paired, Quality
from steelyard.records.plan import Verdict

FEWEST_FOR_BOOTSTRAP = 30
"""Below this many items the replicates of a bootstrap say too little about its tails."""
MOST_ITEMS = 10_000_000
"""Nobody gathers more items than this: `items_needed` gives up here."""


class Judgement(Record):
    """What the observed quality allows to be said about the quality demanded."""

    verdict: Verdict
    value_bound: float
    """With the confidence asked for, the value is not smaller than this (in the metric's units)."""
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


def proportion_lower(k: float, n: float, confidence: float) -> float:
    """The share is not smaller than this, when `k` of `n` were seen (exact, one-sided; Clopper and Pearson 1934)."""
    return 0.0 if k <= 0 else float(betaincinv(k, n - k + 1, 1 - confidence))


def proportion_upper(k: float, n: float, confidence: float) -> float:
    """The share is not larger than this, when `k` of `n` were seen (exact, one-sided; Clopper and Pearson 1934)."""
    return 1.0 if k >= n else float(betaincinv(k + 1, n - k, confidence))


def paired_drop_bounds(paired: Paired, confidence: float) -> tuple[float, float]:
    """Lower and upper limit of the drop (reference accuracy − candidate accuracy), each one-sided at `confidence`.

    The drop is the share of items that only the reference has right minus the share that only the candidate has
    right. Exact limits of both shares are joined by the square-and-add rule with the correlation of the two cells
    (R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired
    data", Statistics in Medicine 17, 1998, method 10; Zou and Donner, Statistics in Medicine 27, 2008, for the rule).

    Newcombe himself joins Wilson limits of the two accuracies. With few discordant items, which is what a good
    candidate shows, a one-sided limit of his at 95 % misses in up to 16 % of the cases (60 items, 3 % discordant);
    the limits here kept their 5 % in every case enumerated. The upper one is exact when only the reference has items
    to itself.
    """
    return _drop_bounds(paired.only_reference, paired.only_candidate, paired.items, confidence)


def _drop_bounds(only_reference: float, only_candidate: float, n: float, confidence: float) -> tuple[float, float]:
    drop_high = _difference_upper(only_reference, only_candidate, n, confidence)
    gain_high = _difference_upper(only_candidate, only_reference, n, confidence)
    return -gain_high, drop_high


def _difference_upper(k: float, other: float, n: float, confidence: float) -> float:
    """Upper limit of `share(k) − share(other)`, two cells of one multinomial."""
    p, q = k / n, other / n
    above = proportion_upper(k, n, confidence) - p
    below = q - proportion_lower(other, n, confidence)
    correlation = -math.sqrt(p * q / ((1 - p) * (1 - q))) if p < 1 and q < 1 else 0.0
    return p - q + math.sqrt(above * above + below * below - 2 * correlation * above * below)


def judge_quality(quality: Quality, floor: float | None, drop: float | None, confidence: float) -> Judgement:
    """Whether the value is at least `floor` and the drop at most `drop` (None: not demanded).

    Pass: every demanded bound holds with one-sided `confidence`. Fail: the data exclude one of them with that
    confidence (over both together, when both are demanded). Otherwise undecided, with the items that would help.
    Raises ValueError when an unpaired quality carries no replicates.
    """
    bounds = _bounds(quality, confidence, 1.0)
    verdict = _verdict(quality, floor, drop, confidence, 1.0)
    needed = None
    if verdict == "undecided":

        def settled(factor: float) -> bool:
            return _verdict(quality, floor, drop, confidence, factor) != "undecided"

        needed = _items_until(settled, quality.items)
    return Judgement(verdict=verdict, value_bound=bounds.value_low, drop_bound=bounds.drop_high, items_needed=needed)


def _verdict(quality: Quality, floor: float | None, drop: float | None, confidence: float, factor: float) -> Verdict:
    demands = (floor is not None) + (drop is not None)
    if not demands:
        return "pass"
    if quality.paired is None and quality.items * factor < FEWEST_FOR_BOOTSTRAP:
        return "undecided"
    held = _bounds(quality, confidence, factor)
    if (floor is None or held.value_low >= floor) and (drop is None or held.drop_high <= drop):
        return "pass"
    # Two chances to fail by bad luck share one allowance; a pass needs both bounds and so needs no such care.
    excluded = held if demands == 1 else _bounds(quality, 1 - (1 - confidence) / demands, factor)
    if (floor is not None and excluded.value_high < floor) or (drop is not None and excluded.drop_low > drop):
        return "fail"
    return "undecided"


def _bounds(quality: Quality, confidence: float, factor: float) -> Bounds:
    """Bounds as they would be with `factor` times the items and the same rates; factor 1 = the data at hand."""
    low, high = _value_bounds(quality, confidence, factor)
    if quality.identical:
        return Bounds(low, high, 0.0, 0.0)
    if quality.paired is None:
        return Bounds(low, high, *_bootstrap_bounds(quality.drops, quality.drop, quality.items, confidence, factor))
    pair = quality.paired
    drops = _drop_bounds(pair.only_reference * factor, pair.only_candidate * factor, pair.items * factor, confidence)
    return Bounds(low, high, *drops)


def _value_bounds(quality: Quality, confidence: float, factor: float) -> tuple[float, float]:
    if quality.paired is None:
        return _bootstrap_bounds(quality.values, quality.value, quality.items, confidence, factor)
    right = (quality.paired.both + quality.paired.only_candidate) * factor
    n = quality.paired.items * factor
    return proportion_lower(right, n, confidence), proportion_upper(right, n, confidence)


def _bootstrap_bounds(
    replicates: Sequence[float], estimate: float, items: int, confidence: float, factor: float
) -> tuple[float, float]:
    """Percentile limits, but never closer to the estimate than an item that happened not to be drawn can move it.

    Where nearly all answers agree the replicates hardly spread, and would claim certainty that the items do not
    give; the exact limit for "none of n seen" keeps them honest.
    """
    if not replicates:
        raise ValueError("a quality without paired counts carries bootstrap replicates of its value and its drop")
    low, high = np.quantile(np.asarray(replicates, np.float64), [1 - confidence, confidence])
    unseen = proportion_upper(0, items * factor, confidence)
    below = max(float(estimate - low) / math.sqrt(factor), unseen)
    above = max(float(high - estimate) / math.sqrt(factor), unseen)
    return estimate - below, estimate + above


def _items_until(settled: Callable[[float], bool], items: int) -> int | None:
    """About the smallest number of items at which `settled(items / present items)` turns true (to one per cent)."""
    low, high = 1.0, MOST_ITEMS / max(items, 1)
    if not settled(high):
        return None
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if settled(middle) else (middle, high)
    return math.ceil(high * items)


def spent(confidence: float, look: int, looks: int) -> float:
    """The confidence to use at `look` (1 … `looks`) so that all looks together err with at most 1 − confidence.

    Half of the allowed error is kept for the final look, the early ones share the other half equally
    (Bonferroni; the looks are on nested items, so the true error is smaller).
    """
    if not 1 <= look <= looks:
        raise ValueError(f"looks are numbered 1 to {looks}, got {look}")
    if looks == 1:
        return confidence
    half = (1 - confidence) / 2
    return 1 - (half if look == looks else half / (looks - 1))


def late_verdict(late: float, total: float, percentile: float, confidence: float) -> Verdict:
    """Whether at least `percentile` per cent of all requests are on time, when `late` of `total` were not.

    A binomial test, as MLPerf's LoadGen makes it to stop early (mlcommons/inference, loadgen/early_stopping.md).
    """
    allowed = 1 - percentile / 100
    if total <= 0:
        return "undecided"
    if proportion_upper(late, total, confidence) <= allowed:
        return "pass"
    return "fail" if proportion_lower(late, total, confidence) > allowed else "undecided"


def late_items_needed(late: int, total: int, percentile: float, confidence: float) -> int | None:
    """About how many requests would settle it, were the observed share of late ones the true one; None: hopeless."""
    seen = max(total, 1)
    return _items_until(lambda f: late_verdict(late * f, seen * f, percentile, confidence) != "undecided", seen)


def late_allowed(total: int, percentile: float, confidence: float) -> int:
    """The largest number of late requests among `total` with which `late_verdict` is still "pass"; −1: none is."""
    low, high = -1, total
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if late_verdict(middle, total, percentile, confidence) == "pass" else (low, middle)
    return low
