"""What was committed is there again: after a kill, beside another process, and out of a damaged file."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from rights import unprivileged
from steelyard.errors import SteelyardError, UsageError
from steelyard.ledger import Ledger, SubjectLine, sqlite_file
from steelyard.records.measurement import (
    Entry,
    Failure,
    Load,
    Measurement,
    Paired,
    Probe,
    Quality,
    ServiceTime,
    Speed,
)

PROBE = Probe(build_s=1.5, load_s=0.25, memory_mb=64.0)
EVERY_KIND: list[Measurement] = [
    PROBE,
    Probe(build_s=0, load_s=0, memory_mb=0, failure=Failure(kind="crash", message="Signal 11 – «größer»")),
    Speed(service=(ServiceTime(batch=4, quantiles_ms=(0.1, 0.2, 0.3), runs=50, disturbed=2),), reference_ratio=1.02),
    Quality(
        metric="top1",
        start=0,
        items=4,
        value=0.5,
        reference=0.75,
        paired=Paired(both=2, only_reference=1, only_candidate=0, neither=1),
    ),
    Quality(metric="mae", start=4, items=9, value=1 / 3, reference=0.1, values=(0.1, 0.7), drops=(-0.6, 0.0)),
    Load(
        rate_per_s=100,
        arrivals="gamma:2",
        seconds=3,
        requests=297,
        late=4,
        late_once_sent=3,
        bound_ms=5,
        quantiles_ms=(0.4, 0.6, 9),
        sent_late_ms=(0, 0.01, 0.2),
        generator_share=0.01,
        mean_batch=1.2,
        answered_per_s=99.5,
    ),
]


def entry(key: str = "k", subject: str = "s", machine: str = "m", measurement: Measurement = PROBE) -> Entry:
    return Entry(
        key=key,
        subject=subject,
        candidate="original.onnxruntime.f32",
        machine=machine,
        created=f"2026-11-24T00:00:{len(key):02d}+00:00",
        measurement=measurement,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def filled(path: Path, count: int = 300) -> Path:
    with Ledger.open(path) as ledger:
        for number in range(count):
            ledger.append(entry(key=f"key{number:04d}"))
        ledger.remember("s", '{"name": "digits"}')
    return path


def keys(ledger: Ledger) -> list[str]:
    return [each.key for each in ledger.of_subject("s")]


def set_aside(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.corrupt-*"))


def edit(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


# What is kept -----------------------------------------------------------------------------------------------------


def test_every_kind_of_measurement_comes_back_equal(path: Path) -> None:
    wanted = [entry(key=str(number), measurement=each) for number, each in enumerate(EVERY_KIND)]
    with Ledger.open(path) as ledger:
        for each in wanted:
            ledger.append(each)
    with Ledger.open(path) as ledger:
        assert ledger.notices == []
        assert ledger.of_subject("s") == wanted
        assert [ledger.find(each.key) for each in wanted] == EVERY_KIND


def test_the_columns_are_what_they_are_called(path: Path) -> None:
    filled(path, 1)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("SELECT * FROM entries").fetchone())
        indexed = {name for _, name, *_ in connection.execute("PRAGMA index_list(entries)")}
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    assert list(row) == ["id", "key", "subject", "machine", "candidate", "created", "kind", "body"]
    assert (row["key"], row["kind"]) == ("key0000", "probe")
    assert '"memory_mb":64.0' in row["body"]
    assert len(indexed) == 2
    assert mode == "wal"


def test_find_gives_the_newest(path: Path) -> None:
    with Ledger.open(path) as ledger:
        assert ledger.find("k") is None
        for measurement in EVERY_KIND:
            ledger.append(entry(measurement=measurement))
        assert ledger.find("k") == EVERY_KIND[-1]


def test_of_subject_keeps_the_order_and_tells_machines_apart(path: Path) -> None:
    with Ledger.open(path) as ledger:
        for key, subject, machine in [("z", "s", "m"), ("a", "s", "n"), ("b", "other", "m"), ("c", "s", "m")]:
            ledger.append(entry(key, subject, machine))
        assert keys(ledger) == ["z", "a", "c"]
        assert [each.key for each in ledger.of_subject("s", machine="m")] == ["z", "c"]
        assert ledger.of_subject("nobody") == []


def test_subjects(path: Path) -> None:
    with Ledger.open(path) as ledger:
        assert ledger.subjects() == []
        for key, subject in [("22", "late"), ("1", "early"), ("333", "late")]:
            ledger.append(entry(key, subject))
        assert ledger.subjects() == [
            SubjectLine("early", 1, "2026-11-24T00:00:01+00:00"),
            SubjectLine("late", 2, "2026-11-24T00:00:03+00:00"),
        ]


def test_remember_and_recall(path: Path) -> None:
    with Ledger.open(path) as ledger:
        assert ledger.recall("s") is None
        ledger.remember("s", "{}")
        ledger.remember("s", '{"name": "digits"}')
    with Ledger.open(path) as ledger:
        assert ledger.recall("s") == '{"name": "digits"}'


def test_a_thousand_entries(path: Path) -> None:
    filled(path, 1000)
    with Ledger.open(path) as ledger:
        assert keys(ledger) == [f"key{number:04d}" for number in range(1000)]


def test_a_number_that_is_not_finite_is_refused_at_once(path: Path) -> None:
    with Ledger.open(path) as ledger:
        with pytest.raises(SteelyardError, match="cannot be kept"):
            ledger.append(entry(measurement=Probe(build_s=float("nan"), load_s=0, memory_mb=0)))
        assert ledger.of_subject("s") == []


def test_odd_characters_in_the_path(tmp_path: Path) -> None:
    assert filled(tmp_path / "what? #1 100%.db", 1).exists()


# Other processes --------------------------------------------------------------------------------------------------

APPENDING = """
import sys
from steelyard.ledger import Ledger
from steelyard.records.measurement import Entry, Probe
path, name, count = sys.argv[1:]
with Ledger.open(path) as ledger:
    for number in range(int(count)):
        key = f"{name}{number}"
        probe = Probe(build_s=number, load_s=0, memory_mb=0)
        ledger.append(Entry(key=key, subject="s", candidate="c", machine="m", created="2026", measurement=probe))
        print(key, flush=True)
"""


@contextlib.contextmanager
def appending(path: Path, name: str, count: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", APPENDING, str(path), name, str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def test_kill_9_loses_nothing_that_was_reported(path: Path) -> None:
    reported: list[str] = []
    for round_number in range(3):
        with appending(path, f"r{round_number}-", 1_000_000) as child:
            assert child.stdout
            reported += [child.stdout.readline().strip() for _ in range(25)]
            os.kill(child.pid, signal.SIGKILL)
            reported += child.stdout.read().split()
            assert child.wait() == -signal.SIGKILL
        with Ledger.open(path) as ledger:
            assert ledger.notices == []
            assert set(reported) <= set(keys(ledger))


def test_two_processes_append_at_once(path: Path) -> None:
    with appending(path, "a", 100) as one, appending(path, "b", 100) as other:
        outputs = [child.communicate()[0].split() for child in (one, other)]
        assert (one.returncode, other.returncode) == (0, 0)
    with Ledger.open(path) as ledger:
        found = keys(ledger)
        assert [key for key in found if key[0] == "a"] == outputs[0] == [f"a{number}" for number in range(100)]
        assert [key for key in found if key[0] == "b"] == outputs[1] == [f"b{number}" for number in range(100)]


def test_importing_it_loads_no_database_engine() -> None:
    code = "import sys, steelyard.ledger; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# Damage -----------------------------------------------------------------------------------------------------------


def test_random_bytes_are_set_aside(path: Path) -> None:
    content = np.random.default_rng(0).bytes(10_000)
    path.write_bytes(content)
    with Ledger.open(path) as ledger:
        (notice,) = ledger.notices
        assert ledger.of_subject("s") == []
        ledger.append(entry())
    (aside,) = set_aside(path)
    assert re.fullmatch(r"ledger\.db\.corrupt-\d{8}T\d{6}Z", aside.name)
    assert aside.name in notice
    assert "0 rows" in notice
    assert aside.read_bytes() == content
    with Ledger.open(path) as ledger:
        assert ledger.notices == []
        assert keys(ledger) == ["k"]
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, aside.name]


@pytest.mark.parametrize("kept", [0.5, 0.7, 0.9])
def test_a_truncated_file_gives_the_rows_that_are_left(path: Path, kept: float) -> None:
    content = filled(path).read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with Ledger.open(path) as ledger:
        rescued = keys(ledger)
        (notice,) = ledger.notices
        assert rescued == sorted(rescued)
        assert 0 < len(rescued) < 300
        assert f"rebuilt with {len(rescued)} rows from it; {300 - len(rescued)} rows could not be read" in notice
        assert ledger.recall("s") in ('{"name": "digits"}', None)
        assert all(ledger.find(key) == PROBE for key in rescued)
        ledger.append(entry("after"))
        assert keys(ledger) == [*rescued, "after"]


def test_a_hole_in_the_middle_loses_only_the_rows_in_it(path: Path) -> None:
    with filled(path).open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xa5" * 4096)
    with Ledger.open(path) as ledger:
        rescued = keys(ledger)
        assert "set aside" in ledger.notices[0]
        assert 200 < len(rescued) <= 300
        assert rescued[-1] == "key0299", "rows behind the hole are read too"
        assert ledger.recall("s") == '{"name": "digits"}'


def test_a_wrong_header_alone_loses_nothing(path: Path) -> None:
    with filled(path).open("r+b") as file:
        file.write(b"Sixteen bytes...")
    with Ledger.open(path) as ledger:
        assert "rebuilt with 300 rows" in ledger.notices[0]
        assert len(keys(ledger)) == 300
        assert ledger.recall("s") == '{"name": "digits"}'


def test_an_index_that_hides_rows_is_noticed(path: Path) -> None:
    content = filled(path).read_bytes()
    places = [found.start() for found in re.finditer(b"key0150", content)]
    assert len(places) == 2, "once in the table, once in the index"
    where = next(place for place in places if content[place + 7 : place + 8] != b"s")
    path.write_bytes(content[:where] + b"kex0150" + content[where + 7 :])
    with Ledger.open(path) as ledger:
        assert "set aside" in ledger.notices[0]
        assert all(ledger.find(key) for key in keys(ledger))
        assert len(keys(ledger)) == 300


def test_any_damage_is_survived_and_told(path: Path) -> None:
    content = filled(path).read_bytes()
    everything = {f"key{number:04d}" for number in range(300)}
    random = np.random.default_rng(7)
    for _ in range(25):
        damaged = bytearray(content)
        start, length = int(random.integers(100, len(content))), int(random.integers(1, 9000))
        damaged[start : start + length] = random.bytes(len(damaged[start : start + length]))
        path.write_bytes(damaged)
        with Ledger.open(path) as ledger:
            assert ledger.notices or set(keys(ledger)) == everything
            ledger.append(entry())
        with Ledger.open(path) as ledger:
            assert not any("set aside" in notice for notice in ledger.notices), "it was mended the first time"
            assert ledger.find("k") == PROBE
        for file in path.parent.iterdir():
            file.unlink()


def test_rows_still_in_the_log_are_rescued(path: Path) -> None:
    with Ledger.open(filled(path)) as holder:
        holder.append(entry("last"))  # the holder keeps it in the log, beside the file
        with path.open("r+b") as file:
            file.write(b"Sixteen bytes...")
        with Ledger.open(path) as ledger:
            assert "rebuilt with 301 rows" in ledger.notices[0]
            assert keys(ledger)[-1] == "last"


def test_another_applications_database(path: Path) -> None:
    edit(path, "CREATE TABLE bookmarks (url TEXT)", "INSERT INTO bookmarks VALUES ('here')")
    content = path.read_bytes()
    with pytest.raises(UsageError, match="another application's database") as error:
        Ledger.open(path)
    assert "--ledger" in error.value.hint
    assert path.read_bytes() == content
    assert not set_aside(path)


def test_a_table_without_our_columns(path: Path) -> None:
    filled(path, 3)
    edit(path, "ALTER TABLE entries RENAME COLUMN body TO content")
    with Ledger.open(path) as ledger:
        assert "lacks columns" in ledger.notices[0]
        assert keys(ledger) == []


def test_a_newer_format_is_left_alone(path: Path) -> None:
    filled(path, 3)
    edit(path, "PRAGMA user_version = 99")
    with pytest.raises(UsageError, match="newer Steelyard"):
        Ledger.open(path)
    assert not set_aside(path)


def test_two_in_one_second_get_two_names(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Stopped:
            return cls(2026, 11, 24)

    monkeypatch.setattr(sqlite_file, "datetime", Stopped)
    for content in (b"one" * 100, b"two" * 100):
        path.write_bytes(content)
        Ledger.open(path).close()
    assert [file.read_bytes() for file in set_aside(path)] == [b"one" * 100, b"two" * 100]


@pytest.mark.parametrize(
    "body",
    ["'no JSON'", '\'{"type":"Probe","build_s":1}\'', "'null'", "CAST(x'ff00fe' AS TEXT)", "x'00'", "''"],
)
def test_a_row_that_no_longer_fits_is_skipped_and_counted(path: Path, body: str) -> None:
    filled(path, 5)
    edit(path, f"UPDATE entries SET body = {body} WHERE id IN (2, 5)")  # noqa: S608 - the values are ours
    with Ledger.open(path) as ledger:
        assert [notice for notice in ledger.notices if "2 rows cannot be read as a measurement" in notice]
        assert keys(ledger) == ["key0000", "key0002", "key0003"]
        assert ledger.find("key0001") is None
    assert not set_aside(path)


def test_a_column_that_is_no_text_is_counted_too(path: Path) -> None:
    filled(path, 5)
    edit(path, "UPDATE entries SET candidate = x'00' WHERE id = 2")
    with Ledger.open(path) as ledger:
        assert "1 row cannot be read" in ledger.notices[0]
        assert len(keys(ledger)) == 4


def test_an_older_entry_answers_when_the_newest_no_longer_fits(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.append(entry())
        ledger.append(entry())
    edit(path, "UPDATE entries SET body = '{}' WHERE id = 2")
    with Ledger.open(path) as ledger:
        assert ledger.find("k") == PROBE


def test_damage_found_later_is_told(path: Path) -> None:
    filled(path)
    with Ledger.open(path) as ledger:
        path.write_bytes(path.read_bytes()[:4096])
        with pytest.raises(UsageError, match="cannot be used") as caught:
            keys(ledger)
        assert "rebuilt" in caught.value.hint


# Places that cannot be used ---------------------------------------------------------------------------------------


def refusal(where: Path | str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        Ledger.open(where)
    assert caught.value.hint
    return caught.value


def test_a_folder(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path).message


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "there is no folder" in refusal(tmp_path / "nowhere" / "ledger.db").message
    assert "mkdir" in refusal(tmp_path / "nowhere" / "ledger.db").hint


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs Linux's /proc")
def test_a_place_where_nothing_can_be_made() -> None:
    assert "unable to open" in refusal("/proc/self/ledger.db").message


@pytest.mark.parametrize(("mode", "folder_mode"), [(0o444, 0o777), (0o000, 0o777), (0o666, 0o555)])
def test_no_permission(mode: int, folder_mode: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = filled(folder / "ledger.db", 1)
        path.chmod(mode)
        folder.chmod(folder_mode)
        with unprivileged():
            assert "rights" in refusal(path).hint or "writable" in refusal(path).hint
        assert not set_aside(path), "what may not be read is not damaged"
        folder.chmod(0o777)


FULL = """
import resource, sys
from steelyard.errors import UsageError
from steelyard.ledger import Ledger
from steelyard.records.measurement import Entry, Probe
probe = Probe(build_s=0, load_s=0, memory_mb=0)
with Ledger.open(sys.argv[1]) as ledger:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    for number in range(1000):
        key = f"{number}"
        try:
            ledger.append(Entry(key=key, subject="s", candidate="c", machine="m", created="2026", measurement=probe))
        except UsageError as error:
            print(error.hint)
            sys.exit(7)
        print(key, flush=True)
"""


def test_no_room_to_write_keeps_what_was_committed(path: Path) -> None:
    # A limit on the size of files stands in for a full disk: the write fails at the same place.
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    *reported, hint = done.stdout.strip().split("\n")
    assert "everything that was committed is kept" in hint
    assert reported
    with Ledger.open(path) as ledger:
        assert ledger.notices == []
        assert keys(ledger) == reported


def test_a_full_disk_is_told_as_such(path: Path) -> None:
    with Ledger.open(path) as ledger:
        with ledger._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 10")
        with pytest.raises(UsageError, match="full") as caught:  # noqa: PT012 - which one fails is not known
            for number in range(1000):
                ledger.append(entry(f"key{number}"))
        assert "free some space" in caught.value.hint


def test_a_locked_ledger_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path, 1)
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("DELETE FROM subjects")
        assert "another process holds" in refusal(path).hint
    assert not set_aside(path)


@pytest.mark.parametrize("where", ["mysql://host/db", "postgresql://host:port/db"])
def test_urls_that_cannot_be_taken(where: str) -> None:
    assert "ledger" in refusal(where).message


def test_a_password_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("pg8000")

    monkeypatch.setattr("sqlalchemy.create_engine", no_driver)
    error = refusal("postgresql://me:secret@host/db")
    assert "steelyard[postgres]" in error.hint
    assert "secret" not in str(error)


def test_the_tables_fit_postgresql() -> None:
    from sqlalchemy.dialects import postgresql
    from sqlalchemy.schema import CreateTable

    from steelyard.ledger.rows import tables

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    assert ["SERIAL" in str(CreateTable(table).compile(dialect=dialect)) for table in tables()] == [True, False]
