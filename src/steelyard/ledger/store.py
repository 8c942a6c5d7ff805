"""Append measurements and find them again, in SQLite by default or in PostgreSQL by URL."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import msgspec

from steelyard.ledger import claims, server
from steelyard.ledger.outage import Bridge, Outages, Row
from steelyard.ledger.rows import decoded, entry_of, explained, in_rows, row_of, tables
from steelyard.records.measurement import Entry, Measurement

if TYPE_CHECKING:
    from sqlalchemy import Engine


class SubjectLine(NamedTuple):
    """One subject in the ledger."""

    key: str
    entries: int
    newest: str
    """When its newest entry was made (UTC, ISO 8601)."""


class Keeping(Protocol):
    """What a search needs of a ledger; see `Ledger`."""

    def find(self, key: str) -> Measurement | None:
        """The newest measurement under `key`, or None."""

    def claim(self, key: str, patience_s: float = math.inf) -> None:
        """Have the measurement of `key` to make, having waited for another that makes it no longer than this."""

    def append(self, entry: Entry) -> None:
        """Keep an entry."""


class Ledger:
    """Entries are appended and read, never changed. Several processes may append to one ledger at once.

    `notices` tells what opening found and did: a damaged file that was set aside and rebuilt, and how many rows
    no longer fit the records and are skipped. With `outages`, a server that goes away does not end the run.
    """

    def __init__(
        self, engine: Engine, name: str, notices: list[str], taking: claims.Claims, outages: Outages | None = None
    ) -> None:
        self.notices = notices
        self._engine = engine
        self._name = name
        self._claims = taking
        self._claimed = contextlib.ExitStack()
        self._outages = outages
        self._entries, self._subjects = tables()
        self._bridge = Bridge(outages, name, self._insert) if outages and server.is_server(name) else None

    @classmethod
    def open(cls, where: str | Path, outages: Outages | None = None) -> Ledger:
        """The ledger at `where`: the path of an SQLite file (made when missing) or a `postgresql://` URL.

        `outages`: for a run that writes; what to do when a server goes away later. Raises UsageError when the
        ledger cannot be opened, or written by a run that will.
        """
        opener = _open_server if server.is_server(where) else _open_file
        ledger = opener(str(where), outages)
        try:
            ledger._look()
        except BaseException:
            ledger._engine.dispose()
            raise
        return ledger

    def append(self, entry: Entry) -> None:
        """Keep `entry`; once this returns it is on disk. Raises UsageError when it could not be written."""
        row = row_of(entry)
        if self._bridge is None:
            self._insert([row])
        else:
            with explained(str(self._bridge.file)):
                self._bridge.append(row)
        self._claimed.close()

    def find(self, key: str) -> Measurement | None:
        """The newest measurement under `key`, or None."""
        columns = self._entries.c
        query = self._entries.select().where(columns.key == key).order_by(columns.id)
        if self._bridge is None:
            found = self._read(query)
            return found[-1].measurement if found else None
        waiting = [row for row in self._bridge.waiting() if row["key"] == key]
        if waiting:
            return decoded(waiting[-1]["body"])
        found = self._bridge.ask(lambda: self._read(query), list)
        return found[-1].measurement if found else None

    def claim(self, key: str, patience_s: float = math.inf) -> None:
        """Have the measurement of `key` to make: other runs that want it wait until it is appended.

        A claim ends with the next one, with `append`, and with this process. One that another run has is waited for,
        but not for ever, and no longer than `patience_s`.
        """
        self._claimed.close()
        outages = self._outages or Outages(Path())
        take = self._claimed.enter_context(self._claims(key))
        claims.wait_for(take, outages.stop, outages.tell, patience_s)

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

    def remember(self, subject_key: str, info_json: str, machine: str = "") -> None:
        """Note what a subject was (on one machine), in place of what was noted before."""
        if self._bridge is None:
            self._note(subject_key, info_json, machine)
            return
        lost = f"the ledger {self._name} stayed away: what was searched is not noted there, the measurements are kept"
        self._bridge.ask(lambda: self._note(subject_key, info_json, machine), lambda: self.notices.append(lost))

    def _note(self, subject_key: str, info_json: str, machine: str) -> None:
        from sqlalchemy import text

        query = text(
            "INSERT INTO subjects (key, info) VALUES (:key, :info) ON CONFLICT (key) DO UPDATE SET info = excluded.info"
        )
        with explained(self._name), self._engine.begin() as connection:
            connection.execute(query, {"key": _note_key(subject_key, machine), "info": info_json})

    def recall(self, subject_key: str, machine: str = "") -> str | None:
        """What `remember` noted of a subject (on one machine), or None."""
        return self.notes(subject_key).get(machine)

    def notes(self, subject_key: str) -> dict[str, str]:
        """All that `remember` noted of a subject, by machine."""
        table = self._subjects
        query = table.select().where(table.c.key.startswith(subject_key, autoescape=True)).order_by(table.c.key)
        with explained(self._name), self._engine.connect() as connection:
            found = {str(row.key): str(row.info) for row in connection.execute(query)}
        split = {key: key.partition(_AT) for key in found}
        return {machine: found[key] for key, (subject, _, machine) in split.items() if subject == subject_key}

    def close(self) -> None:
        """Let go of the file or the server; what is still waiting for the server gets a last chance."""
        try:
            if self._bridge is not None and (told := self._bridge.finish()):
                self.notices.append(told)
        finally:
            self._claimed.close()
            self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _insert(self, rows: Sequence[Row], once: bool = False) -> None:
        with explained(self._name), self._engine.begin() as connection:
            for row in rows:
                if once and connection.execute(self._same(row)).first() is not None:
                    continue
                connection.execute(self._entries.insert(), row)

    def _same(self, row: Row) -> Any:
        """A query for a row that is there already."""
        return self._entries.select().where(*(self._entries.c[name] == value for name, value in row.items()))

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

    def _look(self) -> None:
        """What a newly opened ledger tells: in a file, rows that fit nothing; on a server, what waited for it."""
        if not server.is_server(self._name):
            self._count_unfit()  # a server may hold the rows of many: not all are read for a number
        if self._bridge is not None:
            self._may_write()
            waiting = self._bridge.waiting()
            self._bridge.hand_over()
            if waiting:
                self.notices.append(f"{in_rows(len(waiting))} that waited for {self._name} handed over")

    def _count_unfit(self) -> None:
        unfit = sum(entry is None for entry in self._each(self._entries.select()))
        if unfit:
            self.notices.append(
                f"{self._name}: {in_rows(unfit)} cannot be read as a measurement (written by another version?): skipped"
            )

    def _may_write(self) -> None:
        """Try all that a run will write, and take it back."""
        with explained(self._name), self._engine.connect() as connection:
            connection.execute(self._entries.insert(), dict.fromkeys(self._entries.c.keys()[1:], "?"))
            connection.execute(self._subjects.insert(), {"key": "?", "info": "?"})
            connection.rollback()


_AT = "@"


def _note_key(subject: str, machine: str) -> str:
    return f"{subject}{_AT}{machine}" if machine else subject


def _open_file(where: str, outages: Outages | None) -> Ledger:
    from steelyard.ledger.sqlite_file import open_engine

    path = Path(where).expanduser().absolute()
    notices: list[str] = []
    engine = open_engine(path, notices)
    return Ledger(engine, str(path), notices, claims.in_file(path.with_name(f"{path.name}.claims")), outages)


def _open_server(where: str, outages: Outages | None) -> Ledger:
    engine, name = server.open_engine(where), server.shown(where)
    try:
        with explained(name):
            server.make_tables(engine, tables()[0].metadata)
    except BaseException:
        engine.dispose()
        raise
    return Ledger(engine, name, [], claims.on_server(engine), outages)
