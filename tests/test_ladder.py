"""Which rungs are worth having: two that answer by turns reach every point on the line between them."""

from __future__ import annotations

import pytest

from steelyard.ladder import MOST_RUNGS, Point, spread, worth_having
from steelyard.scheduling import profile_of
from steelyard.switching import Controller, Ladder, Rung, is_of_use

ENDS = Point(10, 0.0), Point(2, 0.008)


def between(*points: tuple[float, float]) -> list[Point]:
    return [ENDS[0], *(Point(*point) for point in points), ENDS[1]]


def test_what_its_neighbours_reach_by_turns_is_not_worth_having() -> None:
    assert spread(between((6, 0.004)), 2, 4) == [0, 2]
    assert spread(between((6, 0.0039)), 2, 4) == [0, 2, 1]
    assert spread(between((6, 0.0041)), 2, 4) == [0, 2]


def test_those_that_gain_most_come_first_and_no_more_than_there_is_room_for() -> None:
    points = between((9, 0.0001), (6, 0.0005), (5, 0.0045), (3, 0.005))
    assert spread(points, 5, 10) == [0, 5, 2, 4, 1]
    assert spread(points, 5, 3) == [0, 5, 2]


def test_what_must_stay_stays_whatever_it_is_worth() -> None:
    assert spread(between((6, 0.007)), 1, 4) == [0, 2, 1]
    assert spread([ENDS[0]], 0, 4) == [0]


def rung(name: str, quality: float, ms: float) -> Rung:
    return Rung(name=name, quality=quality, profile=profile_of([ms / 1000]))


CHOSEN = rung("chosen", 0.80, 4)


def names(*others: Rung, bound_s: float = 0.05, workers: int = 2) -> list[str]:
    return [one.name for one in worth_having(CHOSEN, others, bound_s, workers, lower_is_better=False)]


def test_more_accurate_ones_stand_above_the_chosen_one_and_faster_ones_below() -> None:
    assert names(rung("original", 0.84, 10), rung("small", 0.7, 2)) == ["original", "chosen", "small"]


def test_what_is_dominated_in_both_is_left_out() -> None:
    assert names(rung("original", 0.84, 10), rung("slower", 0.83, 11), rung("worse", 0.79, 5)) == ["original", "chosen"]


def test_the_chosen_one_stays_whatever_seems_better() -> None:
    """The decision had its reasons: it was not confirmed, or it is no faster than the measurements can tell."""
    assert names(rung("better", 0.81, 3.9)) == ["chosen"]


def test_of_an_error_the_smaller_is_more_accurate() -> None:
    error = [one.name for one in worth_having(CHOSEN, [rung("o", 0.7, 9)], 0.05, 2, lower_is_better=True)]
    assert error == ["o", "chosen"]


def test_no_more_are_held_than_can_be_told_apart() -> None:
    curved = [rung(f"{ms}", 0.9 - 0.1 * (4 / ms) ** 3, ms) for ms in range(5, 13)]
    assert len(names(*curved)) == MOST_RUNGS


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("share", [0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 0.9])
def test_a_rung_that_is_never_given_anything_is_of_no_use(share: float, workers: int) -> None:
    """The controller itself is asked: after a burst, a single request, again and again."""
    slow = rung("slow", 0.9, 50 * share)
    controller = Controller(Ladder(rungs=(slow, CHOSEN), bound_s=0.05, workers=workers))
    controller.choose(0.0, 40, 0.02)
    used = any(controller.choose(float(at), 1, 0.05).rung == 0 for at in range(1, 9))
    assert used == is_of_use(slow.profile, 0.05, workers)
    assert names(slow, workers=workers) == (["slow", "chosen"] if used else ["chosen"])
