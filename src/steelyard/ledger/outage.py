"""Keep measurements while the server of a ledger is away, and hand them over when it is back.

They lie in a file of one JSON line each, synchronised line by line, that outlives this process: what could not be
handed over goes to the server when the same ledger is next opened with the same folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from steelyard.ledger.server import Away
from steelyard.records.base import digest

T = TypeVar("T")
Row = dict[str, str]

PATIENCE_S = 30.0
"""In one outage, what all questions together wait for the server; answers that never wait are not counted."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 8.0


@dataclass(frozen=True)
class Outages:
    """What to do while a server is away: keep measurements in `folder`, `tell` about it, end waiting at `stop`."""

    folder: Path
    tell: Callable[[str], None] = lambda _: None
    stop: threading.Event = field(default_factory=threading.Event)


class Bridge:
    """Between a run and its server: `insert` writes rows there, `once` leaves out those that are there already."""

    def __init__(self, outages: Outages, name: str, insert: Callable[[list[Row], bool], None]) -> None:
        self._outages = outages
        self._name = name
        self._insert = insert
        self.file = outages.folder / f"waiting-{digest(name)[:16]}.jsonl"
        self._pause = 0.0
        self._next_try = 0.0
        self._waited = 0.0

    def append(self, row: Row) -> None:
        """To the server, or to the file while it is away. Never waits long."""
        if not self._due():
            self._keep(row)
            return
        try:
            self.hand_over()
            self._insert([row], False)
        except Away as away:
            self._went(away)
            # The server may have taken it before it fell silent: told apart when it is handed over.
            self._keep(row)

    def ask(self, question: Callable[[], T], otherwise: Callable[[], T]) -> T:
        """The server's answer; while it is away it is waited for, within bounds, and then answered without it."""
        while True:
            try:
                if self._due():
                    self.hand_over()
                    return question()
            except Away as away:
                self._went(away)
            if self._waited >= PATIENCE_S or self._outages.stop.is_set():
                return otherwise()
            self._wait()

    def hand_over(self) -> None:
        """Give the server what waits in the file. Raises `Away`."""
        with self._locked() as rows:
            if rows:
                self._insert(rows, True)
                os.truncate(self.file, 0)  # not removed: another run may be waiting to add to it
        if self._pause:
            self._outages.tell(f"the ledger {self._name} is back, {_count(rows)} handed over")
        self._pause = self._waited = self._next_try = 0.0

    def finish(self) -> str:
        """A last attempt, within what patience is left; what to tell when it fails."""
        if not self.waiting():
            return ""
        self.ask(lambda: None, lambda: None)
        waiting = self.waiting()
        if not waiting:
            return ""
        return (
            f"the ledger {self._name} stayed away: {_count(waiting)} waiting in {self.file}, "
            "to go there with the next run in this work folder"
        )

    def waiting(self) -> list[Row]:
        """The rows in the file."""
        with contextlib.suppress(OSError):
            return [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines() if _whole(line)]
        return []

    def _due(self) -> bool:
        return time.monotonic() >= self._next_try

    def _wait(self) -> None:
        pause = max(0.0, self._next_try - time.monotonic())
        self._outages.stop.wait(pause)
        self._waited += pause

    def _went(self, away: Away) -> None:
        """Remember that it is away; told once an outage."""
        if not self._pause:
            self._outages.tell(f"{away.message}; measurements are kept in {self.file} meanwhile")
        self._pause = min(max(self._pause * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self._next_try = time.monotonic() + self._pause

    def _keep(self, row: Row) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # The line before may have been cut off by a crash: begin on one of our own.
            file.write(f"\n{json.dumps(row)}\n")
            file.flush()
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[list[Row]]:
        """The rows in the file; inside the context no other run adds to it or hands it over."""
        try:
            file: Any = self.file.open("rb")
        except FileNotFoundError:
            yield []
            return
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield self.waiting()


def _count(rows: list[Row]) -> str:
    return f"{len(rows):,} measurement" + "s" * (len(rows) != 1)


def _whole(line: str) -> bool:
    """Whether the line was written to its end: the last one may not have been, when the power failed."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
