"""Losers are stopped, but never by those that cost more; and the front is what nothing beats in both."""

from __future__ import annotations

import pytest

from steelyard.train.contest import Course, front, goes_on, rungs


def course(cost: float, *best: float, epochs: int = 9) -> Course:
    made = Course(cost, epochs)
    for validation in best:
        made.add(validation)
    return made


def test_a_network_is_judged_after_a_third_of_its_epochs_and_before_that_after_a_ninth() -> None:
    assert rungs(9) == (3, 1)
    assert rungs(20) == (7, 3)
    assert rungs(5) == (2,)
    assert rungs(2) == ()


def test_what_counts_is_the_best_epoch_so_far() -> None:
    assert course(1, 0.5, 0.7, 0.6).best == [0.5, 0.7, 0.7]


RIVALS = [course(1, 0.9, 0.9, 0.9), course(1, 0.8, 0.8, 0.8), course(1, 0.7, 0.7, 0.7), course(1, 0.6, 0.6, 0.6)]


@pytest.mark.parametrize(("reached", "expected"), [(0.95, True), (0.85, True), (0.75, False), (0.1, False)])
def test_the_best_third_goes_on(reached: float, expected: bool) -> None:
    """Two of five."""
    assert goes_on(course(1, reached), RIVALS) == expected
    assert goes_on(course(1, 0.95, 0.95, 0.95), RIVALS)
    assert goes_on(course(1, reached, reached, reached), RIVALS) == expected


def test_between_the_rungs_nobody_is_judged() -> None:
    assert goes_on(course(1, 0.1, 0.1), RIVALS)
    assert goes_on(course(1, 0.1, epochs=2), RIVALS)


def test_nobody_loses_to_those_that_cost_more() -> None:
    assert goes_on(course(0.5, 0.1), RIVALS)
    assert not goes_on(course(0.97, 0.1), RIVALS), "costs that cannot be told apart are the same"
    assert not goes_on(course(2, 0.1), RIVALS)


def test_few_rivals_are_not_enough() -> None:
    assert goes_on(course(1, 0.1), RIVALS[:2])
    assert goes_on(course(1, 0.1, 0.1, 0.1), [*RIVALS[:2], course(1, 0.7)]), "the third never came so far"


def test_networks_that_train_for_longer_are_compared_at_the_same_share() -> None:
    longer = [course(1, *[0.5] * 8, 0.9, epochs=27) for _ in RIVALS]
    assert not goes_on(course(1, 0.1, 0.1, 0.6), longer)
    assert goes_on(course(1, 0.1, 0.1, 0.95), longer)


def test_the_front_is_what_nothing_beats_in_both() -> None:
    found = {"dear": (0.9, 9.0), "cheap": (0.5, 1.0), "beaten": (0.4, 2.0), "middle": (0.7, 3.0), "same": (0.7, 4.0)}
    assert front(found) == ["cheap", "middle", "dear"]
    assert front({"late": (1.0, float("inf")), "cheap": (0.5, 1.0)}) == ["cheap"]
    assert front({"worse": (0.5, 1.0), "better": (0.6, 1.0)}) == ["better"]
    assert front({}) == []
