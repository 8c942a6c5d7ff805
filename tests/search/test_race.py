"""The race on a subject that is no model, with every kind of candidate in it; its truth is known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines import Pipelines
from steelyard.decision import choose, running, stand
from steelyard.errors import Interrupted, ModelError
from steelyard.ledger import Ledger
from steelyard.measure.process import Limits
from steelyard.measure.workbench import Workbench
from steelyard.records.machine import Machine, Price
from steelyard.records.requirements import Requirements
from steelyard.records.subject import Split
from steelyard.search import Event, Race, Result, Terms

MACHINE = Machine(cpu="made up", arch="x86_64", cores=2, memory_mb=8000)
REQUIREMENTS = Requirements(quality_drop=0.02)
ORIGINAL: dict[str, Any] = {"ms": 2, "per_item_ms": 0.5}
KNOBS: dict[str, dict[str, Any]] = {
    "original": ORIGINAL,
    "fast": {"ms": 0.5, "per_item_ms": 0.15, "expected": 2},
    "fastest but wrong": {"ms": 0.1, "per_item_ms": 0.05, "wrong_every": 3, "expected": 2},
    "slow": {"ms": 20, "per_item_ms": 5, "expected": 2},
    "dull": {"ms": 20, "per_item_ms": 5, "expected": 0.3},
    "crashes": {"open": "open_bad", "how": "segfault", "expected": 9},
    "cannot": {"open": "open_failing", "expected": 9},
    "short": {"ms": 0.1, "short_by": 1, "expected": 9},
    "unreadable": {"ms": 0.1, "unreadable": True, "expected": 9},
    "built": {"ms": 1, "per_item_ms": 0.2, "build": "build_file", "expected": 2},
}


def race(
    tmp_path: Path,
    subject: Pipelines,
    stop: threading.Event | None = None,
    within_s: float = 30,
    seconds: float = 20,
    events: list[Event] | None = None,
    exhaustive: bool = False,
) -> Result:
    stop = stop or threading.Event()
    told = events if events is not None else []
    with (
        Ledger.open(tmp_path / "ledger.db") as ledger,
        Workbench(subject, tmp_path, Limits(memory_mb=1500, seconds=seconds), stop) as bench,
    ):
        terms = Terms(requirements=REQUIREMENTS, within_s=within_s, exhaustive=exhaustive)
        return Race(bench, ledger, MACHINE, terms, told.append).run()


def chosen(subject: Pipelines, result: Result) -> str:
    standings = stand(subject.candidates(), result.evidence, REQUIREMENTS, Price(), subject.split)
    found = choose(running(standings)).chosen
    assert found is not None
    return found.candidate.variant


def dropped(result: Result, variant: str) -> str:
    return next(e.dropped for name, e in result.evidence.items() if name.startswith(variant + "."))


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pipelines, Result, list[Event]]:
    place, subject, events = tmp_path_factory.mktemp("race"), Pipelines(KNOBS), list[Event]()
    return place, subject, race(place, subject, events=events), events


def test_the_best_that_is_right_wins(raced: tuple[Path, Pipelines, Result, list[Event]]) -> None:
    _, subject, result, events = raced
    assert chosen(subject, result) == "fast"
    assert "fast" in [e.best.split(".")[0] for e in events if e.best][-1]


def test_the_fastest_is_dropped_because_it_is_wrong(raced: tuple[Path, Pipelines, Result, list[Event]]) -> None:
    _, _, result, _ = raced
    assert "quality" in dropped(result, "fastest but wrong")
    evidence = next(e for n, e in result.evidence.items() if n.startswith("fastest"))
    assert evidence.speed is None, "what is wrong must not be timed carefully"


def test_every_failure_is_kept_with_its_reason(raced: tuple[Path, Pipelines, Result, list[Event]]) -> None:
    _, _, result, _ = raced
    assert "SIGSEGV" in dropped(result, "crashes")
    assert "unsupported: this engine cannot do it" in dropped(result, "cannot")
    assert "invalid: 31 answers to 32 items" in dropped(result, "short")
    assert "invalid: the metric cannot read" in dropped(result, "unreadable")


def test_what_cannot_win_leaves_early_with_figures(raced: tuple[Path, Pipelines, Result, list[Event]]) -> None:
    _, _, result, _ = raced
    for variant, by in (("slow", "by a rough timing"), ("dull", "from what its relatives showed")):
        assert "cannot win: at most" in dropped(result, variant)
        assert by in dropped(result, variant)
        assert next(e for n, e in result.evidence.items() if n.startswith(variant)).speed is None
    assert next(e for n, e in result.evidence.items() if n.startswith("dull")).probe is None, "it was not even opened"
    assert result.figures.ruled_out >= 5


def test_the_winner_is_confirmed_on_fresh_items(raced: tuple[Path, Pipelines, Result, list[Event]]) -> None:
    _, subject, result, _ = raced
    confirmed = next(e for n, e in result.evidence.items() if n.startswith("fast.")).confirmed
    assert confirmed is not None
    assert (confirmed.start, confirmed.items) == (subject.split.select, subject.split.confirm)


def test_a_second_run_measures_nothing_anew(raced: tuple[Path, Pipelines, Result, list[Event]]) -> None:
    place, subject, first, _ = raced
    again = race(place, subject)
    assert again.figures.measured == 0
    assert again.figures.resumed > 0
    assert chosen(subject, again) == chosen(subject, first)


def test_another_subject_shares_nothing(raced: tuple[Path, Pipelines, Result, list[Event]]) -> None:
    place, _, _, _ = raced
    other = Pipelines({"original": ORIGINAL | {"wrong_every": 50}})
    assert race(place, other).figures.resumed == 0


def test_killed_and_run_again_it_goes_on(tmp_path: Path) -> None:
    """kill -9 at some moment in the middle: what was in the ledger is taken over, the rest is measured."""
    script = (
        f"import sys, pathlib; sys.path[:0] = [{str(Path(__file__).parent)!r}]\n"
        "import test_race as t\n"
        "from pipelines import Pipelines\n"
        f"t.race(pathlib.Path({str(tmp_path)!r}), Pipelines(t.KNOBS))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    while _entries(tmp_path) < 4 and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = _entries(tmp_path)
    assert kept >= 4
    subject = Pipelines(KNOBS)
    result = race(tmp_path, subject)
    assert result.figures.resumed >= kept - 1  # two of them may be of one kind, asked for once
    assert chosen(subject, result) == "fast"


def _entries(place: Path) -> int:
    import sqlite3

    file = place / "ledger.db"
    if not file.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
            return int(connection.execute("select count(*) from entries").fetchone()[0])
    except sqlite3.Error:
        return 0


def test_stopping_keeps_what_was_measured(tmp_path: Path) -> None:
    stop = threading.Event()
    events: list[Event] = []
    subject = Pipelines(KNOBS)

    def watch() -> None:
        while not any(e.stage == "first look" and e.done >= 2 for e in events):
            time.sleep(0.02)
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    with pytest.raises(Interrupted):
        race(tmp_path, subject, stop=stop, events=events)
    assert _entries(tmp_path) >= 4
    assert race(tmp_path, subject).figures.resumed >= 4


def test_a_candidate_that_hangs_costs_its_limit_and_no_more(tmp_path: Path) -> None:
    subject = Pipelines({"original": ORIGINAL, "hangs": {"open": "open_bad", "how": "hang"}})
    result = race(tmp_path, subject, seconds=2)
    assert "timeout" in dropped(result, "hangs")
    assert chosen(subject, result) == "original"


def test_a_reference_that_cannot_run_ends_the_search_with_the_reason(tmp_path: Path) -> None:
    subject = Pipelines({"original": {"open": "open_bad", "how": "segfault"}})
    with pytest.raises(ModelError, match="SIGSEGV"):
        race(tmp_path, subject)


def test_without_time_the_best_so_far_stands(tmp_path: Path) -> None:
    subject = Pipelines(KNOBS)
    result = race(tmp_path, subject, within_s=0.01)
    assert not result.figures.complete
    assert chosen(subject, result) == "original"
    assert "the time allowed for the search was up" in dropped(result, "fast")


def test_those_set_aside_come_back_when_the_leader_is_not_confirmed(tmp_path: Path) -> None:
    """The leader is right on every item that selects and often wrong on those that confirm."""
    leader = {"ms": 0.3, "per_item_ms": 0.1, "wrong_every": 4, "wrong_from": 400, "expected": 3}
    subject = Pipelines({"original": ORIGINAL, "leader": leader, "solid": {"ms": 1, "per_item_ms": 0.3}})
    events: list[Event] = []
    result = race(tmp_path, subject, events=events)
    assert chosen(subject, result) == "solid"
    solid = next(c.id for c in subject.candidates() if c.variant == "solid")
    timed = [e.text for e in events if e.stage == "speed"]
    assert timed.index(f"timing {solid}") > 0, "solid was set aside first, and came back"


def test_few_items_are_looked_at_without_failing(tmp_path: Path) -> None:
    subject = Pipelines({"original": ORIGINAL, "fast": KNOBS["fast"]}, split=Split(select=1, confirm=1))
    result = race(tmp_path, subject)
    assert chosen(subject, result) == "original"  # two items prove nothing for the other


def test_an_exhaustive_search_drops_nothing_that_runs(tmp_path: Path) -> None:
    wrong = {"ms": 0.1, "wrong_every": 3}
    subject = Pipelines({"original": ORIGINAL, "slow": {"ms": 5, "expected": 0.1}, "wrong": wrong}, max_batch=2)
    result = race(tmp_path, subject, exhaustive=True, within_s=40)
    assert result.figures.complete
    assert result.figures.ruled_out == 0
    assert all(e.speed and e.selected and e.confirmed and not e.dropped for e in result.evidence.values())
    assert all(e.selected.items == subject.split.select for e in result.evidence.values() if e.selected)


def test_a_step_ends_with_the_time_and_is_no_failure_of_the_candidate(tmp_path: Path) -> None:
    hangs = {"open": "open_bad", "how": "hang", "expected": 5}
    began = time.monotonic()
    result = race(tmp_path, Pipelines({"original": ORIGINAL, "hangs": hangs}), within_s=8, seconds=300)
    assert time.monotonic() - began < 8 * 1.1 + 2  # starting and ending processes on a busy machine
    assert "the time allowed for the search was up" in dropped(result, "hangs")
    assert next(e for n, e in result.evidence.items() if n.startswith("hangs")).probe is None
    assert not result.figures.complete
