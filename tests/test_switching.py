"""The controller keeps to what is allowed, retreats in order, comes back, and learns how fast its rungs are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.arrivals import poisson
from steelyard.scheduling import ALL, Profile, batch_to_dispatch, profile_of
from steelyard.simulation import replay, static
from steelyard.switching import LEAN, Admission, Controller, Ladder, Rung, ordered, per_second

BOUND_S = 0.050


def rung(name: str, quality: float, fixed_ms: float, each_ms: float, most: int = 16) -> Rung:
    profile = profile_of([(fixed_ms + each_ms * size) / 1000 for size in range(1, most + 1)])
    return Rung(name=name, quality=quality, profile=profile, cost_per_thousand=each_ms)


ACCURATE, MIDDLE, FAST = rung("accurate", 0.90, 1, 9), rung("middle", 0.89, 1, 4), rung("fast", 0.87, 1, 1.5)
THREE = Ladder(rungs=(ACCURATE, MIDDLE, FAST), bound_s=BOUND_S, workers=2)
"""With two workers about 220, 490 and 1,200 requests a second."""

PROFILES = st.lists(st.floats(1e-4, 0.2), min_size=1, max_size=8).map(profile_of)
LADDERS = st.builds(
    lambda profiles, bound, workers: Ladder(
        rungs=tuple(Rung(name=str(i), quality=-i, profile=profile) for i, profile in enumerate(profiles)),
        bound_s=bound,
        workers=workers,
    ),
    st.lists(PROFILES, min_size=1, max_size=5),
    st.one_of(st.floats(1e-3, 1), st.just(math.inf)),
    st.integers(1, 8),
)


def learned(controller: Controller, rung: int, factor: float, batches: int, size: int = 2) -> None:
    taken = controller.ladder.rungs[rung].profile.seconds[size - 1] * factor
    for _ in range(batches):
        controller.observe(rung, size, taken)


# What is chosen


@settings(deadline=None)
@given(LADDERS, st.data())
def test_the_batch_is_of_those_that_wait_and_the_rung_one_that_is_allowed(ladder: Ladder, data: st.DataObject) -> None:
    controller = Controller(ladder)
    for _ in range(data.draw(st.integers(1, 20))):
        allowed = data.draw(st.one_of(st.just(ALL), st.integers(1, (1 << len(ladder.rungs)) - 1)))
        waiting, slack = data.draw(st.integers(1, 100)), data.draw(st.one_of(st.floats(-1, 2), st.just(math.inf)))
        choice = controller.choose(0.0, waiting, slack, allowed)
        assert allowed >> choice.rung & 1
        assert choice.rung < len(ladder.rungs)
        assert 1 <= choice.size <= min(waiting, ladder.rungs[choice.rung].profile.max_batch)
        assert choice.why
        controller.observe(choice.rung, choice.size, data.draw(st.floats(0, 3)))


def test_bits_beyond_the_ladder_mean_nothing_and_an_empty_queue_gives_nothing() -> None:
    assert Controller(THREE).choose(0.0, 1, BOUND_S, 0b1100).rung == 2
    assert Controller(THREE).choose(0.0, 0, math.inf).size == 0


@settings(deadline=None)
@given(PROFILES, st.integers(1, 60), st.floats(-1, 2))
def test_a_single_rung_is_served_as_without_switching(profile: Profile, waiting: int, slack: float) -> None:
    alone = Ladder(rungs=(Rung(name="alone", quality=1, profile=profile),), bound_s=0.1)
    assert Controller(alone).choose(0.0, waiting, slack).size == batch_to_dispatch(profile, waiting, slack)


def test_it_retreats_rung_by_rung_as_the_backlog_grows_and_never_skips_back() -> None:
    rungs = [Controller(THREE).choose(0.0, waiting, BOUND_S).rung for waiting in range(1, 60)]
    assert rungs == sorted(rungs)
    assert set(rungs) == {0, 1, 2}


def test_it_retreats_as_the_most_urgent_request_gets_urgent() -> None:
    controller = Controller(THREE)
    chosen = [controller.choose(0.0, 2, slack).rung for slack in (0.050, 0.012, 0.009, 0.004, -0.010)]
    assert chosen == [0, 1, 1, 2, 2]  # ten milliseconds for one do not fit into 80 % of twelve; five do, and of nine


def test_before_the_rung_the_batch_retreats() -> None:
    sizes = [Controller(THREE).choose(0.0, 2, slack) for slack in (0.050, 0.020)]
    assert [(choice.rung, choice.size) for choice in sizes] == [(0, 2), (0, 1)]


def test_a_batch_that_keeps_a_worker_busy_for_long_is_part_of_what_is_left() -> None:
    """Ten milliseconds of one worker in two are five of both; eight may be left."""
    one, two = (Ladder(rungs=THREE.rungs, bound_s=0.020, workers=workers) for workers in (1, 2))
    assert Controller(one).choose(0.0, 1, math.inf).rung == 1
    assert Controller(two).choose(0.0, 1, math.inf).rung == 0


def test_with_an_infinite_bound_the_most_accurate_answers() -> None:
    whenever = Ladder(rungs=THREE.rungs)
    assert Controller(whenever).choose(0.0, 10_000, math.inf).rung == 0
    assert Controller(whenever).admits(0.0, 10**9) == 0


def test_a_batch_is_no_larger_than_its_throughput_asks_for() -> None:
    flat = Rung(name="flat", quality=1, profile=profile_of([0.001, 0.002, 0.003, 0.004]))
    ladder = Ladder(rungs=(flat, FAST), bound_s=BOUND_S)
    assert Controller(ladder).choose(0.0, 4, BOUND_S).size == 1
    grows = Rung(name="grows", quality=1, profile=profile_of([0.001, 0.0011, 0.0012, 0.0012 * 4 / 3 / (1 - LEAN / 2)]))
    assert Controller(Ladder(rungs=(grows, FAST), bound_s=BOUND_S)).choose(0.0, 4, BOUND_S).size == 3


def test_a_request_that_permits_only_some_rungs_is_told_so_and_changes_nothing_for_others() -> None:
    stays, back = turning_points()
    controller = Controller(THREE)
    assert controller.choose(0.0, back, BOUND_S).rung == 0
    assert controller.choose(0.0, 3, BOUND_S, 0b100) == (3, 2, "the most accurate that the request permits")
    assert controller.choose(0.0, stays, BOUND_S).rung == 0  # had the fast one counted as the last, this were too many
    assert controller.choose(0.0, 60, BOUND_S, 0b001).rung == 0


def test_why_tells_what_stood_in_the_way() -> None:
    controller = Controller(THREE)
    assert controller.choose(0.0, 1, BOUND_S).why == "all that waits can still be in time"
    assert controller.choose(0.0, 1, 0.008).why == "the most urgent request cannot wait for a more accurate one"
    assert controller.choose(0.0, 60, BOUND_S).why == "too much waits for a more accurate one"


# Hysteresis


def turning_points() -> tuple[int, int]:
    """The largest backlogs with which the most accurate rung stays, and comes back."""
    stays = max(n for n in range(1, 60) if Controller(THREE).choose(0.0, n, BOUND_S).rung == 0)

    def back(waiting: int) -> bool:
        controller = Controller(THREE)
        controller.choose(0.0, 59, BOUND_S)
        return controller.choose(0.0, waiting, BOUND_S).rung == 0

    return stays, max(n for n in range(1, 60) if back(n))


def test_going_back_takes_a_shorter_backlog_than_staying() -> None:
    stays, back = turning_points()
    assert 1 <= back < stays


def test_a_backlog_that_trembles_around_a_limit_does_not_make_it_flap() -> None:
    stays, back = turning_points()
    controller = Controller(THREE)
    between = [stays + 1, *[stays, back + 1] * 20]
    rungs = [controller.choose(0.0, waiting, BOUND_S).rung for waiting in between]
    assert len(set(rungs)) == 1
    assert rungs[0] > 0
    assert controller.choose(0.0, back, BOUND_S).rung == 0
    assert [controller.choose(0.0, waiting, BOUND_S).rung for waiting in (stays, back + 1, stays)] == [0, 0, 0]


# What it learns


@pytest.mark.parametrize("factor", [1.3, 2.0, 4.0])
def test_a_lasting_slowdown_is_learnt_within_some_tens_of_batches(factor: float) -> None:
    controller = Controller(THREE)
    learned(controller, 1, factor, 40)
    assert controller.slower[1] == pytest.approx(factor, rel=0.1)


def test_one_slow_batch_however_slow_hardly_matters() -> None:
    controller = Controller(THREE)
    learned(controller, 0, 1e6, 1)
    assert 1 < controller.slower[0] < 1.05


def test_what_is_learnt_settles_where_one_batch_in_ten_is_slower() -> None:
    """Then a profile of the planned quantile stays as it is when nothing changes."""
    controller, rng = Controller(THREE), np.random.default_rng(1)
    seen = []
    for taken in rng.normal(1.0, 0.1, 6000):
        learned(controller, 2, taken, 1)
        seen.append(controller.slower[2])
    assert np.median(seen[1000:]) == pytest.approx(1.128, abs=0.03)


def test_a_slowdown_that_ends_is_forgotten() -> None:
    controller = Controller(THREE)
    learned(controller, 0, 3.0, 60)
    learned(controller, 0, 1.0, 400)
    assert controller.slower[0] == pytest.approx(1.0, abs=0.1)


def test_a_rung_that_is_not_used_any_more_follows_those_that_are() -> None:
    controller = Controller(THREE)
    learned(controller, 0, 3.0, 60)
    assert controller.choose(0.0, 1, 0.020).rung > 0
    learned(controller, 1, 1.0, 500)
    assert controller.slower[0] == pytest.approx(1.0, abs=0.1)
    assert controller.choose(0.0, 1, 0.020).rung == 0


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(-1, 20), st.floats(allow_nan=True), st.integers(1, 300)), max_size=8))
def test_whatever_is_observed_the_factors_stay_within_bounds_and_larger_batches_slower(
    seen: list[tuple[int, float, int]],
) -> None:
    controller = Controller(THREE)
    for size, seconds, times in seen:
        for _ in range(times):
            controller.observe(1, size, seconds)
    assert all(0.24 < factor < 16.1 for factor in controller.slower)
    for place in range(3):
        times_s = [controller.expected_s(controller.choose(0.0, 1, 1)._replace(size=n, rung=place)) for n in (1, 2, 9)]
        assert times_s == sorted(times_s)
        assert times_s[0] == THREE.rungs[place].profile.seconds[0] * controller.slower[place]


def test_a_slower_machine_makes_it_retreat_sooner_and_refuse_sooner() -> None:
    calm, slowed = Controller(THREE), Controller(THREE)
    for place in range(3):
        learned(slowed, place, 2.0, 60)
    assert calm.choose(0.0, 8, BOUND_S).rung < slowed.choose(0.0, 8, BOUND_S).rung
    assert calm.admits(1.0, 40) == 0 < slowed.admits(1.0, 40)


def test_a_slower_last_rung_takes_smaller_batches_to_be_in_time() -> None:
    calm, slowed = Controller(THREE), Controller(THREE)
    learned(slowed, 2, 2.0, 60)
    assert calm.choose(0.0, 16, 0.0161, 0b100).size == 10
    assert slowed.choose(0.0, 16, 0.0161, 0b100).size in (3, 4)  # a worn estimate of 2 leaves about 8 ms


# Admission


RATE = 2 * per_second(FAST.profile, BOUND_S)


def test_requests_are_let_in_until_the_fastest_rung_could_not_answer_them_in_time() -> None:
    controller = Controller(THREE)
    most = max(n for n in range(200) if controller.admits(0.0, n) == 0)
    assert most == math.floor(BOUND_S * RATE) - 1
    waits = [controller.admits(0.0, n) for n in range(most + 1, 3 * most)]
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(BOUND_S / 2, rel=0.1)
    assert waits[-1] == pytest.approx(3 * most / RATE - BOUND_S / 2)


def test_what_is_being_served_is_part_of_the_backlog() -> None:
    controller = Controller(THREE)
    assert controller.admits(1.0, 40) == 0
    controller.choose(1.0, 60, BOUND_S)  # a batch of sixteen: 25 ms of one of the two workers
    assert controller.admits(1.0, 40) == 0
    controller.choose(1.0, 60, BOUND_S)
    assert controller.admits(1.0, 40) > 0
    assert controller.admits(1.025, 40) == 0


def test_admission_narrows_while_batches_are_late_in_a_long_queue_and_widens_again() -> None:
    admission = Admission(0.1, 1)
    for _ in range(10):
        admission.gave(0.0, 0.06, 0.02, 0.01)
    assert admission.share == pytest.approx(0.8)
    assert admission.again_s(1.0, 0.079) == 0 < admission.again_s(1.0, 0.081)
    for _ in range(100):
        admission.gave(0.0, 0.06, 0.02, 0.03)
    assert admission.share == pytest.approx(0.82)
    for _ in range(1000):
        admission.gave(0.0, 0.06, 0.02, 0.03)
    assert admission.share == 1.0


def test_requests_that_are_late_without_a_queue_do_not_narrow_it_and_it_never_closes() -> None:
    admission = Admission(0.1, 1)
    for _ in range(100):
        admission.gave(0.0, 0.04, 0.02, -1.0)
    assert admission.share == 1.0
    for _ in range(100):
        admission.gave(0.0, 0.06, 0.02, -1.0)
    assert admission.share == 0.5


def test_an_empty_queue_lets_in_even_when_nothing_can_be_in_time() -> None:
    hopeless = Ladder(rungs=(rung("slow", 1, 100, 100),), bound_s=0.010)
    assert Controller(hopeless).admits(0.0, 0) == 0
    assert Controller(hopeless).admits(0.0, 1) > 0


# The ladder


def test_rungs_are_ordered_and_those_of_no_use_left_out() -> None:
    as_good, slower, worse = rung("as good", 0.89, 1, 5), rung("slower", 0.88, 1, 4.5), rung("worse", 0.86, 1, 1.5)
    made = ordered([FAST, worse, as_good, ACCURATE, slower, MIDDLE], BOUND_S, 2)
    assert [one.name for one in made.rungs] == ["accurate", "middle", "fast"]


def test_of_an_error_the_lowest_is_the_most_accurate() -> None:
    made = ordered([rung("a", 0.2, 1, 2), rung("b", 0.1, 1, 5)], BOUND_S, 1, lower_is_better=True)
    assert [one.name for one in made.rungs] == ["b", "a"]


def test_throughput_counts_batches_that_can_be_in_time() -> None:
    profile = profile_of([0.010, 0.012, 0.013, 0.014])
    assert per_second(profile, 0.0125) == pytest.approx(2 / 0.012)
    assert per_second(profile, 0.001) == pytest.approx(1 / 0.010)


def test_a_ladder_without_a_rung_is_none() -> None:
    with pytest.raises(ValueError, match="a rung"):
        Ladder(rungs=(), bound_s=1)


# Under load


def times_at(rate: float, count: int = 6000) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return poisson(rate, count, np.random.default_rng(3))


def test_light_load_is_answered_by_the_most_accurate() -> None:
    outcome = replay(times_at(40), THREE)
    assert outcome.shares[0] > 0.99
    assert outcome.violations == 0


def test_overload_is_answered_by_the_fastest_and_what_is_let_in_is_in_time() -> None:
    outcome = replay(times_at(2000), THREE)
    assert outcome.shares[2] > 0.95
    assert outcome.late < 0.05 * outcome.requests
    assert (sum(outcome.answered) - outcome.late) / outcome.seconds > 0.85 * RATE
    assert static(times_at(2000), THREE, 2).late > 0.9 * outcome.requests  # everybody is let in


def test_between_two_rungs_both_share_the_load_and_nobody_is_late() -> None:
    outcome = replay(times_at(330), THREE)
    assert outcome.violations < 0.001
    assert outcome.shares[0] > 0.25
    assert outcome.shares[2] < 0.05
    assert outcome.switches < 0.25 * outcome.batches
    assert static(times_at(330), THREE, 0).violations > 0.5
