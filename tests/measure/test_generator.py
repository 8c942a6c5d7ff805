"""Requests are sent on time while somebody could take them, and without a thread's help while nobody can."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from steelyard.measure.generator import Generator, Sent
from steelyard.measure.neighbours import Neighbours
from steelyard.scheduling import Choice, Single, profile_of
from steelyard.serve.dispatcher import Dispatcher


def sent_by(serve_s: float, gap_s: float, count: int, workers: int = 1, told: bool = True) -> tuple[np.ndarray, float]:
    """How late each request was sent, and when the last was sent after the first was due."""
    requests = [Sent() for _ in range(count)]

    def serve(_: int, __: Choice, batch: Sequence[None]) -> Sequence[None]:
        time.sleep(serve_s)
        if told:
            generator.worker_done(dispatcher)
        return batch

    with Dispatcher(serve, Single(profile_of([serve_s] * 100)), workers) as dispatcher:
        start = time.monotonic() + 0.01
        due = [start + gap_s * i for i in range(count)]
        generator = Generator(requests, due, 0.05)
        generator.run(dispatcher)
        ended = time.monotonic() - start
    assert not any(np.isnan(request.answered) for request in requests)
    assert all(request.answered >= request.sent for request in requests)
    return np.array([request.sent for request in requests]) - due, ended


def test_requests_to_an_idle_worker_are_sent_when_they_are_due_and_not_before() -> None:
    late, ended = sent_by(0.001, 0.02, 20)
    assert (late >= 0).all()
    assert np.median(late) < 0.01
    assert ended >= 19 * 0.02


def test_busy_workers_send_themselves_what_has_become_due() -> None:
    """One batch takes as long as twenty gaps: without the workers' help the thread would be a backstop behind."""
    helped, _ = sent_by(0.02, 0.001, 200)
    assert (helped >= 0).all()
    assert np.median(helped) == 0  # due while the worker was busy: nobody could have taken it
    started = time.monotonic()
    sent_by(0.02, 0.001, 50, told=False)
    assert time.monotonic() - started < 5  # the backstop sends them in the end


def test_the_thread_is_hardly_needed_while_all_workers_are_busy() -> None:
    requests = [Sent() for _ in range(3000)]

    def serve(_: int, __: Choice, batch: Sequence[None]) -> Sequence[None]:
        time.sleep(0.005)
        generator.worker_done(dispatcher)
        return batch

    with Dispatcher(serve, Single(profile_of([0.005] * 8)), 1) as dispatcher:
        start = time.monotonic()
        generator = Generator(requests, [start + 0.0002 * i for i in range(3000)], 0.05)
        generator.run(dispatcher)
        dispatcher.close(drain=False)
    assert generator.used_s < 0.05


def test_what_others_use_is_never_below_nothing() -> None:
    neighbours = Neighbours()
    sum(range(2_000_000))
    cores = neighbours.cores()
    assert cores is None or cores >= 0
    assert Neighbours([2**22 + 5]).cores() is None  # no such process: it cannot be told
