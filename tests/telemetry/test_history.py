"""The last minutes, second by second, and what was chosen lately."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest

from steelyard.serve.canary import Terms
from steelyard.serve.recent import Recent
from steelyard.telemetry.history import KEPT, Point
from watched import Made


@pytest.fixture
def made() -> Iterator[Made]:
    made = Made()
    yield made
    made.close()


def points(made: Made) -> list[Point]:
    return made.history.points("digits")


def test_a_point_tells_what_happened_since_the_one_before(made: Made) -> None:
    made.batch(0, [0.01, 0.2])
    made.model().statistics.refused()
    made.second()
    made.batch(2, [0.01])
    made.model().statistics.failed(0.3, withdrawn=True)
    made.now += 1.0
    made.second()
    first, second = points(made)
    assert (first.answered, first.late, first.refused, first.asked, first.violations) == (2, 1, 1, 3, 2)
    assert first.items == {"original": 2}
    assert (second.answered, second.asked, second.violations, second.seconds) == (1, 1, 0, 2.0)
    assert second.items == {"original": 0, "distilled": 1}
    assert (second.quality, second.cost) == (0.85, 1.0)


def test_percentiles_are_of_the_last_seconds_only(made: Made) -> None:
    made.batch(0, [0.2] * 100)
    made.second()
    assert points(made)[-1].latency_ms == pytest.approx((200, 200, 200))
    for _ in range(10):
        made.batch(0, [0.01] * 10)
        made.second()
    assert points(made)[-1].latency_ms == pytest.approx((10, 10, 10))
    for _ in range(10):
        made.second()
    assert points(made)[-1].latency_ms == ()


def test_of_more_answers_than_are_kept_the_last_count(made: Made) -> None:
    made.batch(0, [0.2] * 100)
    made.batch(0, [0.01] * 3000)
    made.second()
    assert points(made)[-1].latency_ms == pytest.approx((10, 10, 10))
    assert points(made)[-1].answered == 3100


def test_a_change_of_version_counts_nothing_twice_and_nothing_below_zero(made: Made) -> None:
    made.batch(0, [0.01] * 5)
    made.second()
    made.repository.load("digits")
    made.batch(0, [0.01])
    made.second()
    made.batch(0, [0.01] * 2)
    made.second()
    made.repository.unload("digits")
    made.second()
    made.repository.load("digits")
    made.second()
    made.second()
    assert [point.answered for point in points(made)] == [5, 2, 0]


def test_what_two_versions_answer_is_added_up_and_told_apart() -> None:
    made = Made(canary=Terms(share=0.25, for_s=3600))
    made.repository.load("digits")
    canary = made.canary().model
    made.second()
    made.batch(0, [0.01] * 3)
    made.batch(2, [0.2], of=canary)
    canary.statistics.refused()
    made.second()
    _, point = points(made)
    assert (point.seconds, point.answered, point.late, point.refused) == (1.0, 4, 1, 1)
    assert point.items == {"original": 3, "distilled": 1}
    assert point.quality == pytest.approx((3 * 0.91 + 0.85) / 4)
    assert point.latency_ms[-1] == pytest.approx(200, rel=0.05)
    old, new = (made.history.window("digits", version, 10) for version in ("1", "2"))
    assert (old.asked, old.violations, old.quality) == (3, 0, 0.91)
    assert (new.asked, new.violations, new.quality) == (2, 2, 0.85)
    made.repository.slot("digits").settle(made.canary(), made.canary().ended("promoted", "kept", "it is good"))
    made.batch(0, [0.01])
    made.second()
    assert [one.answered for one in points(made)] == [0, 4, 1]
    assert made.history.window("digits", "1", 10).asked == 0
    made.close()


def test_history_is_bounded(made: Made) -> None:
    for _ in range(KEPT + 5):
        made.second()
    assert len(points(made)) == KEPT


def test_time_never_goes_back_though_the_wall_clock_may(made: Made) -> None:
    for _ in range(3):
        made.second()
    at = [point.at for point in points(made)]
    assert [later - before for before, later in pairwise(at)] == pytest.approx([1, 1])
    assert made.history.points("digits", since=at[1]) == points(made)[2:]


def test_a_thread_looks_by_itself_and_outlives_a_fault(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steelyard.telemetry.history.EVERY_S", 0.001)
    looked = threading.Semaphore(0)
    threads: set[str] = set()

    def look() -> None:
        threads.add(threading.current_thread().name)
        looked.release()
        if threading.current_thread().name == "history":
            raise RuntimeError("a fault must not end it")

    monkeypatch.setattr(made.history, "look", look)
    made.history.start()
    assert all(looked.acquire(timeout=20) for _ in range(4))
    made.history.close()
    assert threads == {threading.current_thread().name, "history"}


def test_choices_of_a_second_are_told_together() -> None:
    now = 100.0
    recent = Recent(lambda: now)
    for size in (3, 1, 8):
        recent.note(0, size, f"because of {size}")
    recent.note(1, 4, "switched")
    now = 100.5
    recent.note(0, 2, "again")
    now = 101.0
    recent.note(0, 5, "later")
    now = 103.0
    later, switched, first = recent.decisions(10)
    assert (first.batches, first.smallest, first.largest, first.why, first.ago_s) == (4, 1, 8, "again", 3.0)
    assert (switched.rung, switched.batches, switched.why) == (1, 1, "switched")
    assert (later.batches, later.why, later.ago_s) == (1, "later", 2.0)
    assert recent.decisions(1) == [later]


def test_choices_are_bounded() -> None:
    now = 0.0
    recent = Recent(lambda: now)
    for _ in range(1000):
        now += 2.0
        recent.note(0, 1, "")
    assert len(recent.decisions(5000)) == 240
