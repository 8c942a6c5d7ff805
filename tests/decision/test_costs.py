"""What a plan costs: replicas, headroom, spare, spot, what stands idle; and energy."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_up import candidate, service
from steelyard.decision.worth import cost_of, energy_of, latency_of, needed_for, replicas_for, spare_for
from steelyard.errors import UsageError
from steelyard.records.machine import HOURS_PER_MONTH, Price
from steelyard.records.measurement import Power, ServiceTime, Speed
from steelyard.records.requirements import Latency, Requirements

ON_DEMAND = Price(per_hour=0.10, currency="USD", machine="box")
SPOT = Price(per_hour=0.04, currency="USD", machine="box", spot=True)


def wanted(rate: float | None = 950, **fields: float) -> Requirements:
    return Requirements(rate_per_s=rate, **fields)  # type: ignore[arg-type]


def test_without_a_rate_only_full_use_is_told() -> None:
    cost = cost_of(100.0, wanted(None, spare=2), ON_DEMAND)
    assert cost.per_million == pytest.approx(0.10 / 3600 / 100 * 1e6)
    assert (cost.per_month, cost.per_million_at_rate, cost.idle_per_month, cost.utilisation) == (None,) * 4


def test_idle_capacity_is_told_as_money_and_as_a_share() -> None:
    cost = cost_of(100.0, wanted(950), ON_DEMAND)
    assert cost.per_month == pytest.approx(10 * 0.10 * 730)
    assert cost.utilisation == pytest.approx(0.95)
    assert cost.idle_per_month == pytest.approx(0.05 * 730)
    assert cost.per_million_at_rate == pytest.approx(730.0 / (950 * 3600 * 730) * 1e6)


@pytest.mark.parametrize(
    ("price", "fields", "needed", "spare"),
    [
        (ON_DEMAND, {}, 10, 0),
        (ON_DEMAND, {"headroom": 0.2}, 12, 0),
        (ON_DEMAND, {"spare": 1}, 10, 1),
        (ON_DEMAND, {"headroom": 0.2, "spare": 3}, 12, 3),
        (SPOT, {}, 10, 1),
        (SPOT, {"headroom": 0.2}, 12, 2),
        (SPOT, {"spare": 0}, 10, 0),
        (SPOT, {"spare": 4}, 10, 4),
    ],
)
def test_replicas_needed_and_to_spare(price: Price, fields: dict[str, float], needed: int, spare: int) -> None:
    requirements = wanted(**fields)
    assert needed_for(100.0, requirements) == needed
    assert spare_for(needed, requirements, price) == spare
    assert replicas_for(100.0, requirements, price) == needed + spare
    cost = cost_of(100.0, requirements, price)
    assert cost.spare == spare
    assert cost.per_month == pytest.approx((needed + spare) * price.per_hour * HOURS_PER_MONTH)


def test_one_spot_replica_has_one_to_spare() -> None:
    assert replicas_for(100.0, wanted(5), SPOT) == 2


@given(capacity=st.floats(0.1, 1e5), rate=st.floats(0.01, 1e6), headroom=st.floats(0, 2), spare=st.integers(0, 5))
def test_what_is_used_and_what_is_idle_make_up_the_whole(
    capacity: float, rate: float, headroom: float, spare: int
) -> None:
    requirements = wanted(rate, headroom=headroom, spare=spare)
    cost = cost_of(capacity, requirements, ON_DEMAND)
    assert cost.per_month is not None
    assert cost.idle_per_month is not None
    assert cost.per_million is not None
    assert cost.per_million_at_rate is not None
    served = rate * 3600 * HOURS_PER_MONTH / 1e6
    used = cost.per_million * served
    assert used + cost.idle_per_month == pytest.approx(cost.per_month, rel=1e-6)
    assert cost.per_million_at_rate * served == pytest.approx(cost.per_month)
    assert cost.idle_per_month >= -1e-6 * cost.per_month


def test_the_latency_holds_without_the_spare_replicas() -> None:
    of = candidate("fast")
    times = service(2, 0.5).service
    plain = Requirements(latency=Latency(percentile=95, bound_ms=30), scenario="server", rate_per_s=1000)
    spared = msgspec.structs.replace(plain, spare=2)
    assert latency_of(of, times, 600.0, plain) == latency_of(of, times, 600.0, spared)


def metered(watts: tuple[float | None, ...], power: Power | None) -> Speed:
    times = [
        ServiceTime(batch=batch, quantiles_ms=(ms, ms, ms), runs=9, watts=drawn)
        for (batch, ms), drawn in zip(((1, 1.0), (8, 4.0)), watts, strict=True)
    ]
    return Speed(service=tuple(times), reference_ratio=1.0, power=power)


def test_energy_is_told_for_the_batch_of_best_throughput() -> None:
    power = Power(source="RAPL", estimated=False, idle_watts=20.0)
    energy = energy_of(candidate("fast", streams=2), metered((50.0, 72.0), power))
    assert energy is not None
    assert energy.wh_per_million == pytest.approx(72.0 / (2 * 8 / 0.004) / 3600 * 1e6)
    assert (energy.watts, energy.idle_watts, energy.source, energy.estimated) == (72.0, 20.0, "RAPL", False)


def test_no_energy_is_told_where_none_is_known() -> None:
    assert energy_of(candidate("fast"), metered((None, None), Power(source="RAPL", estimated=False))) is None
    assert energy_of(candidate("fast"), metered((50.0, 50.0), None)) is None


@pytest.mark.parametrize(
    ("budget", "price", "message"),
    [
        ("EUR", ON_DEMAND, "the budget is in EUR, the price in USD"),
        ("USD", Price(), "a budget in USD can only be held against a price"),
    ],
)
def test_a_budget_in_another_currency_is_refused(budget: str, price: Price, message: str) -> None:
    requirements = Requirements(budget_per_month=100, budget_currency=budget)
    with pytest.raises(UsageError, match=message) as caught:
        requirements.check_currency(price)
    assert caught.value.hint
    Requirements(budget_per_month=100).check_currency(price)
    requirements.check_currency(Price(per_hour=1, currency=budget))
