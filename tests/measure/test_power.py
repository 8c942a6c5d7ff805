"""Watts from counters that rise, wrap and vanish, and from processor time where there are none."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from steelyard.machines.energy import Coefficients
from steelyard.measure import power as powers
from steelyard.measure.power import Meter, Reading
from steelyard.measure.process import Child, Limits
from steelyard.measure.speed import measure_speed
from steelyard.records.candidate import Candidate
from steelyard.records.measurement import Power

FIGURES = Coefficients("made up", idle_w=1.0, busy_w=5.0)


@dataclass
class Counted:
    """A counter that shows one value after the other, the last one for ever."""

    shows: list[float]
    name: str = "package-0"
    wraps_at: float = 1000.0
    broken: bool = False
    seen: list[float] = field(default_factory=list)

    def joules(self) -> float:
        if self.broken:
            raise OSError("gone")
        return self.shows.pop(0) if len(self.shows) > 1 else self.shows[0]


def span(meter: Meter, seconds: float) -> tuple[Reading, Reading]:
    start = meter.read(None)
    return start, meter.read(None)._replace(at=start.at + seconds)


def test_watts_are_joules_over_seconds_of_all_counters_and_spans() -> None:
    meter = Meter([Counted([10, 30, 100, 110]), Counted([0, 5, 5, 10])], None, cores=2)
    assert meter.watts([span(meter, 2.0), span(meter, 3.0)]) == pytest.approx((20 + 5 + 10 + 5) / 5)


def test_a_counter_that_begins_again_is_followed() -> None:
    meter = Meter([Counted([990, 15])], None, cores=2)
    assert meter.watts([span(meter, 1.0)]) == pytest.approx(25)


def test_a_counter_that_vanishes_gives_no_watts() -> None:
    counter = Counted([1, 2])
    meter = Meter([counter], FIGURES, cores=2)
    start = meter.read(None)
    counter.broken = True
    assert meter.watts([(start, meter.read(None))]) is None


def test_the_idle_machine_is_told_with_the_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(powers, "IDLE_S", 0.01)
    power = Meter([Counted([100, 101])], FIGURES, cores=2).power()
    assert power is not None
    assert power.idle_watts is not None
    assert 0 < power.idle_watts <= 100
    assert (power.source, power.estimated) == ("energy counters of the whole machine: package-0", False)


def test_processor_time_is_weighed_between_idle_and_busy() -> None:
    meter = Meter([], FIGURES, cores=4, why_not="no counter here")
    start = Reading(at=0.0, joules=(), busy_s=1.0)
    assert meter.watts([(start, Reading(2.0, (), 1.0))]) == pytest.approx(4.0)
    assert meter.watts([(start, Reading(2.0, (), 4.0))]) == pytest.approx(4.0 + 1.5 * 4)
    assert meter.watts([(start, Reading(2.0, (), 99.0))]) == pytest.approx(20.0)
    power = meter.power()
    assert power is not None
    assert power.estimated
    assert power.source.startswith("estimate: no counter here, so processor time times 1 (idle) to 5 (busy) W per vCPU")
    assert power.idle_watts == 4.0


def test_nothing_is_made_up_where_nothing_is_known() -> None:
    meter = Meter([], None, cores=2)
    assert meter.power() is None
    assert meter.watts([span(meter, 1.0)]) is None


def test_speed_is_measured_with_its_power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two real children: one sleeps while it serves, one computes and draws more."""
    meter = Meter([], FIGURES, cores=2, why_not="no counter")
    monkeypatch.setattr("steelyard.measure.speed.meter", lambda: meter)
    watts = {}
    for kind in ("plain", "busy"):
        of = Candidate(variant=kind, runtime="made-up", max_batch=1)
        with _opened(tmp_path, kind) as child, _opened(tmp_path, "plain") as reference:
            speed = measure_speed(child, of, reference, of, quiet_ms=2.0, effort=0.3)
        assert speed.power is not None
        assert isinstance(speed.power, Power)
        watts[kind] = speed.service[0].watts
    assert watts["plain"] is not None
    assert watts["busy"] is not None
    assert watts["busy"] > watts["plain"] + 0.1


def _opened(tmp_path: Path, kind: str) -> Child:
    child = Child(Limits(memory_mb=2000, seconds=20), tmp_path / f"{kind}.log", threading.Event())
    child.ask("open", function=f"misbehaving:open_{kind}", argument={"ms": 5}, streams=1, instances=1)
    return child
