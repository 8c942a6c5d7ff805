"""Watts drawn while a candidate works: from energy counters, or estimated from the processor time that it used."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import psutil

from steelyard.machines.energy import SOURCE, Coefficients, Counter, coefficients_of, counters, unreadable
from steelyard.machines.here import this_machine
from steelyard.measure.process import Child
from steelyard.records.measurement import Power

IDLE_S = 0.5
"""How long the machine is watched doing nothing."""


class Reading(NamedTuple):
    """One look: the clock (monotonic), each counter in joules, the processor time used so far in seconds."""

    at: float
    joules: tuple[float, ...]
    busy_s: float


class Meter:
    """Reads the counters, if there are any; otherwise the processor time of the child and its siblings."""

    def __init__(
        self, counters: Sequence[Counter], coefficients: Coefficients | None, cores: int, why_not: str = ""
    ) -> None:
        self._counters = tuple(counters)
        self._coefficients = None if self._counters else coefficients
        self._cores = cores
        self._why_not = why_not
        self._power: Power | None = None

    def read(self, child: Child | None) -> Reading:
        """Now. Counters that can no longer be read make the result NaN."""
        busy_s = 0.0 if self._counters or child is None else math.fsum(map(_busy_s, (child.pid, *child.siblings)))
        try:
            joules = tuple(counter.joules() for counter in self._counters)
        except (OSError, ValueError):
            joules = (math.nan,) * len(self._counters)
        return Reading(time.monotonic(), joules, busy_s)

    def watts(self, spans: Sequence[tuple[Reading, Reading]]) -> float | None:
        """Mean over these spans of time; None when nothing is known."""
        seconds = math.fsum(end.at - start.at for start, end in spans)
        if self._counters:
            joules = math.fsum(self._used(start, end) for start, end in spans)
            return joules / seconds if seconds > 0 and math.isfinite(joules) else None
        if self._coefficients is None or seconds <= 0:
            return None
        busy = math.fsum(end.busy_s - start.busy_s for start, end in spans) / seconds
        figures = self._coefficients
        return self._cores * figures.idle_w + min(busy, self._cores) * (figures.busy_w - figures.idle_w)

    def _used(self, start: Reading, end: Reading) -> float:
        """Joules between two looks; a counter that shows less than before has begun again at 0 meanwhile."""
        return math.fsum(
            after - before + (counter.wraps_at if after < before else 0.0)
            for counter, before, after in zip(self._counters, start.joules, end.joules, strict=True)
        )

    def power(self) -> Power | None:
        """How the watts come about; the first call watches the idle machine for a moment. None: nothing is known."""
        if self._power is None:
            self._power = self._counted() if self._counters else self._estimated()
        return self._power

    def _counted(self) -> Power:
        start = self.read(None)
        time.sleep(IDLE_S)
        names = ", ".join(counter.name for counter in self._counters)
        idle = self.watts([(start, self.read(None))])
        return Power(source=f"energy counters of the whole machine: {names}", estimated=False, idle_watts=idle)

    def _estimated(self) -> Power | None:
        figures = self._coefficients
        if figures is None:
            return None
        return Power(
            source=(
                f"estimate: {self._why_not}, so processor time times {figures.idle_w:g} (idle) to {figures.busy_w:g} "
                f"(busy) W per vCPU, {figures.processor} ({SOURCE})"
            ),
            estimated=True,
            idle_watts=self._cores * figures.idle_w,
        )


@cache
def meter() -> Meter:
    """This machine's."""
    machine = this_machine()
    return Meter(counters(), coefficients_of(machine), machine.cores, unreadable())


def _busy_s(pid: int) -> float:
    """Processor time of a process, all its threads; 0 when it is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
