"""Measure on a table instead of a machine: with fresh noise, on a clock of its own, in no time.

Service times are drawn from the table's distributions, as many runs as fit into the time, and all of one timing are
moved by a common factor, since timings differ from one to the next; items are drawn anew from the table's, so that
what the table says of all of them is the truth about the world that these come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from racing.table import Row, Table, paired_quality

from steelyard.errors import CandidateFailure, OutOfTime
from steelyard.measure.process import Limits
from steelyard.measure.speed import PAUSE_S, QUANTILES, REFERENCE_S, ROUNDS
from steelyard.records.arrivals import Arrivals
from steelyard.records.candidate import Candidate, Numerics
from steelyard.records.measurement import Entry, Load, Measurement, Probe, Quality, ServiceTime, Speed
from steelyard.records.requirements import Latency
from steelyard.records.subject import Answers, Outlook, Recipe, Split, Task
from steelyard.scheduling import batch_times
from steelyard.search.known import Strategy
from steelyard.search.race import Race, Result, Terms

TIMING_DEVIATION = 0.02
"""Of the logarithm of a careful timing, from one to the next."""
GLANCE_DEVIATION = 0.04
SECONDS_DEVIATION = 0.1
MOST_RUNS = 400
"""Drawn of one batch size: more would not change the quantiles."""


class TableSubject:
    """See `steelyard.records.subject.Subject`; `items`: which of the table's items this world has."""

    def __init__(self, table: Table, items: np.ndarray) -> None:
        self._table = table
        self._items = items
        self._rows = {row.candidate.id: row for row in table.rows}
        self.name = table.name
        self.key = table.name
        self.split: Split = table.split

    def candidates(self) -> Sequence[Candidate]:
        return [row.candidate for row in self._table.rows]

    def recipe(self, candidate: Candidate) -> Recipe:
        task = Task(function="", argument={})
        return Recipe(build=None, build_key="", open=task)

    def rights(self, numerics: Numerics, start: int, stop: int) -> Answers:
        rights: Answers = self._table.rights(numerics)[self._items[start:stop]]
        return rights

    def judge(self, numerics: Numerics, answers: Answers, reference: Answers, start: int) -> Quality:
        identical = numerics == self._table.reference.numerics
        return paired_quality(answers, reference, start, identical=identical)

    def versions(self, candidate: Candidate) -> Mapping[str, str]:
        return {}

    def outlook(self, candidate: Candidate) -> Outlook:
        return self._rows[candidate.id].outlook


class TableBench:
    """See `steelyard.search.bench.Bench`. `now` is its clock, in seconds."""

    def __init__(self, table: Table, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        total = table.split.total
        self.subject = TableSubject(table, self._rng.integers(0, total, total))
        self.limits = Limits(memory_mb=1 << 20, seconds=float("inf"))
        self.now = 0.0
        self._table = table
        self._rows = {row.candidate.id: row for row in table.rows}
        self._built: set[str] = set()
        self._until = float("inf")

    def clock(self) -> float:
        return self.now

    def until(self, at: float) -> None:
        self._until = at

    def unbuilt(self, candidate: Candidate) -> float:
        steps = self._rows[candidate.id].steps
        return sum(key not in self._built for key in steps) / max(len(steps), 1)

    def _pass(self, seconds: float) -> None:
        self.now += seconds * float(np.exp(self._rng.normal(0, SECONDS_DEVIATION)))
        if self.now > self._until:
            self.now = self._until
            raise OutOfTime("the time is up")

    def probe(self, candidate: Candidate, items: int) -> tuple[Probe, Answers | None]:
        row, begin = self._rows[candidate.id], self.now
        for key in row.steps:
            if key not in self._built:
                self._pass(self._table.steps_s.get(key, 0.0))
                self._built.add(key)
        build_s = self.now - begin
        self._pass(row.look_s)
        probe = Probe(build_s=build_s, load_s=row.load_s, memory_mb=row.memory_mb, failure=row.failure)
        return probe, None if row.failure else self.subject.rights(candidate.numerics, 0, items)

    def answers(self, candidate: Candidate, start: int, stop: int) -> Answers:
        answered = self._table.answered.get(candidate.numerics)
        if answered is None:
            raise CandidateFailure("crash", "it did not answer")
        self._pass((stop - start) * answered.item_s)
        return self.subject.rights(candidate.numerics, start, stop)

    def glance(self, candidate: Candidate, batch: int, seconds: float = 0.1) -> ServiceTime:
        service = self._timed(candidate, batch, seconds, GLANCE_DEVIATION)
        self._pass(max(seconds, 2 * service.median_ms / 1e3))
        return service

    def speed(self, candidate: Candidate, quiet_ms: float, effort: float) -> Speed:
        row = self._rows[candidate.id]
        if not row.service:
            raise CandidateFailure("crash", "it could not be timed")
        pauses = len(row.service) * ROUNDS * (REFERENCE_S + 2 * PAUSE_S)
        self._pass(pauses + effort * max(row.speed_s - pauses, 0.0))
        moved = float(self._rng.normal(0, TIMING_DEVIATION))
        service = tuple(self._timed(candidate, one.batch, effort, 0.01, moved) for one in row.service)
        return Speed(service=service, reference_ratio=float(np.exp(self._rng.normal(0, 0.01))))

    def load(
        self,
        candidate: Candidate,
        rate: float,
        arrivals: Arrivals,
        seconds: float,
        latency: Latency,
        service: Sequence[ServiceTime] = (),
        seed: int = 0,
    ) -> Load:
        """All in time: a table holds no load runs."""
        self._pass(seconds + 0.2)
        return Load(
            rate_per_s=rate,
            arrivals=arrivals.words,
            seconds=seconds,
            requests=max(1, int(rate * seconds)),
            late=0,
            late_once_sent=0,
            bound_ms=latency.bound_ms,
            quantiles_ms=(0.0, latency.bound_ms),
            sent_late_ms=(0.0, 0.0),
            generator_share=0.0,
            mean_batch=1.0,
            answered_per_s=rate,
        )

    def _timed(
        self, candidate: Candidate, batch: int, seconds: float, deviation: float, moved: float = 0.0
    ) -> ServiceTime:
        """As many runs as fit into the time, drawn from the table."""
        quantiles = self._quantiles(self._rows[candidate.id], batch)
        runs = int(np.clip(seconds * 1e3 / quantiles.mean() * candidate.workers, 2, MOST_RUNS))
        at = self._rng.random(runs) * (len(quantiles) - 1)
        drawn = np.interp(at, np.arange(len(quantiles)), quantiles)
        drawn *= np.exp(moved + self._rng.normal(0, deviation))
        told = np.quantile(drawn, np.linspace(0, 1, QUANTILES))
        return ServiceTime(batch=batch, quantiles_ms=tuple(float(f"{v:.6g}") for v in told), runs=runs)

    @staticmethod
    def _quantiles(row: Row, batch: int) -> np.ndarray:
        if not row.service:
            raise CandidateFailure("crash", "it could not be timed")
        known = next((one for one in row.service if one.batch == batch), None)
        if known is not None:
            return np.asarray(known.quantiles_ms)
        scale = batch_times(row.service, 0.5, batch)[-1] / row.service[-1].median_ms
        return np.asarray(row.service[-1].quantiles_ms) * scale


class InMemory:
    """What a search needs of a ledger, kept nowhere."""

    def __init__(self) -> None:
        self._entries: dict[str, Measurement] = {}

    def find(self, key: str) -> Measurement | None:
        return self._entries.get(key)

    def claim(self, key: str, patience_s: float = 0.0) -> None:
        pass

    def append(self, entry: Entry) -> None:
        self._entries[entry.key] = entry.measurement


def raced(
    table: Table, seed: int, within_s: float = 1e9, *, exhaustive: bool = False, strategy: Strategy | None = None
) -> tuple[Result, float]:
    """One search on the table; its result and the seconds it took on the table's clock."""
    bench = TableBench(table, seed)
    terms = Terms(requirements=table.requirements, within_s=within_s, exhaustive=exhaustive, rungs=False)
    race = Race(bench, InMemory(), table.machine, terms, clock=bench.clock, strategy=strategy)
    return race.run(), bench.now
