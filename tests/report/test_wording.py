from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from steelyard.records.arrivals import Arrivals
from steelyard.records.plan import Plan
from steelyard.records.requirements import Latency, Requirements
from steelyard.report import scatter, wording

swap = msgspec.structs.replace


def test_arrivals_are_told_in_plain_words() -> None:
    assert wording.arrivals(Arrivals(kind="gamma", cv=2.5)).startswith("in bursts (gamma: gaps deviate by 2.5 times")
    assert wording.arrivals(Arrivals(kind="gamma", cv=0.5)).startswith("more evenly than at random")
    assert wording.arrivals(Arrivals(kind="trace", rates=(0.5, 1.5), source="monday.csv")) == (
        "as recorded in monday.csv, scaled to the rate"
    )


def test_requirements_are_told_as_they_were_stated(plan_of: Callable[[str], Plan]) -> None:
    told = dict(wording.requirements(plan_of("met")))
    assert told == {
        "Latency": "95% of the requests within 20 ms",
        "Quality drop": "accuracy at most 1 point below the reference",
        "Rate": "1,000 requests per second",
        "Scenario": "server: requests arrive by themselves",
        "Arrivals": "at random (Poisson)",
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
    assert wording.quality_limit(plan) == pytest.approx(0.846)
    higher = swap(plan, requirements=swap(plan.requirements, quality_floor=0.85))
    assert wording.quality_limit(higher) == pytest.approx(0.85)
    assert wording.quality_limit(swap(plan, requirements=Requirements())) is None


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


def of_an_error(plan: Plan) -> Plan:
    """The same plan, judged by an error of 0.2 of which the chosen candidate has 2 % more."""
    quality = swap(
        plan.reference.quality, metric="mse", value=0.2, reference=0.2, drop=0.0, bound=0.0, value_bound=0.21,
        lower_is_better=True,
    )  # fmt: skip
    worse = swap(quality, value=0.204, drop=0.02, bound=0.031)
    candidates = tuple(
        swap(c, figures=swap(c.figures, quality=worse)) if c.figures and plan.chosen and c.id == plan.chosen.id else c
        for c in plan.candidates
    )
    wanted = swap(plan.requirements, quality_drop=0.05, quality_floor=None, quality_ceiling=0.205)
    return swap(plan, reference=swap(plan.reference, quality=quality), quality=worse, candidates=candidates,
                requirements=wanted)  # fmt: skip


def test_an_error_is_told_the_other_way_round(plan_of: Callable[[str], Plan]) -> None:
    plan = of_an_error(plan_of("met"))
    assert plan.quality is not None
    told = wording.drop(plan.quality)
    assert "2.0 % larger than the reference" in told
    assert "at most 3.1 % larger" in told
    assert wording.quality_limit(plan) == pytest.approx(0.205)
    without = swap(plan, requirements=swap(plan.requirements, quality_ceiling=None))
    assert wording.quality_limit(without) == pytest.approx(0.21)
    assert wording.surely(without, plan.quality) == pytest.approx(0.2062)
    assert ("Quality", "mse at most 0.205") in list(wording.requirements(plan))
    assert ("Quality drop", "mse at most 5% larger than the reference’s") in list(wording.requirements(plan))


def test_in_the_chart_of_an_error_up_is_still_better(plan_of: Callable[[str], Plan]) -> None:
    plan = of_an_error(plan_of("met"))
    chart = scatter.cost_scatter(plan)
    assert chart.y.title == "reference’s mse / mse"
    assert scatter.scaled(plan, 0.1) == 200
    [limit] = [rule for rule in chart.rules if rule.axis == "y"]
    assert (limit.breaks, limit.text) == ("below", "mse ≤ 0.2050")
    chosen = next(mark for mark in chart.marks if mark.role == "chosen")
    assert chosen.low < chosen.y < 100
    assert "mse 0.2040, at most 0.2100" in chosen.lines


def test_a_metric_of_ones_own_is_no_share() -> None:
    assert not wording.is_share("tops.f1:accuracy")
    assert wording.quality("tools:psnr", 31.416) == "31.42"
    assert wording.difference("tools:psnr", 0.25) == "0.250"
