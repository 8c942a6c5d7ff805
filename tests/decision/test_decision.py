"""The decision on made-up evidence whose right answer is known."""

from __future__ import annotations

import msgspec
import pytest

from made_up import (
    ITEMS_CONFIRM,
    REFERENCE,
    candidate,
    evidence,
    failed,
    service,
    weighing,
)
from steelyard.decision import decide
from steelyard.errors import InputError
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Price
from steelyard.records.measurement import Evidence
from steelyard.records.plan import Plan, SearchFigures
from steelyard.records.requirements import Latency, Requirements
from steelyard.records.stated import requirements as stated

PRICE = Price(per_hour=0.1, currency="USD", machine="test.large", source="made up")
SEARCH = SearchFigures(seconds=1, measured=10, resumed=0, ruled_out=0, complete=True)
P95 = Latency(percentile=95, bound_ms=20)
FAST, GOOD, WRONG = candidate("int8"), candidate("bf16"), candidate("broken")


def plan(found: list[tuple[Candidate, Evidence]], requirements: Requirements, items: int = ITEMS_CONFIRM) -> Plan:
    reference = evidence(REFERENCE, service(4, 1, [1]), confirm_items=items)
    all_found = [(REFERENCE, reference), *found]
    told = {c.id: e for c, e in all_found}
    return decide(
        weighing([c for c, _ in all_found]), told, requirements, PRICE, search=SEARCH, version="0", created="now"
    )


def found() -> list[tuple[Candidate, Evidence]]:
    return [
        (FAST, evidence(FAST, service(0.5, 0.5), worse=0.004, better=0.002)),
        (GOOD, evidence(GOOD, service(2, 0.8), worse=0.001, better=0.001)),
        (WRONG, evidence(WRONG, service(0.1, 0.1), worse=0.55)),
    ]


def outcome(plan: Plan, of: Candidate) -> str:
    return next(c.verdict for c in plan.candidates if c.id == of.id)


def reason(plan: Plan, of: Candidate) -> str:
    return next(c.reason for c in plan.candidates if c.id == of.id)


def test_the_cheapest_that_keeps_every_requirement_is_chosen() -> None:
    decided = plan(found(), Requirements(latency=P95, scenario="server", quality_drop=0.01))
    assert decided.status == "met"
    assert decided.chosen is not None
    assert decided.chosen.id == FAST.id
    assert decided.quality is not None
    assert decided.quality.verdict == "pass"
    assert decided.quality.confirmed
    assert decided.quality.items == ITEMS_CONFIRM
    assert decided.quality.drop == pytest.approx(0.002, abs=1e-9)
    assert decided.quality.drop < decided.quality.bound <= 0.01


def test_the_fastest_is_rejected_when_it_is_wrong() -> None:
    decided = plan(found(), Requirements(quality_drop=0.01))
    assert outcome(decided, WRONG) == "fails"
    assert "55.00 points" in reason(decided, WRONG)
    fastest = max((c for c in decided.candidates if c.figures), key=lambda c: c.figures.capacity_per_replica)  # type: ignore[union-attr]
    assert fastest.id == WRONG.id


def test_capacity_cost_and_gain_fit_together() -> None:
    requirements = Requirements(latency=P95, scenario="server", quality_drop=0.01, rate_per_s=5000, headroom=0.2)
    decided = plan(found(), requirements)
    assert decided.capacity_per_replica
    assert decided.cost
    assert decided.replicas
    assert decided.replicas == -(-5000 * 1.2 // decided.capacity_per_replica)
    assert decided.cost.per_month == pytest.approx(decided.replicas * 0.1 * 730)
    assert decided.cost.per_million == pytest.approx(0.1 / 3600 / decided.capacity_per_replica * 1e6)
    assert decided.gain is not None
    assert decided.gain.speed is not None
    assert decided.gain.speed == pytest.approx(decided.capacity_per_replica / decided.reference.capacity_per_replica)
    assert decided.gain.speed > 5
    assert decided.latency is not None
    assert decided.latency.p50 <= decided.latency.p95 <= 20


def test_offline_counts_throughput_of_the_best_batch() -> None:
    decided = plan(found(), Requirements(quality_drop=0.01))
    assert decided.capacity_per_replica == pytest.approx(8 / (0.5 + 8 * 0.5) * 1e3, rel=0.02)


def test_single_counts_one_after_another() -> None:
    decided = plan(found(), Requirements(scenario="single", latency=P95, quality_drop=0.01))
    assert decided.capacity_per_replica == pytest.approx(1e3 / 1.0, rel=0.02)


def test_quality_priority_takes_the_best_answers() -> None:
    decided = plan(found(), Requirements(quality_drop=0.01, priority="quality"))
    assert decided.chosen is not None
    assert decided.chosen.variant in ("original", "bf16")
    assert outcome(decided, FAST) in ("front", "dominated")


def test_speed_priority_takes_the_shortest_latency() -> None:
    quick = candidate("quick", threads=2)
    slow_but_large = (quick, evidence(quick, service(0.3, 2.5), worse=0.001, better=0.001))
    requirements = Requirements(latency=P95, scenario="server", rate_per_s=50, quality_drop=0.01, priority="speed")
    decided = plan([*found(), slow_but_large], requirements)
    assert decided.chosen is not None
    assert decided.chosen.id == FAST.id


def test_knee_lies_on_the_front() -> None:
    decided = plan(found(), Requirements(quality_drop=0.02, priority="knee"))
    assert decided.chosen is not None
    assert decided.chosen.id in decided.front


def test_one_that_is_chosen_among_equals_is_on_the_front() -> None:
    """It did better on the items that select, and both were equal on those that confirm; it is slower by a hair."""
    careful, bold = candidate("careful"), candidate("bold")
    equal = evidence(careful, service(0.5, 0.5), worse=0.001, better=0.001)
    better = (careful, equal)
    worse_selected = evidence(bold, service(0.49, 0.49), worse=0.004, better=0.002).selected
    faster = (
        bold,
        msgspec.structs.replace(
            evidence(bold, service(0.49, 0.49), worse=0.001, better=0.001), selected=worse_selected
        ),
    )
    decided = plan([better, faster], Requirements(quality_drop=0.01))
    assert decided.chosen is not None
    assert decided.chosen.id == careful.id
    assert set(decided.front) >= {careful.id, bold.id}


def test_memory_and_latency_rule_out_with_the_figure() -> None:
    heavy = candidate("heavy")
    slow = candidate("slow")
    decided = plan(
        [
            (heavy, evidence(heavy, service(0.1, 0.1), memory_mb=900)),
            (slow, evidence(slow, service(50, 1))),
        ],
        Requirements(latency=P95, scenario="server", quality_drop=0.01, memory_mb=512),
    )
    assert outcome(decided, heavy) == "fails"
    assert "900 MB where 512 MB" in reason(decided, heavy)
    assert outcome(decided, slow) == "fails"
    assert "p95 cannot stay within 20 ms" in reason(decided, slow)


def test_failures_keep_their_reason() -> None:
    dead = candidate("dead")
    decided = plan([(dead, failed(dead, "crash", "the process died of SIGSEGV"))], Requirements(quality_drop=0.01))
    assert outcome(decided, dead) == "failed"
    assert reason(decided, dead) == "crash: the process died of SIGSEGV"


def test_an_infeasible_latency_names_the_nearest_and_the_cheapest_relaxation() -> None:
    tight = Requirements(latency=Latency(percentile=95, bound_ms=0.05), scenario="server", quality_drop=0.01)
    decided = plan(found(), tight)
    assert decided.status == "infeasible"
    assert decided.chosen is None
    assert decided.nearest == FAST.id
    assert decided.binding == ("--p95 0.05ms",)
    assert decided.relaxations[0].candidate == FAST.id
    bound = float(decided.relaxations[0].instead.removeprefix("--p95 ").removesuffix("ms"))
    assert 1.0 < bound < 2.0
    relaxed = Requirements(latency=Latency(percentile=95, bound_ms=bound), scenario="server", quality_drop=0.01)
    assert plan(found(), relaxed).status == "met"


def test_a_budget_that_is_too_small_is_told_and_relaxed() -> None:
    poor = Requirements(latency=P95, scenario="server", rate_per_s=5000, quality_drop=0.01, budget_per_month=10)
    decided = plan(found(), poor)
    assert decided.status == "infeasible"
    assert any(r.requirement.startswith("--budget") for r in decided.relaxations)
    instead = next(r for r in decided.relaxations if r.requirement.startswith("--budget")).instead
    enough = float(instead.removeprefix("--budget ").removesuffix("/month").replace(",", ""))
    rich = Requirements(latency=P95, scenario="server", rate_per_s=5000, quality_drop=0.01, budget_per_month=enough)
    assert plan(found(), rich).status == "met"


def test_too_few_items_leave_it_undecided_with_the_number_needed() -> None:
    few = (FAST, evidence(FAST, service(0.5, 0.5), worse=0.1, better=0.1, confirm_items=20))
    decided = plan([few], Requirements(quality_floor=0.85, quality_drop=0.01), items=20)
    assert outcome(decided, FAST) == "undecided"
    assert "items would settle it" in reason(decided, FAST)
    assert decided.status == "undecided"  # the floor of 0.85 is not proven even for the reference


def test_the_reference_needs_no_proof_against_itself() -> None:
    few = (FAST, evidence(FAST, service(0.5, 0.5), worse=0.1, better=0.1, confirm_items=20))
    decided = plan([few], Requirements(quality_drop=0.01))
    assert decided.chosen is not None
    assert decided.chosen.id == REFERENCE.id
    assert decided.quality is not None
    assert decided.quality.bound == 0


def test_a_second_choice_must_pass_at_a_stricter_confidence() -> None:
    """Trying candidate after candidate on the same items must not raise the chance of a false pass."""
    first, second = candidate("first"), candidate("second")
    barely = {"worse": 11 / 1500, "better": 7 / 1500}
    alone = plan([(second, evidence(second, service(0.5, 0.5), **barely))], Requirements(quality_drop=0.01))  # type: ignore[arg-type]
    assert alone.chosen is not None
    assert alone.chosen.id == second.id
    before = (first, evidence(first, service(0.4, 0.4), worse=0.03, better=0.022))
    after = plan([before, (second, evidence(second, service(0.5, 0.5), **barely))], Requirements(quality_drop=0.01))  # type: ignore[arg-type]
    assert outcome(after, first) == "undecided"
    assert after.chosen is not None
    assert after.chosen.id == REFERENCE.id
    assert "not at the confidence that was left" in reason(after, second)


def test_within_the_noise_the_better_answers_win() -> None:
    twin = candidate("twin")
    decided = plan(
        [
            (FAST, evidence(FAST, service(0.5, 0.5), worse=0.004, better=0.001)),
            (twin, evidence(twin, service(0.5, 0.505), worse=0.001, better=0.001)),
        ],
        Requirements(quality_drop=0.01),
    )
    assert decided.chosen is not None
    assert decided.chosen.id == twin.id


def test_a_reference_that_cannot_keep_the_bound_gives_no_ratio() -> None:
    tight = Requirements(latency=Latency(percentile=95, bound_ms=3), scenario="server", quality_drop=0.01)
    decided = plan(found(), tight)
    assert decided.status == "met"
    assert decided.gain is not None
    assert decided.gain.speed is None
    assert decided.reference.cost.per_million is None


def test_without_the_reference_there_is_nothing_to_tell_against() -> None:
    with pytest.raises(InputError, match="reference has not been measured"):
        decide(weighing([REFERENCE]), {}, Requirements(), PRICE, search=SEARCH, version="0", created="now")


def test_equal_inputs_give_equal_plans() -> None:
    requirements = stated({"latency": "p99=20ms", "rate": "2000/s"})
    assert plan(found(), requirements) == plan(found(), requirements)


def test_a_thousand_measurements_are_decided_alike_whether_pruned_or_not() -> None:
    many = []
    for i in range(100):
        one = candidate(f"v{i}")
        many.append((one, evidence(one, service(0.5 + i * 0.05, 0.5), worse=0.002, better=0.002)))
    requirements = Requirements(latency=P95, scenario="server", quality_drop=0.02)
    few, all_of_them = plan(many[:20], requirements), plan(many, requirements)
    assert few.chosen is not None
    assert all_of_them.chosen is not None
    assert few.chosen.id == all_of_them.chosen.id == many[0][0].id
    assert few.capacity_per_replica == all_of_them.capacity_per_replica
