"""The chance that a candidate will prove its quality."""

from __future__ import annotations

from typing import Any

import pytest

import made_up
from steelyard.decision import Standing
from steelyard.records.machine import Price
from steelyard.records.measurement import Evidence, Probe, Quality
from steelyard.records.requirements import Requirements
from steelyard.records.subject import Split
from steelyard.search.keeping import chance_to_keep, expected_drop

SPLIT = Split(select=1000, confirm=1500)
REFERENCE = made_up.quality(0, 1000)


def chance(
    keeps: float = 0.8, confirmed: Quality | None = None, selected: Quality | None = None, **wanted: Any
) -> float:
    evidence = Evidence(
        candidate_id="one",
        probe=Probe(build_s=0, load_s=0, memory_mb=1),
        selected=selected,
        confirmed=confirmed,
    )
    requirements = Requirements(**({"quality_drop": 0.01} | wanted))
    standing = Standing(made_up.candidate("int8"), evidence, requirements, Price(), SPLIT)
    return chance_to_keep(standing, keeps, REFERENCE)


def test_before_a_look_experience_counts_and_the_limit() -> None:
    assert chance(0.5) < chance(0.8) < chance(0.95)
    assert chance(quality_drop=0.001) < chance() < chance(quality_drop=0.1)
    assert chance(0.8, quality_drop=0.02) < 0.9, "what is wrong is often very wrong: a looser limit helps little"


def test_items_that_are_right_raise_it_and_lost_ones_lower_it() -> None:
    good = made_up.quality(0, 1000, worse=0.002, better=0.001)
    poor = made_up.quality(0, 1000, worse=0.009)
    bad = made_up.quality(0, 1000, worse=0.05)
    assert chance(selected=good) > 0.85 > chance(selected=poor) > chance(selected=bad)
    assert chance(selected=bad) == 0.0, "a failed verdict is final"


def test_few_items_say_little() -> None:
    few, many = made_up.quality(0, 50, worse=0.0), made_up.quality(0, 1000, worse=0.0)
    few = Quality(**{name: getattr(few, name) for name in few.__struct_fields__} | {"identical": False})
    many = Quality(**{name: getattr(many, name) for name in many.__struct_fields__} | {"identical": False})
    assert chance(0.6) < chance(0.6, selected=few) < chance(0.6, selected=many)


def test_confirming_items_decide() -> None:
    poor = made_up.quality(0, 1000, worse=0.009)
    assert chance(selected=poor, confirmed=made_up.quality(1000, 1500, worse=0.001)) == 1.0
    assert chance(selected=REFERENCE, confirmed=made_up.quality(1000, 1500, worse=0.05)) == 0.0


def test_the_references_own_answers_keep_any_drop_but_not_any_floor() -> None:
    assert chance(selected=REFERENCE) == 1.0
    assert chance(selected=REFERENCE, quality_drop=None, quality_floor=0.85) > 0.99
    assert chance(selected=REFERENCE, quality_drop=None, quality_floor=0.9) < 0.6
    assert chance(selected=REFERENCE, quality_drop=None, quality_floor=0.97) < 0.01
    assert chance(quality_drop=None, quality_floor=0.97) == 0.0, "the reference is below it already"


def test_without_a_demand_every_quality_will_do() -> None:
    assert chance(quality_drop=None) == 1.0


def test_bounds_of_the_drop_narrow_with_items() -> None:
    unknown, seen = expected_drop(None, 0.8), expected_drop(made_up.quality(0, 1000, worse=0.01), 0.8)
    assert unknown.at_least < 0 < unknown.at_most
    assert seen.at_most - seen.at_least < unknown.at_most - unknown.at_least
    assert seen.at_least < 0.01 < seen.at_most


def test_drops_without_pairs_come_from_their_quantiles() -> None:
    quality = Quality(
        metric="mse",
        start=0,
        items=1000,
        value=1.02,
        reference=1.0,
        lower_is_better=True,
        values=tuple(1.0 + 0.001 * i for i in range(41)),
        drops=tuple(0.0 + 0.001 * i for i in range(41)),
    )
    assert chance(selected=quality, quality_drop=0.1) > 0.95 > 0.1 > chance(selected=quality, quality_drop=0.005)


@pytest.mark.parametrize("keeps", [0.0, 1.0])
def test_certain_experience_is_not_taken_for_certain(keeps: float) -> None:
    assert expected_drop(None, keeps).deviation > 0
