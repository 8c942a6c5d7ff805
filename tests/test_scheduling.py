"""The policy takes what is in time, prefers what is efficient, and never waits."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.records.measurement import ServiceTime
from steelyard.scheduling import (
    WORTH_SAVING,
    Profile,
    Queue,
    Single,
    batch_times,
    batch_to_dispatch,
    between_sizes,
    profile,
    profile_of,
)

INFINITE = float("inf")
SECONDS = st.lists(st.floats(1e-4, 10), min_size=1, max_size=40)


def service(batch: int, *quantiles_ms: float) -> ServiceTime:
    return ServiceTime(batch=batch, quantiles_ms=quantiles_ms, runs=100)


def per_second(plan: Profile, size: int) -> float:
    return size / plan.seconds[size - 1]


# Profiles


def test_times_between_measured_sizes_lie_on_a_line() -> None:
    assert batch_times([service(1, 10, 10), service(4, 40, 40)], 0.5, 4) == pytest.approx([10, 20, 30, 40])


def test_smaller_batches_than_measured_are_padded_and_larger_ones_gain_nothing() -> None:
    assert batch_times([service(2, 10, 10), service(4, 12, 12)], 0.5, 8) == pytest.approx(
        [10, 10, 11, 12, 15, 18, 21, 24]
    )


def test_the_quantile_is_the_one_asked_for() -> None:
    measured = [service(1, 0, 10, 20, 30, 40)]
    assert [batch_times(measured, q, 1)[0] for q in (0, 0.25, 0.3, 1)] == pytest.approx([0, 10, 12, 40])


def test_a_larger_batch_is_never_reckoned_faster() -> None:
    plan = profile([service(1, 3, 3), service(2, 2, 2), service(4, 8, 8)], 0.5, 4)
    assert plan.seconds == pytest.approx((0.003, 0.003, 0.0055, 0.008))
    assert plan.max_batch == 4


def test_measurements_come_in_any_order() -> None:
    one, four = service(1, 10, 12), service(4, 20, 24)
    assert profile([four, one], 0.9, 4) == profile([one, four], 0.9, 4)


def test_no_measurements_or_senseless_times_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="not measured"):
        profile([], 0.9, 4)
    with pytest.raises(ValueError, match="above 0"):
        profile_of([0.0])
    with pytest.raises(ValueError, match="above 0"):
        profile_of([])


@settings(deadline=None)
@given(SECONDS)
def test_the_best_size_up_to_each_serves_most_per_second(seconds: list[float]) -> None:
    plan = profile_of(seconds)
    assert list(plan.seconds) == sorted(plan.seconds)
    assert plan.best[0] == 0
    for size in range(1, plan.max_batch + 1):
        chosen = plan.best[size]
        assert 1 <= chosen <= size
        assert all(per_second(plan, chosen) >= per_second(plan, other) for other in range(1, size + 1))


@settings(deadline=None)
@given(st.integers(1, 100), st.floats(0.1, 5))
def test_between_sizes_meets_the_measured_points(size: int, time: float) -> None:
    assert between_sizes([size], [time], size) == time
    assert between_sizes([size, 2 * size], [time, 3 * time], 2 * size) == pytest.approx(3 * time)


# Dispatching

PLAN = profile_of([0.010, 0.012, 0.014, 0.016])


@pytest.mark.parametrize(
    ("waiting", "slack", "taken"),
    [
        (4, 0.020, 4),
        (9, 0.020, 4),  # never more than the largest batch
        (4, 0.015, 3),  # the largest that is still in time
        (4, 0.014, 3),  # just in time is in time
        (2, 0.015, 2),  # never more than wait
        (4, 0.013, 2),  # 167 a second in time, where four would be 250
        (4, 0.011, 1),  # 100 a second is just 0.4 of 250
        (3, 0.011, 1),
        (4, 0.009, 4),  # lost already: clear the backlog
        (4, -1.0, 4),
        (1, INFINITE, 1),
        (0, INFINITE, 0),
        (0, -1.0, 0),
    ],
)
def test_the_largest_batch_in_time_is_taken(waiting: int, slack: float, taken: int) -> None:
    assert batch_to_dispatch(PLAN, waiting, slack) == taken


@pytest.mark.parametrize("slack", [INFINITE, 1.0, -1.0])
def test_a_larger_batch_that_serves_fewer_per_second_is_not_taken(slack: float) -> None:
    plan = profile_of([0.010, 0.012, 0.050, 0.060])
    assert batch_to_dispatch(plan, 4, slack) == 2


def test_equally_efficient_sizes_give_the_larger() -> None:
    assert batch_to_dispatch(profile_of([0.5, 1.0]), 2, INFINITE) == 2


@settings(deadline=None)
@given(SECONDS, st.integers(0, 60), st.floats(-1, 12))
def test_whatever_is_taken_waits_fits_and_is_worth_it(seconds: list[float], waiting: int, slack: float) -> None:
    plan = profile_of(seconds)
    taken = batch_to_dispatch(plan, waiting, slack)
    assert taken <= min(waiting, plan.max_batch)
    assert (taken == 0) == (waiting == 0)
    if not waiting:
        return
    sizes = range(1, min(waiting, plan.max_batch) + 1)
    best, most = per_second(plan, taken), max(per_second(plan, size) for size in sizes)
    in_time = [per_second(plan, size) for size in sizes if plan.seconds[size - 1] <= slack]
    if in_time and max(in_time) >= WORTH_SAVING * most * (1 + 1e-9):
        assert plan.seconds[taken - 1] <= slack
        assert best == max(in_time)
    elif not in_time or max(in_time) < WORTH_SAVING * most * (1 - 1e-9):
        assert best == most


def test_a_deadline_is_given_up_when_saving_it_would_cost_most_of_the_throughput() -> None:
    plan = profile_of([0.010, 0.011, 0.012, 0.013])
    assert batch_to_dispatch(plan, 4, 0.0105) == 4  # one in time would be 100 a second, where four are 308
    assert batch_to_dispatch(plan, 4, 0.0115) == 2  # 182 a second are worth it
    assert batch_to_dispatch(plan, 2, 0.0105) == 1  # so are 100 where two would be 182


# The queue


def test_a_backlog_is_cleared_by_all_workers_in_batches_of_most_per_second() -> None:
    plan = profile_of([1.0, 1.5, 6.0])
    assert [Single(plan).backlog_s(waiting) for waiting in (1, 2, 4)] == [1.0, 1.5, 3.0]
    assert Single(plan, workers=2).backlog_s(4) == 1.5


def test_an_empty_queue_has_no_deadline_and_nothing_to_give() -> None:
    queue: Queue[str] = Queue()
    assert len(queue) == 0
    assert queue.earliest == INFINITE
    assert queue.pop_batch(3) == []


def test_the_most_urgent_come_first_and_equals_in_order() -> None:
    queue: Queue[str] = Queue()
    for item, deadline in [("c", 3.0), ("a", 1.0), ("b1", 2.0), ("b2", 2.0)]:
        queue.push(item, deadline)
    queue.push("whenever")
    assert queue.earliest == 1.0
    assert queue.pop_batch(3) == ["a", "b1", "b2"]
    assert queue.earliest == 3.0
    assert queue.pop_batch(9) == ["c", "whenever"]


def test_only_what_is_wanted_is_kept_in_the_same_order() -> None:
    queue: Queue[int] = Queue()
    for item in (5, 3, 8, 1, 4, 2):
        queue.push(item, deadline=item % 4)
    queue.keep(lambda item: item != 8)
    assert queue.pop_batch(9) == [4, 5, 1, 2, 3]


def test_items_need_not_be_comparable() -> None:
    queue: Queue[object] = Queue()
    for _ in range(3):
        queue.push(object(), 1.0)
    assert len(queue.pop_batch(3)) == 3


@settings(deadline=None)
@given(st.lists(st.one_of(st.floats(0, 10), st.integers(1, 4), st.just("keep"))))
def test_the_queue_behaves_like_a_sorted_list(steps: list[float | int | str]) -> None:
    """A float is a deadline to push, a whole number a batch to pop; those of even number are kept."""
    queue: Queue[int] = Queue()
    model: list[tuple[float, int]] = []
    for number, step in enumerate(steps):
        if isinstance(step, float):
            queue.push(number, step)
            model = sorted([*model, (step, number)])
        elif isinstance(step, int):
            assert queue.pop_batch(step) == [item for _, item in model[:step]]
            model = model[step:]
        else:
            queue.keep(lambda item: item % 2 == 0)
            model = [entry for entry in model if entry[1] % 2 == 0]
        assert len(queue) == len(model)
        assert queue.earliest == (model[0][0] if model else INFINITE)
