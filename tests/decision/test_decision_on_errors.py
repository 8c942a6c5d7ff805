"""Metrics that are better the lower they are: ceilings, relative drops, and how they are told and relaxed."""

from __future__ import annotations

import numpy as np
import pytest

from made_up import ITEMS_CONFIRM, REFERENCE, candidate, evidence, service, weighing
from steelyard.decision import amounts, decide
from steelyard.errors import UsageError
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Price
from steelyard.records.measurement import Evidence, Quality
from steelyard.records.plan import Plan, SearchFigures
from steelyard.records.requirements import Requirements
from steelyard.records.stated import requirements as stated
from steelyard.verdicts import judge_quality

SEARCH = SearchFigures(seconds=1, measured=10, resumed=0, ruled_out=0, complete=True)
FAST = candidate("int8")


def error(value: float, reference: float = 0.1, spread: float = 0.01, *, own: bool = False) -> Quality:
    """An MSE whose relative drop is known to `spread`."""
    steps = np.linspace(-spread, spread, 199)
    return Quality(
        metric="mse",
        start=1000,
        items=ITEMS_CONFIRM,
        value=value,
        reference=reference,
        values=tuple((value * (1 + steps)).tolist()),
        drops=tuple((value / reference - 1 + steps).tolist()),
        identical=own,
        lower_is_better=True,
        reach=0.1,
    )


def plan(value: float, requirements: Requirements) -> Plan:
    found: list[tuple[Candidate, Evidence]] = []
    for one, quality, ms in ((REFERENCE, error(0.1, own=True), 4.0), (FAST, error(value), 1.0)):
        plain = evidence(one, service(ms, 1, [1]))
        found.append((one, Evidence(candidate_id=one.id, probe=plain.probe, speed=plain.speed, selected=quality,
                                    confirmed=quality)))  # fmt: skip
    told = {c.id: e for c, e in found}
    return decide(weighing([c for c, _ in found]), told, requirements, Price(), search=SEARCH, version="0", created="x")


def chosen(decided: Plan) -> str:
    return decided.chosen.id if decided.chosen else ""


def test_the_drop_is_a_share_of_the_references_error() -> None:
    assert error(0.101).drop == pytest.approx(0.01)
    assert chosen(plan(0.101, Requirements(quality_drop=0.03))) == FAST.id
    assert chosen(plan(0.105, Requirements(quality_drop=0.03))) == REFERENCE.id
    told = plan(0.101, Requirements(quality_drop=0.03))
    assert "mse 0.101 against 0.1, at most 1.9 % larger at 95% confidence" in told.summary
    lost = next(c for c in plan(0.15, Requirements(quality_drop=0.03)).candidates if c.id == FAST.id)
    assert (lost.verdict, lost.reason) == ("fails", "mse 0.15 against 0.1 on 1,500 items: 50 % larger")


def test_a_ceiling_is_kept_from_below() -> None:
    assert judge_quality(error(0.1), 0.12, None, 0.95).verdict == "pass"
    assert judge_quality(error(0.1), 0.1, None, 0.95).verdict == "undecided"
    assert judge_quality(error(0.1), 0.09, None, 0.95).verdict == "fail"
    assert 0.1 < judge_quality(error(0.1), 0.12, None, 0.95).value_bound < 0.102
    assert chosen(plan(0.11, stated({"quality": "<=0.12"}))) == FAST.id
    assert chosen(plan(0.13, stated({"quality": "<=0.12"}))) == REFERENCE.id


def test_a_ceiling_that_nobody_keeps_is_relaxed_upwards() -> None:
    decided = plan(0.13, stated({"quality": "<=0.05"}))
    assert decided.status == "infeasible"
    assert decided.binding == ('--quality "<=0.05"',)
    [change] = decided.relaxations
    assert (change.requirement, change.candidate) == ('--quality "<=0.05"', REFERENCE.id)
    instead = change.instead.removeprefix('--quality "').removesuffix('"')
    assert 0.1 < float(instead.removeprefix("<=")) <= 0.11
    assert plan(0.13, stated({"quality": instead})).status == "met"


def test_a_quality_the_wrong_way_round_is_refused_when_deciding() -> None:
    with pytest.raises(UsageError, match=r'"<=0\.1"'):
        plan(0.1, stated({"quality": ">=0.1"}))


@pytest.mark.parametrize(
    ("metric", "lower", "drop", "told"),
    [
        ("accuracy", False, 0.0123, "1.23 points lower"),
        ("auroc", False, -0.002, "0.20 points higher"),
        ("mse", True, 0.0123, "1.2 % larger"),
        ("mae", True, -0.5, "50 % smaller"),
        ("tools:psnr", False, 0.25, "0.25 lower"),
        ("recall:pneumonia", False, 0.01, "1.00 points lower"),
        ("r2", False, 1e-9, "no change"),
    ],
)
def test_changes_are_told_as_people_know_the_metric(metric: str, lower: bool, drop: float, told: str) -> None:
    assert amounts.change(metric, drop, lower_is_better=lower) == told


def test_bounds_are_told_with_their_direction() -> None:
    assert amounts.at_most("mse", 0.031, lower_is_better=True) == "at most 3.1 % larger"
    assert amounts.at_most("mse", -0.031, lower_is_better=True) == "at least 3.1 % smaller"
    assert amounts.at_most("accuracy", 0.0, lower_is_better=False) == "not lower"
    assert amounts.value("mse", 1234.5678, lower_is_better=True) == "1235"
    assert amounts.value("accuracy", 0.98765, lower_is_better=False) == "0.9877"
