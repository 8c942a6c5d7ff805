"""Where the decision changes: beyond the told price or rate it does, before it does not."""

from __future__ import annotations

import msgspec
import pytest

from made_up import REFERENCE, candidate, evidence, service, weighing
from steelyard.decision import decide
from steelyard.decision.flips import flips
from steelyard.decision.preference import running
from steelyard.decision.standing import Standing, stand
from steelyard.decision.words import number
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Price
from steelyard.records.measurement import Evidence, Speed
from steelyard.records.plan import Flip, Plan, SearchFigures
from steelyard.records.requirements import Requirements
from steelyard.records.subject import Split

SEARCH = SearchFigures(seconds=1, measured=10, resumed=0, ruled_out=0, complete=True)
USD = Price(per_hour=0.1, currency="USD", machine="small")
SPLIT = Split(select=1000, confirm=1500)
FAST, TAME = candidate("fast"), candidate("tame")


def plan(found: dict[Candidate, Evidence], requirements: Requirements, price: Price = USD) -> Plan:
    told = {c.id: e for c, e in found.items()}
    return decide(weighing(list(found)), told, requirements, price, search=SEARCH, version="0", created="now")


def throughput(per_s: float) -> Speed:
    """One request at a time, so many a second."""
    return service(0, 1000 / per_s, [1], spread=0)


@pytest.fixture
def close() -> dict[Candidate, Evidence]:
    """`tame` is 3 % slower than `fast`, within the noise, and better."""
    return {
        REFERENCE: evidence(REFERENCE, throughput(20)),
        TAME: evidence(TAME, throughput(97), worse=0.001, better=0.001),
        FAST: evidence(FAST, throughput(100), worse=0.004, better=0.002),
    }


def of(plan: Plan, what: str) -> list[Flip]:
    return [flip for flip in plan.flips if flip.of == what]


def test_on_one_machine_no_price_changes_the_choice(close: dict[Candidate, Evidence]) -> None:
    for rate in (None, 90.0):
        for per_hour in (0.01, 0.1, 10.0):
            price = msgspec.structs.replace(USD, per_hour=per_hour)
            decided = plan(close, Requirements(quality_drop=0.01, rate_per_s=rate), price)
            assert decided.chosen is not None
            assert decided.chosen.id == TAME.id
            assert not of(decided, "price")
            assert "no price changes the order" in decided.sensitivity[0]


@pytest.mark.parametrize("headroom", [0.0, 0.25])
def test_the_rate_at_which_another_is_chosen_is_exact(close: dict[Candidate, Evidence], headroom: float) -> None:
    """At 90/s one replica of either will do and they tie; between 97 and 100/s only `fast` needs no second one."""
    decided = plan(close, Requirements(quality_drop=0.01, rate_per_s=90 / (1 + headroom), headroom=headroom))
    (other,) = [flip for flip in of(decided, "rate") if flip.candidate == FAST.id]
    assert other.at == pytest.approx(97 / (1 + headroom), rel=1e-6)
    assert other.replicas == 1
    for rate, wanted in ((other.at * 0.999, TAME.id), (other.at * 1.001, FAST.id)):
        again = plan(close, Requirements(quality_drop=0.01, rate_per_s=rate, headroom=headroom))
        assert again.chosen is not None
        assert again.chosen.id == wanted
    assert f"Above {number(other.at)}/s {FAST.id} would be chosen." in decided.sensitivity


def test_the_rate_below_which_another_is_chosen(close: dict[Candidate, Evidence]) -> None:
    decided = plan(close, Requirements(quality_drop=0.01, rate_per_s=98.5))
    assert decided.chosen is not None
    assert decided.chosen.id == FAST.id
    below = [flip for flip in of(decided, "rate") if flip.at < 98.5]
    assert [(flip.candidate, round(flip.at, 6)) for flip in below] == [(TAME.id, 97)]
    assert f"Up to 97/s {TAME.id} would be chosen." in decided.sensitivity


def test_the_next_replica_counts_headroom_and_spare(close: dict[Candidate, Evidence]) -> None:
    only = {c: e for c, e in close.items() if c != TAME}
    decided = plan(only, Requirements(quality_drop=0.01, rate_per_s=150, headroom=0.25, spare=1))
    assert decided.replicas == 3
    (step,) = [flip for flip in of(decided, "rate") if flip.replicas == 4]
    assert step.at == pytest.approx(160)
    assert plan(only, msgspec.structs.replace(decided.requirements, rate_per_s=159.9)).replicas == 3
    assert plan(only, msgspec.structs.replace(decided.requirements, rate_per_s=160.1)).replicas == 4
    assert "suffice up to 160/s; 80/s could do with one fewer" in " ".join(decided.sensitivity)


def test_the_price_and_the_rate_at_which_the_budget_breaks(close: dict[Candidate, Evidence]) -> None:
    wanted = Requirements(quality_drop=0.01, rate_per_s=98.5, budget_per_month=100)
    decided = plan(close, wanted)
    (price,) = of(decided, "price")
    assert price.at == pytest.approx(100 / 730)
    assert (price.machine, price.candidate) == ("small", "")
    assert plan(close, wanted, msgspec.structs.replace(USD, per_hour=price.at * 0.999)).status == "met"
    assert plan(close, wanted, msgspec.structs.replace(USD, per_hour=price.at * 1.001)).status == "infeasible"
    broken = next(flip for flip in of(decided, "rate") if flip.candidate == "")
    assert broken.at == pytest.approx(100)
    cheaper = next(flip for flip in of(decided, "rate") if flip.candidate == TAME.id)
    assert cheaper.at == pytest.approx(97)
    assert plan(close, msgspec.structs.replace(wanted, rate_per_s=100.5)).status == "infeasible"


def test_spot_is_weighed_with_its_spare_replicas(close: dict[Candidate, Evidence]) -> None:
    wanted = Requirements(quality_drop=0.01, rate_per_s=90)
    demand = msgspec.structs.replace(USD, other_per_hour=0.04)
    (flip,) = of(plan(close, wanted, demand), "price")
    assert (flip.machine, flip.now) == ("small (spot)", 0.04)
    assert flip.at == pytest.approx(0.05)
    spot = msgspec.structs.replace(USD, spot=True, per_hour=0.05 * 0.999, other_per_hour=0.1)
    cheap, dear = plan(close, wanted, spot), plan(close, wanted, msgspec.structs.replace(USD))
    assert cheap.cost is not None
    assert dear.cost is not None
    assert cheap.replicas == 2
    assert cheap.cost.per_month == pytest.approx(0.999 * (dear.cost.per_month or 0))


def two_machines(
    far_price: float, near_price: float = 0.1, rate: float | None = None
) -> tuple[Standing, list[Standing]]:
    """Near: 100 requests/s. Far: a machine of another type with 250, its own price."""
    near, far = (msgspec.structs.replace(FAST, machine=name) for name in ("near", "far"))
    found = {c: evidence(c, throughput(per_s)) for c, per_s in ((near, 100), (far, 250))}
    prices = {
        "near": msgspec.structs.replace(USD, per_hour=near_price),
        "far": msgspec.structs.replace(USD, per_hour=far_price, machine="large"),
    }
    wanted = Requirements(quality_drop=0.01, rate_per_s=rate)
    standings = stand(found, {c.id: e for c, e in found.items()}, wanted, USD, SPLIT, prices)
    return running(standings)[0], standings


def test_between_machines_each_price_has_its_flip() -> None:
    chosen, standings = two_machines(far_price=0.30)
    assert chosen.candidate.machine == "near"
    found, told = flips(standings, chosen)
    assert {flip.machine: pytest.approx(flip.at) for flip in found} == {"small": 0.30 / 2.5, "large": 0.1 * 2.5}
    assert {flip.candidate for flip in found} == {standings[1].candidate.id}
    assert two_machines(0.30, near_price=0.12 * 1.001)[0].candidate.machine == "far"
    assert two_machines(0.25 * 0.999)[0].candidate.machine == "far"
    assert two_machines(0.30, near_price=0.12 * 0.999)[0].candidate.machine == "near"
    assert any("with a price of small above 0.12 USD/h (now 0.1)" in sentence for sentence in told)
    assert not any("one machine type" in sentence for sentence in told)


def test_between_machines_whole_replicas_count() -> None:
    """For 260/s: three of the near ones or two of the far ones."""
    chosen, standings = two_machines(far_price=0.20, rate=260)
    assert chosen.candidate.machine == "near"
    by_machine = {flip.machine: flip for flip in flips(standings, chosen)[0] if flip.of == "price"}
    assert by_machine["small"].at == pytest.approx(2 * 0.20 / 3)
    assert by_machine["large"].at == pytest.approx(3 * 0.10 / 2)
    assert by_machine["large"].replicas == 2


def test_prices_in_different_currencies_are_not_compared() -> None:
    chosen, standings = two_machines(far_price=0.30)
    foreign = [
        s.at_price(msgspec.structs.replace(s.price, currency="EUR")) if s.candidate.machine == "far" else s
        for s in standings
    ]
    assert not [flip for flip in flips(foreign, chosen)[0] if flip.of == "price"]
