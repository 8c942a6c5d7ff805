"""Simulated days agree with arithmetic and with the simulation of capacities; a plan becomes a ladder to replay."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_up import candidate, evidence, service, weighing
from steelyard.arrivals import Floats, poisson
from steelyard.capacity import simulate
from steelyard.decision import decide
from steelyard.errors import BundleError, UsageError
from steelyard.ladder import figures_of, ladder_of
from steelyard.loop.replay import replay_bundle
from steelyard.records.base import from_json, to_json
from steelyard.records.machine import Price
from steelyard.records.measurement import ServiceTime
from steelyard.records.plan import Plan, SearchFigures
from steelyard.records.requirements import Latency, Requirements
from steelyard.scheduling import ALL, Choice, profile, profile_of
from steelyard.simulation import STRETCHES, Outcome, replay, static
from steelyard.switching import Controller, Ladder, Rung


def fixed(name: str, quality: float, *milliseconds: float, cost: float | None = None) -> Rung:
    times = profile_of([one / 1000 for one in milliseconds])
    return Rung(name=name, quality=quality, profile=times, cost_per_thousand=cost)


def at(*milliseconds: float) -> Floats:
    return np.asarray(milliseconds) / 1000


# By hand

SLOW, QUICK = fixed("slow", 0.9, 10, 12, cost=4.0), fixed("quick", 0.8, 4, 6, cost=2.0)
PAIR = Ladder(rungs=(SLOW, QUICK), bound_s=0.025)


def test_one_worker_by_hand() -> None:
    """At 0 one is taken; at 10 two of the three that came; at 22 the last."""
    outcome = static(at(0, 1, 2, 3), PAIR, 0)
    assert outcome.latency_ms[::50] == pytest.approx((10, 20.5, 29))  # 10, 21, 20, 29
    assert (outcome.requests, outcome.late, outcome.refused, outcome.batches) == (4, 1, 0, 3)
    assert (outcome.violations, outcome.mean_batch, outcome.switches) == (0.25, 4 / 3, 0)
    assert (outcome.quality, outcome.cost_per_thousand, outcome.answered) == (0.9, 4.0, (4,))
    assert outcome.busy == 1.0
    assert outcome.seconds == 0.003
    assert (len(outcome.queue), max(outcome.queue), outcome.queue[0], outcome.queue[-1]) == (STRETCHES, 3, 1, 1)


def test_two_workers_by_hand() -> None:
    """At 0 and 1 one each; at 10 the first takes the two that came, so the second has nothing to do until 30."""
    two = Ladder(rungs=(SLOW,), bound_s=0.021, workers=2)
    outcome = static(at(0, 1, 2, 3, 30), two, 0)
    assert outcome.latency_ms[::25] == pytest.approx((10, 10, 10, 19, 20))
    assert outcome.batches == 4
    assert outcome.busy == pytest.approx((10 + 10 + 12 + 10) / 2 / 40)


def test_a_worker_that_has_long_been_idle_does_not_serve_before_they_come() -> None:
    two = Ladder(rungs=(fixed("single", 0.9, 10),), bound_s=0.025, workers=2)
    assert static(at(50, 50), two, 0).latency_ms[::50] == pytest.approx((10, 10, 10))


class InTurn:
    """The rungs one after the other, one request at a time; notes what it hears."""

    def __init__(self, rungs: int) -> None:
        self.rungs = rungs
        self.heard: list[tuple[float, int, float]] = []
        self.observed: list[tuple[int, int, float]] = []

    def choose(self, now: float, waiting: int, slack: float, allowed: int = ALL) -> Choice:
        assert allowed == ALL
        self.heard.append((now, waiting, slack))
        return Choice(1, (len(self.heard) - 1) % self.rungs)

    def observe(self, rung: int, size: int, seconds: float) -> None:
        self.observed.append((rung, size, seconds))

    def expected_s(self, choice: Choice) -> float:
        return 0.0

    def backlog_s(self, waiting: int) -> float:
        return 0.0

    def admits(self, now: float, waiting: int) -> float:
        return 0.0


def test_the_policy_hears_the_time_what_waits_and_how_long_its_batches_took() -> None:
    policy = InTurn(2)
    outcome = replay(at(0, 1, 2), PAIR, policy)
    told = [at(0).item(), 1, 0.025], [0.010, 2, 0.016], [0.014, 1, 0.013]
    assert [list(one) for one in policy.heard] == [pytest.approx(one) for one in told]
    assert policy.observed == [(0, 1, 0.010), (1, 1, 0.004)]
    assert outcome.answered == (2, 1)
    assert outcome.shares == (2 / 3, 1 / 3)
    assert outcome.quality == pytest.approx((0.9 + 0.8 + 0.9) / 3)
    assert outcome.cost_per_thousand == pytest.approx((4 + 2 + 4) / 3)
    assert outcome.switches == 2


class AtMostTwo(InTurn):
    """Lets nobody in while two wait; notes who asked."""

    asked: tuple[tuple[float, int], ...] = ()

    def admits(self, now: float, waiting: int) -> float:
        self.asked += ((now, waiting),)
        return 0.0 if waiting < 2 else 1.0


def test_those_that_are_not_let_in_are_violations_and_counted_by_what_waits_then() -> None:
    policy = AtMostTwo(1)
    outcome = replay(at(0, 1, 2, 3, 11), PAIR, policy)
    assert policy.asked == ((0.0, 0), (0.001, 0), (0.002, 1), (0.003, 2), (0.011, 1))
    assert (outcome.refused, sum(outcome.answered), outcome.violations) == (1, 4, 0.6)  # two come last and are late


def test_a_cost_that_is_not_known_is_not_made_up() -> None:
    unknown = Ladder(rungs=(SLOW, fixed("quick", 0.8, 4)), bound_s=0.025)
    assert replay(at(0, 1), unknown, InTurn(2)).cost_per_thousand is None
    assert replay(at(0, 1), unknown, InTurn(1)).cost_per_thousand == 4.0


def test_a_day_without_requests_is_none() -> None:
    with pytest.raises(ValueError, match="at least one"):
        replay(np.empty(0), PAIR)


def test_without_a_policy_the_controller_serves_and_admits() -> None:
    burst = np.linspace(0, 1e-4, 40)
    assert replay(burst, PAIR) == replay(burst, PAIR, Controller(PAIR))
    assert replay(burst, PAIR).refused > 0
    assert static(burst, PAIR, 1, admission=True).refused > 0
    assert static(burst, PAIR, 1).refused == 0


# Beside the simulation that capacities come from

NETS = st.builds(
    lambda fixed_ms, each, noise: [
        ServiceTime(batch=size, quantiles_ms=tuple(np.linspace(1, 1 + noise, 11) * (fixed_ms + each * size)), runs=100)
        for size in (1, 2, 4, 8)
    ],
    st.floats(0.1, 20),
    st.floats(0.1, 20),
    st.floats(0, 0.5),
)


@settings(deadline=None, max_examples=30)
@given(NETS, st.integers(1, 3), st.floats(0.2, 1.5), st.floats(1.5, 10), st.integers(0, 9))
def test_a_single_rung_is_simulated_as_its_capacity_is(
    net: list[ServiceTime], workers: int, load: float, slack: float, seed: int
) -> None:
    bound_s = slack * net[0].median_ms / 1000
    times = poisson(load * workers * 8000 / net[-1].median_ms, 400, np.random.default_rng(seed))
    alone = Rung(name="alone", quality=1.0, profile=profile(net, 0.9, 8), service=tuple(net))
    outcome = static(times, Ladder(rungs=(alone,), bound_s=bound_s, workers=workers), 0, seed)
    expected = simulate(times, net, workers, 8, bound_s, seed)
    assert outcome.latency_ms == pytest.approx(np.quantile(expected, np.linspace(0, 1, 101)) * 1000)
    assert outcome.late == pytest.approx(np.count_nonzero(expected > bound_s), abs=1)


def test_equal_seeds_give_equal_days() -> None:
    net = [ServiceTime(batch=1, quantiles_ms=(1.0, 3.0, 9.0), runs=100)]
    rung = Rung(name="r", quality=1.0, profile=profile(net, 0.9, 1), service=tuple(net))
    ladder = Ladder(rungs=(rung,), bound_s=0.02)
    times = poisson(150, 500, np.random.default_rng(1))
    first, again, other = (replay(times, ladder, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


# From a plan

PRICE = Price(per_hour=0.1, currency="USD")
SEARCH = SearchFigures(seconds=1, measured=1, resumed=0, ruled_out=0, complete=True)
ORIGINAL = candidate("original", threads=1, streams=2)
ALONE = candidate("original", max_batch=1)
MIDDLE, FAST, WRONG = (candidate(name, threads=1, streams=2) for name in ("middle", "fast", "wrong"))
IN_TWO = candidate("apart", threads=1, streams=1, instances=2)
OTHERS = candidate("others", threads=2, streams=1)


def a_plan(**required: object) -> Plan:
    found = {
        ALONE: evidence(ALONE, service(5, 4, [1])),
        ORIGINAL: evidence(ORIGINAL, service(2, 10)),
        MIDDLE: evidence(MIDDLE, service(2, 4), worse=0.0007),
        IN_TWO: evidence(IN_TWO, service(2, 3), worse=0.0014),
        FAST: evidence(FAST, service(1, 2), worse=0.003),
        OTHERS: evidence(OTHERS, service(1, 2.5), worse=0.0015),
        WRONG: evidence(WRONG, service(0.5, 1), worse=0.3),
    }
    wanted = Requirements(
        latency=Latency(percentile=95, bound_ms=60),
        scenario="server",
        quality_drop=0.01,
        **required,  # type: ignore[arg-type]
    )
    told = {one.id: each for one, each in found.items()}
    return decide(weighing(list(found)), told, wanted, PRICE, search=SEARCH, version="0", created="now")


def test_the_rungs_are_what_the_plan_names() -> None:
    plan = a_plan()
    assert plan.chosen is not None
    assert plan.chosen.variant == "fast"
    ladder = ladder_of(plan)
    names = [rung.name for rung in ladder.rungs]
    assert names == ["original", "middle", "apart", "fast"]
    assert plan.ladder == tuple(figures.candidate.id for figures in figures_of(plan))
    assert (ladder.workers, ladder.bound_s) == (2, 0.060)
    assert [rung.quality for rung in ladder.rungs] == sorted((rung.quality for rung in ladder.rungs), reverse=True)
    for rung, figures in zip(ladder.rungs, figures_of(plan), strict=True):
        assert rung.name == figures.candidate.variant
        assert rung.service == figures.service
        assert rung.profile == profile(figures.service, 0.9, 8)
        assert figures.cost.per_million is not None
        assert rung.cost_per_thousand == pytest.approx(figures.cost.per_million / 1000)


def test_an_older_plan_has_the_chosen_one_alone() -> None:
    plan = msgspec.structs.replace(a_plan(), ladder=())
    assert [rung.name for rung in ladder_of(plan).rungs] == ["fast"]


@pytest.mark.parametrize("named", [("nobody", FAST.id), (MIDDLE.id,)])
def test_a_ladder_that_does_not_fit_the_plan_is_refused(named: tuple[str, ...]) -> None:
    with pytest.raises(BundleError, match="ladder"):
        ladder_of(msgspec.structs.replace(a_plan(), ladder=named))


def test_another_bound_changes_the_promise_and_not_what_is_ready() -> None:
    plan = a_plan()
    other = ladder_of(plan, 0.005)
    assert other.bound_s == 0.005
    assert other.rungs == ladder_of(plan).rungs


def test_a_plan_without_a_choice_has_no_ladder() -> None:
    plan = a_plan(memory_mb=1)
    assert plan.chosen is None
    with pytest.raises(BundleError, match="no chosen candidate"):
        ladder_of(plan)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "plan.json").write_bytes(to_json(a_plan(rate_per_s=300.0)))
    return tmp_path


def test_a_bundle_is_replayed_without_hardware(bundle: Path) -> None:
    replayed = replay_bundle("gamma:2", bundle, seconds=20)
    assert (replayed.arrivals, replayed.bound_ms, replayed.percentile) == ("gamma:2", 60, 95)
    assert replayed.requests == int(replayed.rate_per_s * 20)
    assert replayed.rate_per_s <= 300
    assert [row.name for row in replayed.rows] == ["switching", *(rung.variant for rung in replayed.rungs)]
    assert sum(rung.share for rung in replayed.rungs) == pytest.approx(1)
    assert replayed.switching.violations <= min(row.violations for row in replayed.rows[1:]) + 0.01
    assert replayed.switching.outcome.quality > replayed.rows[-1].outcome.quality
    assert replay_bundle("gamma:2", bundle, seconds=20) == replayed
    again = from_json(to_json(replayed), type(replayed))
    assert again == replayed


def test_another_promise_is_judged_by_itself(bundle: Path) -> None:
    wide = replay_bundle("poisson", bundle, Latency(percentile=99, bound_ms=200), 150, 40)
    tight = replay_bundle("poisson", bundle, Latency(percentile=99, bound_ms=2), 150, 40)
    assert (wide.switching.verdict, tight.switching.verdict) == ("pass", "fail")
    assert wide.switching.outcome.quality > tight.switching.outcome.quality
    assert wide.switching.p50_ms <= wide.switching.p95_ms <= wide.switching.p99_ms


def test_a_trace_is_read_and_what_it_told_is_handed_on(bundle: Path) -> None:
    trace = bundle / "day.txt"
    trace.write_text("count\n" + "\n".join(str(5 + 40 * (second % 20 > 14)) for second in range(60)))
    replayed = replay_bundle(f"trace:{trace}", bundle, seconds=60)
    assert "stretches" in replayed.told[0]
    assert replayed.seconds == pytest.approx(60, rel=0.05)


def test_what_the_plan_does_not_say_must_be_said(tmp_path: Path) -> None:
    plan = a_plan()
    (tmp_path / "plan.json").write_bytes(to_json(plan))
    replayed = replay_bundle("poisson", tmp_path, seconds=2)
    assert replayed.rate_per_s == plan.capacity_per_replica
    assert "requires no rate" in replayed.told[-1]
    with pytest.raises(UsageError, match="can be simulated"):
        replay_bundle("poisson", tmp_path, rate_per_s=1e9, seconds=1e9)
    with pytest.raises(UsageError, match="can be simulated"):
        replay_bundle("poisson", tmp_path, rate_per_s=1, seconds=0.1)


def test_replicas_share_the_rate(tmp_path: Path) -> None:
    plan = a_plan(rate_per_s=5000.0, spare=1)
    assert plan.replicas is not None
    (tmp_path / "plan.json").write_bytes(to_json(plan))
    replayed = replay_bundle("poisson", tmp_path, seconds=2)
    assert replayed.rate_per_s == pytest.approx(5000 / (plan.replicas - 1))
    assert f"on {plan.replicas - 1} replicas" in replayed.told[-1]


def test_an_outcome_is_a_record() -> None:
    outcome = static(at(0, 1), PAIR, 0)
    assert from_json(to_json(outcome), Outcome) == outcome
