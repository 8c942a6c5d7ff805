"""The dispatcher step by step, in any order of steps: no thread and no clock but the test's own.

What `_work` does in a thread the test does for each worker, one step at a time, so that hypothesis may put anything
between two steps: another request, a death, an expiry, the end.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from steelyard.errors import Expired, Overloaded, WorkerLost
from steelyard.scheduling import ALL, Choice, Policy, Single, profile_of
from steelyard.serve import dispatcher as module
from steelyard.serve.dispatcher import Dispatcher, _Idle
from steelyard.serve.tickets import Ticket
from steelyard.switching import Controller, Ladder, Rung

MOST_WAITING = 12
RUNGS = 3
MASKS = st.one_of(st.just(ALL), st.integers(1, (1 << RUNGS) - 1))
PROFILES = st.lists(st.floats(1e-4, 0.1), min_size=1, max_size=6).map(profile_of)
LADDERS = st.builds(
    lambda profiles, bound_s: Ladder(
        rungs=tuple(Rung(name=str(n), quality=-n, profile=profile) for n, profile in enumerate(profiles)),
        bound_s=bound_s,
        workers=2,
    ),
    st.lists(PROFILES, min_size=RUNGS, max_size=RUNGS),
    st.sampled_from([0.01, 0.1, math.inf]),
)


class Caller:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.wants = True

    def begin(self) -> bool:
        return self.wants

    def answer(self, answer: object) -> None:
        self.told.append(answer)

    def fail(self, error: BaseException) -> None:
        self.told.append(error)


class Erring(Single):
    """Says anything at all."""

    def __init__(self, choices: st.DataObject) -> None:
        super().__init__(profile_of([0.001]))
        self._choices = choices

    def choose(self, now: float, waiting: int, slack: float, allowed: int = ALL) -> Choice:
        choice = self._choices.draw(st.one_of(st.none(), st.builds(Choice, st.integers(-2, 30), st.integers(-2, 4))))
        return choice or Choice(1 // 0)


class Worker:
    """One stream, between two steps."""

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.wake = threading.Lock()
        self.wake.acquire()
        self.sleeps = False
        self.batch: list[Ticket[int, object]] = []
        self.choice = Choice(0)
        self.lost = False
        self.ended = False

    @property
    def woken(self) -> bool:
        """It sleeps, and somebody released its lock."""
        return self.sleeps and not self.wake.locked()


class Dispatching(RuleBasedStateMachine):
    """All callers together get one outcome each, and it is theirs."""

    @initialize(ladder=LADDERS, kind=st.sampled_from(["single", "switching", "erring"]), data=st.data())
    def begin(self, ladder: Ladder, kind: str, data: st.DataObject) -> None:
        self.now = 1000.0
        self.ladder = ladder
        policies: dict[str, Policy] = {
            "single": Single(ladder.rungs[0].profile),
            "switching": Controller(ladder),
            "erring": Erring(data),
        }
        self.policy = policies[kind]
        self.clock = mock.patch.object(module, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.clock.start()
        self.dispatcher: Dispatcher[int, object] = Dispatcher(self.serve_batch, self.policy, 0, MOST_WAITING)
        self.workers = [Worker(0), Worker(1)]
        self.tickets: dict[int, Ticket[int, object]] = {}
        self.expires: dict[int, float] = {}
        self.withdrawn: set[int] = set()
        self.dies = ""
        self.meanwhile = 0
        """So many requests come while the next batch is served."""
        self.open = True

    def serve_batch(self, stream: int, choice: Choice, requests: Sequence[int]) -> list[object]:
        """The engine: each answer names its request and who made it."""
        if not isinstance(self.policy, Erring):
            rung = self.ladder.rungs[choice.rung]
            assert 1 <= len(requests) <= rung.profile.max_batch
            assert choice.rung == 0 or isinstance(self.policy, Controller)
        assert all(self.tickets[number].allowed >> choice.rung & 1 for number in requests)
        meanwhile, self.meanwhile = self.meanwhile, 0
        if meanwhile:
            self.put_some(meanwhile, 1.0, 0, ALL, 1.0)
        if self.dies == "lost":
            raise WorkerLost("killed")
        if self.dies == "short":
            return [0] * (len(requests) - 1)
        if self.dies == "raises":
            raise ArithmeticError
        return [(number, choice.rung) for number in requests]

    # --- callers ------------------------------------------------------------------------------------------------

    def fresh(self, count: int, due: float, priority: int, allowed: int) -> list[Ticket[int, object]]:
        allowed = allowed if isinstance(self.policy, Controller | Erring) else ALL
        first = len(self.tickets)
        made = [Ticket(first + n, Caller(), self.now + due, priority, allowed) for n in range(count)]
        self.tickets |= {ticket.request: ticket for ticket in made}
        return made

    @rule(
        count=st.integers(1, 5), due=st.floats(-1, 1), priority=st.integers(0, 2), allowed=MASKS, lasts=st.floats(0, 2)
    )
    def put(self, count: int, due: float, priority: int, allowed: int, lasts: float) -> None:
        self.put_some(count, due, priority, allowed, lasts)

    def put_some(self, count: int, due: float, priority: int, allowed: int, lasts: float) -> None:
        waited = self.dispatcher.waiting
        made = self.fresh(count, due, priority, allowed)
        try:
            self.dispatcher.put_all(made)
        except Overloaded:
            assert not self.open or waited + count > MOST_WAITING
            self.withdrawn |= {ticket.request for ticket in made}
        else:
            assert self.open
            assert waited + count <= MOST_WAITING
            self.expires |= {ticket.request: self.now + lasts for ticket in made}

    @rule(count=st.integers(1, 3), allowed=MASKS, meanwhile=st.integers(0, 2))
    def serve_here(self, count: int, allowed: int, meanwhile: int) -> None:
        made = self.fresh(count, 1.0, 0, allowed)
        self.meanwhile = meanwhile
        if not self.dispatcher.serve_here(made, 10.0):
            self.withdrawn |= {ticket.request for ticket in made}
        self.meanwhile = 0

    @precondition(lambda self: self.tickets)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.tickets) - 1))
        if self.dispatcher.withdraw(self.tickets[number]):
            self.withdrawn.add(number)
        else:
            assert not self.tickets[number].waits

    @precondition(lambda self: self.tickets)
    @rule(data=st.data())
    def leave_unheard(self, data: st.DataObject) -> None:
        """Its client went away, which is found out when it is about to be served."""
        caller = self.tickets[data.draw(st.integers(0, len(self.tickets) - 1))].caller
        assert isinstance(caller, Caller)
        caller.wants = False

    @rule(later=st.floats(0, 1))
    def time_goes_by(self, later: float) -> None:
        self.now += later
        for number, when in list(self.expires.items()):
            if when <= self.now:
                del self.expires[number]
                self.dispatcher._expire(self.tickets[number])

    # --- workers ------------------------------------------------------------------------------------------------

    @rule(stream=st.integers(0, 1))
    def step(self, stream: int) -> None:
        worker = self.workers[stream]
        if worker.ended or (worker.sleeps and not worker.woken):
            return
        if worker.sleeps:
            worker.sleeps = not worker.wake.acquire(blocking=False)
            worker.lost = self.dispatcher._lost.pop(stream, None) is not None
        elif worker.lost:
            worker.lost = False  # revived
        elif worker.batch:
            worker.lost = self.dispatcher._serve_batch(stream, worker.choice, worker.batch)
            worker.batch = []
        else:
            self.take(worker)

    def take(self, worker: Worker) -> None:
        with self.dispatcher._lock:
            worker.batch, worker.choice = self.dispatcher._take()
            if worker.batch:
                return
            worker.ended = not self.dispatcher._open
            if not worker.ended:
                worker.sleeps = True
                self.dispatcher._idle.append(_Idle(worker.wake, worker.stream))

    @rule(how=st.sampled_from(["", "", "lost", "short", "raises"]))
    def engine_turns(self, how: str) -> None:
        self.dies = how

    @rule(drain=st.booleans())
    def close(self, drain: bool) -> None:
        if len(self.tickets) > 5:
            self.dispatcher.close(drain)
            self.open = False

    # --- what must hold -------------------------------------------------------------------------------------------

    @invariant()
    def the_queue_is_bounded(self) -> None:
        assert 0 <= self.dispatcher.waiting <= MOST_WAITING
        waits = sum(ticket.waits for ticket in self.tickets.values())
        assert self.dispatcher.waiting == waits

    @invariant()
    def nobody_sleeps_while_something_waits(self) -> None:
        if any(ticket.waits for ticket in self.tickets.values()):
            assert any(not worker.ended and (not worker.sleeps or worker.woken) for worker in self.workers)

    @invariant()
    def nobody_is_told_twice_or_of_another(self) -> None:
        for number, ticket in self.tickets.items():
            told = told_to(ticket)
            assert len(told) <= 1
            assert not told or number not in self.withdrawn
            assert not told or not isinstance(told[0], AssertionError), told
            if told and not isinstance(told[0], BaseException):
                assert isinstance(told[0], tuple)
                assert told[0][0] == number
            if told and isinstance(told[0], Expired):
                assert number not in self.expires

    def teardown(self) -> None:
        if not hasattr(self, "dispatcher"):
            return
        self.dispatcher.close()
        self.open = False
        for _ in range(len(self.tickets) * 3 + 10):
            for worker in self.workers:
                self.step(worker.stream)
        self.clock.stop()
        assert all(worker.ended for worker in self.workers)
        for number, ticket in self.tickets.items():
            assert not ticket.waits
            assert isinstance(ticket.caller, Caller)
            assert len(told_to(ticket)) == 1 or number in self.withdrawn or not ticket.caller.wants


def told_to(ticket: Ticket[int, object]) -> list[object]:
    assert isinstance(ticket.caller, Caller)
    return ticket.caller.told


TestDispatching = Dispatching.TestCase
TestDispatching.settings = settings(deadline=None, max_examples=80, stateful_step_count=40)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", logger="steelyard")
