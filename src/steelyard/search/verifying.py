"""Finalists under real load: what was predicted must hold, or the capacity that is told becomes what does hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from steelyard.arrivals import shown_s
from steelyard.decision import choose, running
from steelyard.decision.standing import Standing
from steelyard.records.measurement import Load
from steelyard.records.requirements import Latency, Requirements
from steelyard.search.questions import Questions
from steelyard.search.timetable import Timetable
from steelyard.verdicts.under_load import load_verdict

SHARES = (1.0, 0.93, 0.85, 0.75, 0.6, 0.4)
"""Of the predicted capacity, the rates that are tried until one does not fail."""
LATE_WANTED = 60
"""So many requests should be allowed to be late, or a verdict says little."""
SHORTEST_S, LONGEST_S = 1.0, 10.0
OVERHEAD_S = 0.5
REPEATS = 2
"""A rate that failed is tried once more: a moment's disturbance lowers no capacity."""


class Verifying:
    """The chosen one, then the runner-up and the reference as long as there is time."""

    def __init__(
        self, questions: Questions, requirements: Requirements, time: Timetable, tell: Callable[[str, str], None]
    ) -> None:
        self._questions = questions
        self._requirements = requirements
        self._time = time
        self._tell = tell
        self._tried: set[str] = set()
        self.warnings: list[str] = []

    @staticmethod
    def seconds(requirements: Requirements, capacity: float) -> float:
        """What putting one candidate under load is expected to take; 0 where there is nothing to verify."""
        if requirements.scenario != "server" or requirements.latency is None or capacity <= 0:
            return 0.0
        return _run_s(requirements, requirements.latency, capacity) + OVERHEAD_S

    def next(self, standings: Sequence[Standing]) -> Standing | None:
        """Who is to be verified next; None: nobody, or the time is up."""
        waiting = next((s for s in self._finalists(standings) if self._is_due(s)), None)
        if waiting is None:
            return None
        seconds = self.seconds(self._requirements, waiting.capacity)
        return waiting if self._time.is_left(seconds, into_grace=not self._tried) else None

    def _finalists(self, standings: Sequence[Standing]) -> list[Standing]:
        if self._requirements.scenario != "server":
            return []
        ordered = running(standings)
        chosen = choose(ordered).chosen
        if chosen is None:
            return []
        others = [s for s in ordered if s is not chosen and s.stand == "passes"]
        return list(dict.fromkeys([chosen, *others[:1], standings[0]]))

    def _is_due(self, standing: Standing) -> bool:
        return standing.candidate.id not in self._tried and standing.capacity > 0 and standing.load is None

    def put_under_load(self, standing: Standing) -> None:
        """Try the predicted capacity, and lower rates until one does not fail; keep what was found."""
        latency, predicted = self._requirements.latency, standing.capacity
        self._tried.add(standing.candidate.id)
        if latency is None:
            return
        held: Load | None = None
        for share in SHARES:
            run = self._run(standing, predicted * share, latency)
            if run is None:  # the time is up: what failed is not told, what comes next was not tried
                held = held and msgspec.structs.replace(held, held_per_s=predicted * share)
                break
            held = _told(run, latency, predicted, self._fails(run, latency))
            if held.held_per_s:
                break
        if held is None:
            return
        self._questions.keep_load(standing.candidate, held, self._requirements, latency)
        if held.held_per_s != predicted:
            self.warnings.append(
                f"{standing.candidate.id}: {predicted:,.0f} requests/s were predicted, "
                f"{held.held_per_s or 0:,.0f} held under real load"
            )

    def _run(self, standing: Standing, rate: float, latency: Latency) -> Load | None:
        """A run that does not fail, or the last one that did; None when the time is up."""
        run, seconds = None, _run_s(self._requirements, latency, rate)
        for _ in range(REPEATS):
            if not self._time.is_left(seconds, into_grace=run is None):
                break
            self._tell("load", f"{rate:,.0f} requests/s on {standing.candidate.id}")
            run = self._questions.load(standing.candidate, rate, seconds, self._requirements, latency)
            if not self._fails(run, latency):
                break
        return run

    def _fails(self, run: Load, latency: Latency) -> bool:
        return load_verdict(run, latency, self._requirements.confidence) == "fail"


def _run_s(requirements: Requirements, latency: Latency, rate: float) -> float:
    """Seconds in which enough requests come for a verdict, and their pattern is shown."""
    wanted = LATE_WANTED / (1 - latency.percentile / 100)
    shown = shown_s(requirements.arrivals, latency.bound_ms / 1e3)
    return min(max(wanted / rate, shown, SHORTEST_S), LONGEST_S)


def _told(run: Load, latency: Latency, predicted: float, fails: bool) -> Load:
    held = 0.0 if fails else run.rate_per_s
    return msgspec.structs.replace(run, percentile=latency.percentile, tried_per_s=predicted, held_per_s=held)
