"""Limits of what is told: exact for shares, by drawing weights for items otherwise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from steelyard.records.evaluation import Interval
from steelyard.verdicts.bounds import proportion_lower, proportion_upper

CONFIDENCE = 0.95
REPLICATES = 500
ONE_SIDE = (1 + CONFIDENCE) / 2
AT_ONCE = 4_000_000
"""Weights drawn at a time."""

Floats = npt.NDArray[np.float64]


def share(right: int, of: int) -> Interval:
    """A share of independent items: exact (Clopper and Pearson, Biometrika 26, 1934). Of nothing: 0, from 0 to 1."""
    if not of:
        return Interval(value=0.0, low=0.0, high=1.0)
    low, high = proportion_lower(right, of, ONE_SIDE), proportion_upper(right, of, ONE_SIDE)
    return Interval(value=right / of, low=low, high=high)


def drawn(value: Callable[[Floats], Floats], items: int, seed: int = 0) -> Interval:
    """What `value` tells of weights [rows, items] when all are 1, and its quantiles when they are drawn at random.

    Exponential weights: the Bayesian bootstrap (D. Rubin, Annals of Statistics 9, 1981), in which no item, and so no
    class, ever drops out.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, AT_ONCE // items)
    told = [value(rng.exponential(size=(min(rows, left), items))) for left in range(REPLICATES, 0, -rows)]
    low, high = np.quantile(np.concatenate(told), [1 - ONE_SIDE, ONE_SIDE])
    middle = float(value(np.ones((1, items)))[0])
    return Interval(value=middle, low=min(float(low), middle), high=max(float(high), middle))
