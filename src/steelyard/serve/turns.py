"""What is asked in one turn of an event loop: served together, or at once when nobody else ever comes along.

To wait until the turn is over costs a lone client one more turn, so a loop whose last turns brought one request each is
taken at its word. The first turn with company changes that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Ticket = TypeVar("Ticket")

LONELY_AFTER = 8
"""So many turns in a row with one request each."""


class Turns(Generic[Ticket]):
    """Those of one event loop, on which everything here happens."""

    def __init__(self, loop: asyncio.AbstractEventLoop, serve: Callable[[list[Ticket]], None]) -> None:
        """`serve` is given what came in a turn, at its end or at once."""
        self._loop = loop
        self._serve = serve
        self._waiting: list[Ticket] = []
        self._requests = 0
        """In this turn."""
        self._lonely = 0
        """Turns in a row, up to now."""

    def came(self, request: list[Ticket]) -> None:
        """A request, of one ticket or of several."""
        self._requests += 1
        if self._requests == 1:
            self._loop.call_soon(self._end)
            if self._lonely >= LONELY_AFTER:
                self._serve(request)
                return
        self._waiting += request

    def _end(self) -> None:
        self._lonely = self._lonely + 1 if self._requests == 1 else 0
        self._requests = 0
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._serve(waiting)
