"""Timings of a busy machine and real load in the decision: what is too slow there is undecided; what held is told."""

from __future__ import annotations

import msgspec
import pytest

from made_up import REFERENCE, candidate, evidence, service, weighing
from steelyard.decision import decide
from steelyard.records.machine import Price
from steelyard.records.measurement import Evidence, Load, Speed
from steelyard.records.plan import Plan, SearchFigures
from steelyard.records.requirements import Latency, Requirements

P95 = Latency(percentile=95, bound_ms=20)
SERVER = Requirements(quality_drop=0.02, scenario="server", latency=P95)
SEARCH = SearchFigures(seconds=1, measured=10, resumed=0, ruled_out=0, complete=True)
INT8 = candidate("int8")


def plan(reference: Evidence, other: Evidence, requirements: Requirements = SERVER) -> Plan:
    told = {REFERENCE.id: reference, INT8.id: other}
    made = weighing([REFERENCE, INT8])
    return decide(made, told, requirements, Price(), search=SEARCH, version="0", created="now")


def timed(ms: float, ratio: float = 1.0) -> Speed:
    return msgspec.structs.replace(service(ms, 0.1), reference_ratio=ratio)


def outcome(decided: Plan) -> tuple[str, str]:
    return next((c.verdict, c.reason) for c in decided.candidates if c.id == INT8.id)


def test_too_slow_on_a_quiet_machine_fails() -> None:
    decided = plan(evidence(REFERENCE, timed(50)), evidence(INT8, timed(50), worse=0.001))
    assert decided.status == "infeasible"
    assert outcome(decided)[0] == "fails"


def test_too_slow_on_a_busy_machine_is_undecided_and_told_so() -> None:
    decided = plan(evidence(REFERENCE, timed(50)), evidence(INT8, timed(50, ratio=1.9), worse=0.001))
    assert decided.status == "undecided"
    verdict, reason = outcome(decided)
    assert verdict == "undecided"
    assert "the machine was busy while it was timed" in reason


def test_what_no_quiet_machine_could_make_fast_enough_fails_on_a_busy_one_as_well() -> None:
    decided = plan(evidence(REFERENCE, timed(500)), evidence(INT8, timed(250, ratio=1.9), worse=0.001))
    assert decided.status == "infeasible"
    assert outcome(decided)[0] == "fails"


def test_what_is_in_time_even_on_a_busy_machine_may_be_chosen() -> None:
    decided = plan(evidence(REFERENCE, timed(5)), evidence(INT8, timed(1, ratio=1.9), worse=0.001))
    assert decided.chosen is not None
    assert decided.chosen.id == INT8.id


def test_wrong_answers_are_wrong_on_a_busy_machine_as_well() -> None:
    decided = plan(evidence(REFERENCE, timed(5)), evidence(INT8, timed(50, ratio=1.9), worse=0.3))
    assert outcome(decided)[0] == "fails"


def loaded(held: float, tried: float, bound_ms: float = 20, arrivals: str = "poisson") -> Load:
    return Load(
        rate_per_s=held,
        arrivals=arrivals,
        seconds=1,
        requests=100,
        late=0,
        late_once_sent=0,
        bound_ms=bound_ms,
        quantiles_ms=(0.0, 1.0),
        sent_late_ms=(0.0, 0.0),
        generator_share=0.1,
        mean_batch=1,
        answered_per_s=held,
        percentile=95,
        tried_per_s=tried,
        held_per_s=held,
    )


def with_load(load: Load) -> Plan:
    fast = msgspec.structs.replace(evidence(INT8, timed(1), worse=0.001), load=load)
    return plan(evidence(REFERENCE, timed(5)), fast)


@pytest.mark.parametrize(("held", "lowered"), [(1000.0, False), (300.0, True)])
def test_no_more_is_told_than_held_under_real_load(held: float, lowered: bool) -> None:
    predicted = with_load(loaded(1000, 1000)).capacity_per_replica
    assert predicted is not None
    assert predicted > 400
    assert with_load(loaded(held, 1000)).capacity_per_replica == (held if lowered else predicted)


def test_load_for_other_requirements_says_nothing_here() -> None:
    predicted = with_load(loaded(1000, 1000)).capacity_per_replica
    for other in (loaded(300, 1000, bound_ms=5), loaded(300, 1000, arrivals="gamma:3")):
        assert with_load(other).capacity_per_replica == predicted


def test_what_held_at_no_rate_breaks_the_latency_bound() -> None:
    decided = with_load(loaded(0, 1000))
    verdict, reason = outcome(decided)
    assert verdict == "fails"
    assert "--p95 20ms under real load at no rate that was tried" in reason
