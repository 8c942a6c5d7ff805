"""Search exhaustively on this machine, and write all that was measured as a table to replay searches on.

    STEELYARD_DATA=… PYTHONPATH=benchmarks python -m racing.record mnist tests/search/tables/mnist.json [--within 3h]

Run it on a quiet machine: what it measures is taken for the truth. It takes as long as the exhaustive search, from
ten minutes (mnist, lstm) to an hour or more (efficientnet) on two cores; `--limit` draws fewer items.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from jobs import JOBS, opened, words
from racing.replay import InMemory
from racing.table import QUANTILES, Answered, Row, Table, packed, write_table

from steelyard.errors import CandidateFailure
from steelyard.loop import order
from steelyard.machines.here import this_machine
from steelyard.measure.workbench import Workbench, failure_of
from steelyard.records.arrivals import Arrivals
from steelyard.records.candidate import Candidate, Numerics
from steelyard.records.job import Job
from steelyard.records.measurement import Failure, Load, Probe, ServiceTime, Speed
from steelyard.records.requirements import Latency
from steelyard.records.subject import Answers
from steelyard.search import Event, Race, Terms

T = TypeVar("T")


class Recorder:
    """A bench that measures on another one and notes what it gave and how long that took."""

    def __init__(self, bench: Workbench, labels: Answers) -> None:
        self.subject = bench.subject
        self.limits = bench.limits
        self._bench = bench
        self._labels = labels
        self.probes: dict[str, tuple[Probe, float]] = {}
        self.speeds: dict[str, tuple[Speed, float]] = {}
        self.failures: dict[str, Failure] = {}
        self.rights: dict[Numerics, dict[int, bool]] = {}
        self.answer_s: dict[Numerics, list[float]] = {}

    def until(self, at: float) -> None:
        self._bench.until(at)

    def unbuilt(self, candidate: Candidate) -> float:
        return self._bench.unbuilt(candidate)

    def probe(self, candidate: Candidate, items: int) -> tuple[Probe, Answers | None]:
        begin = time.monotonic()
        probe, answers = self._bench.probe(candidate, items)
        self.probes[candidate.id] = probe, time.monotonic() - begin
        return probe, answers

    def answers(self, candidate: Candidate, start: int, stop: int) -> Answers:
        begin = time.monotonic()
        answers = self._failing(candidate, lambda: self._bench.answers(candidate, start, stop))
        self.answer_s.setdefault(candidate.numerics, []).append((time.monotonic() - begin) / max(stop - start, 1))
        right = answers == self._labels[start:stop]
        self.rights.setdefault(candidate.numerics, {}).update(enumerate(right.tolist(), start))
        return answers

    def glance(self, candidate: Candidate, batch: int, seconds: float = 0.1) -> ServiceTime:
        return self._failing(candidate, lambda: self._bench.glance(candidate, batch, seconds))

    def speed(self, candidate: Candidate, quiet_ms: float, effort: float) -> Speed:
        begin = time.monotonic()
        speed = self._failing(candidate, lambda: self._bench.speed(candidate, quiet_ms, effort))
        known = self.speeds.get(candidate.id)
        if known is None or speed.reference_ratio < known[0].reference_ratio:
            self.speeds[candidate.id] = speed, time.monotonic() - begin
        return speed

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
        return self._bench.load(candidate, rate, arrivals, seconds, latency, service, seed)

    def _failing(self, candidate: Candidate, measure: Callable[[], T]) -> T:
        try:
            return measure()
        except CandidateFailure as failure:
            self.failures[candidate.id] = failure_of(failure)
            raise


def row_of(recorder: Recorder, candidate: Candidate) -> Row:
    """One line of the table. What was never opened (its build had failed before) cost nothing."""
    recipe = recorder.subject.recipe(candidate)
    probe, seconds = recorder.probes.get(candidate.id, (Probe(build_s=0, load_s=0, memory_mb=0), 0.0))
    speed, speed_s = recorder.speeds.get(candidate.id, (None, 0.0))
    failure = probe.failure or recorder.failures.get(candidate.id)
    if speed is None and failure is None:
        failure = Failure(kind="build", message="others of its kind could not be made")
    return Row(
        candidate=candidate,
        outlook=recorder.subject.outlook(candidate),
        steps=(*(step.key for step in recipe.before), recipe.build_key),
        look_s=round(max(seconds - probe.build_s, 0.0), 3),
        load_s=round(probe.load_s, 3),
        memory_mb=round(probe.memory_mb, 1),
        failure=failure,
        service=() if speed is None or failure is not None else tuple(_shortened(one) for one in speed.service),
        speed_s=round(speed_s, 3),
    )


def _shortened(service: ServiceTime) -> ServiceTime:
    at = np.linspace(0, 1, QUANTILES)
    kept = np.interp(at, np.linspace(0, 1, len(service.quantiles_ms)), service.quantiles_ms)
    return msgspec.structs.replace(service, quantiles_ms=tuple(float(f"{value:.4g}") for value in kept), watts=None)


def table_of(name: str, job: Job, recorder: Recorder, built_s: dict[str, float]) -> Table:
    """All that was recorded."""
    total = recorder.subject.split.total
    answered: dict[str, Answered] = {
        numerics: Answered(
            right=packed(np.array([rights[item] for item in range(total)])),
            item_s=float(f"{np.median(recorder.answer_s[numerics]):.4g}"),
        )
        for numerics, rights in recorder.rights.items()
        if len(rights) == total
    }
    return Table(
        name=name,
        machine=this_machine(),
        requirements=job.requirements,
        split=recorder.subject.split,
        rows=tuple(row_of(recorder, candidate) for candidate in recorder.subject.candidates()),
        answered=answered,
        steps_s={key: round(seconds, 3) for key, seconds in built_s.items()},
    )


def record(name: str, job: Job, folder: Path) -> Table:
    """Search exhaustively in an empty folder."""
    terms = Terms(requirements=job.requirements, price=job.price, within_s=job.within_s, exhaustive=True)
    with opened(job, folder) as (bench, subject):
        if subject.labels is None:
            raise SystemExit("a table needs labels")
        recorder = Recorder(bench, subject.labels)
        result = Race(recorder, InMemory(), subject.machine, terms, _show).run()
        if not result.figures.complete:
            raise SystemExit("the time did not suffice: more --within")
        return table_of(name, job, recorder, bench.built_s)


def _show(event: Event) -> None:
    print(f"{time.strftime('%H:%M:%S')} {event.done}/{event.total} {event.stage}: {event.text}", flush=True)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("job", choices=JOBS)
    asked.add_argument("out", type=Path)
    asked.add_argument("--within", default="3h")
    asked.add_argument("--limit", type=int)
    given = asked.parse_args()
    told = words(given.job) | {"within": given.within, "exhaustive": True, "quality_drop": "1%"}
    if given.limit:
        told["limit"] = given.limit
    with tempfile.TemporaryDirectory() as folder:
        table = record(given.job, order.job(told), Path(folder))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    write_table(table, given.out)
    print(f"{len(table.rows)} candidates, {given.out.stat().st_size / 1e3:.0f} kB in {given.out}")


if __name__ == "__main__":
    main()
