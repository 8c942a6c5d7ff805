"""How entries lie in the database, and what its errors mean to the user."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from steelyard.errors import SteelyardError, UsageError
from steelyard.ledger.server import is_server, meaning
from steelyard.records.base import to_json
from steelyard.records.measurement import Entry, Measurement

if TYPE_CHECKING:
    from sqlalchemy import Table

COLUMNS = ("key", "subject", "machine", "candidate", "created", "kind", "body")
_TEXTS = COLUMNS[:-2]
_MEASUREMENT: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Measurement)
_FREE_SPACE = "free some space and run again: everything that was committed is kept"
_REBUILT = "run again: the file is then set aside and rebuilt"
_HINTS = {
    "full": _FREE_SPACE,
    "No space": _FREE_SPACE,
    "I/O": "look at the disk (full, a quota, a fault) and run again: everything that was committed is kept",
    "readonly": "make the file and its folder writable, or name another ledger",
    "unable to open": "check the path and the rights on the file and its folder, or name another ledger",
    "denied": "check the rights on the file and its folder, or name another ledger",
    "locked": "another process holds the ledger: wait for it, or end it",
    "malformed": _REBUILT,
    "not a database": _REBUILT,
}


def tables() -> tuple[Table, Table]:
    """The tables `entries` and `subjects`, sharing one metadata."""
    from sqlalchemy import Column, Integer, MetaData, String, Table, Text

    metadata = MetaData()
    entries = Table(
        "entries",
        metadata,
        Column("id", Integer, primary_key=True),
        *(Column(name, String, nullable=False, index=name in ("key", "subject")) for name in COLUMNS[:-1]),
        Column("body", Text, nullable=False),
        # The greatest id is then kept apart from the rows: a damaged file still tells how many there were.
        sqlite_autoincrement=True,
    )
    columns = (Column("key", String, primary_key=True), Column("info", Text, nullable=False))
    return entries, Table("subjects", metadata, *columns)


def row_of(entry: Entry) -> dict[str, str]:
    """The columns of an entry. Raises SteelyardError when its measurement could never be read again."""
    body = to_json(entry.measurement)
    if not fits(body):
        # Numbers that are not finite become null in JSON.
        raise SteelyardError(f"a measurement of {entry.candidate} cannot be kept: {entry.measurement}")
    kind = type(entry.measurement).__name__.lower()
    return {name: getattr(entry, name) for name in _TEXTS} | {"kind": kind, "body": body.decode()}


def entry_of(row: Any) -> Entry:
    """The entry in a row (columns by name). Raises `msgspec.MsgspecError` when it does not fit the records."""
    texts = {name: row[name] for name in _TEXTS}
    if not all(isinstance(text, str) for text in (*texts.values(), row["body"])):
        raise msgspec.ValidationError(f"expected text in the columns {', '.join(COLUMNS)}")
    return Entry(measurement=_MEASUREMENT.decode(row["body"]), **texts)


def decoded(body: str) -> Measurement:
    """The measurement in a body that was written by `row_of`."""
    measurement: Measurement = _MEASUREMENT.decode(body)
    return measurement


def fits(body: bytes | str) -> bool:
    """Whether `body` is the JSON of a measurement."""
    try:
        _MEASUREMENT.decode(body)
    except (msgspec.MsgspecError, TypeError):
        return False
    return True


def in_rows(count: int) -> str:
    """`1 row`, `2 rows`."""
    return f"{count:,} row" + "s" * (count != 1)


@contextlib.contextmanager
def explained(name: str) -> Iterator[None]:
    """Errors of the database and the disk as UsageError (`Away` for a server out of reach), with what to do."""
    from sqlalchemy import exc

    try:
        yield
    except (exc.DBAPIError, sqlite3.Error, OSError) as error:
        cause = getattr(error, "orig", None) or error
        if is_server(name):
            reason, hint, kind = meaning(cause)
        else:
            reason, kind = " ".join(str(cause).split()), UsageError
            hint = next((hint for mark, hint in _HINTS.items() if mark in reason), "check it, or name another ledger")
        # Without its cause: the driver's own error may quote the whole address.
        raise kind(f"the ledger {name} cannot be used: {reason}", hint) from None if is_server(name) else error
