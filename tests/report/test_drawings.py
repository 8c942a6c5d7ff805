from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from steelyard.records.plan import Plan
from steelyard.report import curves, scatter

swap = msgspec.structs.replace
Plans = Callable[[str], Plan]


def test_every_candidate_with_figures_is_drawn_once_in_its_place(plan_of: Plans) -> None:
    plan = plan_of("met")
    chart = scatter.cost_scatter(plan)
    with_figures = {entry.id: entry.figures for entry in plan.candidates if entry.figures}
    assert [mark.title for mark in chart.marks] == list(with_figures)
    for mark in chart.marks:
        assert mark.x == with_figures[mark.title].cost.per_million
        assert mark.below or mark.y == pytest.approx(100 * with_figures[mark.title].quality.value)


def test_chosen_and_reference_have_roles_and_names_of_their_own(plan_of: Plans) -> None:
    marks = {mark.title: mark for mark in scatter.latency_scatter(plan_of("met")).marks}
    assert [(m.role, m.name) for m in marks.values() if m.name] == [("chosen", "chosen"), ("reference", "reference")]
    (only,) = scatter.cost_scatter(plan_of("single")).marks
    assert (only.role, only.name) == ("chosen", "chosen = reference")
    nearest = [mark for mark in scatter.cost_scatter(plan_of("infeasible")).marks if mark.name == "nearest"]
    assert [mark.title for mark in nearest] == [plan_of("infeasible").nearest]


def test_an_axis_is_logarithmic_beyond_ten_times(plan_of: Plans) -> None:
    assert scatter.is_log([1.0, 10.0]) is False
    assert scatter.is_log([1.0, 10.1]) is True
    assert scatter.is_log([]) is False
    assert scatter.cost_scatter(plan_of("met")).x.log is True
    assert scatter.cost_scatter(plan_of("single")).x.log is False


def test_the_front_climbs_and_holds_only_what_nothing_beats_in_two_dimensions(plan_of: Plans) -> None:
    plan = plan_of("met")
    chart = scatter.cost_scatter(plan)
    assert list(chart.front) == sorted(chart.front)
    heights = [y for _, y in chart.front]
    assert heights == sorted(set(heights))
    chosen = next(mark for mark in chart.marks if mark.role == "chosen")
    assert chart.front[0] == (chosen.x, chosen.y)
    assert len(chart.front) < len(plan.front)
    assert scatter.cost_scatter(plan_of("infeasible")).front == ()


def test_hopeless_quality_is_drawn_at_the_edge_instead_of_squeezing_the_rest(plan_of: Plans) -> None:
    chart = scatter.cost_scatter(plan_of("met"))
    (below,) = [mark for mark in chart.marks if mark.below]
    assert chart.bottom is not None
    assert 75 < chart.bottom < 84
    assert below.y == chart.bottom
    assert any("40.2%" in line for line in below.lines)
    assert scatter.cost_scatter(plan_of("single")).bottom is None


def test_requirements_are_drawn_where_they_are(plan_of: Plans) -> None:
    by_axis = {rule.axis: rule for rule in scatter.latency_scatter(plan_of("met")).rules}
    assert (by_axis["x"].at, by_axis["x"].text, by_axis["x"].breaks) == (20.0, "p95 ≤ 20 ms", "above")
    assert by_axis["y"].at == pytest.approx(84.6)
    assert by_axis["y"].breaks == "below"
    assert [rule.axis for rule in scatter.latency_scatter(plan_of("unpriced")).rules] == ["y"]


def test_a_candidate_that_cannot_serve_is_left_out_of_the_cost_chart_only(plan_of: Plans) -> None:
    plan = plan_of("met")
    slow = plan.candidates[10]
    assert slow.figures is not None
    cost = swap(slow.figures.cost, per_million=None)
    stuck = swap(slow, figures=swap(slow.figures, cost=cost, capacity_per_replica=0.0))
    plan = swap(plan, candidates=(*plan.candidates[:10], stuck, *plan.candidates[11:]))
    assert slow.id not in {mark.title for mark in scatter.cost_scatter(plan).marks}
    assert slow.id in {mark.title for mark in scatter.latency_scatter(plan).marks}


def test_text_alternatives_tell_the_key_values(plan_of: Plans) -> None:
    plan = plan_of("met")
    assert plan.chosen is not None
    text = scatter.latency_scatter(plan).text
    assert f"chosen: {plan.chosen.id}, accuracy 85.5%" in text
    assert "p95 9.34 ms" in text
    assert "Required: p95 ≤ 20 ms" in text
    distribution, service = curves.distribution(plan), curves.service(plan)
    assert distribution is not None
    assert "p50 3.64 ms, p95 9.34 ms, p99 10.5 ms" in distribution.text
    assert service is not None
    assert "batch 8" in service.text


def test_the_distribution_rises_from_zero_to_all_requests(plan_of: Plans) -> None:
    chart = curves.distribution(plan_of("met"))
    assert chart is not None
    assert [curve.role for curve in chart.curves] == ["chosen", "reference"]
    for curve in chart.curves:
        shares = [share for _, share in curve.points]
        assert (shares[0], shares[-1]) == (0.0, 100.0)
        assert shares == sorted(shares)
    assert {(rule.axis, rule.at) for rule in chart.rules} == {("x", 20.0), ("y", 95.0)}


def test_service_times_are_told_per_batch_with_the_span_around_the_median(plan_of: Plans) -> None:
    plan = plan_of("met")
    chart = curves.service(plan)
    assert chart is not None
    chosen = chart.curves[0]
    assert [batch for batch, _ in chosen.points] == [1.0, 2.0, 4.0, 8.0]
    for (_, median), (low, high) in zip(chosen.points, chosen.band, strict=True):
        assert low < median < high


def test_one_curve_when_the_reference_is_chosen_and_none_without_observations(plan_of: Plans) -> None:
    single = curves.service(plan_of("single"))
    assert single is not None
    assert [curve.role for curve in single.curves] == ["chosen"]
    plan = plan_of("single")
    bare = swap(plan.reference, service=(), latency=swap(plan.reference.latency, quantiles=()))
    plan = swap(plan, reference=bare, candidates=(swap(plan.candidates[0], figures=bare),))
    assert curves.service(plan) is None
    assert curves.distribution(plan) is None
