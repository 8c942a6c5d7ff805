"""Open the SQLite file of a ledger; a damaged one is set aside and rebuilt with all that can still be read.

A committed entry survives a killed process and a power cut: the write-ahead log is synchronised at every commit
(https://sqlite.org/pragma.html#pragma_synchronous). Result codes: https://sqlite.org/rescode.html
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from steelyard.errors import UsageError
from steelyard.ledger.rows import COLUMNS, entry_of, explained, in_rows, row_of, tables

if TYPE_CHECKING:
    from sqlalchemy import Engine

APPLICATION = 0x53744C64
"""`StLd`: marks the file as a ledger."""
_VERSION = 1
_BUSY_S = 60
_MAGIC = b"SQLite format 3\0"
# Codes that tell of damage; the last is what our fixed queries give on a schema that cannot be understood.
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_ERROR)
_LEAST_ROW_BYTES = 40
_MOST_ROWS = 10_000_000


class _Rescued(NamedTuple):
    rows: list[dict[str, str]]
    notes: list[dict[str, str]]
    lost: int


def open_engine(path: Path, notices: list[str]) -> Engine:
    """An engine on the ledger at the absolute `path`, ready to be written; what was found is added to `notices`.

    Raises UsageError when the place cannot be used.
    """
    if path.is_dir():
        raise UsageError(f"expected a file for the ledger, {path} is a folder", f"for example {path / 'ledger.db'}")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} for the ledger", f"mkdir -p {path.parent}")
    with explained(str(path)), _alone(path.parent):
        if problem := _problem(path):
            notices.append(_rebuild(path, problem))
        return _made(path)


def _made(path: Path) -> Engine:
    """An engine on the file, which holds the tables and can be written from here on."""
    from sqlalchemy import URL, create_engine, event

    with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        marked = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION
        # Before the tables: a process killed in between leaves nothing that looks like a stranger's database.
        # Where they stand already, the attempt alone shows whether the file can be written.
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("ROLLBACK" if marked else "COMMIT")
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": _BUSY_S})
    event.listen(engine, "connect", _settle)
    tables()[0].metadata.create_all(engine)
    return engine


def _settle(connection: Any, _: object = None) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    # A damaged byte shall spoil the row that it lies in, not the reading of all others.
    connection.text_factory = lambda raw: raw.decode(errors="replace")


def _problem(path: Path) -> str:
    """Why the file cannot be used as a ledger; empty when it can, or is not there yet."""
    if not path.exists() or path.stat().st_size == 0:
        return ""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_S)) as connection:
            _settle(connection)
            return _problem_inside(connection, path)
    except UnicodeDecodeError as error:
        # SQLite quotes the damage in its message.
        return str(error.object, errors="replace")
    except sqlite3.Error as error:
        # Anything but damage (rights, a full disk, a lock) is for the user to mend, not for us to set aside.
        code = getattr(error, "sqlite_errorcode", 0)
        if code in _DAMAGE or code & 0xFF in _DAMAGE:
            return str(error)
        raise


def _problem_inside(connection: sqlite3.Connection, path: Path) -> str:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        # Perhaps in use by its owner: not ours to move.
        raise UsageError(f"{path} is another application's database", "choose another place with --ledger")
    if application == APPLICATION and version > _VERSION:
        raise UsageError(f"{path} was written by a newer Steelyard (format {version})", "update Steelyard")
    columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(entries)")}
    if columns and not columns.issuperset(COLUMNS):
        return "its table of entries lacks columns"
    with path.open("rb") as file:
        if any(version not in (1, 2) for version in file.read(20)[18:]):
            return "its header gives an unknown file format"
    # Not the quick check: an index that disagrees with its table would hide rows for good.
    verdict = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    return "" if verdict == "ok" else verdict


def _rebuild(path: Path, problem: str) -> str:
    """Set the file aside, put one with all that could be read into its place, and tell about it."""
    aside = _free_name(path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".ledger-") as folder:
        rescued = _rescue(path, Path(folder) / "damaged")
        fresh = Path(folder) / "fresh"
        _fill(fresh, rescued)
        # The log of the old file must be gone before the new one lies there, or it would be replayed into it.
        for suffix in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
        fresh.rename(path)
    lost = f"; {in_rows(rescued.lost)} could not be read" if rescued.lost > 0 else ""
    kept = in_rows(len(rescued.rows))
    reason = " ".join(problem.split())[:200]
    return f"{path} could not be used ({reason}): set aside as {aside.name} and rebuilt with {kept} from it{lost}"


def _rescue(path: Path, copy: Path) -> _Rescued:
    """What can be read and is a measurement; read from a copy, the original stays as it is."""
    shutil.copyfile(path, copy)
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(f"{path}-wal", f"{copy}-wal")
    with copy.open("r+b") as file:
        file.write(_MAGIC)
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        connection.row_factory = sqlite3.Row
        try:
            # First of all: otherwise a file shorter than its header says is refused as a whole.
            connection.execute("PRAGMA writable_schema = ON")
            _settle(connection)
            connection.execute("SELECT key FROM entries LIMIT 0")
            last = _last_id(connection)
        except sqlite3.Error:
            return _Rescued([], [], 0)
        most = path.stat().st_size // _LEAST_ROW_BYTES if last is None else last
        rows = [row for number in range(1, most + 1) if (row := _row_by_id(connection, number))]
        # Ids leave no gaps: nothing is ever deleted.
        return _Rescued(rows, _readable_notes(connection), (last or 0) - len(rows))


def _last_id(connection: sqlite3.Connection) -> int | None:
    for query in ("SELECT seq FROM sqlite_sequence WHERE name = 'entries'", "SELECT max(id) FROM entries"):
        with contextlib.suppress(sqlite3.Error, TypeError, ValueError):
            return min(int(connection.execute(query).fetchone()[0]), _MOST_ROWS)
    return None


def _row_by_id(connection: sqlite3.Connection, number: int) -> dict[str, str] | None:
    """The row, None where there is none, or none that can be read and is a measurement."""
    try:
        row = connection.execute("SELECT * FROM entries WHERE id = ?", (number,)).fetchone()
        return None if row is None else row_of(entry_of(row))
    except (sqlite3.Error, msgspec.MsgspecError, IndexError):
        return None


def _readable_notes(connection: sqlite3.Connection) -> list[dict[str, str]]:
    notes = {}
    with contextlib.suppress(sqlite3.Error):
        for row in connection.execute("SELECT key, info FROM subjects"):
            notes[str(row["key"])] = str(row["info"])
    return [{"key": key, "info": info} for key, info in notes.items()]


def _fill(path: Path, rescued: _Rescued) -> None:
    engine = _made(path)
    try:
        with engine.begin() as connection:
            for table, rows in zip(tables(), (rescued.rows, rescued.notes), strict=True):
                if rows:
                    connection.execute(table.insert(), rows)
    finally:
        engine.dispose()


def _free_name(path: Path) -> Path:
    stem = f"{path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    names = (stem, *(f"{stem}-{number}" for number in range(2, 1000)))
    return next(path.with_name(name) for name in names if not path.with_name(name).exists())


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time look at, repair and make ledgers in `folder`; where locks do not work, go on."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
