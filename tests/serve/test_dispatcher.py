"""Every caller gets its own answer, once; who leaves is not served; nothing hangs, nothing polls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, wait
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.errors import Expired, Overloaded, WorkerLost
from steelyard.scheduling import ALL, Choice, Profile, Single, profile_of
from steelyard.serve.dispatcher import Dispatcher
from steelyard.serve.tickets import Ticket

PATIENCE_S = 20
QUICK = profile_of([1e-6] * 8)
"""Equal times for all sizes: as many as wait are taken, up to eight."""


class Engine:
    """Squares numbers; keeps the batches it was given, and holds them back until `go` is set."""

    def __init__(self, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.go = threading.Event()
        if not held:
            self.go.set()

    def __call__(self, stream: int, choice: Choice, requests: Sequence[int]) -> list[int]:
        self.batches.append(list(requests))
        self.entered.release()
        assert self.go.wait(PATIENCE_S)
        if any(request < 0 for request in requests):
            raise ArithmeticError("a negative number")
        return [request * request for request in requests]


@contextmanager
def busy(engine: Engine, most_waiting: int = 1000, plan: Profile = QUICK) -> Iterator[Dispatcher[int, int]]:
    """A dispatcher whose only worker is held back with request 0."""
    with Dispatcher(engine, Single(plan), 1, most_waiting) as dispatcher:
        try:
            dispatcher.submit(0)
            assert engine.entered.acquire(timeout=PATIENCE_S)
            yield dispatcher
        finally:
            engine.go.set()


# Answers


@settings(max_examples=30, deadline=None)
@given(
    requests=st.lists(st.tuples(st.integers(-3, 30), st.floats(0, 1), st.booleans()), max_size=80),
    streams=st.integers(1, 4),
    largest=st.integers(1, 9),
    callers=st.integers(1, 3),
)
def test_every_caller_gets_the_answer_to_its_own_request(
    requests: list[tuple[int, float, bool]], streams: int, largest: int, callers: int
) -> None:
    engine = Engine()
    futures: list[list[tuple[int, Future[int]]]] = [[] for _ in range(callers)]

    def call(own: list[tuple[int, Future[int]]]) -> None:
        for number, deadline, cancelled in requests:
            own.append((number, dispatcher.submit(number, deadline)))
            if cancelled:
                own[-1][1].cancel()

    with Dispatcher(engine, Single(profile_of([1e-6] * largest)), streams) as dispatcher:
        threads = [threading.Thread(target=call, args=(own,)) for own in futures]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    done = [one for own in futures for one in own]
    assert len(done) == callers * len(requests)
    failed = {number for batch in engine.batches if min(batch) < 0 for number in batch}
    for number, future in done:
        assert future.done()
        if future.cancelled():
            continue
        if error := future.exception():
            assert isinstance(error, ArithmeticError)
            assert number in failed
        else:
            assert future.result() == number * number
    served = sorted(number for batch in engine.batches for number in batch)
    assert served == sorted(number for number, future in done if not future.cancelled())
    assert all(len(batch) <= largest for batch in engine.batches)


def test_the_most_urgent_are_served_first_in_batches_of_the_policy() -> None:
    engine = Engine(held=True)
    with busy(engine, plan=profile_of([1e-6] * 2)) as dispatcher:
        for number, deadline in [(5, 50.0), (3, 30.0), (4, 40.0), (1, 10.0), (2, 20.0)]:
            dispatcher.submit(number, deadline)
    assert engine.batches == [[0], [1, 2], [3, 4], [5]]


def test_a_free_worker_takes_over_while_another_is_busy() -> None:
    engine = Engine(held=True)
    with Dispatcher(engine, Single(profile_of([1e-6])), 2) as dispatcher:
        futures = [dispatcher.submit(number) for number in (2, 3)]
        for _ in futures:
            assert engine.entered.acquire(timeout=PATIENCE_S)  # both are in at once
        engine.go.set()
        assert [future.result(PATIENCE_S) for future in futures] == [4, 9]


def test_a_failure_reaches_the_callers_of_its_batch_and_nobody_else() -> None:
    engine = Engine(held=True)
    with busy(engine, plan=profile_of([1e-6] * 2)) as dispatcher:
        futures = [dispatcher.submit(number, deadline) for deadline, number in enumerate([1, -2, 3, 4])]
    assert engine.batches[1:] == [[1, -2], [3, 4]]
    for future in futures[:2]:
        with pytest.raises(ArithmeticError, match="a negative number"):
            future.result(PATIENCE_S)
    assert [future.result(PATIENCE_S) for future in futures[2:]] == [9, 16]


def test_too_few_answers_are_nobodys() -> None:
    dispatcher = Dispatcher[int, int](lambda _, __, requests: requests[1:], Single(QUICK), 1)
    with dispatcher, pytest.raises(RuntimeError, match="0 answers to 1 requests"):
        dispatcher.submit(1).result(PATIENCE_S)


class Rude:
    """A caller that raises whatever it is told."""

    def begin(self) -> bool:
        return True

    def answer(self, answer: int) -> None:
        raise RuntimeError("I do not want it")

    def fail(self, error: BaseException) -> None:
        raise RuntimeError("nor that")


class Ruder(Rude):
    """Raises before it is told anything."""

    def begin(self) -> bool:
        raise RuntimeError("I do not know")


@pytest.mark.parametrize(("number", "kind"), [(2, Rude), (-2, Rude), (2, Ruder)])
def test_a_caller_that_raises_harms_no_other(number: int, kind: type[Rude], caplog: pytest.LogCaptureFixture) -> None:
    with Dispatcher(Engine(), Single(profile_of([1e-6])), 1) as dispatcher:
        dispatcher.put(number, kind())
        assert dispatcher.submit(3).result(PATIENCE_S) == 9
    assert "a caller could not" in caplog.text


# Leaving


def test_cancelled_requests_leave_and_make_room() -> None:
    engine = Engine(held=True)
    with busy(engine, most_waiting=300) as dispatcher:
        futures = [dispatcher.submit(number) for number in range(1, 301)]
        with pytest.raises(Overloaded, match="300 requests wait already"):
            dispatcher.submit(301)
        assert all(future.cancel() for future in futures[10:])
        assert dispatcher.waiting == 10
        assert len(dispatcher._queue) < 150  # those that left do not fill the memory
        kept = [dispatcher.submit(number) for number in range(400, 410)]
    assert sorted(number for batch in engine.batches for number in batch) == [*range(11), *range(400, 410)]
    assert all(future.result() for future in (*futures[:10], *kept))
    with pytest.raises(CancelledError):
        futures[10].result()


def test_what_is_being_served_cannot_be_cancelled() -> None:
    engine = Engine(held=True)
    with Dispatcher(engine, Single(QUICK), 1) as dispatcher:
        future = dispatcher.submit(7)
        assert engine.entered.acquire(timeout=PATIENCE_S)
        assert not future.cancel()
        engine.go.set()
        assert future.result(PATIENCE_S) == 49


def test_expired_requests_fail_while_all_workers_are_busy() -> None:
    engine = Engine(held=True)
    with busy(engine) as dispatcher:
        now = time.monotonic()
        patient = dispatcher.submit(4, expires=now + 3600)
        later = dispatcher.submit(3, expires=now + 0.15)
        soon = [dispatcher.submit(number, expires=now + 0.05) for number in (1, 2)]
        for future in (*soon, later):
            with pytest.raises(Expired):
                future.result(PATIENCE_S)
        assert dispatcher.waiting == 1
    assert patient.result(PATIENCE_S) == 16
    assert engine.batches == [[0], [4]]


def test_who_waits_longer_than_any_lock_can_keeps_no_other_from_expiring() -> None:
    engine = Engine(held=True)
    with busy(engine) as dispatcher:
        now = time.monotonic()
        patient = dispatcher.submit(4, expires=now + 2**62 / 1e6)
        for number in (1, 2, 3):
            soon = dispatcher.submit(number, expires=now + 0.02 * number)
            with pytest.raises(Expired):
                soon.result(PATIENCE_S)
    assert patient.result(PATIENCE_S) == 16


def test_expiries_of_requests_that_were_served_are_forgotten() -> None:
    with Dispatcher(Engine(), Single(QUICK), 1) as dispatcher:
        far = time.monotonic() + 3600
        for _ in range(20):
            wait([dispatcher.submit(1, expires=far) for _ in range(200)], PATIENCE_S)
        assert len(dispatcher._expiry._due) <= 1024


# The end


def test_closing_serves_what_waits() -> None:
    engine = Engine(held=True)
    with busy(engine) as dispatcher:
        futures = [dispatcher.submit(number) for number in range(1, 20)]
    assert [future.result() for future in futures] == [number * number for number in range(1, 20)]
    with pytest.raises(Overloaded, match="no longer serving"):
        dispatcher.submit(1)


def test_closing_without_draining_fails_what_waits_and_ends_the_threads() -> None:
    engine = Engine(held=True)
    before = threading.active_count()
    with busy(engine) as dispatcher:
        futures = [dispatcher.submit(number, expires=time.monotonic() + 3600) for number in (1, 2)]
        threading.Timer(0.05, engine.go.set).start()
        dispatcher.close(drain=False)
        for future in futures:
            with pytest.raises(Overloaded):
                future.result(0)
    assert engine.batches == [[0]]
    for _ in range(200):
        if threading.active_count() <= before:
            return
        time.sleep(0.01)
    pytest.fail("a thread is left")


def test_a_worker_may_close_the_dispatcher() -> None:
    closing: list[Callable[[], None]] = []

    def serve(_: int, __: Choice, requests: Sequence[int]) -> Sequence[int]:
        closing[0]()
        return requests

    dispatcher = Dispatcher(serve, Single(QUICK), 1)
    closing.append(dispatcher.close)
    assert dispatcher.submit(5).result(PATIENCE_S) == 5


def test_idle_workers_use_no_processor_time() -> None:
    with Dispatcher(Engine(), Single(QUICK), 4) as dispatcher:
        dispatcher.submit(1, expires=time.monotonic() + 3600).result(PATIENCE_S)
        used = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - used < 0.1


def test_a_policy_that_raises_or_errs_stops_nothing() -> None:
    class Broken(Single):
        def choose(self, now: float, waiting: int, slack: float, allowed: int = ALL) -> Choice:
            raise ZeroDivisionError

        def observe(self, rung: int, size: int, seconds: float) -> None:
            raise ZeroDivisionError

    with Dispatcher(Engine(), Broken(QUICK), 2) as dispatcher:
        futures = [dispatcher.submit(n) for n in range(50)]
        assert [future.result(PATIENCE_S) for future in futures] == [n * n for n in range(50)]


# In the calling thread


class Keeps:
    """A caller that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[int | BaseException] = []

    def begin(self) -> bool:
        return True

    def answer(self, answer: int) -> None:
        self.told.append(answer)

    def fail(self, error: BaseException) -> None:
        self.told.append(error)


def tickets(*numbers: int) -> list[Ticket[int, int]]:
    return [Ticket(number, Keeps(), float("inf")) for number in numbers]


def told(tickets: Sequence[Ticket[int, int]]) -> list[int | BaseException]:
    return [one for ticket in tickets for one in ticket.caller.told]  # type: ignore[attr-defined]


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def until_idle(dispatcher: Dispatcher[int, int], workers: int = 1) -> None:
    until(lambda: dispatcher.idle >= workers)


def test_an_idle_workers_stream_serves_in_the_calling_thread() -> None:
    where: list[threading.Thread] = []

    def serve(stream: int, choice: Choice, requests: Sequence[int]) -> list[int]:
        where.append(threading.current_thread())
        return [request * request for request in requests]

    with Dispatcher(serve, Single(QUICK), 1) as dispatcher:
        until_idle(dispatcher)
        asked = tickets(2, 3)
        assert dispatcher.serve_here(asked, 1.0)
        assert told(asked) == [4, 9]
        assert where == [threading.current_thread()]
        assert dispatcher.idle == 1
        assert dispatcher.submit(5).result(PATIENCE_S) == 25  # the worker is as it was


def test_what_takes_too_long_or_meets_others_is_not_served_in_the_calling_thread() -> None:
    engine = Engine(held=True)
    slow = Single(profile_of([0.5, 0.6]))
    with Dispatcher(engine, slow, 1) as dispatcher:
        until_idle(dispatcher)
        assert not dispatcher.serve_here(tickets(1), 0.4)
        assert not dispatcher.serve_here(tickets(1, 2, 3), 1.0)  # more than one batch
        first = dispatcher.submit(7)
        assert engine.entered.acquire(timeout=PATIENCE_S)
        assert not dispatcher.serve_here(tickets(1), 1.0)  # nobody is idle
        engine.go.set()
        first.result(PATIENCE_S)
    assert not dispatcher.serve_here(tickets(1), 1.0)  # closed


def test_a_worker_lost_in_the_calling_thread_is_brought_back_by_its_own() -> None:
    revived: list[tuple[int, str]] = []
    broken = threading.Event()
    broken.set()

    def serve(stream: int, choice: Choice, requests: Sequence[int]) -> list[int]:
        if broken.is_set():
            raise WorkerLost("gone")
        return list(requests)

    def revive(stream: int, choice: Choice) -> None:
        revived.append((stream, threading.current_thread().name))
        broken.clear()

    with Dispatcher(serve, Single(QUICK), 1, revive=revive) as dispatcher:
        until_idle(dispatcher)
        asked = tickets(1)
        assert dispatcher.serve_here(asked, 1.0)
        assert isinstance(told(asked)[0], WorkerLost)
        assert dispatcher.submit(5).result(PATIENCE_S) == 5
    assert revived == [(0, "stream-0")]


def test_requests_that_come_meanwhile_are_not_forgotten() -> None:
    """While the only stream is borrowed nobody is idle; whoever gives it back sees that something waits."""
    inside, go = threading.Event(), threading.Event()

    def serve(stream: int, choice: Choice, requests: Sequence[int]) -> list[int]:
        inside.set()
        assert go.wait(PATIENCE_S)
        return list(requests)

    with Dispatcher(serve, Single(QUICK), 1) as dispatcher:
        until_idle(dispatcher)
        borrowed = threading.Thread(target=dispatcher.serve_here, args=(tickets(1), 1.0))
        borrowed.start()
        assert inside.wait(PATIENCE_S)
        meanwhile = dispatcher.submit(9)
        go.set()
        assert meanwhile.result(PATIENCE_S) == 9
        borrowed.join()
