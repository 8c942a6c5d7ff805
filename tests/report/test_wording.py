from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from steelyard.records.plan import Plan
from steelyard.records.requirements import Latency, Requirements
from steelyard.report import numbers, wording

swap = msgspec.structs.replace


def test_requirements_are_told_as_they_were_stated(plan_of: Callable[[str], Plan]) -> None:
    told = dict(wording.requirements(plan_of("met")))
    assert told == {
        "Latency": "95% of the requests within 20 ms",
        "Quality drop": "accuracy at most 1 point below the reference",
        "Rate": f"1{numbers.THIN}000 requests per second",
        "Scenario": "server: requests arrive at random (Poisson)",
        "Memory": "at most 512 MB",
        "Headroom": "20% above the rate",
        "Preferred": "the lowest cost",
        "Confidence": "95%",
    }


def test_a_floor_and_a_budget_are_told(plan_of: Callable[[str], Plan]) -> None:
    wanted = Requirements(quality_floor=0.85, budget_per_month=300.0)
    told = dict(wording.requirements(swap(plan_of("met"), requirements=wanted)))
    assert told["Quality"] == "accuracy at least 85%"
    assert told["Budget"] == "at most 300 USD per month"
    assert "Latency" not in told


def test_the_higher_of_floor_and_allowed_drop_binds(plan_of: Callable[[str], Plan]) -> None:
    plan = plan_of("met")
    assert wording.quality_floor(plan) == pytest.approx(0.846)
    higher = swap(plan, requirements=swap(plan.requirements, quality_floor=0.85))
    assert wording.quality_floor(higher) == pytest.approx(0.85)
    assert wording.quality_floor(swap(plan, requirements=Requirements())) is None


def test_latency_is_read_off_the_quantiles_where_it_was_not_told(plan_of: Callable[[str], Plan]) -> None:
    figures = plan_of("met").reference
    latency = swap(figures.latency, quantiles=(0.0, 10.0, 20.0))
    figures = swap(figures, latency=latency)
    assert wording.latency_at(figures, 95.0) == latency.p95
    assert wording.latency_at(figures, 75.0) == pytest.approx(15.0)
    assert wording.latency_at(figures, 99.9) == pytest.approx(19.98)


def test_the_percentile_told_is_the_required_one(plan_of: Callable[[str], Plan]) -> None:
    plan = plan_of("met")
    wanted = swap(plan.requirements, latency=Latency(percentile=99.9, bound_ms=30.0))
    assert wording.percentile(wording.told_percentile(swap(plan, requirements=wanted))) == "p99.9"
    assert wording.told_percentile(plan_of("unpriced")) == 95.0


def test_quality_is_told_in_its_own_units() -> None:
    assert wording.quality("accuracy", 0.9893) == "98.93%"
    assert wording.quality("return", -17.25) == "−17.25"
    assert wording.difference("accuracy", -0.0042) == "0.42 points"
    assert wording.difference("return", 0.5) == "0.500"


def test_a_drop_says_which_way_and_how_far(plan_of: Callable[[str], Plan]) -> None:
    quality = plan_of("met").quality
    assert quality is not None
    assert wording.drop(quality) == (
        "0.08 points lower than the reference; with 95% confidence at most 0.71 points lower"
    )
    better = swap(quality, drop=-0.02, bound=-0.005)
    assert wording.drop(better) == (
        "2.00 points higher than the reference; with 95% confidence at least 0.50 points higher"
    )
    equal = swap(quality, drop=0.0, bound=0.0)
    assert wording.drop(equal) == "as good as the reference; with 95% confidence not lower"
