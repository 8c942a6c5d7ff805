"""Finalists under real load: what does not hold is told lower, and the choice is made again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from racing.replay import InMemory, TableBench
from racing.table import chosen_by

from made_tables import SERVER, made_table
from steelyard.decision import stand
from steelyard.records.arrivals import Arrivals
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Price
from steelyard.records.measurement import Load, ServiceTime
from steelyard.records.requirements import Latency
from steelyard.search import Event, Race, Result, Terms

TABLE = made_table()
FASTEST = "int8-a.other"


class Loaded(TableBench):
    """On which some candidates do not hold what was predicted: more than so many requests per second are late."""

    def __init__(self, holds: dict[str, float], busy_cores: float = 0.0) -> None:
        super().__init__(TABLE, 0)
        self._holds = holds
        self._busy_cores = busy_cores
        self.runs: list[tuple[str, float]] = []

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
        self.runs.append((candidate.id, rate))
        run = super().load(candidate, rate, arrivals, seconds, latency, service, seed)
        most = next((most for name, most in self._holds.items() if candidate.id.startswith(name)), float("inf"))
        late = run.requests // 2 if rate > most else 0
        changes = {"late": late, "late_once_sent": late, "others_cores": self._busy_cores}
        return Load(**{name: getattr(run, name) for name in run.__struct_fields__} | changes)


def raced(bench: Loaded, within_s: float = 1e9) -> tuple[Result, list[Event]]:
    events: list[Event] = []
    terms = Terms(requirements=SERVER, within_s=within_s)
    return Race(bench, InMemory(), TABLE.machine, terms, events.append, bench.clock).run(), events


def capacity(result: Result, name: str) -> float:
    candidates = [row.candidate for row in TABLE.rows]
    standings = stand(candidates, result.evidence, SERVER, Price(), TABLE.split)
    return next(s.capacity for s in standings if s.candidate.id == name)


def chosen(result: Result) -> str:
    found = chosen_by(TABLE, result.evidence)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def undisturbed() -> tuple[Loaded, Result]:
    bench = Loaded({})
    return bench, raced(bench)[0]


def test_what_holds_is_told_as_it_was_predicted(undisturbed: tuple[Loaded, Result]) -> None:
    bench, result = undisturbed
    assert chosen(result).startswith(FASTEST)
    name, rate = bench.runs[0]
    assert name == chosen(result)
    assert rate == pytest.approx(capacity(result, name))
    assert bench.runs[-1][0] == TABLE.reference.id
    assert not result.warnings


def test_a_capacity_that_does_not_hold_is_lowered_to_what_does(undisturbed: tuple[Loaded, Result]) -> None:
    predicted = capacity(undisturbed[1], chosen(undisturbed[1]))
    bench = Loaded({FASTEST: 0.9 * predicted})
    result, events = raced(bench)
    load = result.evidence[bench.runs[0][0]].load
    assert load is not None
    assert load.held_per_s == pytest.approx(0.85 * load.tried_per_s)  # type: ignore[operator]
    assert capacity(result, bench.runs[0][0]) == load.held_per_s
    assert any("held under real load" in warning for warning in result.warnings)
    assert [e.text for e in events if e.stage == "load"]


def test_the_choice_is_made_again_when_another_holds_more(undisturbed: tuple[Loaded, Result]) -> None:
    bench = Loaded({FASTEST: 1.0})
    result, _ = raced(bench)
    assert bench.runs[0][0] == chosen(undisturbed[1])
    assert chosen(result) != chosen(undisturbed[1])
    assert result.evidence[chosen(result)].load is not None, "the new choice was verified as well"


def test_a_run_on_a_busy_machine_lowers_nothing(undisturbed: tuple[Loaded, Result]) -> None:
    bench = Loaded({FASTEST: 1.0}, busy_cores=1.0)
    result, _ = raced(bench)
    assert chosen(result) == chosen(undisturbed[1])
    assert capacity(result, chosen(result)) == capacity(undisturbed[1], chosen(result))
