"""What some candidates' speeds tell about others."""

from __future__ import annotations

import math

import numpy as np

from steelyard.records.candidate import Candidate
from steelyard.search.kinship import Beliefs, Kinship, Seen

DIVISIONS = ((2, 1), (1, 2))
NAMES = [(v, r, d) for v in ("original", "int8", "bf16") for r in ("quick", "plain") for d in DIVISIONS]
CANDIDATES = [
    Candidate(variant="original", runtime="quick", threads=2, max_batch=1),
    *(Candidate(variant=v, runtime=r, threads=d[0], streams=d[1], max_batch=32) for v, r, d in NAMES),
]
PROMISED = [1.0, *(2.0 if v == "int8" else 1.0 for v, _, _ in NAMES)]


def place(variant: str, runtime: str, division: tuple[int, int] = (2, 1)) -> int:
    return 1 + NAMES.index((variant, runtime, division))


def after(*seen: tuple[int, float]) -> Beliefs:
    return Kinship(CANDIDATES, PROMISED).beliefs([Seen(p, math.log(speed), 0.05) for p, speed in seen])


def test_before_anything_was_seen_experience_holds() -> None:
    beliefs = after()
    assert beliefs.mean[place("int8", "quick")] - beliefs.mean[place("bf16", "quick")] == math.log(2)
    assert beliefs.deviation(0) > 1, "nothing is known of the level of them all"


def test_the_reference_gives_the_level_and_little_more() -> None:
    beliefs = after((0, 100.0))
    assert math.isclose(beliefs.mean[0], math.log(100), abs_tol=0.01)
    assert 100 < math.exp(beliefs.mean[place("int8", "quick")]) < 300
    assert beliefs.deviation(0) < 0.1 < 0.4 < beliefs.deviation(place("int8", "quick"))


def test_a_measured_one_moves_its_relatives_more_than_strangers() -> None:
    before, now = after((0, 100.0)), after((0, 100.0), (place("int8", "quick"), 1000.0))
    moved = now.mean - before.mean
    assert moved[place("int8", "quick", (1, 2))] > moved[place("int8", "plain")] > moved[place("bf16", "plain")] > 0
    assert now.deviation(place("int8", "quick", (1, 2))) < before.deviation(place("int8", "quick", (1, 2)))


def test_how_a_runtime_likes_two_streams_is_learnt_from_any_variant() -> None:
    seen = ((0, 100.0), (place("original", "quick"), 100.0), (place("original", "quick", (1, 2)), 200.0))
    beliefs = after(*seen, (place("int8", "quick"), 300.0))
    lead, spread = beliefs.lead(place("int8", "quick", (1, 2)), place("int8", "quick"))
    assert lead > math.log(1.3)
    unknown = after((0, 100.0), (place("int8", "quick"), 300.0))
    assert spread < unknown.lead(place("int8", "quick", (1, 2)), place("int8", "quick"))[1]


def test_relatives_are_told_apart_more_sharply_than_each_is_known() -> None:
    beliefs = after((0, 100.0))
    one, other = place("int8", "quick"), place("int8", "quick", (1, 2))
    assert beliefs.lead(one, other)[1] < beliefs.deviation(one)


def test_a_setting_that_collapses_says_nothing_about_its_relatives() -> None:
    seen = ((0, 100.0), (place("original", "plain"), 120.0))
    expected = after(*seen)
    collapsed = after(*seen, (place("int8", "plain"), 4.0))
    sibling = place("int8", "plain", (1, 2))
    assert abs(collapsed.mean[sibling] - expected.mean[sibling]) < 0.5
    assert math.isclose(collapsed.mean[place("int8", "plain")], math.log(4), abs_tol=0.1), "of itself it is believed"


def test_where_all_differ_more_than_usual_less_is_taken_for_certain() -> None:
    alike = after((0, 100.0), (1, 110.0), (3, 120.0), (5, 230.0), (7, 90.0))
    unlike = after((0, 100.0), (1, 300.0), (3, 60.0), (5, 1500.0), (7, 700.0))
    unseen = place("bf16", "plain", (1, 2))
    assert unlike.deviation(unseen) > 1.2 * alike.deviation(unseen)


def test_covariances_are_those_of_something_that_can_be() -> None:
    assert np.linalg.eigvalsh(after((0, 100.0), (3, 50.0)).covariance).min() > -1e-9
