"""Which variant answers: the controller chooses batch and variant at each dispatch, by what waits and how urgent it is.

The order of retreat is batch, variant, admission. A free worker gives a batch to the most accurate variant (rung) for
which two things hold: the batch itself is done well before the most urgent request is due, and what then is left could
be cleared by the *next faster* rung within a part of the bound (`REACH`). So load that a rung can carry on average is
carried by it, queue and all; what it cannot is shared with its neighbour, and a rung further down is only used when
the neighbour cannot save the promise. Where nothing else helps, the fastest allowed rung takes the batch that
`scheduling.batch_to_dispatch` says. Requests that not even the fastest rung could answer in time are not let in.

Deadlines are taken to be spread evenly, the last one a whole bound ahead, as they are when all requests have the same
bound. Pure: there is no clock here; all times are seconds of the caller's.

Other ways to switch, on simulated days (`benchmarks/bench_balance.py --rivals`; peaks 2.5 times what the most accurate
rung carries; all with this admission): share of late and refused requests, and quality lost over what the fastest rung
would lose.

    EfficientNet-Lite0, 50 ms, two workers           Twitter trace   gamma CV 4      step
    this                                             0.01 %  0.10    0.68 %  0.28    0.13 %  0.47
    while the fastest rung could clear the rest      0.02 %  0.13    1.08 %  0.35    0.16 %  0.52
    while the rung itself could clear the rest       0.14 %  0.08    2.01 %  0.15    0.98 %  0.38
    the largest pair that fits the slack (SlackFit)  0.21 %  0.11    1.83 %  0.32    1.04 %  0.49
    the rung that carries the rate of 20 bounds      0.15 %  0.20   20.12 %  0.00    0.53 %  0.66

SlackFit: A. Khare et al., SuperServe, NSDI 2025. By the rate: S. Ahmad et al., Proteus, ASPLOS 2024, and M. Salmani
et al., InfAdapter, EuroMLSys 2023, come to this on one replica. Also tried: to learn `REACH` from the requests that
came too late, which changed nothing wherever the fastest rung could keep the promise at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from steelyard.records.base import Record
from steelyard.records.measurement import ServiceTime
from steelyard.scheduling import ALL, Choice, Profile, batch_to_dispatch

REACH = 0.4
"""What is left after a batch must be cleared by the next faster rung in this share of the bound."""
PUNCTUAL = 0.8
"""A batch must be done in this share of the time that the most urgent request has left."""
BACK = 0.3
"""To go back to a more accurate rung the backlog must be shorter by this share than to stay with it."""
LEAN = 0.03
"""A batch of a rung that is not the last is the smallest that loses no more than this share of the throughput:
what is committed for less time can be revised sooner."""
LEAST = 0.5
"""A queue that is cleared in this share of the bound is always let grow."""
NARROWER, TOLERATED = 0.02, 0.01
"""A batch that will be late while the queue is long narrows the admission by this share of the bound; it widens again
so slowly that it is in balance when so many batches are late."""

UP, DOWN = 0.045, 0.005
"""Steps of the logarithm of the slowdown after a batch that was slower, or not, than reckoned: in balance when one in
ten is slower, which is what the planned quantile means. However slow one batch is, it counts for one step."""
SHARED = 0.02
"""After each batch the slowdown of the other rungs goes this share of the way towards that of the rung that served:
a rung that was given up when the machine was disturbed is tried again when it is not."""
QUICKEST, SLOWEST = math.log(0.25), math.log(16.0)
"""Slowdowns are believed between these."""


class Rung(Record):
    """One variant that is ready."""

    name: str
    quality: float
    profile: Profile
    cost_per_thousand: float | None = None
    """Of the requests it answers, every worker used to its capacity; None: not known."""
    service: tuple[ServiceTime, ...] = ()
    """What was measured of it: simulations draw from this; the controller does not look at it."""


class Ladder(Record):
    """The variants that may answer, the most accurate first. Each of them keeps the quality that was demanded."""

    rungs: tuple[Rung, ...]
    bound_s: float = math.inf
    """Requests should be answered by then; infinite: whenever."""
    workers: int = 1
    """Batches served side by side."""

    def __post_init__(self) -> None:
        if not self.rungs or self.workers < 1 or not self.bound_s > 0:
            raise ValueError(f"a ladder has a rung, a worker and a bound, got {self}")


def ordered(rungs: Sequence[Rung], bound_s: float, workers: int, *, lower_is_better: bool = False) -> Ladder:
    """The ladder of these: those that are no faster than a more accurate one (or one as accurate) are left out."""
    sign = 1 if lower_is_better else -1
    kept: list[Rung] = []
    for rung in sorted(rungs, key=lambda one: (sign * one.quality, -per_second(one.profile, bound_s))):
        if not kept or per_second(rung.profile, bound_s) > per_second(kept[-1].profile, bound_s):
            kept.append(rung)
    return Ladder(rungs=tuple(kept), bound_s=bound_s, workers=workers)


def per_second(profile: Profile, bound_s: float) -> float:
    """Requests per second of one worker, with the best batch that takes no longer than the bound (or with single
    ones, if none does)."""
    rates = [size / taken for size, taken in enumerate(profile.seconds, 1) if taken <= bound_s or size == 1]
    return max(rates)


def is_of_use(profile: Profile, bound_s: float, workers: int) -> bool:
    """Whether a rung that has faster ones below it is gone back to even when a single request is all that waits."""
    alone = profile.seconds[0]
    return alone <= PUNCTUAL * bound_s and alone <= (1 - BACK) * REACH * bound_s * workers


FITS = "all that waits can still be in time"
ALLOWED = "the most accurate that the request permits"
URGENT = "the most urgent request cannot wait for a more accurate one"
BACKLOG = "too much waits for a more accurate one"
NOT_YET = "not yet back to a more accurate one: the backlog is not short enough"


class Admission:
    """Lets a request in while the fastest rung could still answer it in time.

    A burst that meets idle workers may fill the whole bound. When load stays too high, the queue does not empty between
    bursts: its oldest requests are then so urgent that only small, wasteful batches are in time. So the share of the
    bound that may be filled is learnt: it narrows while batches are late, and widens when they are not. On simulated
    overload, 1.5 to 1.75 times what the fastest rung carries, 31 to 44 % are then late or refused (the excess alone is
    32 to 43 %), where a fixed share of 0.9 leaves 58 to 83 %. Bursts fare alike.
    """

    def __init__(self, bound_s: float, workers: int) -> None:
        self._bound_s = bound_s
        self._ends = [0.0] * workers
        """When the last batches are reckoned to end, of each worker one."""
        self._turn = 0
        self.share = 1.0
        """Of the bound: so much may be filled."""

    def gave(self, now: float, cleared_s: float, seconds: float, slack: float) -> None:
        """A worker was given a batch of `seconds` while `slack` was left, and what waited takes `cleared_s`."""
        self._ends[self._turn] = now + seconds
        self._turn = (self._turn + 1) % len(self._ends)
        if seconds <= slack:
            self.share = min(1.0, self.share + NARROWER * TOLERATED)
        elif cleared_s > LEAST * self._bound_s:
            self.share = max(LEAST, self.share - NARROWER)

    def again_s(self, now: float, cleared_s: float) -> float:
        """0: let one more in, with which all workers take `cleared_s` for what waits; else when it should come again.

        Then half of what may be filled should be free.
        """
        filled = cleared_s + sum(end - now for end in self._ends if end > now) / len(self._ends)
        most = self.share * self._bound_s
        return 0.0 if filled <= most else filled - most / 2


class Controller:
    """A policy (`scheduling.Policy`) that switches between the rungs of a ladder.

    `choose` and `admits` are called under one lock, `observe` by any thread.
    """

    def __init__(self, ladder: Ladder) -> None:
        self.ladder = ladder
        profiles = [rung.profile for rung in ladder.rungs]
        self._profiles = profiles
        self._small = [_lean_sizes(profile) for profile in profiles]
        self._rates = [ladder.workers * per_second(profile, ladder.bound_s) for profile in profiles]
        self._last = len(profiles) - 1
        self._all = (1 << len(profiles)) - 1
        self._logs = [0.0] * len(profiles)
        self._slower = [1.0] * len(profiles)
        self._admission = Admission(ladder.bound_s, ladder.workers)
        self._rung = 0
        """The one that served last, requests that permit only some left aside."""

    @property
    def slower(self) -> tuple[float, ...]:
        """How many times longer than its profile says each rung is reckoned to take at the moment."""
        return tuple(self._slower)

    def choose(self, now: float, waiting: int, slack: float, allowed: int = ALL) -> Choice:
        """What a free worker does while `waiting` requests wait, the most urgent of which is due in `slack` seconds.

        Bit r of `allowed` tells whether rung r may answer that one; at least one does. Size 0 only when nothing waits.
        """
        usable = allowed & self._all or self._all
        last = usable.bit_length() - 1
        if waiting < 1:
            return Choice(0, last)
        choice = self._choice(waiting, slack, usable, last)
        self._admission.gave(now, self._cleared_s(waiting, self._last), self.expected_s(choice), slack)
        if usable == self._all:
            self._rung = choice.rung
        return choice

    def _choice(self, waiting: int, slack: float, usable: int, last: int) -> Choice:
        why = FITS if usable & 1 else ALLOWED
        for rung in range(last):
            if usable >> rung & 1:
                size, refused = self._try(rung, waiting, slack)
                if not refused:
                    return Choice(size, rung, why)
                why = refused
        return Choice(batch_to_dispatch(self._profiles[last], waiting, slack / self._slower[last]), last, why)

    def _try(self, rung: int, waiting: int, slack: float) -> tuple[int, str]:
        """The batch that this rung, which is not the last, would take, and why it must not; empty: it may."""
        profile, slower = self._profiles[rung], self._slower[rung]
        punctual = PUNCTUAL * slack / slower
        size = self._small[rung][batch_to_dispatch(profile, waiting, punctual)]
        taken = profile.seconds[size - 1]
        if taken > punctual:
            return size, URGENT
        # The other workers go on meanwhile.
        left = taken * slower / self.ladder.workers + self._cleared_s(waiting - size, rung + 1)
        reach = REACH * self.ladder.bound_s
        if left > reach:
            return size, BACKLOG
        return size, NOT_YET if rung < self._rung and left > (1 - BACK) * reach else ""

    def _cleared_s(self, waiting: int, rung: int) -> float:
        """How long all workers take for these on one rung."""
        return waiting * self._slower[rung] / self._rates[rung]

    def expected_s(self, choice: Choice) -> float:
        """How long it takes to serve that."""
        profile = self._profiles[choice.rung]
        return profile.seconds[min(max(1, choice.size), profile.max_batch) - 1] * self._slower[choice.rung]

    def backlog_s(self, waiting: int) -> float:
        """How long what waits keeps all workers busy, if they retreat as far as they can."""
        return self._cleared_s(waiting, self._last)

    def admits(self, now: float, waiting: int) -> float:
        """0: let one more request in behind those that wait; otherwise the seconds after which it should come again.

        It is refused when not even the fastest rung would answer it within the bound; never when nothing waits.
        """
        return self._admission.again_s(now, self._cleared_s(waiting + 1, self._last)) if waiting else 0.0

    def observe(self, rung: int, size: int, seconds: float) -> None:
        """A batch was served and took so long: the rung's times are refitted, all sizes by one factor."""
        if not 0 <= rung <= self._last:
            return  # not one of the ladder's: what others are compared with
        profile, logs = self._profiles[rung], self._logs
        if not 1 <= size <= profile.max_batch or not seconds > 0:
            return
        step = UP if seconds > profile.seconds[size - 1] * self._slower[rung] else -DOWN
        mine = min(max(logs[rung] + step, QUICKEST), SLOWEST)
        for other, log in enumerate(logs):
            logs[other] = mine if other == rung else log + SHARED * (mine - log)
            self._slower[other] = math.exp(logs[other])


def _lean_sizes(profile: Profile) -> list[int]:
    """Entry b: the smallest batch that has nearly the throughput of the best one up to b."""
    sizes, smallest = [0], 1
    for best in profile.best[1:]:
        enough = (1 - LEAN) * best / profile.seconds[best - 1]
        while smallest / profile.seconds[smallest - 1] < enough:
            smallest += 1
        sizes.append(smallest)
    return sizes
