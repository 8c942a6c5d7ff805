"""How long steps will take, learnt from those of relatives."""

from __future__ import annotations

import pytest

from made_up import REFERENCE, candidate, service
from steelyard.records.measurement import Probe
from steelyard.records.subject import Outlook
from steelyard.search.costs import Costs

A, B, OTHER = candidate("a"), candidate("b"), candidate("a", runtime="slow")


def costs() -> Costs:
    expected = Outlook(build_s=4, open_s=1)
    return Costs({c.id: expected for c in (REFERENCE, A, B, OTHER)})


def probe(build_s: float) -> Probe:
    return Probe(build_s=build_s, load_s=1, memory_mb=1)


def test_before_anything_was_seen_experience_counts() -> None:
    assert costs().look(A, 1.0) == pytest.approx(5.5)
    assert costs().look(A, 0.5) == pytest.approx(3.5), "half of it was built for another"
    assert costs().look(A, 0.0) == pytest.approx(1.5)


def test_a_runtime_that_opens_slowly_is_expected_to_go_on_so() -> None:
    told = costs()
    told.learn_look(OTHER, probe(0.0), 30.0, 0.0)
    told.learn_look(A, probe(0.0), 0.6, 0.0)
    assert told.look(OTHER, 0.0) == pytest.approx(30.0)
    assert told.look(B, 0.0) == pytest.approx(0.6)


def test_builds_that_take_longer_than_usual_make_the_next_ones_dearer() -> None:
    told = costs()
    told.learn_look(A, probe(40.0), 41.0, 1.0)
    assert 4 * 2 < told.look(B, 1.0) - told.look(B, 0.0) < 4 * 10


def test_answers_are_reckoned_from_what_was_answered_or_glanced_at() -> None:
    told = costs()
    told.learn_answers(REFERENCE, 100, 1.0, None)
    assert told.answers(B, 50, None) == pytest.approx(0.5), "as the reference, for want of anything better"
    glance = service(1, 0.1)
    told.learn_answers(A, 100, 2.0, glance)
    assert told.answers(A, 50, None) == pytest.approx(1.0)
    assert told.answers(B, 50, service(10, 1)) == pytest.approx(10 * told.answers(B, 50, glance))


def test_a_careful_timing_takes_longer_of_slow_batches_and_less_with_less_effort() -> None:
    told = costs()
    slow, quick = service(50, 20), service(0.5, 0.1)
    assert told.speed(A, slow, 1.0) > 2 * told.speed(A, quick, 1.0)
    assert told.speed(A, slow, 0.3) < told.speed(A, slow, 1.0)
