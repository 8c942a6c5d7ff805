"""Batches are timed on their way through the dispatcher, on all streams, and never fewer than one."""

from __future__ import annotations

import threading
import time

import pytest

from steelyard.measure.stopwatch import time_batches


def counted(times: dict[str, list[float]]) -> list[float]:
    return times["clean"] + times["disturbed"]


def test_full_batches_are_served_on_every_stream_side_by_side() -> None:
    served: set[tuple[int, int]] = set()
    within, most = [0], [0]
    lock = threading.Lock()

    def serve(stream: int, batch: int) -> None:
        served.add((stream, batch))
        with lock:
            within[0] += 1
            most[0] = max(most[0], within[0])
        time.sleep(0.01)
        with lock:
            within[0] -= 1

    times = time_batches(serve, 5, 3, 1, 0.1, 100)
    assert served == {(0, 5), (1, 5), (2, 5)}
    assert most[0] == 3
    assert len(counted(times)) >= 3


def test_a_run_lasts_from_the_end_of_one_batch_to_the_end_of_the_next() -> None:
    started = time.perf_counter()
    runs = counted(time_batches(lambda _, batch: time.sleep(0.01), 2, 1, 1, 0.3, 1000))
    assert min(runs) >= 0.01
    assert 3 <= len(runs) <= 0.85 * 0.3 / 0.01 + 1
    assert sum(runs) <= time.perf_counter() - started


def test_no_more_runs_a_stream_than_asked_for_and_at_least_one() -> None:
    assert len(counted(time_batches(lambda _, batch: None, 1, 1, 1, 1.0, 4))) == 4
    assert len(counted(time_batches(lambda _, batch: time.sleep(0.05), 1, 2, 1, 0.001, 4))) >= 2


def test_what_serving_raises_comes_out() -> None:
    def serve(stream: int, batch: int) -> None:
        raise ValueError("the engine says no")

    with pytest.raises(ValueError, match="says no"):
        time_batches(serve, 4, 2, 1, 10.0, 100)
