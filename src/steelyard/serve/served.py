"""One version of one model, ready: its resident variants, the queue before them, and what it counts."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from steelyard.errors import InputError, Overloaded, RequestFailure
from steelyard.records.engine import Array, Session
from steelyard.records.signature import Signature
from steelyard.scheduling import Choice, Policy
from steelyard.serve import advice
from steelyard.serve.assembly import Assembly, Growth
from steelyard.serve.callers import Caller
from steelyard.serve.dispatcher import Dispatcher
from steelyard.serve.parts import Asking, Item, Part, Row, asking_of, whole_requests
from steelyard.serve.recent import Recent
from steelyard.serve.requests import Answered, Asked, Metadata
from steelyard.serve.shadow import LAST, Beside, Shadow
from steelyard.serve.statistics import Statistics
from steelyard.serve.tickets import Ticket
from steelyard.serve.turns import Turns
from steelyard.serve.warming import in_rows, warm_up
from steelyard.serve.wishes import rungs_for

log = logging.getLogger(__name__)

LEAST_RETRY_S = 0.1
WORTH_WAITING_S = 10.0
"""For a process that is lost while what waits is answered for the last time."""
LONGEST_END_S = 5.0
"""What is served when it is let go of is waited for so long; what takes longer ends by itself."""
HERE_S = 0.0005
"""A batch that takes no longer may be served in the thread of whoever asks."""


@dataclass(frozen=True)
class Resident:
    """A variant that is in memory: one rung of the policy."""

    variant: str
    candidate: str
    quality: float
    cost_per_thousand: float | None
    session: Session
    """Its streams are the workers."""
    max_batch: int = 1
    close: Callable[[], None] = lambda: None
    revive: Callable[[int], None] = lambda _: None
    missing: Callable[[], int] = lambda: 0
    """Processes that it lacks at the moment."""
    give_up: Callable[[], None] = lambda: None
    """Bring back no process that dies from now on, or is dead."""


@dataclass(frozen=True)
class Promise:
    """What the plan promises of each request."""

    bound_s: float
    """Answers should be there by then."""
    percentile: float | None = None
    """So many in a hundred of them."""
    lower_is_better: bool = False
    """The metric is an error."""
    currency: str = ""
    """Of what requests cost."""


class ServedModel:
    """Answers requests with the variants that are resident, as the policy chooses."""

    def __init__(
        self,
        metadata: Metadata,
        signature: Signature,
        residents: Sequence[Resident],
        policy: Policy,
        workers: int,
        promise: Promise,
        most_waiting: int,
        shadow: Shadow | None = None,
    ) -> None:
        """`residents` are the rungs of the policy, in its order; one more may follow, for the shadow alone."""
        self.metadata = metadata
        self.version = metadata.versions[-1]
        self.residents = tuple(residents)
        self.policy = policy
        self.promise = promise
        self.workers = workers
        self.statistics = Statistics(promise.bound_s)
        self._most_waiting = most_waiting
        self._turns: dict[asyncio.AbstractEventLoop, Turns[Ticket[Item, Row]]] = {}
        self.recent = Recent()
        self.shadow = shadow or Shadow(0.0, 0)
        self.successor: ServedModel | None = None
        """What answers in its place from now on; set before it is closed."""
        self._closed = threading.Event()
        self._ending: threading.Thread | None = None
        grows = {name: Growth(growing.axis, growing.fill) for name, growing in signature.grows.items()}
        self._assembly = Assembly(grows, signature.pad, signature.fixed_batch)
        self._dispatcher: Dispatcher[Item, Row] = Dispatcher(self._serve, policy, workers, most_waiting, self._revive)

    @property
    def ready(self) -> bool:
        """Whether requests are answered: it is open, and no process is missing."""
        return not self._closed.is_set() and not any(one.missing() for one in self.residents)

    @property
    def closed(self) -> bool:
        """Whether it takes no more requests."""
        return self._closed.is_set()

    @property
    def ended(self) -> bool:
        """Whether it was closed, and serves nothing any more."""
        return self._ending is not None and not self._ending.is_alive()

    @property
    def waiting(self) -> int:
        """Items in the queue."""
        return self._dispatcher.waiting

    def ask(self, asked: Asked, caller: Caller[Answered]) -> Asking:
        """Put a request into the queue; what comes back can withdraw it.

        Raises Overloaded when it is not let in, InputError when no resident variant satisfies it. A caller that asks
        from an event loop, and waits there, says so by an attribute `loop`: what is asked in one turn of the loop is
        served together, and by the loop itself when that takes no longer than waking another thread would. It may be
        answered before this returns.
        """
        now = time.monotonic()
        allowed = self._allowed(asked)
        self._admit(now, asked.items)
        asking = Asking(caller, asked.items, self.statistics)
        deadline = now + min(self.promise.bound_s, asked.timeout_s)
        tickets = [
            Ticket(Item(asked, place), Part(asking, place), deadline, asked.priority, allowed)
            for place in range(asked.items)
        ]
        asking.tickets = tickets
        loop: asyncio.AbstractEventLoop | None = getattr(caller, "loop", None)
        if loop is None or asked.timeout_s < math.inf or asked.priority:
            try:
                self._put(tickets, now + asked.timeout_s)
            except Overloaded:
                self.statistics.refused()
                raise
        else:
            self._turns_of(loop).came(tickets)
        return asking

    def _admit(self, now: float, items: int) -> None:
        waiting = self._dispatcher.waiting + items
        wait_s = advice.admits(self.policy, now, waiting - 1)
        if self._closed.is_set() or wait_s > 0 or waiting > self._most_waiting:
            self.statistics.refused()
            if self._closed.is_set():
                raise Overloaded("no longer serving")
            told = f"{waiting - items:,} requests wait already"
            raise Overloaded(told, "try again later", retry_after_s=wait_s or self.backlog_s())

    def _turns_of(self, loop: asyncio.AbstractEventLoop) -> Turns[Ticket[Item, Row]]:
        if loop not in self._turns:
            self._turns[loop] = Turns(loop, self._serve_together)
        return self._turns[loop]

    def _serve_together(self, tickets: Sequence[Ticket[Item, Row]]) -> None:
        if self._dispatcher.serve_here(tickets, HERE_S):
            return
        try:
            self._put(tickets, math.inf)
        except Overloaded:  # they were let in, but together they are too many, or its time is over
            for request in whole_requests(tickets):
                self._put_or_pass_on(request, math.inf)

    def _put_or_pass_on(self, tickets: Sequence[Ticket[Item, Row]], expires: float) -> None:
        try:
            self._put(tickets, expires)
        except Overloaded as error:
            self._pass_on(tickets, error)

    def _pass_on(self, tickets: Sequence[Ticket[Item, Row]], error: RequestFailure) -> None:
        """A request goes to the successor; without one it fails."""
        if self.successor is None:
            tickets[0].caller.fail(error)
        else:
            self.successor.take_over(tickets)

    def _put(self, tickets: Sequence[Ticket[Item, Row]], expires: float) -> None:
        try:
            self._dispatcher.put_all(tickets, expires)
        except Overloaded as error:
            raise Overloaded(error.message, error.hint, retry_after_s=self.backlog_s()) from None

    def backlog_s(self) -> float:
        """About how long what waits now keeps the workers busy, served by the fastest variant."""
        return max(LEAST_RETRY_S, advice.backlog_s(self.policy, max(1, self.waiting)))

    def _allowed(self, asked: Asked) -> int:
        return rungs_for(asked, self.residents, self.promise.lower_is_better)

    # --- workers ------------------------------------------------------------------------------------------------

    def _serve(self, worker: int, choice: Choice, items: Sequence[Item]) -> list[Row]:
        began = time.monotonic()
        resident = self.residents[choice.rung]
        runs = self._assembly.runs([item.inputs for item in items])
        assembled = time.monotonic()
        answers: dict[int, Row] = {}
        for run in runs:
            outputs = in_rows(resident.session.run(worker, run.inputs))
            for row, place in enumerate(run.places):
                answers[place] = Row(outputs, row, resident.variant, self.version)
        ended = time.monotonic()
        asked = sum(not item.is_shadow for item in items) if self.shadow.share else len(items)
        if asked:
            self.statistics.batch(resident.variant, asked, assembled - began, ended - assembled, 0.0)
            self.recent.note(choice.rung, asked, choice.why)
        rows = [answers[place] for place in range(len(items))]
        if self.shadow.share and not self._dispatcher.waiting:
            self._put_in_the_shadow(choice.rung, items, rows)
        return rows

    def _put_in_the_shadow(self, rung: int, items: Sequence[Item], answered: Sequence[Row]) -> None:
        shadow = self.shadow
        allowed = 1 << shadow.rung
        tickets = [
            Ticket(items[place]._replace(is_shadow=True), Beside(shadow, answered[place]), math.inf, LAST, allowed)
            for place in shadow.wants(rung, len(items))
        ]
        if tickets:
            try:
                self._dispatcher.put_all(tickets)
            except Overloaded as error:
                for ticket in tickets:
                    ticket.caller.fail(error)

    def _revive(self, worker: int, choice: Choice) -> None:
        self.residents[choice.rung].revive(worker)

    def warm_up(self, item: Mapping[str, Array]) -> None:
        """See `steelyard.serve.warming`: nobody waits for what engines do when they first see a size."""
        warm_up(self.residents, self.workers, self._assembly, item)

    def hand_over(self, successor: ServedModel) -> None:
        """Take no more requests; those that wait go to `successor`, which takes the same inputs. Close it afterwards.

        Requests of which some items are under way stay: no answer is put together from two versions.
        """
        self.successor = successor
        self._closed.set()
        self._give_up()
        for waiting in self._dispatcher.give_back(whole_requests):
            successor.take_over(waiting)

    def take_over(self, tickets: Sequence[Ticket[Item, Row]]) -> None:
        """All items of one request that waited elsewhere."""
        asked, asking = tickets[0].request.asked, asking_of(tickets[0])
        try:
            allowed = self._allowed(asked)
            for ticket in tickets:
                ticket.allowed = allowed
        except InputError as error:
            asking.fail(error)
            return
        asking.statistics = self.statistics
        self._put_or_pass_on(tickets, asking.asked_at + asked.timeout_s)

    def close(self, drain: bool = True) -> None:
        """Take no more requests, answer those that wait (or let them fail, without `drain`), let go of the models.

        A process that is lost meanwhile is waited for, but not for ever: then what needs it fails. A batch that does
        not end, in this process, cannot be ended: it is left alone, and the models are let go of when it ends.
        """
        self._closed.set()
        self._ending = threading.Thread(target=self._end, args=(drain,), name=f"end-{self.metadata.name}", daemon=True)
        self._ending.start()
        self._ending.join(LONGEST_END_S)
        if not self.ended:
            log.warning("%s: version %s still serves what it has; left to it", self.metadata.name, self.version)

    def _end(self, drain: bool) -> None:
        patience = threading.Timer(WORTH_WAITING_S if drain else 0.0, self._give_up)
        patience.start()
        self._dispatcher.close(drain)
        patience.cancel()
        patience.join()
        for resident in self.residents:
            resident.close()

    def _give_up(self) -> None:
        for resident in self.residents:
            resident.give_up()
