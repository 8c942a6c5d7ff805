"""The dispatcher: requests come in one by one, workers take them in batches, each caller gets its own answer.

One thread a stream. All share one queue, earliest deadline first, and take from it what the policy says
(`steelyard.scheduling`), which is what the capacity of a plan was computed with. Nothing polls: an idle worker
sleeps until a request wakes it. All times are seconds of `time.monotonic()`.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Generic, NamedTuple, Self, TypeVar

from steelyard.errors import Expired, Overloaded, WorkerLost
from steelyard.scheduling import ALL, Choice, Policy, Queue
from steelyard.serve import advice
from steelyard.serve.callers import Caller, Promise
from steelyard.serve.expiry import Expiry
from steelyard.serve.tickets import Ticket, answer_all, fail_all, is_wanted

Request = TypeVar("Request")
Answer = TypeVar("Answer")

MOST_WAITING = 100_000
FEW_GONE = 64
"""So many requests that left may lie in the queue before it is cleared of them."""

log = logging.getLogger(__name__)


class _Idle(NamedTuple):
    """A worker that waits for a request, by this lock."""

    wake: threading.Lock
    stream: int


class Dispatcher(Generic[Request, Answer]):
    """Workers that share one queue.

    `serve(stream, choice, requests)` answers a batch: one answer a request, in the same order. What it raises reaches
    the callers of that batch and nobody else. `policy` chooses the batches; it may be replaced at any time.
    """

    def __init__(
        self,
        serve: Callable[[int, Choice, Sequence[Request]], Sequence[Answer]],
        policy: Policy,
        streams: int,
        most_waiting: int = MOST_WAITING,
        revive: Callable[[int, Choice], None] | None = None,
    ) -> None:
        """`revive(stream, choice)` is called after a batch ended with `WorkerLost`: it returns when it can serve again.

        Until then that worker takes no requests, which the others serve meanwhile.
        """
        self.policy = policy
        self._serve = serve
        self._revive = revive
        self._most_waiting = most_waiting
        self._lock = threading.Lock()
        self._queue: Queue[Ticket[Request, Answer]] = Queue()
        self._gone = 0
        """Of those in the queue."""
        self._particular = 0
        """Of those in the queue, requests that not every rung may answer; those that left are not taken off."""
        self._idle: list[_Idle] = []
        """The one that fell idle last is woken first."""
        self._lost: dict[int, Choice] = {}
        """Streams that ended with `WorkerLost` in another thread than their worker's: it brings them back."""
        self._open = True
        self._expiry = Expiry(self._expire)
        self._workers = [
            threading.Thread(target=self._work, args=(stream,), name=f"stream-{stream}", daemon=True)
            for stream in range(streams)
        ]
        for worker in self._workers:
            worker.start()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue) - self._gone

    @property
    def idle(self) -> int:
        """Workers that wait for a request."""
        return len(self._idle)

    # --- callers ------------------------------------------------------------------------------------------------

    def submit(self, request: Request, deadline: float = math.inf, expires: float = math.inf) -> Future[Answer]:
        """The answer to come. Cancelling the future takes the request out of the queue, unless it is being served.

        `deadline` is when the answer should be there, `expires` when nobody waits any longer: a request that still
        waits then fails with `Expired`. Raises `Overloaded` when the queue is full or closed.
        """
        promise: Promise[Answer] = Promise()
        ticket = self.put(request, promise, deadline, expires)

        def withdraw_if_cancelled(done: Future[Answer]) -> None:
            if done.cancelled():
                self.withdraw(ticket)

        promise.future.add_done_callback(withdraw_if_cancelled)
        return promise.future

    def put(
        self, request: Request, caller: Caller[Answer], deadline: float = math.inf, expires: float = math.inf
    ) -> Ticket[Request, Answer]:
        """As `submit`, for callers of one's own, which cost less than a future."""
        ticket = Ticket(request, caller, deadline)
        self.put_all([ticket], expires)
        return ticket

    def put_all(self, tickets: Sequence[Ticket[Request, Answer]], expires: float = math.inf) -> None:
        """Several requests, all of them or none."""
        with self._lock:
            if not self._open or len(self._queue) - self._gone + len(tickets) > self._most_waiting:
                raise self._refusal()
            for ticket in tickets:
                ticket.waits, ticket.holder = True, self
                self._queue.push(ticket, ticket.deadline, ticket.priority)
                self._particular += ticket.allowed != ALL
            wake = [self._idle.pop() for _ in range(min(len(self._idle), len(tickets)))]
        for worker in wake:
            worker.wake.release()
        if expires < math.inf:
            for ticket in tickets:
                self._expiry.add(ticket, expires)

    def serve_here(self, tickets: Sequence[Ticket[Request, Answer]], most_s: float) -> bool:
        """Serve these in the calling thread, on the stream of an idle worker: no other thread has to be woken.

        False, and nothing is done, when anything else waits, no worker is idle, or it would take longer than `most_s`.
        Tickets that expire are not watched: there is no time to.
        """
        first, now = tickets[0], time.monotonic()
        with self._lock:
            if not self._idle or not self._open or len(self._queue) > self._gone:
                return False
            choice = advice.chosen(self.policy, now, len(tickets), first.deadline - now, first.allowed)
            if choice.size < len(tickets) or advice.expected_s(self.policy, choice) > most_s:
                return False
            if first.allowed != ALL and any(ticket.allowed != first.allowed for ticket in tickets):
                return False
            worker = self._idle.pop()
        is_lost = self._serve_batch(worker.stream, choice, list(tickets))
        with self._lock:
            if is_lost:
                self._lost[worker.stream] = choice
            is_needed = is_lost or len(self._queue) > 0 or not self._open
            if not is_needed:
                self._idle.append(worker)
        if is_needed:
            worker.wake.release()
        return True

    def _refusal(self) -> Overloaded:
        if not self._open:
            return Overloaded("no longer serving")
        return Overloaded(f"{self.waiting:,} requests wait already", "try again later")

    def withdraw(self, ticket: Ticket[Request, Answer]) -> bool:
        """Take a request out of the queue; False: it is not there, was served or left already."""
        with self._lock:
            if not ticket.waits or ticket.holder is not self:
                return False
            ticket.waits = False
            self._gone += 1
            if self._gone > max(FEW_GONE, len(self._queue) // 2):
                self._queue.keep(lambda one: one.waits)
                self._gone = 0
            return True

    def _expire(self, ticket: Ticket[Request, Answer]) -> None:
        if self.withdraw(ticket):
            fail_all([ticket], Expired("nobody served it in the time that its caller waits"))

    # --- workers ------------------------------------------------------------------------------------------------

    def _work(self, stream: int) -> None:
        wake = threading.Lock()
        wake.acquire()
        while True:
            with self._lock:
                batch, choice = self._take()
                if not batch:
                    if not self._open:
                        return
                    self._idle.append(_Idle(wake, stream))
            if batch:
                if self._serve_batch(stream, choice, batch):
                    self._revive_quietly(stream, choice)
                continue
            wake.acquire()
            if stream in self._lost:
                self._revive_quietly(stream, self._lost.pop(stream))

    def _take(self) -> tuple[list[Ticket[Request, Answer]], Choice]:
        """What one worker takes now, under the lock; empty only when nothing waits."""
        queue = self._queue
        while len(queue):
            now, first = time.monotonic(), queue.first
            waiting, slack = len(queue) - self._gone, queue.earliest - now
            choice = advice.chosen(self.policy, now, waiting, slack, first.allowed)
            taken = queue.pop_batch(choice.size)
            if self._gone:
                present = [ticket for ticket in taken if ticket.waits]
                self._gone -= len(taken) - len(present)
                taken = present
            if self._particular:
                taken = self._permitted(taken, choice.rung)
            for ticket in taken:
                ticket.waits = False
            if taken:
                return taken, choice
        self._particular = 0
        return [], Choice(0)

    def _permitted(self, taken: list[Ticket[Request, Answer]], rung: int) -> list[Ticket[Request, Answer]]:
        """Of these, the ones that this rung may answer; the others go back to wait for another."""
        for ticket in taken:
            if not ticket.allowed >> rung & 1:
                self._queue.push(ticket, ticket.deadline, ticket.priority)
        return [ticket for ticket in taken if ticket.allowed >> rung & 1]

    def _serve_batch(self, stream: int, choice: Choice, batch: list[Ticket[Request, Answer]]) -> bool:
        """Whether the stream was lost by it."""
        batch = [ticket for ticket in batch if is_wanted(ticket)]
        if not batch:
            return False
        began = time.monotonic()
        try:
            answers = self._serve(stream, choice, [ticket.request for ticket in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(answers)} answers to {len(batch)} requests")
        except BaseException as error:
            fail_all(batch, error)
            return isinstance(error, WorkerLost)
        advice.learn(self.policy, choice.rung, len(batch), time.monotonic() - began)
        answer_all(batch, answers)
        return False

    def _revive_quietly(self, stream: int, choice: Choice) -> None:
        try:
            if self._revive is not None:
                self._revive(stream, choice)
        except Exception:
            log.exception("stream %d could not be brought back", stream)

    # --- the end ------------------------------------------------------------------------------------------------

    def give_back(
        self, choose: Callable[[Sequence[Ticket[Request, Answer]]], Sequence[Sequence[Ticket[Request, Answer]]]]
    ) -> Sequence[Sequence[Ticket[Request, Answer]]]:
        """Take no more requests; of those that wait the chosen ones, in groups, are the caller's to put elsewhere."""
        with self._lock:
            self._open = False
            waiting = [ticket for ticket in self._queue.pop_batch(len(self._queue)) if ticket.waits]
            self._gone = 0
            groups = choose(waiting)
            for group in groups:
                for ticket in group:
                    ticket.waits = False
            for ticket in waiting:
                if ticket.waits:
                    self._queue.push(ticket, ticket.deadline, ticket.priority)
        return groups

    def close(self, drain: bool = True) -> None:
        """Take no more requests; serve those that wait (or let them fail, without `drain`); end the workers."""
        with self._lock:
            self._open = False
            left = [] if drain else [ticket for ticket in self._queue.pop_batch(len(self._queue)) if ticket.waits]
            for ticket in left:
                ticket.waits = False
            self._gone = self._gone if drain else 0
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.wake.release()
        fail_all(left, Overloaded("no longer serving"))
        for thread in self._workers:
            if thread is not threading.current_thread():
                thread.join()
        self._expiry.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(drain=kind is None)
