"""Limits of a metric that is no mean of right and wrong, by giving the items random weights.

A metric that takes weights is judged by D. B. Rubin's Bayesian bootstrap (Annals of Statistics 9, 1981) with one item
more, which is as bad as can be where the upper limit of the drop is wanted, and as good as can be for the lower one.
For the mean of right and wrong this gives Clopper and Pearson's exact limits; for the mean of any bounded quantity it
is the bound of E. Learned-Miller and P. Thomas ("A new confidence interval for the mean of a bounded random
variable", arXiv 1905.06208, 2019), which kept its confidence wherever it was tried. Without that item limits of
answers that hardly differ would claim a certainty that the items do not give. What a quantity without bounds (the
error of a regression) could do at worst is not known: there the worst error seen stands for it.

A metric that takes none (a function of the user's own) is judged by drawing items anew, with limits corrected for
bias and skewness (B. Efron, "Better bootstrap confidence intervals", Journal of the American Statistical Association
82, 1987; the acceleration is a sixth of the replicates' skewness) and for the small number of items by Student's t
(T. Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69, 2015).
"""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from steelyard.errors import CandidateFailure
from steelyard.metrics import Floats, Metric, Weighted
from steelyard.records.engine import Array

REPLICATES = 999
KEPT = 199
"""Evenly spaced quantiles that a Quality carries: all that one-sided limits need, at a fifth of the size."""
AT_ONCE = 1_000_000
"""Weights held at a time."""
COSTLY = 400_000_000
"""Weights of all replicates together beyond which fewer replicates are made."""
FEWEST_WEIGHTED = 399
SECONDS = 20.0
"""What all replicates of a metric that takes no weights may take."""
FEWEST_DRAWN = 19
FEW = 199
"""With fewer replicates than this their tails say nothing: limits come from their deviation alone."""
FAILING = 0.1
"""A metric may fail on this share of the draws (a draw can lack a class) and is judged by the others."""


class Pair(NamedTuple):
    """Answers of candidate and reference to the same items, and the metric's value for both."""

    answers: Array
    reference: Array
    truth: Array
    value: float
    reference_value: float


class Limits(NamedTuple):
    """The fields of a Quality of the same names."""

    values: tuple[float, ...]
    drops: tuple[float, ...]
    reach: float


def nothing_known() -> Limits:
    """Of items that the metric cannot judge: anything may be true."""
    return Limits(tuple(np.linspace(-1e9, 1e9, KEPT).tolist()), tuple(np.linspace(-1e9, 1e9, KEPT).tolist()), 1.0)


def weighted_limits(
    metric: Weighted, pair: Pair, rng: np.random.Generator, replicates: int, *, lower_is_better: bool
) -> Limits:
    """By random weights, with one item more."""
    truth, good, bad = metric.extreme(pair.answers, pair.reference, pair.truth)
    truths = np.concatenate([pair.truth, truth])
    ours = [np.concatenate([pair.answers, extra.astype(pair.answers.dtype)]) for extra in (bad, good)]
    theirs = [np.concatenate([pair.reference, extra.astype(pair.reference.dtype)]) for extra in (bad, good)]

    def figures(weights: Floats) -> list[Floats]:
        """Value at worst and at best, drop at worst and at best."""
        worst, best = (metric.weighted(answers, truths, weights) for answers in ours)
        reference_worst, reference_best = (metric.weighted(answers, truths, weights) for answers in theirs)
        drops = [(reference_best, worst), (reference_worst, best)]
        return [worst, best, *(_drop(r, v, lower_is_better=lower_is_better) for r, v in drops)]

    size = len(truths)
    parts = [figures(rng.standard_exponential((rows, size))) for rows in _chunks(replicates, pair.answers)]
    worst, best, drop_high, drop_low = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    low, high = (best, worst) if lower_is_better else (worst, best)
    seen = _drop_of(pair, lower_is_better=lower_is_better)
    reach = size * (float(figures(np.ones((1, size)))[2][0]) - seen)
    return Limits(_kept(low, high), _kept(drop_low, drop_high), max(reach, 0.0))


def _chunks(replicates: int, answers: Array) -> list[int]:
    """How many rows of weights to make at a time."""
    wide = answers.size + 1
    wanted = min(replicates, max(FEWEST_WEIGHTED, COSTLY // wide))
    rows = max(1, AT_ONCE // (len(answers) + 1))
    return [min(rows, wanted - start) for start in range(0, wanted, rows)]


def _drop(reference: Floats, value: Floats, *, lower_is_better: bool) -> Floats:
    """See `Quality.drop`."""
    if not lower_is_better:
        return reference - value
    relative: Floats = value / np.where(reference > 0, reference, np.nan) - 1
    return np.nan_to_num(relative, nan=0.0)


def _drop_of(pair: Pair, *, lower_is_better: bool) -> float:
    return float(_drop(np.array(pair.reference_value), np.array(pair.value), lower_is_better=lower_is_better))


def _kept(low: Floats, high: Floats) -> tuple[float, ...]:
    """Evenly spaced quantiles: the lower half of `low`, the upper half of `high`."""
    places = np.linspace(0, 1, KEPT)
    lower, upper = np.quantile(low, places[: KEPT // 2]), np.quantile(high, places[KEPT // 2 :])
    return tuple(np.maximum.accumulate(np.concatenate([lower, upper])).tolist())


def drawn_limits(metric: Metric, pair: Pair, rng: np.random.Generator, replicates: int) -> Limits:
    """By drawing items anew; the slower the metric, the fewer times."""
    values, drops = _drawn(metric, pair, rng, replicates)
    drop = _drop_of(pair, lower_is_better=metric.lower_is_better)
    scale = pair.reference_value if metric.lower_is_better else 1.0
    items = len(pair.truth)
    return Limits(_corrected(values, pair.value, items, scale), _corrected(drops, drop, items, 1.0), 1.0)


def _drawn(metric: Metric, pair: Pair, rng: np.random.Generator, replicates: int) -> tuple[Floats, Floats]:
    """Value and drop on each draw; both on the same items, so that what is hard about an item cancels in the drop."""
    found: list[tuple[float, float]] = []
    failed: CandidateFailure | None = None
    tried, began = 0, time.monotonic()
    while tried < replicates and (tried < FEWEST_DRAWN or time.monotonic() - began < SECONDS):
        tried += 1
        chosen = rng.integers(0, len(pair.truth), len(pair.truth))
        try:
            reference = metric.value(pair.reference[chosen], pair.truth[chosen])
            found.append((metric.value(pair.answers[chosen], pair.truth[chosen]), reference))
        except CandidateFailure as failure:
            failed = failure
    if failed is not None and len(found) < tried * (1 - FAILING):
        raise CandidateFailure(
            failed.kind, f"{failed.message}, on {tried - len(found)} of {tried} random draws of the items", failed.hint
        )
    values, references = np.array(found).T
    return values, _drop(references, values, lower_is_better=metric.lower_is_better)


def _corrected(replicates: Floats, estimate: float, items: int, scale: float) -> tuple[float, ...]:
    """Limits at evenly spaced confidences, not closer than an item that happened not to be drawn could move them."""
    rounds = len(replicates)
    places = np.clip(np.linspace(0, 1, KEPT), 0.5 / REPLICATES, 1 - 0.5 / REPLICATES)
    wider = math.sqrt(items / max(items - 1, 1))
    if rounds < FEW:
        deviation = float(replicates.std(ddof=1))
        limits = estimate + wider * deviation * stdtrit(min(rounds, items) - 1, places)
    else:
        limits = np.quantile(replicates, _shifted(replicates, estimate, wider * stdtrit(max(items - 1, 1), places)))
    unseen = scale * (1 - np.minimum(places, 1 - places) ** (1 / items))
    side = np.where(places < 0.5, -1.0, 1.0)
    distance = np.maximum(side * (limits - estimate), 0.0)
    farther = np.where(places == 0.5, 0.0, np.maximum(unseen, distance + unseen / 2))
    return tuple(np.maximum.accumulate(estimate + side * farther).tolist())


def _shifted(replicates: Floats, estimate: float, normal: Floats) -> Floats:
    """Where in the replicates limits at these normal deviates lie, once bias and skewness are corrected for."""
    deviation = float(replicates.std())
    if deviation == 0:
        return np.full(len(normal), 0.5)
    below = (np.count_nonzero(replicates < estimate) + np.count_nonzero(replicates <= estimate)) / (2 * len(replicates))
    bias = float(ndtri(min(max(below, 0.01), 0.99)))
    acceleration = float(np.mean(((replicates - replicates.mean()) / deviation) ** 3)) / 6
    acceleration = min(max(acceleration, -0.2), 0.2)
    stretched = (bias + normal) / np.maximum(1 - acceleration * (bias + normal), 0.1)
    places: Floats = ndtr(bias + stretched)
    return places
