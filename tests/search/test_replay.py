"""Searches on tables, where the truth is known and time costs nothing: the quick form of benchmarks/bench_search.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from racing.replay import InMemory, TableBench, raced
from racing.rivals import HillClimbing, Random
from racing.table import Table, Truth, chosen_by, read_table, write_table

from made_tables import SERVER, made_table
from steelyard.records.requirements import Requirements
from steelyard.search import Race, Result, Terms

OFFLINE = Requirements(quality_drop=0.02)
REPLAYS = range(4)
TABLES = Path(__file__).parent / "tables"


@pytest.fixture(scope="module")
def table() -> Table:
    return made_table(requirements=OFFLINE)


@pytest.fixture(scope="module")
def truth(table: Table) -> Truth:
    return Truth(table)


@pytest.fixture(scope="module")
def exhausted(table: Table) -> tuple[Result, float]:
    return raced(table, 100, exhaustive=True)


@pytest.fixture(scope="module")
def exhaustive_s(exhausted: tuple[Result, float]) -> float:
    return exhausted[1]


def test_a_table_is_read_as_it_was_written(table: Table, tmp_path: Path) -> None:
    write_table(table, tmp_path / "table.json")
    again = read_table(tmp_path / "table.json")
    assert again == table
    assert (again.rights("int8-b.quick.f32") != again.rights("original.quick.f32")).sum() > 10


def test_an_exhaustive_search_measures_all_that_can_be_measured(
    table: Table, truth: Truth, exhausted: tuple[Result, float]
) -> None:
    result, seconds = exhausted
    ran = [row for row in table.rows if row.failure is None]
    complete = [result.evidence[row.candidate.id] for row in ran]
    assert all(e.speed and e.selected and e.confirmed and not e.dropped for e in complete)
    assert all(e.selected and e.selected.items == table.split.select for e in complete)
    failed = [e for e in result.evidence.values() if e.speed is None]
    assert len(failed) == len(table.rows) - len(ran)
    assert all("the runtime cannot do it" in e.dropped for e in failed)
    assert result.figures.complete
    assert chosen_by(table, result.evidence) == truth.best
    assert 0.95 * table.exhaustive_s < seconds < 1.2 * table.exhaustive_s


def test_the_best_is_found_in_a_tenth_of_the_time(table: Table, truth: Truth, exhaustive_s: float) -> None:
    shares = []
    for seed in REPLAYS:
        result, seconds = raced(table, seed, 0.1 * exhaustive_s)
        assert seconds <= 0.11 * exhaustive_s
        shares.append(truth.share(chosen_by(table, result.evidence)))
    assert sum(shares) / len(shares) >= 0.98


def test_on_a_recorded_table_as_well() -> None:
    recorded = read_table(TABLES / "lstm.json")
    truth = Truth(recorded)
    within_s = 0.1 * recorded.exhaustive_s
    found = [chosen_by(recorded, raced(recorded, seed, within_s)[0].evidence) for seed in range(3)]
    assert sum(truth.share(name) for name in found) / len(found) >= 0.95
    assert all(name is not None and truth.is_feasible(name) for name in found)


def test_other_ways_to_search_do_worse_in_the_same_time(table: Table, truth: Truth, exhaustive_s: float) -> None:
    for rival in (Random, HillClimbing):
        shares = [
            truth.share(chosen_by(table, raced(table, seed, 0.1 * exhaustive_s, strategy=rival(seed))[0].evidence))
            for seed in REPLAYS
        ]
        assert sum(shares) / len(shares) < 0.9


def test_left_to_itself_it_ends_early_and_complete(table: Table, truth: Truth, exhaustive_s: float) -> None:
    result, seconds = raced(table, 1)
    assert seconds < 0.3 * exhaustive_s
    assert result.figures.complete
    assert truth.share(chosen_by(table, result.evidence)) > 0.95
    chosen = chosen_by(table, result.evidence)
    told = {name: e.dropped for name, e in result.evidence.items() if name not in (chosen, table.reference.id)}
    assert all(told[name] or result.evidence[name].speed for name in told), "whoever was not measured has a reason"


@pytest.mark.parametrize("share", [0.02, 0.05, 0.2])
def test_the_time_allowed_is_kept(table: Table, exhaustive_s: float, share: float) -> None:
    result, seconds = raced(table, 0, share * exhaustive_s)
    assert seconds <= 1.1 * share * exhaustive_s
    assert result.figures.complete == (share == 0.2)


def test_nothing_wrong_is_chosen_although_the_fastest_is_wrong(table: Table, truth: Truth) -> None:
    fastest = max(truth.standings.values(), key=lambda s: s.capacity).candidate
    assert not truth.is_feasible(fastest.id), "the trap is there"
    for seed in REPLAYS:
        chosen = chosen_by(table, raced(table, seed)[0].evidence)
        assert chosen is not None
        assert truth.is_feasible(chosen)


def test_a_clock_that_jumps_ends_the_search_with_what_is_known(table: Table) -> None:
    """A machine that was suspended for an hour: the plan so far stands, nothing raises, no step begins after it."""
    bench = TableBench(table, 0)
    passed = 0.0

    def clock() -> float:
        nonlocal passed
        if bench.now > 15 and not passed:
            passed = 3600.0
        return bench.now + passed

    race = Race(bench, InMemory(), table.machine, Terms(requirements=OFFLINE, within_s=60), clock=clock)
    bench.until = lambda at: None  # type: ignore[method-assign]  # it knows only its own clock
    result = race.run()
    assert not result.figures.complete
    assert bench.now < 30, "nothing was begun after the jump"
    assert chosen_by(table, result.evidence) is not None
    assert any("the time allowed" in evidence.dropped for evidence in result.evidence.values())


def test_under_a_latency_bound_finalists_are_put_under_load() -> None:
    table = made_table(requirements=SERVER)
    result, _ = raced(table, 0)
    chosen = chosen_by(table, result.evidence)
    assert chosen is not None
    load = result.evidence[chosen].load
    assert load is not None
    assert load.held_per_s == load.tried_per_s
    assert result.evidence[table.reference.id].load is not None
