"""Bounds cover what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln

from steelyard.records.measurement import Paired
from steelyard.verdicts import drop_bounds, proportion_lower, proportion_upper, spent

CONFIDENCES = st.sampled_from([0.8, 0.9, 0.95, 0.99])


def pairs(both: int, only_reference: int, only_candidate: int, neither: int) -> Paired:
    return Paired(both=both, only_reference=only_reference, only_candidate=only_candidate, neither=neither)


# Proportions


def test_the_rule_of_three() -> None:
    assert proportion_upper(0, 299, 0.95) <= 0.01 < proportion_upper(0, 298, 0.95)


def test_exact_limits_agree_with_printed_tables() -> None:
    # The two-sided 95 % limits of 5 in 20 and of 10 in 10.
    assert proportion_lower(5, 20, 0.975) == pytest.approx(0.0866, abs=5e-5)
    assert proportion_upper(5, 20, 0.975) == pytest.approx(0.4910, abs=5e-5)
    assert proportion_lower(10, 10, 0.975) == pytest.approx(0.6915, abs=5e-5)
    assert proportion_upper(10, 10, 0.975) == 1.0
    assert proportion_lower(0, 10, 0.975) == 0.0


@settings(deadline=None)
@given(n=st.integers(1, 5000), data=st.data(), confidence=CONFIDENCES)
def test_limits_enclose_the_share_and_rise_with_it(n: int, data: st.DataObject, confidence: float) -> None:
    k = data.draw(st.integers(0, n - 1))
    assert 0 <= proportion_lower(k, n, confidence) <= k / n <= proportion_upper(k, n, confidence) <= 1
    assert proportion_lower(k, n, confidence) < proportion_lower(k + 1, n, confidence)
    assert proportion_upper(k, n, confidence) < proportion_upper(k + 1, n, confidence)


# Paired drops


def drop_limits(paired: Paired, confidence: float) -> tuple[float, float]:
    return drop_bounds(paired.only_reference, paired.only_candidate, paired.items, confidence)


@pytest.mark.parametrize(
    ("table", "published"),
    [
        (pairs(1, 1, 7, 12), (-0.507, -0.026)),  # Bentur et al. 2009, in Fagerland, Lydersen and Laake 2014
        (pairs(14, 5, 0, 22), (0.011, 0.226)),  # Altman et al., Statistics with Confidence, 2000, table 6.2
    ],
)
def test_published_intervals_lie_just_inside(table: Paired, published: tuple[float, float]) -> None:
    lower, upper = drop_limits(table, 0.975)
    assert published[0] - 0.04 < lower < published[0]
    assert published[1] < upper < published[1] + 0.04


@pytest.mark.parametrize(("k", "n"), [(0, 299), (3, 100), (20, 1000)])
def test_drop_is_exact_when_only_the_reference_has_items_to_itself(k: int, n: int) -> None:
    assert drop_limits(pairs(n - k, k, 0, 0), 0.95)[1] == pytest.approx(proportion_upper(k, n, 0.95))


@pytest.mark.parametrize("confidence", [0.95, spent(0.95, 250, (250, 1000))])
@pytest.mark.parametrize("n", [20, 40, 60, 250])
def test_bounds_miss_no_more_often_than_they_may(n: int, confidence: float) -> None:
    check_misses(n, confidence, most=80, lost=(0.0005, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08))


def test_bounds_miss_no_more_often_than_they_may_when_answers_mostly_differ() -> None:
    check_misses(100, 0.95, most=100, lost=(0.3, 0.5, 0.55), gained=(0.2, 0.3, 0.4))


def check_misses(
    n: int,
    confidence: float,
    most: int,
    lost: tuple[float, ...],
    gained: tuple[float, ...] = (1e-12, 0.0005, 0.002, 0.005, 0.01, 0.03, 0.08),
) -> None:
    """All outcomes of n items with up to `most` discordant answers, weighed with their true chances."""
    b, c = (grid.ravel() for grid in np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij"))
    likely = b + c <= min(n, most)
    b, c = b[likely], c[likely]
    bounds = np.array(
        [drop_limits(pairs(n - i - j, i, j, 0), confidence) for i, j in zip(b.tolist(), c.tolist(), strict=True)]
    )
    arrangements = gammaln(n + 1) - gammaln(b + 1) - gammaln(c + 1) - gammaln(n - b - c + 1)
    for p in lost:
        for q in gained:
            chances = np.exp(arrangements + b * np.log(p) + c * np.log(q) + (n - b - c) * np.log1p(-p - q))
            assert chances[bounds[:, 1] < p - q].sum() <= 1 - confidence
            assert chances[bounds[:, 0] > p - q].sum() <= 1 - confidence


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 400)] * 4).filter(any), CONFIDENCES)
def test_drop_bounds_are_ordered_and_swap_with_the_roles(counts: tuple[int, int, int, int], confidence: float) -> None:
    both, b, c, neither = counts
    table = pairs(both, b, c, neither)
    lower, upper = drop_limits(table, confidence)
    assert lower <= (b - c) / table.items <= upper
    swapped = drop_limits(pairs(both, c, b, neither), confidence)
    assert swapped == pytest.approx((-upper, -lower))


def test_more_items_lost_means_a_larger_bound() -> None:
    uppers = [drop_limits(pairs(900 - b, b, 10, 90), 0.95)[1] for b in range(60)]
    assert uppers == sorted(uppers)
