"""What a run is told as, and the verdict on it, by hand-made outcomes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from steelyard.errors import Interrupted, UsageError
from steelyard.load.bodies import Form
from steelyard.load.find import PRECISION, find, seconds_at
from steelyard.load.job import MOST_SENT, Job, run
from steelyard.load.model import Model, Tensor
from steelyard.load.outcome import Outcome
from steelyard.load.report import summary
from steelyard.load.target import Target
from steelyard.records.base import from_json, to_json
from steelyard.records.load_report import LoadReport
from steelyard.records.requirements import Latency

P95_20MS = Latency(percentile=95, bound_ms=20)
MODEL = Model("m", (Tensor("x", "FP32", (-1, 2)),))
JOB = Job(Target("localhost", 8000), MODEL, Form(), [b"x"], latency=P95_20MS, seconds=1)


def outcome(took_ms: Any, taken_late_ms: float = 0.0, **others: Any) -> Outcome:
    """A request each 10 ms, answered after so long; infinite: it failed."""
    took = np.asarray(took_ms, float) / 1e3
    due = 100.0 + np.arange(len(took)) / 100
    failed = {"503": int(np.isinf(took).sum())} if np.isinf(took).any() else {}
    left = due + taken_late_ms / 1e3
    plain: dict[str, Any] = {
        "failed": failed, "errors": {}, "variants": {}, "connections": 4, "reopened": 0, "waited": 0,
        "seconds": len(took) / 100, "core_share": 0.1, "loop": "uvloop",
    }  # fmt: skip
    return Outcome(due=due, taken=left, sent=left, answered=due + took, **(plain | others))


def test_all_the_figures_of_a_run() -> None:
    took = np.random.default_rng(0).permutation(np.arange(1, 201)) / 20
    report = summary(outcome(took, variants={"a": 150, "b": 50}), JOB, 100)
    assert (report.requests, report.answered, report.late, report.verdict) == (200, 200, 0, "pass")
    assert report.latency.p50 == pytest.approx(5, abs=0.06)
    assert (report.latency.max, report.quantiles_ms[0], report.quantiles_ms[-1]) == (10, 0.05, 10)
    assert report.rate_sent_per_s == pytest.approx(200 / 1.99, rel=1e-4)
    assert report.answered_per_s == 100
    assert report.variants == {"a": 0.75, "b": 0.25}
    assert sum(one.count for one in report.histogram) == 200
    assert (report.histogram[0].from_ms, report.histogram[-1].to_ms) == (0.05, 10)
    assert from_json(to_json(report), LoadReport) == report


def test_failures_are_late_and_have_no_latency() -> None:
    took = np.full(200, 2.0)
    took[::4] = math.inf
    report = summary(outcome(took), JOB, 100)
    assert (report.answered, report.failed, report.late, report.verdict) == (150, {"503": 50}, 50, "fail")
    assert (report.latency.p50, report.latency.p90, report.latency.max) == (2, None, None)
    assert report.latency_answered.max == 2
    assert from_json(to_json(report), LoadReport).latency.p90 is None


def test_a_run_of_failures_alone() -> None:
    report = summary(outcome([math.inf] * 40), JOB, 100)
    assert (report.answered, report.verdict, report.quantiles_ms, report.histogram) == (0, "fail", (), ())
    assert report.latency_answered.p50 is None


def test_too_few_requests_are_undecided_and_how_many_would_do_is_told() -> None:
    report = summary(outcome([1.0] * 30), JOB, 100)
    assert report.verdict == "undecided"
    assert report.requests_needed is not None
    assert 55 <= report.requests_needed <= 65  # 59 without a late one pass
    assert summary(outcome([1.0] * report.requests_needed), JOB, 100).verdict == "pass"


def test_lateness_in_spells_tells_less_than_as_many_requests_would() -> None:
    took = np.where(np.random.default_rng(1).random(400) < 0.02, 90.0, 1.0)
    spread, in_spells = (summary(outcome(each), JOB, 100) for each in (took, np.sort(took)))
    assert spread.late == in_spells.late
    assert in_spells.clustering > spread.clustering
    assert (spread.verdict, in_spells.verdict) == ("pass", "undecided")


def test_no_bound_no_verdict() -> None:
    report = summary(outcome([1.0] * 30), replace(JOB, latency=None), 100)
    assert (report.verdict, report.late, report.requests_needed) == (None, None, None)


def test_a_client_that_is_behind_is_not_held_against_the_server() -> None:
    """25 ms from being due, of which 15 are the client's own: no pass, but no fail either."""
    behind = summary(outcome([25.0] * 400, taken_late_ms=15), JOB, 100)
    assert (behind.late, behind.late_without_client, behind.verdict) == (400, 0, "undecided")
    assert any("the client itself was 15 ms late" in warning for warning in behind.warnings)
    assert summary(outcome([25.0] * 400), JOB, 100).verdict == "fail"


def test_a_client_that_sends_late_may_read_late() -> None:
    """One in ten took 25 ms, for no reason that can be seen, but one in ten others left 8 ms late."""
    slow = np.arange(400) % 10 == 3
    run = outcome(np.where(slow, 25.0, 9.0))
    assert summary(run, JOB, 100).verdict == "fail"
    left = run.due + np.where(np.arange(400) % 10 == 7, 8e-3, 0.0)
    report = summary(replace(run, taken=left, sent=left), JOB, 100)
    assert (report.late, report.late_without_client, report.verdict) == (40, 0, "undecided")


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"core_share": 0.95}, "95% of a core"),
        ({"waited": 50}, "--connections"),
        ({"reopened": 90}, "opened again 90 times"),
    ],
)
def test_what_makes_the_figures_less_worth_is_told(others: dict[str, Any], words: str) -> None:
    assert summary(outcome([1.0] * 100), JOB, 100).warnings == ()
    (warning,) = summary(outcome([1.0] * 100, **others), JOB, 100).warnings
    assert words in warning


# Finding the highest rate


def at(capacity: float, job: Job = JOB) -> Any:
    """A server that answers all in time up to a rate, and hardly any beyond it."""
    return lambda rate: summary(outcome([1.0 if rate <= capacity else 90.0] * 200), job, rate)


@pytest.mark.parametrize("guess", [20, 95, 130, 1000])
def test_the_highest_rate_is_found_from_any_guess(guess: float) -> None:
    found = find(JOB, guess, at(100))
    assert 100 / (1 + PRECISION) <= found.held_per_s <= 100
    assert found.failed_per_s is not None
    assert 100 < found.failed_per_s <= found.held_per_s * (1 + PRECISION)
    assert found.held is not None
    assert found.held.rate_asked_per_s == found.held_per_s
    assert len(found.tries) <= 14


def test_no_rate_holds() -> None:
    found = find(JOB, 100, at(0))
    assert (found.held_per_s, found.held, found.interrupted) == (0, None, False)


def test_a_search_that_is_stopped_tells_what_held_until_then() -> None:
    def stopped(rate: float) -> LoadReport:
        if rate > 150:
            raise Interrupted("stopped")
        return at(1000)(rate)  # type: ignore[no-any-return]

    found = find(JOB, 100, stopped)
    assert found.interrupted
    assert 100 <= found.held_per_s <= 150
    assert found.failed_per_s is None


def test_a_search_that_the_client_ended_says_so() -> None:
    def saturated(rate: float) -> LoadReport:
        share = 0.99 if rate > 100 else 0.5
        return summary(outcome([1.0 if rate <= 100 else 90.0] * 200, core_share=share), JOB, rate)

    (warning,) = find(JOB, 80, saturated).warnings
    assert "may well carry more" in warning


def test_runs_of_a_search_are_long_enough_for_a_verdict() -> None:
    strict = replace(JOB, latency=Latency(percentile=99.9, bound_ms=20))
    assert seconds_at(strict, 100) * 100 >= 2995
    assert seconds_at(strict, 1e6) == 1
    with pytest.raises(UsageError, match="needs a latency bound"):
        find(replace(JOB, latency=None), 100, at(100))


def test_orders_that_make_no_sense() -> None:
    with pytest.raises(UsageError, match="--connections"):
        replace(JOB, connections=0)
    with pytest.raises(UsageError, match="confidence"):
        replace(JOB, confidence=1.0)
    with pytest.raises(UsageError, match="a run sends"):
        run(JOB, MOST_SENT, 2)
