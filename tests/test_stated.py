"""Requirements as people state them: what is understood, and what is refused with a hint."""

from __future__ import annotations

import pytest

from steelyard.errors import UsageError
from steelyard.records import stated
from steelyard.records.arrivals import POISSON, Arrivals
from steelyard.records.requirements import Latency, Requirements, Scenario


def test_everything_that_can_be_stated() -> None:
    words = {
        "latency": "p99.9=0.5s",
        "quality": ">=98%",
        "rate": "30000/min",
        "memory": "2GiB",
        "budget": "$10/day",
        "priority": "knee",
        "confidence": "0.9",
        "headroom": "20%",
    }
    assert stated.requirements(words) == Requirements(
        latency=Latency(percentile=99.9, bound_ms=500),
        quality_floor=0.98,
        rate_per_s=500,
        scenario="server",
        memory_mb=2147.483648,
        budget_per_month=10 * (730 / 24),
        budget_currency="USD",
        priority="knee",
        confidence=0.9,
        headroom=0.2,
    )


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("poisson", POISSON), (" Poisson ", POISSON), ("gamma:2.5", Arrivals(kind="gamma", cv=2.5))],
)
def test_arrivals(text: str, pattern: Arrivals) -> None:
    assert stated.stated_arrivals(text) == pattern


@pytest.mark.parametrize("text", ["", "gamma", "gamma:", "gamma:x", "gamma:0", "gamma:1e3", "uniform", "gamma:-2"])
def test_arrivals_that_are_not_understood(text: str) -> None:
    with pytest.raises(UsageError) as error:
        stated.stated_arrivals(text)
    assert "--arrivals" in str(error.value)
    assert error.value.hint


@pytest.mark.parametrize("scenario", ["offline", "single"])
def test_arrivals_belong_to_the_server_scenario(scenario: Scenario) -> None:
    with pytest.raises(UsageError, match="belong to the server scenario"):
        Requirements(scenario=scenario, arrivals=Arrivals(kind="gamma", cv=2))


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("5ms", 5), ("5 ms", 5), ("250us", 0.25), ("250µs", 0.25), ("1.5s", 1500), (".5ms", 0.5)]
)
def test_units_of_time(text: str, milliseconds: float) -> None:
    assert stated.stated_latency(f"p95={text}").bound_ms == pytest.approx(milliseconds)


@pytest.mark.parametrize(("text", "rate"), [("500/s", 500), ("500 req/s", 500), ("60 per minute", 1), ("3600/h", 1)])
def test_rates(text: str, rate: float) -> None:
    assert stated.stated_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("0.01", 0.01), ("1 point", 0.01), ("0.5%", 0.005)])
def test_shares(text: str, share: float) -> None:
    assert stated.share(text, "--quality-drop") == pytest.approx(share)


@pytest.mark.parametrize("text", ["p95", "95=5ms", "p95=5", "p95=5 apples", "p95=ms", "p=5ms", "p95=-5ms"])
def test_latencies_that_are_not_understood(text: str) -> None:
    with pytest.raises(UsageError) as error:
        stated.stated_latency(text)
    assert error.value.hint


def test_without_any_quality_one_point_may_be_lost_and_no_more() -> None:
    assert stated.requirements({}).quality_drop == 0.01
    assert stated.requirements({"quality": ">=0.9"}).quality_drop is None


def test_the_scenario_follows_from_what_is_stated() -> None:
    assert stated.requirements({}).scenario == "offline"
    assert stated.requirements({"latency": "p95=5ms"}).scenario == "server"
    assert stated.requirements({"rate": "5/s"}).scenario == "offline"
    assert stated.requirements({"latency": "p95=5ms", "scenario": "single"}).scenario == "single"


@pytest.mark.parametrize(
    ("text", "floor", "ceiling"),
    [(">=98%", 0.98, None), ("0.5", 0.5, None), ("<=0.1", None, 0.1), ("≤ 12", None, 12.0), (">=-0.5", -0.5, None)],
)
def test_a_quality_is_a_lowest_or_a_highest_value(text: str, floor: float | None, ceiling: float | None) -> None:
    read = stated.requirements({"quality": text})
    assert (read.quality_floor, read.quality_ceiling, read.quality_drop) == (floor, ceiling, None)


def test_a_quality_demanded_the_wrong_way_round_is_refused_with_the_right_one() -> None:
    with pytest.raises(UsageError, match=r'"<=0\.1"'):
        stated.requirements({"quality": ">=0.1"}).check_direction("mse", lower_is_better=True)
    with pytest.raises(UsageError, match=r'">=0\.9"'):
        stated.requirements({"quality": "<=0.9"}).check_direction("accuracy", lower_is_better=False)
    stated.requirements({"quality": "<=0.1"}).check_direction("mse", lower_is_better=True)
    stated.requirements({"quality": ">=0.9"}).check_direction("accuracy", lower_is_better=False)
    stated.requirements({}).check_direction("mse", lower_is_better=True)
