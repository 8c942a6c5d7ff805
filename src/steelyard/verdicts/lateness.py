"""Are enough requests on time: a binomial verdict on late ones, aware that they come in spells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import chdtri

from steelyard.records.plan import Verdict
from steelyard.verdicts.bounds import proportion_lower, proportion_upper
from steelyard.verdicts.settle import until_settled

BLOCKS = 25
"""Stretches of consecutive requests that are compared with each other."""
CAUTION = 0.9
"""Confidence of the upper limit of the variance between them; found by simulation (benchmarks/bench_verdicts.py)."""


def late_verdict(late: float, total: float, percentile: float, confidence: float, clustering: float = 1.0) -> Verdict:
    """Whether at least `percentile` per cent of all requests are on time, when `late` of `total` were not.

    A binomial test, as MLPerf's LoadGen makes it to stop early (mlcommons/inference, loadgen/early_stopping.md).
    Requests that queue behind each other are late together; `clustering` (see `clustering_of`) says how many of them
    tell as much as a single one would on its own.
    """
    allowed = 1 - percentile / 100
    if total <= 0:
        return "undecided"
    late, total = late / clustering, total / clustering
    if proportion_upper(late, total, confidence) <= allowed:
        return "pass"
    return "fail" if proportion_lower(late, total, confidence) > allowed else "undecided"


def clustering_of(latencies: Sequence[float], percentile: float) -> float:
    """How many consecutive requests tell as much about lateness as one on its own would (at least 1).

    The slowest `100 − percentile` per cent of the requests are counted in stretches of consecutive ones. By how much
    their number differs more from stretch to stretch than it would if requests were late independently is the design
    effect of cluster sampling (E. L. Korn and B. I. Graubard, "Confidence intervals for proportions with small
    expected number of positive counts estimated from survey data", Survey Methodology 24, 1998). A run that was lucky
    with its spells also shows fewer of them, so the upper limit of that variance is taken, not the variance. The
    slowest are counted, not those beyond the bound, since a run without late requests has spells as well.
    """
    taken = np.asarray(latencies, np.float64)
    size = len(taken) // BLOCKS
    if size < 2:
        return 1.0
    slow = taken[: size * BLOCKS] > np.quantile(taken, percentile / 100)
    share = float(slow.mean())
    if not 0 < share < 1:
        return 1.0
    between = float(slow.reshape(BLOCKS, size).mean(axis=1).var(ddof=1))
    effect = between * size / (share * (1 - share))
    return max(1.0, effect * (BLOCKS - 1) / float(chdtri(BLOCKS - 1, CAUTION)))


def late_items_needed(
    late: int, total: int, percentile: float, confidence: float, clustering: float = 1.0
) -> int | None:
    """About how many requests would settle it, were the observed share of late ones the true one; None: hopeless."""
    seen = max(total, 1)

    def settled(factor: float) -> bool:
        return late_verdict(late * factor, seen * factor, percentile, confidence, clustering) != "undecided"

    return until_settled(settled, seen)


def late_allowed(total: int, percentile: float, confidence: float) -> int:
    """The largest number of late requests among `total` with which `late_verdict` is still "pass"; −1: none is."""
    low, high = -1, total
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if late_verdict(middle, total, percentile, confidence) == "pass" else (low, middle)
    return low
