"""What a server may switch to is measured once the choice is made, in the time that is left, and changes no choice."""

from __future__ import annotations

import msgspec
import pytest
from racing.replay import TableBench
from racing.table import Table, chosen_by

from knowing import Knowledge, with_reference
from made_tables import SERVER, made_table
from made_up import REFERENCE, candidate, weighing
from steelyard.decision import decide
from steelyard.records.machine import Price
from steelyard.records.measurement import Entry, Measurement
from steelyard.records.plan import Plan, SearchFigures
from steelyard.records.requirements import Latency, Requirements
from steelyard.records.subject import Outlook
from steelyard.search import Race, Result, Terms, fold
from steelyard.search.known import Known, Step
from steelyard.search.rungs import MOST_TRIED, SHARE, Rungs

AS_GIVEN, MIDDLE, FAST = (candidate(name, threads=1, streams=2) for name in ("original", "middle", "fast"))
PROMISED = Requirements(quality_drop=0.02, scenario="server", latency=Latency(percentile=95, bound_ms=100))
CAREFUL = Outlook(speed=1.5, keeps=0.95)


def chosen_one(others: dict[object, Outlook] | None = None, requirements: Requirements = PROMISED) -> Knowledge:
    """FAST is chosen, on two workers; the reference was measured with one."""
    outlooks = {AS_GIVEN: Outlook(), MIDDLE: CAREFUL} if others is None else others
    knowledge = with_reference({**outlooks, FAST: Outlook(speed=3)}, requirements=requirements)  # type: ignore[dict-item]
    knowledge.timed(FAST, 3.0)
    knowledge.judged(FAST, 0.006)
    knowledge.confirmed(FAST, 0.006)
    return knowledge


def next_step(known: Known) -> Step | None:
    step = Rungs(known).next(known)
    return None if step is None else step._replace(most_s=float("inf"))


def test_the_subject_as_given_comes_first_and_needs_no_quality() -> None:
    knowledge = chosen_one()
    assert next_step(knowledge.known()) == Step("look", AS_GIVEN)
    knowledge.looked(AS_GIVEN, 12.0)
    assert next_step(knowledge.known()) == Step("speed", AS_GIVEN)
    knowledge.timed(AS_GIVEN, 12.0)
    assert next_step(knowledge.known()) == Step("look", MIDDLE)


def with_the_original() -> Knowledge:
    knowledge = chosen_one()
    knowledge.timed(AS_GIVEN, 12.0)
    return knowledge


def test_only_what_was_confirmed_is_timed() -> None:
    """What was timed is in the running, where the one that is chosen waits for it to be confirmed."""
    knowledge = with_the_original()
    knowledge.looked(MIDDLE, 6.0)
    assert next_step(knowledge.known()) == Step("quality", MIDDLE, 250)
    knowledge.judged(MIDDLE, 0.001)
    assert next_step(knowledge.known()) == Step("confirm", MIDDLE)
    knowledge.confirmed(MIDDLE, 0.001)
    assert next_step(knowledge.known()) == Step("speed", MIDDLE)
    knowledge.timed(MIDDLE, 6.0)
    assert next_step(knowledge.known()) is None


def test_what_is_not_confirmed_or_no_more_accurate_is_left() -> None:
    knowledge = with_the_original()
    knowledge.looked(MIDDLE, 6.0)
    knowledge.judged(MIDDLE, 0.007)
    assert next_step(knowledge.known()) is None, "the chosen one loses less"
    knowledge.judged(MIDDLE, 0.001)
    knowledge.confirmed(MIDDLE, 0.03)
    assert next_step(knowledge.known()) is None, "the confirming items speak against it"


def test_what_its_neighbours_reach_by_turns_is_left() -> None:
    knowledge = with_the_original()
    knowledge.looked(MIDDLE, 11.5)
    knowledge.judged(MIDDLE, 0.004)
    assert next_step(knowledge.known()) is None


def test_what_would_be_chosen_instead_is_not_timed() -> None:
    """Within what timings can tell, and more accurate: the search had its reasons not to time it."""
    knowledge = with_the_original()
    knowledge.looked(MIDDLE, 3.05)
    knowledge.judged(MIDDLE, 0.001)
    knowledge.confirmed(MIDDLE, 0.001)
    assert next_step(knowledge.known()) is None


def test_what_cannot_run_or_keep_the_bound_is_left() -> None:
    knowledge = with_the_original()
    knowledge.failed(MIDDLE, "build")
    assert next_step(knowledge.known()) is None
    knowledge = chosen_one()
    knowledge.looked(AS_GIVEN, 200.0)
    assert next_step(knowledge.known()) == Step("look", MIDDLE)


def test_other_ways_to_divide_the_machine_are_not_asked() -> None:
    assert next_step(chosen_one({candidate("middle"): CAREFUL}).known()) is None


def test_the_way_that_the_chosen_one_divides_the_machine_goes_first() -> None:
    apart = candidate("middle", threads=1, streams=1, instances=2)
    assert next_step(chosen_one({apart: CAREFUL, MIDDLE: CAREFUL}).known()) == Step("look", MIDDLE)
    assert next_step(chosen_one({apart: CAREFUL}).known()) == Step("look", apart)


@pytest.mark.parametrize(
    "requirements",
    [Requirements(quality_drop=0.02), Requirements(quality_drop=0.02, scenario="single", latency=PROMISED.latency)],
)
def test_without_a_queue_and_a_promise_nothing_is_asked(requirements: Requirements) -> None:
    assert next_step(chosen_one(requirements=requirements).known()) is None


def test_where_the_subject_as_given_is_chosen_nothing_is_asked() -> None:
    knowledge = with_reference({AS_GIVEN: Outlook(), MIDDLE: CAREFUL}, requirements=PROMISED)
    assert next_step(knowledge.known()) is None


def test_what_does_not_fit_into_the_time_is_told() -> None:
    known = chosen_one().known(left_s=0.1)
    rungs = Rungs(known)
    assert rungs.next(known) is None
    assert len(rungs.told) == 1
    assert AS_GIVEN.id in rungs.told[0]
    assert "--within" in rungs.told[0]
    there_is_time = chosen_one().known(left_s=30.0)
    step = rungs.next(there_is_time)
    assert step is not None
    assert step.most_s == 30.0
    assert rungs.told == []


def test_it_ends_however_little_comes_of_it() -> None:
    many = {candidate(f"v{n}", threads=1, streams=2): Outlook(speed=1.2 + n / 10, keeps=0.9) for n in range(9)}
    known = chosen_one(many).known()  # type: ignore[arg-type]
    rungs = Rungs(known)
    asked = list(iter(lambda: rungs.next(known), None))
    assert 1 <= len(asked) <= MOST_TRIED
    assert len(set(asked)) == len(asked)


# --- in a whole search


class Kept:
    """A ledger in memory that can be read again."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def find(self, key: str) -> Measurement | None:
        return self.entries[key].measurement if key in self.entries else None

    def claim(self, key: str, patience_s: float = 0.0) -> None:
        pass

    def append(self, entry: Entry) -> None:
        self.entries[entry.key] = entry


def searched(table: Table, within_s: float = 400.0, *, rungs: bool = True) -> tuple[Result, Kept, TableBench]:
    bench, kept = TableBench(table, 0), Kept()
    terms = Terms(requirements=SERVER, within_s=within_s, rungs=rungs)
    return Race(bench, kept, table.machine, terms, clock=bench.clock).run(), kept, bench


def planned(table: Table, evidence: dict[str, object]) -> Plan:
    told = weighing([row.candidate for row in table.rows], table.split.confirm)
    subject = msgspec.structs.replace(told.subject, items_select=table.split.select)
    figures = SearchFigures(seconds=1, measured=1, resumed=0, ruled_out=0, complete=True)
    told = msgspec.structs.replace(told, subject=subject)
    return decide(told, evidence, SERVER, Price(), search=figures, version="0", created="now")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def table() -> Table:
    return made_table()


@pytest.fixture(scope="module")
def with_rungs(table: Table) -> tuple[Result, Kept, TableBench]:
    return searched(table)


def test_a_search_leaves_a_ladder(table: Table, with_rungs: tuple[Result, Kept, TableBench]) -> None:
    plan = planned(table, dict(with_rungs[0].evidence))
    assert plan.chosen is not None
    told = {one.id: one.figures for one in plan.candidates}
    drops = [figures.quality.drop for name in plan.ladder if (figures := told[name]) is not None]
    assert drops == sorted(drops)
    assert plan.ladder[-1] == plan.chosen.id
    assert {row.candidate.workers for row in table.rows if row.candidate.id in plan.ladder} == {plan.chosen.workers}
    as_given = with_rungs[0].evidence["original.quick.f32.t1s2b32"]
    assert as_given.speed is not None, "the subject as given is timed, and left out only for what is faster and as good"
    without = planned(table, dict(searched(table, rungs=False)[0].evidence))
    assert without.chosen == plan.chosen
    assert len(without.ladder) < len(plan.ladder)


def test_the_ledger_alone_tells_the_same_ladder(table: Table, with_rungs: tuple[Result, Kept, TableBench]) -> None:
    result, kept, _ = with_rungs
    measured: dict[str, list[Measurement]] = {}
    for entry in kept.entries.values():
        measured.setdefault(entry.candidate, []).append(entry.measurement)
    candidates = [row.candidate for row in table.rows]
    again = planned(table, dict(fold(candidates, measured, table.split)))
    assert again.ladder == planned(table, dict(result.evidence)).ladder
    assert len(again.ladder) > 1


def test_what_was_measured_before_is_not_measured_again(
    table: Table, with_rungs: tuple[Result, Kept, TableBench]
) -> None:
    bench = TableBench(table, 0)
    again = Race(bench, with_rungs[1], table.machine, Terms(requirements=SERVER, within_s=400), clock=bench.clock).run()
    assert planned(table, dict(again.evidence)).ladder == planned(table, dict(with_rungs[0].evidence)).ladder
    assert again.figures.measured <= 0.1 * again.figures.resumed


def test_the_rungs_take_no_more_than_their_share_and_never_more_than_is_left(table: Table) -> None:
    for within_s in (40.0, 80.0, 400.0):
        without, with_them = (searched(table, within_s, rungs=rungs) for rungs in (False, True))
        more = with_them[2].now - without[2].now
        assert more <= SHARE * within_s * 1.01
        assert with_them[2].now <= 1.06 * within_s
        assert chosen_by(table, with_them[0].evidence) == chosen_by(table, without[0].evidence)
        assert with_them[0].figures.complete == without[0].figures.complete


def test_the_reference_is_never_asked_twice() -> None:
    assert REFERENCE not in {s.candidate for s in Rungs(chosen_one().known()).wanted(chosen_one().known())}
