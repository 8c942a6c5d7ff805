"""A noisy neighbour: the verdict is right or undecided, never wrong."""

from __future__ import annotations

import msgspec
from racing.replay import InMemory, TableBench
from racing.table import Table, chosen_by

from made_tables import SERVER, made_table
from made_up import MACHINE, weighing
from steelyard.decision import decide
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Price
from steelyard.records.measurement import ServiceTime, Speed
from steelyard.records.plan import Plan
from steelyard.records.requirements import Latency
from steelyard.search import Race, Result, Terms

TABLE = made_table()


def slower(service: ServiceTime, factor: float) -> ServiceTime:
    return msgspec.structs.replace(service, quantiles_ms=tuple(value * factor for value in service.quantiles_ms))


class Busy(TableBench):
    """Something else takes most of the machine, after the reference was timed by itself."""

    def __init__(self, table: Table, factor: float) -> None:
        super().__init__(table, 0)
        self._factor = factor

    def glance(self, candidate: Candidate, batch: int, seconds: float = 0.1) -> ServiceTime:
        return slower(super().glance(candidate, batch, seconds), 1.0 if seconds > 0.3 else self._factor)

    def speed(self, candidate: Candidate, quiet_ms: float, effort: float) -> Speed:
        speed = super().speed(candidate, quiet_ms, effort)
        service = tuple(slower(one, self._factor) for one in speed.service)
        return msgspec.structs.replace(speed, service=service, reference_ratio=self._factor)


def raced(factor: float, bound_ms: float) -> tuple[Table, Result]:
    latency = Latency(percentile=95, bound_ms=bound_ms)
    table = msgspec.structs.replace(TABLE, requirements=msgspec.structs.replace(SERVER, latency=latency))
    bench = Busy(table, factor)
    terms = Terms(requirements=table.requirements, within_s=60)
    return table, Race(bench, InMemory(), MACHINE, terms, clock=bench.clock).run()


def plan(table: Table, result: Result) -> Plan:
    made = msgspec.structs.replace(weighing([row.candidate for row in table.rows]), machine=MACHINE)
    return decide(made, result.evidence, table.requirements, Price(), search=result.figures, version="0", created="now")


def test_what_is_only_too_slow_because_of_the_neighbour_is_undecided() -> None:
    table, quiet = raced(1.0, bound_ms=4)
    assert plan(table, quiet).status == "met"
    table, busy = raced(8.0, bound_ms=4)
    assert plan(table, busy).status == "undecided"
    assert any("the machine was busy" in warning for warning in busy.warnings)


def test_what_holds_in_spite_of_the_neighbour_is_right() -> None:
    table, busy = raced(2.0, bound_ms=60)
    chosen = chosen_by(table, busy.evidence)
    assert plan(table, busy).status == "met"
    assert chosen is not None
    assert not chosen.startswith("int8-b"), "the wrong one"
