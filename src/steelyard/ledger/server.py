"""Reach a ledger in PostgreSQL: its URL, its tables, and what its errors mean to the user.

Error codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import getpass
import logging
import os
import re
import ssl
from typing import TYPE_CHECKING, Any

from steelyard.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

SCHEMES = ("postgresql", "postgres", "postgresql+pg8000")
FORM = "postgresql://USER@HOST/DATABASE; the password may also stand in the environment, as PGPASSWORD"
ANSWER_S = 10
"""A server that is silent for longer counts as away."""
MAKING = 0x53744C64
"""The advisory lock under which the tables are made."""
GRANTS = "GRANT SELECT, INSERT ON entries; SELECT, INSERT, UPDATE ON subjects; USAGE ON SEQUENCE entries_id_seq"

_AWAY_WORDS = ("network error", "communication error", "Can't create a connection", "connection is closed")
_AWAY_CODES = ("08", "57P01", "57P02", "57P03", "53300", "55006")
_HINTS = {
    "28": f"check user and password: {FORM}",
    "3D000": "make the database first (createdb NAME), or name another one",
    "3F000": "make a schema that this user may write to, or name another database",
    "42501": f"let its owner grant the rights: {GRANTS} (and CREATE ON SCHEMA public for the first run)",
    "42": "its tables entries and subjects are not a ledger's: give the ledger a database of its own",
    "25006": "this server only reads (a standby?): name the one that writes",
    "53100": "free some space on the server and run again: everything that was committed is kept",
}
_WORDED = {
    "password": f"give the password: {FORM}",
    "refuses SSL": "the server has no TLS: leave sslmode out, or say sslmode=disable",
    "certificate": "say whose certificates to trust with sslrootcert=FILE, or sslmode=require to trust any",
}


class Away(UsageError):  # noqa: N818 - a state, and perhaps a passing one
    """The server cannot be reached now; it may come back."""


def shown(where: object) -> str:
    """A ledger's place for people: a URL without its password."""
    return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", str(where))


def is_server(where: object) -> bool:
    """Whether this is a URL and not a file."""
    return "://" in str(where)


def open_engine(where: str) -> Engine:
    """An engine for the URL; nothing has been asked of the server yet. Raises UsageError for what is wrong in it."""
    from sqlalchemy import create_engine

    # A connection that broke is told in our own words; without a handler the pool's traceback would go to the terminal.
    logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())
    url = _url(where)
    options = _options(url)
    # The driver breaks on None when the server asks for one; the server's own refusal of "" says more.
    options["password"] = url.password or os.environ.get("PGPASSWORD") or ""
    plain = url.set(drivername="postgresql+pg8000", query={}, password="", username=_user(url))
    try:
        return create_engine(plain, connect_args=options, pool_pre_ping=True, pool_size=2, hide_parameters=True)
    except ModuleNotFoundError as error:
        raise UsageError(
            "a ledger in PostgreSQL needs the package pg8000", "pip install 'steelyard[postgres]'"
        ) from error


def _url(where: str) -> URL:
    from sqlalchemy import exc, make_url

    scheme = where.partition("://")[0]
    if scheme not in SCHEMES:
        raise UsageError(
            f"expected a path or a postgresql:// URL for the ledger, got {scheme}://…", "for example --ledger runs.db"
        )
    try:
        # SQLAlchemy knows no scheme "postgres", which others write.
        return make_url("postgresql://" + where.partition("://")[2])
    except (exc.ArgumentError, ValueError) as error:
        raise UsageError("the URL of the ledger cannot be read", FORM) from error


def _user(url: URL) -> str:
    return url.username or os.environ.get("PGUSER") or getpass.getuser()


def _options(url: URL) -> dict[str, Any]:
    """What the driver is told beside user, host and database. Parameters are named as libpq names them."""
    given = {name: value if isinstance(value, str) else value[-1] for name, value in url.query.items()}
    folder, mode, roots = given.pop("host", None), given.pop("sslmode", "prefer"), given.pop("sslrootcert", None)
    port = given.pop("port", url.port or 5432)
    if given:
        raise UsageError(
            f"unknown parameters in the ledger's URL: {', '.join(given)}", "known: host, port, sslmode, sslrootcert"
        )
    options: dict[str, Any] = {"timeout": ANSWER_S, "application_name": "steelyard", "ssl_context": _tls(mode, roots)}
    if folder is not None:
        options["unix_sock"] = f"{folder}/.s.PGSQL.{port}"
    return options


def _tls(mode: str, roots: str | None) -> ssl.SSLContext | bool | None:
    """As libpq's `sslmode`; None: encrypted where the server can."""
    if mode in ("disable", "prefer", "require"):
        return {"disable": False, "prefer": None, "require": True}[mode]
    if mode not in ("verify-ca", "verify-full"):
        raise UsageError(
            f"unknown sslmode in the ledger's URL: {mode}", "disable, prefer, require, verify-ca, verify-full"
        )
    try:
        context = ssl.create_default_context(cafile=roots)
    except OSError as error:
        raise UsageError(f"the certificates in {roots} cannot be read: {error}", "check sslrootcert") from error
    context.check_hostname = mode == "verify-full"
    return context


def make_tables(engine: Engine, metadata: Any) -> None:
    """Make the tables unless they are there; of two that come at once the second waits."""
    from sqlalchemy import text

    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MAKING})
        metadata.create_all(connection)


def meaning(error: BaseException) -> tuple[str, str, type[UsageError]]:
    """What happened, what to do about it, and whether the server is away, of an error from the driver."""
    told = error.args[0] if error.args else ""
    fields = told if isinstance(told, dict) else {}
    code, reason = str(fields.get("C", "")), str(fields.get("M") or error)
    reason = reason.partition(" (timeout is")[0]
    if code.startswith(_AWAY_CODES) or any(word in reason for word in _AWAY_WORDS) or _is_silence(error):
        return reason, "start it, or check host and port; what was measured is kept", Away
    by_code = next((hint for mark, hint in _HINTS.items() if code.startswith(mark)), "")
    by_word = next((hint for mark, hint in _WORDED.items() if mark in reason), "")
    return reason, by_code or by_word or "check it, or name another ledger", UsageError


def _is_silence(error: BaseException) -> bool:
    """A broken or silent connection that the driver did not word."""
    return isinstance(error, OSError) and not isinstance(error, ssl.SSLError)
