"""What a search needs of whatever measures: the workbench with its child processes, or a table that replays one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from steelyard.measure.process import Limits
from steelyard.records.arrivals import Arrivals
from steelyard.records.candidate import Candidate
from steelyard.records.measurement import Load, Probe, ServiceTime, Speed
from steelyard.records.requirements import Latency
from steelyard.records.subject import Answers, Subject

Clock = Callable[[], float]
"""Seconds that never run backwards, from any beginning."""


class Bench(Protocol):
    """Measures candidates of one subject, one at a time.

    Everything but `unbuilt` and `until` takes time and may raise `CandidateFailure` (a fault of the candidate's),
    `OutOfTime` once the time given by `until` has come, and `Interrupted`.
    """

    @property
    def subject(self) -> Subject:
        """What is searched."""

    @property
    def limits(self) -> Limits:
        """What a candidate may use."""

    def until(self, at: float) -> None:
        """No step goes on after this moment of the search's clock; infinite: there is none."""

    def unbuilt(self, candidate: Candidate) -> float:
        """Of the steps that build it, the share that has not been made yet, for it or for another."""

    def probe(self, candidate: Candidate, items: int) -> tuple[Probe, Answers | None]:
        """Build, open, serve once, answer the first items; a failure is told in the probe."""

    def answers(self, candidate: Candidate, start: int, stop: int) -> Answers:
        """Its answers to items [start, stop)."""

    def glance(self, candidate: Candidate, batch: int, seconds: float = 0.1) -> ServiceTime:
        """A rough service time."""

    def speed(self, candidate: Candidate, quiet_ms: float, effort: float) -> Speed:
        """Careful service times, interleaved with the reference; `quiet_ms`: what that one takes by itself."""

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
        """Real load, open loop."""
