"""Watches when requests expire. One thread, which sleeps until the next one does; without expiries there is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

FEW = 1024
"""So many expiries of requests that are served already may lie here before they are cleared away."""
LONGEST_SLEEP_S = 3600.0
"""Clients may say that they wait for a thousand years; no lock does."""


class Expiry:
    """Calls `expire(ticket)` when a ticket's time has come and it still waits. Times are of `time.monotonic()`."""

    def __init__(self, expire: Callable[[Any], None]) -> None:
        self._expire = expire
        self._due: list[tuple[float, int, Any]] = []
        self._order = count()
        self._clear_at = FEW
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._open = True

    def add(self, ticket: Any, when: float) -> None:
        """Watch one more."""
        with self._changed:
            if len(self._due) >= self._clear_at:
                self._clear()
            heappush(self._due, (when, next(self._order), ticket))
            if self._thread is None and self._open:
                self._thread = threading.Thread(target=self._watch, name="expiry", daemon=True)
                self._thread.start()
            if self._due[0][2] is ticket:
                self._changed.notify()

    def _clear(self) -> None:
        """Forget those that wait no longer; the next time when twice as many are left."""
        self._due = [due for due in self._due if due[2].waits]
        heapify(self._due)
        self._clear_at = max(FEW, 2 * len(self._due))

    def _watch(self) -> None:
        while True:
            with self._changed:
                while self._open and not (self._due and self._due[0][0] <= time.monotonic()):
                    left_s = self._due[0][0] - time.monotonic() if self._due else LONGEST_SLEEP_S
                    self._changed.wait(min(left_s, LONGEST_SLEEP_S))
                if not self._open:
                    return
                ticket = heappop(self._due)[2]
            self._expire(ticket)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._open = False
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
