"""Why, in plain words: what is told of a plan and of one candidate, and how a candidate is named."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from steelyard import numbers
from steelyard.errors import UsageError
from steelyard.records.base import from_json, to_json
from steelyard.records.measurement import Load
from steelyard.records.plan import Flip, Plan
from steelyard.report.explain import explain, find
from steelyard.report.explained import Explanation, text

swap = msgspec.structs.replace


def part(explanation: Explanation, title: str) -> str:
    return " ".join(next(part.sentences for part in explanation.parts if part.title == title))


def test_a_plan_tells_what_was_chosen_why_and_how_sure(plan_of: Callable[[str], Plan]) -> None:
    plan = plan_of("met")
    told = explain(plan)
    assert told.answer == plan.summary
    assert f"Rate: {numbers.count(1000)} requests per second." in part(told, "What was required")
    why = part(told, "What was chosen, and why")
    assert "8 of 14 candidates keep every requirement; of these the cheapest is preferred" in why
    assert "Not int8-nncf.openvino.bf16.t2s1b1: 61% dearer" in why
    assert "rests on 500 items that took no part in choosing; it is wrong in at most 5%" in part(told, "How sure it is")
    assert [(kept.requirement, kept.verdict) for kept in told.requirements] == [
        ("--p95 20ms", "pass"),
        ("--quality-drop 1%", "pass"),
        ("--memory 512MB", "pass"),
    ]


def test_the_ladder_is_told(plan_of: Callable[[str], Plan]) -> None:
    told = part(explain(plan_of("met")), "What a server may switch between")
    assert told.startswith("original.openvino.bf16.t1s2b8: accuracy 85.6% (no change), ")
    assert "int8-nncf.openvino.bf16.t1s2b8: accuracy 85.5% (0.08 points lower), " in told
    assert not [part for part in explain(plan_of("single")).parts if "switch" in part.title]


def test_what_binds_are_the_faster_ones_that_break_something(plan_of: Callable[[str], Plan]) -> None:
    binds = part(explain(plan_of("met")), "What binds")
    assert "int8-static.openvino.bf16.t1s2b1 would serve 1.13 times as much, but breaks a requirement" in binds
    assert "pruned.openvino.bf16.t1s2b8 would serve 1.11 times as much, but is not proven good enough" in binds


def test_what_would_change_it_counts_slack_and_prices(plan_of: Callable[[str], Plan]) -> None:
    flip = Flip(of="price", now=0.1, at=0.2, unit="USD/h", candidate="x")
    plan = swap(plan_of("met"), flips=(flip,), sensitivity=("Above 0.2 USD/h it would be x.",))
    changes = part(explain(plan), "What would change it")
    assert "A --quality-drop below about 0.71% would no longer be proven for it." in changes
    assert "A --memory below 148 MB would rule it out." in changes
    assert "Above 0.2 USD/h it would be x." in changes


def test_what_was_left_out_and_what_disturbed_is_told(plan_of: Callable[[str], Plan]) -> None:
    plan = plan_of("met")
    figures = plan.chosen_figures
    assert figures is not None
    noisy = swap(figures, service=tuple(swap(one, disturbed=one.runs) for one in figures.service))
    candidates = tuple(swap(c, figures=noisy) if c.verdict == "chosen" else c for c in plan.candidates)
    told = explain(swap(plan, candidates=candidates, search=swap(plan.search, complete=False)))
    left = part(told, "What was not measured")
    assert "a better candidate may exist" in left
    assert "One candidate left before being measured to the end" in left
    assert "One candidate could not be run (1 × unsupported)." in left
    assert "50.0% were disturbed by other work" in part(told, "Warnings and noise")


def test_what_cannot_be_met_tells_what_would_help(plan_of: Callable[[str], Plan]) -> None:
    told = explain(plan_of("infeasible"))
    assert told.requirements[0].verdict == "fail"
    assert "p95 6.03 ms" in told.requirements[0].found
    assert "is broken, or not proven, by every candidate" in part(told, "What binds")
    assert "instead of --p95 1.5ms it would be" in part(told, "What would change it")


def test_undecided_tells_how_many_items_would_settle_it(plan_of: Callable[[str], Plan]) -> None:
    told = explain(plan_of("undecided"))
    quality = next(kept for kept in told.requirements if kept.requirement.startswith("--quality"))
    assert quality.verdict == "undecided"
    assert "items would settle it" in quality.settled_by


def test_a_candidate_is_held_against_each_requirement_and_the_chosen_one(plan_of: Callable[[str], Plan]) -> None:
    told = explain(plan_of("met"), "int8-static.openvino")
    assert told.candidate == "int8-static.openvino.bf16.t1s2b1"
    assert "fails (breaks a requirement)" in told.answer
    quality = next(kept for kept in told.requirements if kept.requirement.startswith("--quality"))
    assert quality.verdict == "fail"
    assert "points lower" in quality.found
    assert "the chosen one" in part(told, "Against the chosen one")
    assert "Against the chosen one" not in [p.title for p in explain(plan_of("met"), "chosen").parts]


def test_one_without_figures_tells_what_is_known(plan_of: Callable[[str], Plan]) -> None:
    plan = plan_of("met")
    failed = explain(plan, "tflite")
    assert "could not be run" in failed.answer
    assert not failed.requirements
    broken = next(c for c in plan.candidates if c.verdict == "fails" and c.figures)
    assert broken.figures is not None
    early = swap(broken, figures=None, quality=broken.figures.quality)
    plan = swap(plan, candidates=tuple(early if c.id == broken.id else c for c in plan.candidates))
    assert [kept.verdict for kept in explain(plan, broken.id).requirements] == ["fail"]


def test_real_load_tells_late_requests_and_how_many_would_settle_it(plan_of: Callable[[str], Plan]) -> None:
    plan = plan_of("met")
    figures = plan.chosen_figures
    assert figures is not None
    # Built by its fields' defaults as far as it has them: the record belongs to whoever measures under load.
    load = msgspec.convert(
        {
            "rate_per_s": 600.0, "arrivals": "poisson", "seconds": 5.0, "requests": 3000, "late": 140,
            "late_once_sent": 140, "clustering": 8.0, "bound_ms": 20.0, "quantiles_ms": (1.0, 30.0),
            "sent_late_ms": (0.0, 0.1), "generator_share": 0.1, "mean_batch": 2.0, "answered_per_s": 600.0,
            "type": "Load",
        },
        Load,
    )  # fmt: skip
    candidates = tuple(
        swap(c, figures=swap(figures, load=load)) if c.verdict == "chosen" else c for c in plan.candidates
    )
    kept = explain(swap(plan, candidates=candidates)).requirements[0]
    assert kept.verdict == "undecided"
    assert f"140 of {numbers.count(3000)} requests were late (4.67%, 5.00% allowed)" in kept.found
    assert "in spells" in kept.found
    assert "requests would settle it" in kept.settled_by


@pytest.mark.parametrize("name", ["met", "infeasible", "undecided", "single", "unpriced"])
@pytest.mark.parametrize("width", [60, 80, 96])
def test_no_line_is_longer_than_the_terminal(plan_of: Callable[[str], Plan], name: str, width: int) -> None:
    plan = plan_of(name)
    for candidate in ("", "reference", *(c.id for c in plan.candidates)):
        lines = text(explain(plan, candidate), width).splitlines()
        assert max(map(len, lines)) <= width
        assert not any(".." in line for line in lines)
        assert "None" not in " ".join(lines)


def test_it_survives_as_json(plan_of: Callable[[str], Plan]) -> None:
    told = explain(plan_of("met"), "reference")
    assert from_json(to_json(told), Explanation) == told


def test_too_slow_on_a_busy_machine_is_undecided(plan_of: Callable[[str], Plan]) -> None:
    plan = plan_of("infeasible")
    busy = tuple(swap(c, verdict="undecided") for c in plan.candidates)
    kept = explain(swap(plan, candidates=busy), plan.candidates[0].id).requirements[0]
    assert (kept.requirement, kept.verdict) == ("--p95 1.5ms", "undecided")
    assert "weigh again when it is quiet" in kept.settled_by


# Naming a candidate


def test_a_candidate_is_found_by_any_part_that_only_it_has(plan_of: Callable[[str], Plan]) -> None:
    plan = plan_of("met")
    assert plan.chosen is not None
    assert find(plan, "PRUNED").id == "pruned.openvino.bf16.t1s2b8"
    assert find(plan, "chosen").id == plan.chosen.id
    assert find(plan, "reference").id == plan.reference.candidate.id


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("int8-static", "part of 3 candidates"),
        ("prunned.openvino", r"did you mean pruned\.openvino"),
        ("nearest", "no candidate 'nearest'"),
    ],
)
def test_what_is_not_found_names_the_nearest(plan_of: Callable[[str], Plan], said: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        find(plan_of("met"), said)
