"""Whose turn it is to make one measurement, when several runs share a ledger: the others wait and read the result.

A claim is a lock that the system or the server frees when its holder dies, so nothing has to be cleaned up: a range
of one byte in a file beside an SQLite ledger (POSIX record locks), an advisory lock in PostgreSQL.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.errors import Interrupted

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

PATIENCE_S = 600.0
"""After so long a claim is no longer waited for: measuring twice is better than not at all."""
LOOK_S = 0.1
Claims = Callable[[str], contextlib.AbstractContextManager[Callable[[], bool]]]
"""For a key: inside the context, a function that tries to take the claim and tells whether it is held."""


def wait_for(
    take: Callable[[], bool], stop: threading.Event, tell: Callable[[str], None], patience_s: float = math.inf
) -> None:
    """Return once the claim is held, or was waited for in vain. Raises Interrupted when `stop` is set."""
    deadline = time.monotonic() + min(PATIENCE_S, patience_s)
    told = False
    while not take() and time.monotonic() < deadline:
        if not told:
            tell("another run on this ledger is making the same measurement: waiting for it")
            told = True
        if stop.wait(LOOK_S):
            raise Interrupted("stopped on request")


def in_file(path: Path) -> Claims:
    """Claims by record locks in the file at `path`, which is made when the first is taken."""

    @contextlib.contextmanager
    def claims(key: str) -> Iterator[Callable[[], bool]]:
        with contextlib.ExitStack() as stack:
            handle = -1
            with contextlib.suppress(OSError):
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
                stack.callback(os.close, handle)  # frees the lock
            yield lambda: _locked(handle, _number(key))

    return claims


def _locked(handle: int, number: int) -> bool:
    """False only when another process holds the lock."""
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True  # a file system without locks
    return True


def on_server(engine: Engine) -> Claims:
    """Claims by advisory locks of sessions; where the server cannot be asked, there is nothing to wait for."""

    @contextlib.contextmanager
    def claims(key: str) -> Iterator[Callable[[], bool]]:
        with contextlib.ExitStack() as stack:
            connection = _session(engine, stack)
            if connection is None:
                yield lambda: True
            else:
                stack.callback(_asked, connection, "pg_advisory_unlock", key)
                yield lambda: _asked(connection, "pg_try_advisory_lock", key)

    return claims


def _session(engine: Engine, stack: contextlib.ExitStack) -> Connection | None:
    from sqlalchemy import exc

    try:
        return stack.enter_context(engine.connect().execution_options(isolation_level="AUTOCOMMIT"))
    except (exc.DBAPIError, OSError):
        return None


def _asked(connection: Connection, function: str, key: str) -> bool:
    """The server's answer about a lock; True when there is none. The locks of a session that fails are free."""
    from sqlalchemy import exc, text

    try:
        return bool(connection.execute(text(f"SELECT {function}(:number)"), {"number": _number(key)}).scalar())
    except (exc.DBAPIError, OSError):
        connection.invalidate()
        return True


def _number(key: str) -> int:
    """62 bits of the key's hash: what both kinds of lock are called by."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") >> 2
