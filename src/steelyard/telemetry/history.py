"""The last minutes of every model, second by second: what the live page draws, and what "lately" means in metrics."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from steelyard.records.base import Record
from steelyard.records.engine import Array
from steelyard.serve.repository import Repository
from steelyard.serve.served import Resident, ServedModel
from steelyard.serve.statistics import Snapshot

log = logging.getLogger(__name__)

EVERY_S = 1.0
KEPT = 600
"""Points of each model."""
RECENT_POINTS = 10
"""Percentiles and shares are of so many points together: of a single one they would jump."""
PERCENTILES = (50, 95, 99)


class Point(Record):
    """What happened to one model between two looks at its counters."""

    at: float
    """Unix time of the second look, from a clock that does not jump."""
    seconds: float
    """Since the first."""
    answered: int
    late: int
    refused: int
    expired: int
    broken: int
    batches: int
    items: dict[str, int]
    """That each variant answered."""
    quality: float | None
    """Mean over the items; None without any."""
    cost: float | None
    """Per thousand, mean over the items; None without any, or where a variant's is not known."""
    latency_ms: tuple[float, ...]
    """At `PERCENTILES`, of the last answers; empty without any."""
    waiting: int

    @property
    def asked(self) -> int:
        """Requests whose outcome is known; those that were withdrawn are not among them."""
        return self.answered + self.refused + self.expired + self.broken

    @property
    def violations(self) -> int:
        """Requests that were answered late, or not."""
        return self.late + self.refused + self.expired + self.broken


class Window(Record):
    """Several points together."""

    seconds: float
    answered: int
    asked: int
    violations: int
    items: dict[str, int]
    quality: float | None
    cost: float | None

    @property
    def violation_ratio(self) -> float | None:
        """Of the requests asked; None without any."""
        return self.violations / self.asked if self.asked else None

    @property
    def rate(self) -> float | None:
        """Answered per second."""
        return self.answered / self.seconds if self.seconds else None

    def share(self, variant: str) -> float | None:
        """Of the items; None when none was answered."""
        total = sum(self.items.values())
        return self.items.get(variant, 0) / total if total else None


class Track:
    """The points of one model: of all versions that answer together, and of each."""

    def __init__(self) -> None:
        self.points: deque[Point] = deque(maxlen=KEPT)
        self._versions: dict[str, Course] = {}
        self._latencies: deque[Array] = deque(maxlen=RECENT_POINTS)

    def look(self, models: Sequence[ServedModel], at: float) -> None:
        """Add a point. The first look at a version only remembers its counters."""
        known = self._versions
        self._versions = {model.version: known.get(model.version) or Course(model) for model in models}
        new = [point for course in self._versions.values() if (point := course.look(at)) is not None]
        if new:
            self._latencies.append(np.concatenate([course.newest for course in self._versions.values()]))
            self.points.append(_merged(new, _percentiles(self._latencies)))

    def of(self, version: str) -> Sequence[Point]:
        """The points of one version, while it answers."""
        course = self._versions.get(version)
        return () if course is None else tuple(course.points)


class Course:
    """The points of one version."""

    def __init__(self, model: ServedModel) -> None:
        self.points: deque[Point] = deque(maxlen=KEPT)
        self.newest: Array = np.zeros(0)
        """Latencies of what was answered between the last two looks, in seconds."""
        self._model = model
        self._before: Snapshot | None = None
        self._looked_at = 0.0

    def look(self, at: float) -> Point | None:
        """The next point; None: it is the first look."""
        now, before = self._model.statistics.snapshot(), self._before
        looked_at, self._before, self._looked_at = self._looked_at, now, at
        if before is None:
            return None
        self.newest = np.asarray(self._model.statistics.latencies_s(before.success.count), np.float64)
        point = _point(self._model, before, now, at, at - looked_at, _percentiles([self.newest]))
        self.points.append(point)
        return point


def _point(
    model: ServedModel, before: Snapshot, now: Snapshot, at: float, seconds: float, latency_ms: tuple[float, ...]
) -> Point:
    items = {name: count - before.by_variant.get(name, 0) for name, count in now.by_variant.items()}
    return Point(
        at=at,
        seconds=seconds,
        answered=now.success.count - before.success.count,
        late=now.late - before.late,
        refused=now.refused - before.refused,
        expired=now.expired - before.expired,
        broken=now.broken - before.broken,
        batches=now.execution_count - before.execution_count,
        items=items,
        quality=_mean(items, {one.variant: one.quality for one in model.residents}),
        cost=_mean(items, costs(model.residents)),
        latency_ms=latency_ms,
        waiting=model.waiting,
    )


def _percentiles(latencies_s: Iterable[Array]) -> tuple[float, ...]:
    joined = np.concatenate(list(latencies_s))
    return tuple(float(each) for each in np.percentile(joined, PERCENTILES) * 1000) if joined.size else ()


def _merged(points: Sequence[Point], latency_ms: tuple[float, ...]) -> Point:
    """What several versions did in the same time."""
    window = together(points)
    return Point(
        at=points[0].at,
        seconds=max(point.seconds for point in points),
        answered=window.answered,
        late=sum(point.late for point in points),
        refused=sum(point.refused for point in points),
        expired=sum(point.expired for point in points),
        broken=sum(point.broken for point in points),
        batches=sum(point.batches for point in points),
        items=window.items,
        quality=window.quality,
        cost=window.cost,
        latency_ms=latency_ms,
        waiting=sum(point.waiting for point in points),
    )


def costs(residents: Sequence[Resident]) -> dict[str, float]:
    """Per thousand, of the variants that have a price."""
    return {one.variant: one.cost_per_thousand for one in residents if one.cost_per_thousand is not None}


def _mean(weights: dict[str, int], values: dict[str, float]) -> float | None:
    present = {name: weight for name, weight in weights.items() if weight}
    if not present or not values.keys() >= present.keys():
        return None
    return sum(values[name] * weight for name, weight in present.items()) / sum(present.values())


class History:
    """The tracks of all models of a server, kept up by a thread."""

    def __init__(self, repository: Repository, clock: Callable[[], float] = time.monotonic) -> None:
        self._repository = repository
        self._clock = clock
        self.began = time.time() - clock()
        """What turns the clock's time into Unix time; also tells one run of the server from the next."""
        self._lock = threading.Lock()
        self._tracks = {name: Track() for name in repository.names()}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look at all models every second from now on."""
        self.look()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(EVERY_S):
            try:
                self.look()
            except Exception:  # the server serves on, whatever becomes of its page
                log.exception("the counters could not be looked at")

    def look(self) -> None:
        """Add a point to every track."""
        with self._lock:
            at = self.began + self._clock()
            for name, track in self._tracks.items():
                track.look(self._repository.slot(name).models(), at)

    def points(self, name: str, since: float = 0.0) -> list[Point]:
        """Of one model, oldest first; only those after `since` (Unix time)."""
        with self._lock:
            return [point for point in self._tracks[name].points if point.at > since]

    def window(self, name: str, version: str, seconds: float) -> Window:
        """What one version did in the last `seconds`."""
        since = self.began + self._clock() - seconds
        with self._lock:
            return together([point for point in self._tracks[name].of(version) if point.at > since])


def together(points: Sequence[Point]) -> Window:
    """The sum of points."""
    items: dict[str, int] = {}
    for point in points:
        for name, count in point.items.items():
            items[name] = items.get(name, 0) + count
    served = [point for point in points if any(point.items.values())]
    weights = [sum(point.items.values()) for point in served]
    return Window(
        seconds=sum(point.seconds for point in points),
        answered=sum(point.answered for point in points),
        asked=sum(point.asked for point in points),
        violations=sum(point.violations for point in points),
        items=items,
        quality=_weighted([point.quality for point in served], weights),
        cost=_weighted([point.cost for point in served], weights),
    )


def _weighted(values: Sequence[float | None], weights: Sequence[int]) -> float | None:
    known = [value for value in values if value is not None]
    if not weights or len(known) < len(values):
        return None
    return float(np.average(known, weights=weights))
