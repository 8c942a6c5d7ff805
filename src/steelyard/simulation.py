"""Another day, simulated: arrivals through a queue, an admission and a policy, with service times as measured.

Policy and admission are the server's own. All requests have the same bound, so the earliest deadline is the earliest
arrival. What is left out is what `steelyard.capacity` leaves out too. All times are seconds unless a name says
otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapreplace

import msgspec
import numpy as np
import numpy.typing as npt

from steelyard.arrivals import Floats
from steelyard.capacity import DRAWS, drawn_seconds
from steelyard.records.base import Record
from steelyard.scheduling import Policy, Single
from steelyard.switching import Controller, Ladder

Ints = npt.NDArray[np.int64]

QUANTILES = 101
STRETCHES = 200
"""The queue is told in so many stretches of equal length."""


class Outcome(Record):
    """What became of the requests."""

    requests: int
    late: int
    """Answered after the bound."""
    refused: int
    seconds: float
    """From 0 to the last arrival."""
    quality: float
    """Mean over the requests answered."""
    cost_per_thousand: float | None
    """Mean over the requests answered, each at its rung's; None where one is not known."""
    answered: tuple[int, ...]
    """By each rung."""
    batches: int
    switches: int
    """Batches that another rung served than the one before."""
    busy: float
    """Share of the workers' time spent serving."""
    latency_ms: tuple[float, ...]
    """Evenly spaced quantiles of the latency of the requests answered, from the minimum to the maximum."""
    queue: tuple[int, ...]
    """The most that waited in each of `STRETCHES` stretches of equal length."""

    @property
    def violations(self) -> float:
        """Share of the requests that were late or refused."""
        return (self.late + self.refused) / self.requests

    @property
    def shares(self) -> tuple[float, ...]:
        """Of the requests answered, by each rung."""
        total = sum(self.answered)
        return tuple(count / total for count in self.answered)

    @property
    def mean_batch(self) -> float:
        """Requests served together, on average."""
        return sum(self.answered) / self.batches


@dataclass
class _Course:
    """What happened, in the order of the batches."""

    came: list[float] = field(default_factory=list)
    """Arrivals of the requests that were let in."""
    began: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    rungs: list[int] = field(default_factory=list)


def replay(times: Floats, ladder: Ladder, policy: Policy | None = None, seed: int = 0) -> Outcome:
    """What becomes of requests that arrive at these rising times.

    Without a policy the ladder's own controller chooses, and lets in whom it can serve in time. Times of batches are
    drawn from what was measured (from the profile, without a spread, where a rung has no measurements); equal seeds
    give equal luck, as in `capacity`. Raises ValueError without arrivals.
    """
    if not len(times):
        raise ValueError("expected at least one arrival")
    policy = Controller(ladder) if policy is None else policy
    luck: list[int] = np.random.default_rng(seed).integers(0, DRAWS, len(times)).tolist()
    drawn = [[[], *_table(ladder, rung)] for rung in range(len(ladder.rungs))]
    course = _run(times.tolist(), ladder, drawn, policy, luck)
    return _told(course, times, ladder)


def static(times: Floats, ladder: Ladder, rung: int, seed: int = 0, *, admission: bool = False) -> Outcome:
    """The same with one rung alone, as servers without switching do it; `admission`: the controller lets requests in.

    The outcome tells of that rung as of the only one.
    """
    alone = msgspec.structs.replace(ladder, rungs=(ladder.rungs[rung],))
    return replay(times, alone, None if admission else Single(alone.rungs[0].profile), seed=seed)


def _table(ladder: Ladder, rung: int) -> list[list[float]]:
    """Equally likely seconds of batches of 1, 2 … requests."""
    one = ladder.rungs[rung]
    if not one.service:
        return [[taken] * DRAWS for taken in one.profile.seconds]
    table: list[list[float]] = drawn_seconds(one.service, one.profile.max_batch).tolist()
    return table


def _run(
    times: list[float],
    ladder: Ladder,
    drawn: Sequence[Sequence[Sequence[float]]],
    policy: Policy,
    luck: list[int],
) -> _Course:
    """Event by event: a worker frees, those that came meanwhile are let in or not, it takes a batch.

    `luck` holds for each request that is let in which of the equally likely times a batch meets that it leads.
    """
    course = _Course()
    came, bound = course.came, ladder.bound_s
    choose, observe, admits = policy.choose, policy.observe, policy.admits
    free: list[tuple[float, int, int, float]] = [(0.0, 0, 0, 0.0)] * ladder.workers
    """When each worker is free, and the rung, size and seconds of the batch that it then has served."""
    last, arrived, first, now = len(times), 0, 0, 0.0
    while arrived < last or first < len(came):
        freed, rung, size, seconds = free[0]
        if size:
            observe(rung, size, seconds)
        now = max(now, freed) if first < len(came) else max(now, freed, times[arrived])
        while arrived < last and times[arrived] <= now:
            if not admits(times[arrived], len(came) - first) > 0:
                came.append(times[arrived])
            arrived += 1
        if first == len(came):
            heapreplace(free, (freed, 0, 0, 0.0))
            continue
        choice = choose(now, len(came) - first, came[first] + bound - now)
        size, rung = choice.size, choice.rung
        seconds = drawn[rung][size][luck[first]]
        heapreplace(free, (now + seconds, rung, size, seconds))
        course.began.append(now)
        course.ended.append(now + seconds)
        course.sizes.append(size)
        course.rungs.append(rung)
        first += size
    return course


def _told(course: _Course, times: Floats, ladder: Ladder) -> Outcome:
    came, ended = np.asarray(course.came), np.asarray(course.ended)
    sizes, rungs = np.asarray(course.sizes), np.asarray(course.rungs)
    latencies = np.repeat(ended, sizes) - came
    answered = np.bincount(rungs, weights=sizes, minlength=len(ladder.rungs)).astype(int)
    costs = [rung.cost_per_thousand for rung in ladder.rungs]
    known = [cost or 0.0 for cost in costs]
    unknown = any(cost is None and count for cost, count in zip(costs, answered, strict=True))
    busy = float((ended - np.asarray(course.began)).sum())
    return Outcome(
        requests=len(times),
        late=int(np.count_nonzero(latencies > ladder.bound_s)),
        refused=len(times) - len(came),
        seconds=float(times[-1]),
        quality=float(np.average([rung.quality for rung in ladder.rungs], weights=answered)),
        cost_per_thousand=None if unknown else float(np.average(known, weights=answered)),
        answered=tuple(answered.tolist()),
        batches=len(sizes),
        switches=int(np.count_nonzero(np.diff(rungs))),
        busy=busy / (ladder.workers * float(ended.max())),
        latency_ms=tuple((np.quantile(latencies, np.linspace(0, 1, QUANTILES)) * 1000).tolist()),
        queue=_queue(came, np.asarray(course.began), sizes),
    )


def _queue(came: Floats, began: Floats, sizes: Ints) -> tuple[int, ...]:
    """The most that waited in each stretch: it is highest just before a batch is taken."""
    waited = np.searchsorted(came, began, side="right") - np.concatenate([[0], np.cumsum(sizes)[:-1]])
    stretch = np.minimum((began / max(float(began[-1]), 1e-12) * STRETCHES).astype(int), STRETCHES - 1)
    most = np.zeros(STRETCHES, np.int64)
    np.maximum.at(most, stretch, waited)
    return tuple(most.tolist())
