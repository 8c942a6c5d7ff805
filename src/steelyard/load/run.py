"""One run of load: requests leave when they are due, whether or not earlier ones were answered (open loop).

Latency counts from the moment a request was due. Neither a server that stalls nor a client that is behind, nor
connections that are all busy, can hide it; how late the client itself was is kept beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from steelyard.arrivals import Floats
from steelyard.errors import InputError
from steelyard.load.alarm import alarm
from steelyard.load.client import Connection, Pool, ask, fastest_loop, run_on_loop
from steelyard.load.model import ANSWER_S, clean, error_of
from steelyard.load.outcome import How, Outcome, Progress
from steelyard.load.responses import KEPT, Response
from steelyard.load.target import Target
from steelyard.machines.garbage import no_garbage_of_ours

BURST = 32
"""So many requests that are due leave before answers are looked at again."""
HEAD_START_S = 0.02
"""Between looking at the clock and the first arrival."""
TICK_S = 0.1
"""So often progress is told, and looked whether to stop."""
STOPPED_S = 1.0
"""After a stop, answers that are under way are waited for so long, or for the bound where it is longer."""
MOST_VARIANTS = 64
_VARIANT = re.compile(rb'"variant"\s*:\s*"([^"\\]{1,100})"')


def prove(target: Target, request: bytes) -> None:
    """Send one request on its own. Raises `InputError` with the server's words when it is refused."""
    response = run_on_loop(lambda: ask(target, request, KEPT, ANSWER_S))
    status = response.head.status
    if status in (200, 429, 503):
        return
    said = error_of(response)
    if status < 500:
        hint = "do the datatypes and shapes fit? See --shape, --data and --items"
        raise InputError(f"the server refuses these requests ({status}: {said})", hint)
    raise InputError(f"the server fails at a single request ({status}: {said})", "see the server's log")


def load(
    target: Target,
    requests: Sequence[bytes],
    due: Floats,
    how: How,
    on_progress: Callable[[Progress], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Outcome:
    """Send request i (of `requests`, over and over) at `due[i]` seconds from the start; `due` rises.

    `stop` ends it early: what was due until then is counted. Raises `InputError` when no connection can be opened.
    """
    with no_garbage_of_ours():
        return run_on_loop(lambda: _load(target, requests, due, how, on_progress, stop or threading.Event()))


async def _load(
    target: Target,
    requests: Sequence[bytes],
    due: Floats,
    how: How,
    on_progress: Callable[[Progress], None],
    stop: threading.Event,
) -> Outcome:
    run = _Run(requests, due, how)
    pool = Pool(target, how.connections, run)
    await pool.open()
    try:
        opened, began, used = pool.opened, time.monotonic(), time.thread_time()
        run.start()
        while not await _within(run.finished, TICK_S) and time.monotonic() < run.deadline:
            on_progress(run.progress())
            run.look(stop.is_set())
        core_share = (time.thread_time() - used) / (time.monotonic() - began)
    finally:
        run.end()
        await pool.close()
    on_progress(run.progress())
    return run.outcome(opened, pool.opened - opened, core_share, fastest_loop()[1])


async def _within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()


class _Tally:
    """What is counted of the requests that count."""

    def __init__(self) -> None:
        self.answered = self.failures = self.waited = 0
        self.failed: dict[str, int] = {}
        self.errors: dict[str, str] = {}
        self.variants: dict[str, int] = {}

    def fail(self, kind: str, why: str) -> None:
        """One more of this kind; of the first one it is kept why."""
        self.failures += 1
        if kind not in self.failed:
            self.failed[kind], self.errors[kind] = 0, clean(why)
        self.failed[kind] += 1

    def answer(self, response: Response) -> None:
        """One more, by the variant that it names where it names one early."""
        self.answered += 1
        told = response.body if response.head.json_bytes is None else response.body[: response.head.json_bytes]
        at = told.find(b'"variant"')
        found = _VARIANT.match(told, at) if at >= 0 else None
        if found is not None:
            name = clean(found[1].decode("utf-8", "replace"))
            if name in self.variants or len(self.variants) < MOST_VARIANTS:
                self.variants[name] = self.variants.get(name, 0) + 1


class _Run:
    """The requests of a run; the user of the pool's connections."""

    def __init__(self, requests: Sequence[bytes], due: Floats, how: How) -> None:
        self._requests, self._how, self._count = requests, how, len(due)
        self._due = array("d", due.tolist())
        self._taken = array("d", [math.nan]) * len(due)
        self._sent = array("d", [math.nan]) * len(due)
        self._answered = array("d", [math.nan]) * len(due)
        """NaN: not yet; infinite: it failed."""
        self._next = self._settled = 0
        self._free: list[Connection] = []
        self._waiting: deque[int] = deque()
        self._unreachable = ""
        self._tally = _Tally()
        self._over = self._interrupted = self._gave_up = False
        self._loop = asyncio.get_running_loop()
        self.finished = asyncio.Event()
        self.deadline = math.inf
        """Of `time.monotonic()`: nothing is waited for any longer."""

    def start(self) -> None:
        """Set the clock: from now on requests become due."""
        self._alarm = alarm(self._loop, self._send_due)
        begin = time.monotonic() + HEAD_START_S
        self._due = array("d", (np.asarray(self._due) + begin).tolist())
        self.deadline = self._due[-1] + self._how.patience_s
        self._alarm.at(self._due[0])

    # What is due leaves

    def _send_due(self) -> None:
        """Let go what is due, then sleep until the next is."""
        for _ in range(BURST):
            if self._next >= self._count:
                return
            now = time.monotonic()
            if self._due[self._next] > now:
                self._alarm.at(self._due[self._next])
                return
            number, self._next = self._next, self._next + 1
            self._take(number, now)
        self._loop.call_soon(self._send_due)

    def _take(self, number: int, now: float) -> None:
        self._taken[number] = now
        while self._free:
            connection = self._free.pop()
            if connection.usable:
                self._send(connection, number, now)
                return
        if self._unreachable:
            self.failed(number, "unreachable", self._unreachable)
        else:
            self._waiting.append(number)
            self._tally.waited += number >= self._how.uncounted

    def _send(self, connection: Connection, number: int, now: float) -> None:
        self._sent[number] = now
        connection.send(number, self._requests[number % len(self._requests)])

    # What the connections tell

    def ready(self, connection: Connection) -> None:
        """A connection is free: the request that has waited longest leaves on it."""
        self._unreachable = ""
        if self._waiting and not self._stopped:
            self._send(connection, self._waiting.popleft(), time.monotonic())
        else:
            self._free.append(connection)

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        if connection in self._free:
            self._free.remove(connection)

    def unreachable(self, why: str) -> None:
        """No connection is left: what waits has failed."""
        self._unreachable = why
        while self._waiting:
            self.failed(self._waiting.popleft(), "unreachable", why)

    def answered(self, number: int, response: Response) -> None:
        """Stop the clock."""
        now = time.monotonic()
        if response.head.status != 200:
            kind = str(response.head.status)
            self.failed(number, kind, "" if kind in self._tally.failed else error_of(response))
        elif not self._over:
            if number >= self._how.uncounted:
                self._tally.answer(response)
            self._settle(number, now)

    def failed(self, number: int, kind: str, why: str) -> None:
        """It will not be answered."""
        if not self._over:
            if number >= self._how.uncounted:
                self._tally.fail(kind, why)
            self._settle(number, math.inf)

    def _settle(self, number: int, when: float) -> None:
        self._answered[number] = when
        self._settled += 1
        if self._settled == self._count:
            self.finished.set()

    # The end

    @property
    def _stopped(self) -> bool:
        return self._over or self._interrupted or self._gave_up

    def look(self, interrupted: bool) -> None:
        """Stop when somebody wants it, or when the oldest request that waits has done so too long."""
        waits_s = time.monotonic() - self._due[self._waiting[0]] if self._waiting else 0.0
        if self._stopped or not (interrupted or waits_s > self._how.hopeless_s):
            return
        self._interrupted, self._gave_up = interrupted, not interrupted
        self._settled += len(self._waiting)  # they will not leave any more
        self._count = self._next
        self.deadline = min(self.deadline, time.monotonic() + max(STOPPED_S, self._how.bound_s))
        if self._settled == self._count:
            self.finished.set()

    def end(self) -> None:
        """The run is over: what is not answered now counts as never answered."""
        self._over = True
        self._alarm.close()

    def progress(self) -> Progress:
        """How far it has come."""
        skip = min(self._how.uncounted, len(self._due) - 1)
        return Progress(
            due=max(0, self._next - skip),
            total=len(self._due) - skip,
            answered=self._tally.answered,
            failed=self._tally.failures,
            seconds=max(0.0, time.monotonic() - self._due[skip]),
        )

    def outcome(self, opened: int, reopened: int, core_share: float, loop: str) -> Outcome:
        """The whole run. What was given up is counted in full; what an interruption left out is not."""
        part = slice(self._how.uncounted, len(self._due) if self._gave_up else self._next)
        due, taken, sent, answered = (
            np.array(each[part]) for each in (self._due, self._taken, self._sent, self._answered)
        )
        unsent = int(np.count_nonzero(np.isnan(sent) & np.isnan(answered))) if self._gave_up else 0
        open_still = int(np.count_nonzero(np.isnan(answered))) - unsent
        for kind, count, why in (
            ("given up", unsent, "too many requests waited for a free connection: no more were sent"),
            ("unanswered", open_still, "no answer had come when the run ended"),
        ):
            if count:
                self._tally.failed[kind], self._tally.errors[kind] = count, why
        ends = np.append(answered[np.isfinite(answered)], due[-1:])
        return Outcome(
            due=due, taken=taken, sent=sent, answered=np.nan_to_num(answered, nan=math.inf, posinf=math.inf),
            failed=self._tally.failed, errors=self._tally.errors, variants=self._tally.variants,
            connections=opened, reopened=reopened, waited=self._tally.waited,
            seconds=float(ends.max() - due[0]) if len(due) else 0.0,
            core_share=core_share, loop=loop, interrupted=self._interrupted, gave_up=self._gave_up,
        )  # fmt: skip
