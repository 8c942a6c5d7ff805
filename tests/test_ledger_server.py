"""The ledger in PostgreSQL, against a real server; and what holds of both kinds when several runs share one."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import postgres
from command import run_in
from pipelines import Pipelines
from steelyard.errors import UsageError
from steelyard.ledger import Ledger, Outages, SubjectLine, claims, outage, shown
from steelyard.ledger.server import Away
from steelyard.measure.process import Limits
from steelyard.measure.workbench import Workbench
from steelyard.records.machine import Machine
from steelyard.records.requirements import Requirements
from steelyard.search import Event, Race, Result, Terms
from test_ledger import APPENDING, EVERY_KIND, PROBE, entry, keys

MACHINE = Machine(cpu="made up", arch="x86_64", cores=2, memory_mb=8000)
KNOBS = {"original": {"ms": 4}, "fast": {"ms": 1}, "slow": {"ms": 9}}


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.server() as running:
        yield running


@pytest.fixture
def url(server: postgres.Server, request: pytest.FixtureRequest) -> str:
    """A database of the test's own; the server runs, also when the test before stopped it."""
    name = "d" + str(abs(hash(request.node.name)))
    return server.database(name)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def outages(tmp_path: Path, told: list[str]) -> Outages:
    return Outages(tmp_path, told.append)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions are answered without the server as soon as it is away."""
    monkeypatch.setattr(outage, "PATIENCE_S", 0.0)


@contextlib.contextmanager
def away(server: postgres.Server) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


# What is kept -----------------------------------------------------------------------------------------------------


def test_every_kind_of_measurement_comes_back_equal(url: str) -> None:
    wanted = [entry(key=str(number), measurement=each) for number, each in enumerate(EVERY_KIND)]
    with Ledger.open(url) as ledger:
        for each in wanted:
            ledger.append(each)
    with Ledger.open(url) as ledger:
        assert ledger.of_subject("s") == wanted
        assert [ledger.find(each.key) for each in wanted] == EVERY_KIND
        assert ledger.find("nothing") is None


def test_order_machines_subjects_and_notes(url: str) -> None:
    with Ledger.open(url) as ledger:
        for key, subject, machine in [("z", "s", "m"), ("a", "s", "n"), ("b", "other", "m"), ("c", "s", "m")]:
            ledger.append(entry(key, subject, machine))
        assert keys(ledger) == ["z", "a", "c"]
        assert [each.key for each in ledger.of_subject("s", machine="m")] == ["z", "c"]
        assert ledger.subjects()[-1] == SubjectLine("s", 3, "2026-11-24T00:00:01+00:00")
        ledger.append(entry("z", measurement=EVERY_KIND[1]))
        assert ledger.find("z") == EVERY_KIND[1], "the newest"
        ledger.remember("s", "{}", "m")
        ledger.remember("s", '{"name": "digits"}', "m")
        ledger.remember("s", '{"name": "same"}', "n")
        ledger.remember("s2", "{}", "m")
        assert ledger.notes("s") == {"m": '{"name": "digits"}', "n": '{"name": "same"}'}
        assert ledger.recall("s", "m") == '{"name": "digits"}'


# What is wrong ----------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Callable[[postgres.Server], str], str, str]] = {
    "no database": (lambda s: s.url("nowhere"), "does not exist", "createdb"),
    "wrong password": (lambda s: s.url(password="guess:ed"), "password", "check user and password"),
    "no password": (lambda s: f"postgresql://owner@127.0.0.1:{s.port}/postgres", "password", "PGPASSWORD"),
    "no server": (lambda s: "postgresql://owner:guess:ed@127.0.0.1:1/x", "port 1", "start it"),
    "no host": (lambda s: "postgres://owner:guess:ed@nowhere.invalid/x", "nowhere.invalid", "start it"),
    "no socket": (lambda s: "postgresql://owner:guess:ed@/x?host=/nowhere", "cannot be used", "start it"),
    "no TLS": (lambda s: s.url() + "?sslmode=require", "SSL", "sslmode"),
    "no certificates": (lambda s: s.url() + "?sslmode=verify-full&sslrootcert=/none", "/none", "sslrootcert"),
    "an odd mode": (lambda s: s.url() + "?sslmode=maybe", "maybe", "verify-full"),
    "an odd parameter": (lambda s: s.url() + "?password=guess:ed", "unknown parameters", "known: host"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_without_the_password(server: postgres.Server, case: str) -> None:
    where, words, hint = WRONG[case]
    with pytest.raises(UsageError) as caught:
        Ledger.open(where(server))
    assert words in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_status == 2
    assert "guess" not in str(caught.value)
    assert postgres.PASSWORD not in str(caught.value)


def test_no_rights_is_told_before_anything_is_measured(server: postgres.Server, url: str, outages: Outages) -> None:
    name = url.rpartition("/")[2]
    server.sql("CREATE ROLE reader LOGIN PASSWORD 'r'")
    reader = server.url(name, "reader", "r")
    with pytest.raises(UsageError, match="permission denied") as caught:
        Ledger.open(reader)
    assert "GRANT" in caught.value.hint
    with Ledger.open(url) as ledger:
        ledger.append(entry())
    server.sql("GRANT SELECT ON entries, subjects TO reader", name)
    with Ledger.open(reader) as ledger:
        assert keys(ledger) == ["k"], "enough to decide"
    with pytest.raises(UsageError, match="permission denied"):
        Ledger.open(reader, outages)
    server.sql("GRANT INSERT ON entries TO reader; GRANT INSERT, UPDATE ON subjects TO reader", name)
    server.sql("GRANT USAGE ON SEQUENCE entries_id_seq TO reader", name)
    with Ledger.open(reader, outages) as ledger:
        ledger.append(entry("mine"))
        ledger.remember("s", "{}", "m")
        assert keys(ledger) == ["k", "mine"], "what was only tried left nothing"


def test_tables_of_another_application(server: postgres.Server, url: str) -> None:
    server.sql("CREATE TABLE entries (url text)", url.rpartition("/")[2])
    with pytest.raises(UsageError, match="does not exist") as caught, Ledger.open(url) as ledger:
        ledger.of_subject("s")
    assert "database of its own" in caught.value.hint


@pytest.mark.parametrize(
    "where", ["postgresql://me:sec@ret@host/d", "postgres://me:sec:ret@host", "postgresql://me:@h/d"]
)
def test_a_url_is_shown_without_its_password(where: str) -> None:
    assert "sec" not in shown(where)
    assert "ret" not in shown(where)
    assert shown(where).startswith(("postgresql://me:***@h", "postgres://me:***@h"))


def test_a_path_is_shown_as_it_is() -> None:
    assert shown("a@b:c/x.db") == "a@b:c/x.db"


def test_the_command_ends_with_2_and_keeps_the_password_to_itself(tmp_path: Path, server: postgres.Server) -> None:
    where = server.url("nowhere")
    ran = run_in(tmp_path, "decide", "--ledger", where)
    assert ran.status == 2
    assert "createdb" in ran.err
    settings = run_in(tmp_path, "config", "--show", "--format", "json", STEELYARD_LEDGER=where)
    assert settings.json["ledger"]["value"] == shown(where)
    empty = run_in(tmp_path, "decide", "--ledger", server.database("empty"))
    assert "holds no measurements yet" in empty.err
    for text in (ran.out, ran.err, settings.out, settings.err, empty.err):
        assert "sesame" not in text


# The server goes away ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
def test_measurements_made_while_it_is_away_arrive_once_it_is_back(
    server: postgres.Server, url: str, outages: Outages, told: list[str]
) -> None:
    with Ledger.open(url, outages) as ledger:
        ledger.append(entry("before"))
        with away(server):
            ledger.append(entry("during", measurement=EVERY_KIND[3]))
            assert ledger.find("during") == EVERY_KIND[3]
            assert ledger.find("before") is None, "nobody can tell"
            ledger.append(entry("also"))
        time.sleep(outage.FIRST_PAUSE_S * 5)
        ledger.append(entry("after"))
        assert keys(ledger) == ["before", "during", "also", "after"]
        assert ledger.find("during") == EVERY_KIND[3]
        assert ledger.notices == []
    assert "kept in" in told[0]
    assert "back, 2 measurements handed over" in told[1]
    assert len(told) == 2
    assert "sesame" not in "".join(told)


def test_a_question_waits_for_the_server(server: postgres.Server, url: str, outages: Outages) -> None:
    with Ledger.open(url, outages) as ledger:
        ledger.append(entry("before"))
        server.stop()
        back = threading.Timer(0.7, server.start)
        back.start()
        assert ledger.find("before") == PROBE
        back.join()


@pytest.mark.usefixtures("impatient")
def test_a_note_that_cannot_be_written_does_not_end_the_run(
    server: postgres.Server, url: str, outages: Outages
) -> None:
    with Ledger.open(url, outages) as ledger:
        ledger.remember("s", "first", "m")
        with away(server):
            ledger.remember("s", "second", "m")
            assert "what was searched is not noted" in ledger.notices[0]
        time.sleep(outage.FIRST_PAUSE_S * 2)
        ledger.remember("s", "third", "m")
        assert ledger.recall("s", "m") == "third"


@pytest.mark.usefixtures("impatient")
def test_when_it_stays_away_the_next_run_hands_over(server: postgres.Server, url: str, outages: Outages) -> None:
    with away(server), pytest.raises(UsageError, match="cannot be used"):
        Ledger.open(url, outages)
    ledger = Ledger.open(url, outages)
    with away(server):
        ledger.append(entry("one"))
        ledger.append(entry("two"))
        ledger.close()
    assert "stayed away: 2 measurements waiting in" in ledger.notices[0]
    file = next(outages.folder.glob("waiting-*.jsonl"))
    with file.open("a") as end:
        end.write('\n{"key": "cut off')  # a crash in the middle of a line
    with Ledger.open(url, outages) as again:
        assert "2 rows that waited" in again.notices[0]
        assert keys(again) == ["one", "two"]
    with Ledger.open(url, outages) as third:
        assert third.notices == []
        assert keys(third) == ["one", "two"]


def test_what_was_committed_before_the_answer_was_lost_is_not_doubled(
    url: str, outages: Outages, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(url, outages) as ledger:
        bridge = ledger._bridge
        assert bridge is not None
        insert = bridge._insert

        def silent(rows: list[dict[str, str]], once: bool) -> None:
            insert(rows, once)
            raise Away("no answer")

        bridge._insert = silent
        ledger.append(entry("taken"))
        assert bridge.waiting()
        bridge._insert = insert
        time.sleep(outage.FIRST_PAUSE_S * 2)
        ledger.append(entry("next"))
        assert keys(ledger) == ["taken", "next"]
        assert not bridge.waiting()


def test_a_race_goes_on_while_the_server_is_away(
    server: postgres.Server, url: str, tmp_path: Path, told: list[str]
) -> None:
    """Stopped at the second candidate and started again in the middle: nothing is lost, nothing measured twice."""
    restart = threading.Timer(1.0, server.start)
    stopped: list[str] = []

    def on_event(event: Event) -> None:
        if event.stage != "reference" and not stopped:
            stopped.append(event.text)
            server.stop()
            restart.start()

    result = race(url, tmp_path, Outages(tmp_path, told.append), on_event)
    restart.join()
    assert stopped
    assert "back" in told[-1]
    assert result.figures.complete
    with Ledger.open(url) as ledger:
        kept = raced(ledger)
    assert len(kept) == result.figures.measured
    assert len(kept) == len(set(kept))
    again = race(url, tmp_path, Outages(tmp_path, told.append))
    assert again.figures.measured == 0


# Several at once --------------------------------------------------------------------------------------------------


def race(
    where: str | Path, folder: Path, outages: Outages | None = None, on_event: Callable[[Event], None] = lambda _: None
) -> Result:
    subject = Pipelines(KNOBS)
    with (
        Ledger.open(where, outages) as ledger,
        Workbench(subject, folder, Limits(memory_mb=1500, seconds=20), threading.Event()) as bench,
    ):
        terms = Terms(requirements=Requirements(quality_drop=0.02), within_s=60)
        return Race(bench, ledger, MACHINE, terms, on_event).run()


def raced(ledger: Ledger) -> list[str]:
    """The keys of the one subject that was raced."""
    (line,) = ledger.subjects()
    return [each.key for each in ledger.of_subject(line.key)]


RACING = """
import pathlib, sys
sys.path[:0] = [sys.argv[1]]
import test_ledger_server as t
result = t.race(sys.argv[2], pathlib.Path(sys.argv[3]))
print(result.figures.measured, result.figures.resumed)
"""

CLAIMING = """
import sys, time
from steelyard.ledger import Ledger
with Ledger.open(sys.argv[1]) as ledger:
    ledger.claim("mine")
    print("claimed", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["file", "server"])
def where(request: pytest.FixtureRequest, tmp_path: Path, url: str) -> str:
    return str(tmp_path / "ledger.db") if request.param == "file" else url


def started(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def test_two_runs_at_once_lose_nothing_and_measure_nothing_twice(where: str, tmp_path: Path) -> None:
    runs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        runs.append(started(RACING, Path(__file__).parent, where, tmp_path / name))
    figures = [[int(word) for word in run.communicate(timeout=120)[0].split()] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    with Ledger.open(where) as ledger:
        kept = raced(ledger)
    assert len(kept) == len(set(kept))
    assert len(kept) == sum(measured for measured, _ in figures)
    assert sum(resumed for _, resumed in figures) > 0, "one read what the other had measured"


def test_four_that_open_a_new_ledger_at_once(where: str) -> None:
    runs = [started(APPENDING, where, f"r{number}-", 10) for number in range(4)]
    outputs = [run.communicate(timeout=60)[0].split() for run in runs]
    assert [run.returncode for run in runs] == [0] * 4
    with Ledger.open(where) as ledger:
        found = keys(ledger)
    assert sorted(found) == sorted(key for output in outputs for key in output)
    assert len(found) == 40


def test_a_claim_is_waited_for_and_ends_with_its_holder(where: str, tmp_path: Path, told: list[str]) -> None:
    holder = started(CLAIMING, where)
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == "claimed"
    threading.Timer(0.5, holder.kill).start()
    with Ledger.open(where, Outages(tmp_path, told.append)) as ledger:
        ledger.claim("other")
        assert told == []
        ledger.claim("mine")
        assert "another run" in told[0]
        assert holder.poll() is not None
    holder.communicate()


def test_a_claim_is_not_waited_for_without_end(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "PATIENCE_S", 0.2)
    holder = started(CLAIMING, where)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with Ledger.open(where) as ledger:
            ledger.claim("mine")
            assert holder.poll() is None
    finally:
        holder.kill()
        holder.communicate()


def test_the_bodies_are_json(url: str, server: postgres.Server) -> None:
    with Ledger.open(url) as ledger:
        ledger.append(entry(measurement=EVERY_KIND[1]))
    body = json.loads(server.sql("SELECT body FROM entries", url.rpartition("/")[2]))
    assert body["failure"]["message"] == "Signal 11 – «größer»"
