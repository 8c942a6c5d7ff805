"""Requests arrive in the pattern and at the rate asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.arrivals import Floats, Tide, arrival_times, gamma, order, poisson, shown_s
from steelyard.errors import UsageError
from steelyard.records.arrivals import MOST_RATES, POISSON, Arrivals

BUSY_HOUR = Arrivals(kind="trace", rates=(0.5, 0.5, 2.0, 1.0), step_s=10.0)


def test_poisson_arrivals_have_the_rate_and_unit_variation() -> None:
    gaps = np.diff(poisson(50.0, 40_000, np.random.default_rng(0)))
    assert gaps.min() > 0
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.02)
    assert gaps.std() / gaps.mean() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("cv", [0.3, 1.0, 2.5])
def test_gamma_arrivals_have_the_rate_and_the_variation_asked_for(cv: float) -> None:
    gaps = np.diff(gamma(50.0, cv, 60_000, np.random.default_rng(1)))
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.04)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.04)


def test_recorded_gaps_come_in_their_order_and_faster_at_a_higher_rate() -> None:
    pattern = Arrivals(kind="trace", gaps=(0.25, 0.5, 2.25))
    gaps = np.diff(arrival_times(pattern, 8.0, 31, 1.0, np.random.default_rng(0))) * 8
    first = int(np.argmin(abs(gaps[:3] - 0.25)))
    assert gaps[first : first + 27] == pytest.approx(np.resize([0.25, 0.5, 2.25], 27), rel=0.05)


@pytest.mark.parametrize("pattern", [POISSON, Arrivals(kind="gamma", cv=3), Arrivals(kind="trace", gaps=(0.5, 1.5))])
def test_the_order_has_exactly_one_a_second(pattern: Arrivals) -> None:
    times = order(pattern, 500, np.random.default_rng(3))
    assert times[-1] == pytest.approx(500)
    assert (np.diff(times) >= 0).all()


# Rise and fall


def test_the_tide_keeps_its_own_speed_whatever_the_rate() -> None:
    for rate in (50.0, 500.0):
        times = arrival_times(BUSY_HOUR, rate, int(rate * 80), 0.01, np.random.default_rng(4))
        assert times[-1] == pytest.approx(80)
        in_tens = np.histogram(times, bins=8, range=(0, 80))[0] / (10 * rate)
        assert in_tens == pytest.approx([0.5, 0.5, 2, 1] * 2, abs=0.15)


@settings(max_examples=60, deadline=None)
@given(
    rates=st.lists(st.floats(0, 5), min_size=1, max_size=60).filter(lambda rates: sum(rates) > 0.1),
    step_s=st.floats(0.1, 100),
    total_s=st.floats(0.5, 500),
    bound_s=st.floats(0.001, 3),
)
def test_the_tide_moves_requests_but_loses_none(
    rates: list[float], step_s: float, total_s: float, bound_s: float
) -> None:
    tide = Tide(tuple(rates), step_s, total_s, bound_s)
    even = np.linspace(0, total_s, 500)
    moved = tide.through(even, total_s)
    assert (np.diff(moved) >= -1e-9 * total_s).all()
    assert moved[0] >= 0
    assert moved[-1] <= total_s * (1 + 1e-9)
    if min(rates) > 1e-3:
        assert moved[-1] == pytest.approx(total_s)


def test_a_pattern_is_shown_whole_or_in_fifty_stretches() -> None:
    assert shown_s(POISSON, 0.01) == 0
    assert shown_s(BUSY_HOUR, 10.0) == 40  # all of it, at its own speed
    assert shown_s(BUSY_HOUR, 0.01) == pytest.approx(4 * 0.2)
    assert shown_s(Arrivals(kind="trace", rates=(1.0,) * 1000), 0.005) == pytest.approx(50 * 0.1)


def test_a_tide_that_is_too_long_is_shortened_first_and_thinned_then() -> None:
    rates = tuple(1 + np.sin(np.arange(100) / 5).round(3))
    even = np.arange(1, 100_001) / 1000.0

    def heights(longest_s: float, finest_s: float, stretches: int) -> Floats:
        moved = Tide(rates, 60.0, longest_s, finest_s).through(even * longest_s / 100, longest_s)
        counted: Floats = np.histogram(moved, bins=stretches)[0] * (stretches / len(even))
        return counted

    assert heights(100, 0.1, 100) == pytest.approx(np.array(rates) / np.mean(rates), abs=0.02)
    thinned = heights(100, 5.0, 20)  # twenty stretches of five seconds
    assert np.sort(thinned)[[0, 10, 19]] == pytest.approx(np.quantile(rates, [0.025, 0.525, 0.975]), abs=0.1)


def test_thinning_keeps_the_share_of_busy_stretches_even_when_they_come_in_step() -> None:
    rates = (3.0, 0.5, 0.5, 0.5, 0.5) * 20
    moved = Tide(rates, 60.0, 100.0, 5.0).through(np.arange(1, 100_001) / 1000.0, 100.0)
    heights = np.histogram(moved, bins=20)[0] / 5000
    assert sorted(heights) == pytest.approx([0.5] * 16 + [3.0] * 4, abs=0.01)


# The record


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "gamma", "cv": 0.0}, "variation of gamma"),
        ({"kind": "gamma", "cv": 100.0}, "variation of gamma"),
        ({"kind": "trace"}, "holds rates or gaps"),
        ({"kind": "trace", "rates": (1.0, 3.0)}, "have the mean 1, got 2"),
        ({"kind": "trace", "rates": (-1.0, 3.0)}, "not negative"),
        ({"kind": "trace", "gaps": (float("nan"), 1.0)}, "not negative"),
        ({"kind": "trace", "rates": (1.0,) * (MOST_RATES + 1)}, "at most 1024 rates"),
        ({"kind": "trace", "rates": (1.0,), "step_s": 0.0}, "lasts longer than 0 s"),
    ],
)
def test_senseless_patterns_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Arrivals(**fields)  # type: ignore[arg-type]


def test_a_pattern_is_told_as_it_is_typed_and_can_be_a_key() -> None:
    patterns = [POISSON, Arrivals(kind="gamma", cv=2.5), Arrivals(kind="trace", rates=(0.5, 1.5), source="a.csv")]
    assert [pattern.words for pattern in patterns] == ["poisson", "gamma:2.5", "trace:a.csv"]
    assert len({hash(pattern) for pattern in patterns}) == 3
