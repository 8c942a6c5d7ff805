"""What a server may switch between is decided from what was measured, like everything else."""

from __future__ import annotations

import pytest

from made_up import REFERENCE, candidate, evidence, service, weighing
from steelyard.decision import decide
from steelyard.ladder import MOST_RUNGS
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Price
from steelyard.records.measurement import Evidence
from steelyard.records.plan import Plan, SearchFigures
from steelyard.records.requirements import Latency, Requirements

BOUND = Latency(percentile=95, bound_ms=60)
SEARCH = SearchFigures(seconds=1, measured=1, resumed=0, ruled_out=0, complete=True)


def on_two(variant: str, runtime: str = "engine", **fields: int) -> Candidate:
    return candidate(variant, runtime, **({"threads": 1, "streams": 2} | fields))


AS_GIVEN, MIDDLE, FAST = on_two("original"), on_two("middle"), on_two("fast")
USUAL = {
    REFERENCE: evidence(REFERENCE, service(5, 4, [1])),
    AS_GIVEN: evidence(AS_GIVEN, service(2, 10)),
    MIDDLE: evidence(MIDDLE, service(2, 4), worse=0.001),
    FAST: evidence(FAST, service(1, 2), worse=0.003),
}


def decided(more: dict[Candidate, Evidence] | None = None, **wanted: object) -> Plan:
    found = USUAL | (more or {})
    required = {"latency": BOUND, "scenario": "server", "quality_drop": 0.01, **wanted}
    requirements = Requirements(**required)  # type: ignore[arg-type]
    told = {one.id: each for one, each in found.items()}
    price = Price(per_hour=0.1, currency="USD")
    return decide(weighing(list(found)), told, requirements, price, search=SEARCH, version="0", created="now")


def rungs(more: dict[Candidate, Evidence] | None = None, **wanted: object) -> list[str]:
    return list(decided(more, **wanted).ladder)


def test_more_accurate_ones_with_as_many_workers_stand_above_the_chosen_one() -> None:
    plan = decided()
    assert plan.chosen is not None
    assert plan.chosen.id == FAST.id
    assert list(plan.ladder) == [AS_GIVEN.id, MIDDLE.id, FAST.id]
    told = {one.id: one.figures for one in plan.candidates}
    assert all(told[name] is not None for name in plan.ladder)


def test_those_that_divide_the_machine_otherwise_cannot_take_turns() -> None:
    other = candidate("other")
    assert rungs({other: evidence(other, service(1, 3), worse=0.0005)}) == [AS_GIVEN.id, MIDDLE.id, FAST.id]


def test_in_processes_is_beside_streams_when_they_are_as_many() -> None:
    apart = on_two("apart", streams=1, instances=2)
    assert apart.id in rungs({apart: evidence(apart, service(2, 3), worse=0.0014)})


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (evidence(MIDDLE, service(2, 4), worse=0.3), "breaks the floor"),
        (evidence(MIDDLE, service(2, 4), worse=0.001, confirmed=False), "is not confirmed"),
        (evidence(MIDDLE, None, worse=0.001), "was not timed"),
        (evidence(MIDDLE, service(58, 4), worse=0.001), "cannot keep the bound"),
        (evidence(MIDDLE, service(35, 0.1), worse=0.001), "would never be gone back to"),
        (evidence(MIDDLE, service(2, 4), worse=0.001, memory_mb=900), "takes too much memory"),
        (evidence(MIDDLE, service(2, 11), worse=0.001), "is slower than what is more accurate"),
        (evidence(MIDDLE, service(0.5, 2.4), worse=0.004), "is slower and worse than the chosen one"),
    ],
)
def test_what_keeps_too_little_is_no_rung(changed: Evidence, why: str) -> None:
    assert rungs({MIDDLE: changed}, memory_mb=800) == [AS_GIVEN.id, FAST.id], why


def test_a_budget_counts_replicas_of_the_chosen_one_only() -> None:
    needed = decided(rate_per_s=600.0)
    assert needed.cost is not None
    assert needed.cost.per_month is not None
    assert rungs(rate_per_s=600.0, budget_per_month=needed.cost.per_month) == [AS_GIVEN.id, MIDDLE.id, FAST.id]


def test_of_each_variant_the_fastest() -> None:
    quicker = on_two("middle", "rival")
    assert rungs({quicker: evidence(quicker, service(2, 3), worse=0.001)})[1] == quicker.id


def test_without_a_promise_there_is_nothing_to_switch_for() -> None:
    assert len(rungs(latency=None, scenario="offline")) == 1
    assert len(rungs(scenario="single")) == 1


def test_nothing_chosen_has_no_ladder() -> None:
    assert rungs(memory_mb=1) == []


def test_among_many_candidates_the_rungs_are_told_with_their_figures() -> None:
    """Those that others beat in everything are not simulated, unless they are rungs."""
    more = {
        one: evidence(one, service(50 + n, 40))
        for n in range(70)
        for one in [candidate(f"slow-{n}", threads=2, streams=1)]
    }
    alone = candidate("original", "rival")
    more[alone] = evidence(alone, service(1, 0.9))
    bold = candidate("bold", threads=2, streams=1)
    more[bold] = evidence(bold, service(1, 0.9), worse=0.0005)
    plan = decided(more | {FAST: evidence(FAST, service(0.1, 0.7), worse=0.003)})
    assert plan.chosen is not None
    assert plan.chosen.id == FAST.id
    told = {one.id: one.figures for one in plan.candidates}
    assert plan.ladder[0] == AS_GIVEN.id
    assert len(plan.ladder) <= MOST_RUNGS
    assert all(told[name] is not None for name in plan.ladder)
    assert sum(figures is None for figures in told.values()) > 50
