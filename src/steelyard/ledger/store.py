"""Append measurements and find them again, in SQLite by default or in PostgreSQL by URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from steelyard.errors import UsageError
from steelyard.ledger.rows import entry_of, explained, in_rows, row_of, tables
from steelyard.records.measurement import Entry, Measurement

if TYPE_CHECKING:
    from sqlalchemy import Engine


class SubjectLine(NamedTuple):
    """One subject in the ledger."""

    key: str
    entries: int
    newest: str
    """When its newest entry was made (UTC, ISO 8601)."""


class Ledger:
    """Entries are appended and read, never changed. Several processes may append to one ledger at once.

    `notices` tells what opening found and did: a damaged file that was set aside and rebuilt, and how many rows
    no longer fit the records and are skipped.
    """

    def __init__(self, engine: Engine, name: str, notices: list[str]) -> None:
        self.notices = notices
        self._engine = engine
        self._name = name
        self._entries, self._subjects = tables()

    @classmethod
    def open(cls, where: str | Path) -> Ledger:
        """The ledger at `where`: the path of an SQLite file (made when missing) or a `postgresql://` URL.

        Raises UsageError when it cannot be opened or written.
        """
        ledger = _open_server(str(where)) if "://" in str(where) else _open_file(Path(where))
        try:
            ledger._count_unfit()
        except BaseException:
            ledger.close()
            raise
        return ledger

    def append(self, entry: Entry) -> None:
        """Keep `entry`; once this returns it is on disk. Raises UsageError when it could not be written."""
        row = row_of(entry)
        with explained(self._name), self._engine.begin() as connection:
            connection.execute(self._entries.insert(), row)

    def find(self, key: str) -> Measurement | None:
        """The newest measurement under `key`, or None."""
        columns = self._entries.c
        found = self._read(self._entries.select().where(columns.key == key).order_by(columns.id))
        return found[-1].measurement if found else None

    def of_subject(self, subject: str, machine: str | None = None) -> list[Entry]:
        """All entries of a subject (of one machine, if given) in the order in which they were appended."""
        columns = self._entries.c
        query = self._entries.select().where(columns.subject == subject).order_by(columns.id)
        return self._read(query if machine is None else query.where(columns.machine == machine))

    def subjects(self) -> list[SubjectLine]:
        """Every subject that has entries, the most recently measured last."""
        from sqlalchemy import func, select

        subject, newest = self._entries.c.subject, func.max(self._entries.c.created)
        query = select(subject, func.count(), newest).group_by(subject).order_by(newest, subject)
        with explained(self._name), self._engine.connect() as connection:
            return [SubjectLine(key, count, made) for key, count, made in connection.execute(query)]

    def remember(self, subject_key: str, info_json: str) -> None:
        """Note what a subject was, in place of what was noted before."""
        table = self._subjects
        with explained(self._name), self._engine.begin() as connection:
            connection.execute(table.delete().where(table.c.key == subject_key))
            connection.execute(table.insert(), {"key": subject_key, "info": info_json})

    def recall(self, subject_key: str) -> str | None:
        """What `remember` noted of a subject, or None."""
        table = self._subjects
        with explained(self._name), self._engine.connect() as connection:
            row = connection.execute(table.select().where(table.c.key == subject_key)).first()
        return None if row is None else str(row.info)

    def close(self) -> None:
        """Let go of the file or the server."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, query: Any) -> list[Entry]:
        return [entry for entry in self._each(query) if entry]

    def _each(self, query: Any) -> Iterator[Entry | None]:
        """The entry in each row; None where it does not fit the records."""
        with explained(self._name), self._engine.connect() as connection:
            for row in connection.execute(query).mappings():
                try:
                    entry = entry_of(row)
                except msgspec.MsgspecError:
                    entry = None
                yield entry

    def _count_unfit(self) -> None:
        unfit = sum(entry is None for entry in self._each(self._entries.select()))
        if unfit:
            self.notices.append(
                f"{self._name}: {in_rows(unfit)} cannot be read as a measurement (written by another version?): skipped"
            )


def _open_file(path: Path) -> Ledger:
    from steelyard.ledger.sqlite_file import open_engine

    path = path.expanduser().absolute()
    notices: list[str] = []
    return Ledger(open_engine(path, notices), str(path), notices)


def _open_server(where: str) -> Ledger:
    from sqlalchemy import create_engine, exc, make_url

    scheme = where.partition("://")[0]
    if scheme not in ("postgresql", "postgresql+psycopg"):
        raise UsageError(
            f"expected a path or a postgresql:// URL for the ledger, got {scheme}://…", "for example --ledger runs.db"
        )
    try:
        url = make_url(where).set(drivername="postgresql+psycopg")
        engine = create_engine(url)
    except (exc.ArgumentError, ValueError) as error:
        raise UsageError("the URL of the ledger cannot be read", "postgresql://USER@HOST/DATABASE") from error
    except ModuleNotFoundError as error:
        raise UsageError("a PostgreSQL ledger needs the package psycopg", "pip install 'psycopg[binary]'") from error
    name = url.render_as_string(hide_password=True)
    with explained(name):
        tables()[0].metadata.create_all(engine)
    return Ledger(engine, name, [])
