"""A request of several items goes into the queue item by item, and comes out as one answer.

So a batch is counted in items, as the plan's service times are; the items of a large request may be answered by
several workers at once; and small requests need not wait behind a large one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from steelyard.errors import Expired, Overloaded
from steelyard.records.engine import Array
from steelyard.serve.callers import Caller
from steelyard.serve.requests import Answered, Asked
from steelyard.serve.statistics import Statistics
from steelyard.serve.tickets import Ticket


class Item(NamedTuple):
    """One item of a request."""

    asked: Asked
    place: int
    is_shadow: bool = False
    """Nobody waits for the answer; it is compared with one that was given."""

    @property
    def inputs(self) -> Mapping[str, Array]:
        """Per model input [1, …]; views, nothing is copied."""
        if self.asked.items == 1:
            return self.asked.inputs
        return {name: array[self.place : self.place + 1] for name, array in self.asked.inputs.items()}


class Row(NamedTuple):
    """The answer to one item: a row of what its batch was answered."""

    outputs: Sequence[Array]
    place: int
    variant: str
    version: str = ""


class Asking:
    """Waits for the answers to all items of a request, for one caller."""

    __slots__ = ("_began_at", "_caller", "_left", "_lock", "_rows", "asked_at", "statistics", "tickets")

    def __init__(self, caller: Caller[Answered], items: int, statistics: Statistics) -> None:
        self._caller = caller
        self._left = items
        self._rows: list[Row | None] = [None] * items
        self._lock = threading.Lock()
        self.statistics = statistics
        """Of whoever answers: another's after the request was handed over."""
        self.asked_at = time.monotonic()
        self._began_at = 0.0
        self.tickets: Sequence[Ticket[Item, Row]] = ()
        """Of its items, which know it: let go of at the end, so that no cycle is left for the garbage collector."""

    @property
    def items(self) -> int:
        """Of the request."""
        return len(self._rows)

    def begin(self) -> bool:
        """Called for each item; the caller is asked once."""
        with self._lock:
            if self._began_at:
                return self._left > 0
            self._began_at = time.monotonic()
        if self._caller.begin():
            return True
        with self._lock:
            self._left = 0
        return False

    def answer(self, place: int, row: Row) -> None:
        """One item's answer; the last one answers the caller."""
        with self._lock:
            if self._left <= 0:
                return
            self._rows[place] = row
            self._left -= 1
            if self._left:
                return
        self.tickets = ()
        now = time.monotonic()
        self.statistics.answered(self._began_at - self.asked_at, now - self.asked_at)
        self._caller.answer(joined([row for row in self._rows if row is not None]))

    def fail(self, error: BaseException) -> None:
        """One item's failure is the request's."""
        with self._lock:
            if self._left <= 0:
                return
            self._left = 0
        if isinstance(error, Overloaded):
            self.statistics.refused()
        else:
            self.statistics.failed(time.monotonic() - self.asked_at, expired=isinstance(error, Expired))
        self._leave()
        self._caller.fail(error)

    def withdraw(self) -> None:
        """Nobody waits any more: its items leave the queue at once, and the caller hears nothing."""
        with self._lock:
            gone, self._left = self._left > 0, 0
        if gone:
            self.statistics.failed(time.monotonic() - self.asked_at, withdrawn=True)
            self._leave()

    def _leave(self) -> None:
        """Take out of the queue what of it still waits."""
        tickets, self.tickets = self.tickets, ()
        for ticket in tickets:
            if ticket.holder is not None:
                ticket.holder.withdraw(ticket)


class Part:
    """The caller of one item. See `steelyard.serve.callers.Caller`."""

    __slots__ = ("_place", "asking")

    def __init__(self, asking: Asking, place: int) -> None:
        self.asking = asking
        self._place = place

    def begin(self) -> bool:
        """Whether the request is still wanted."""
        return self.asking.begin()

    def answer(self, answer: Row) -> None:
        """Hand the row on."""
        self.asking.answer(self._place, answer)

    def fail(self, error: BaseException) -> None:
        """The whole request fails."""
        self.asking.fail(error)


def asking_of(ticket: Ticket[Item, Row]) -> Asking:
    """The request that an item is of. Raises TypeError for one that nobody asked for."""
    if not isinstance(ticket.caller, Part):
        raise TypeError(f"expected an item of a request, got one of {type(ticket.caller).__name__}")
    return ticket.caller.asking


def whole_requests(tickets: Iterable[Ticket[Item, Row]]) -> list[list[Ticket[Item, Row]]]:
    """Among tickets that wait, those of each request of which every item is there."""
    by_request: dict[Asking, list[Ticket[Item, Row]]] = {}
    for ticket in tickets:
        if isinstance(ticket.caller, Part):
            by_request.setdefault(ticket.caller.asking, []).append(ticket)
    return [held for asking, held in by_request.items() if len(held) == asking.items]


def joined(rows: Sequence[Row]) -> Answered:
    """The outputs of all items, in their order. Several variants may have answered: all are named."""
    first = rows[0]
    if len(rows) == 1:
        return Answered([_row(output, first.place) for output in first.outputs], first.variant, first.version)
    variant = "+".join(dict.fromkeys(row.variant for row in rows))
    if _are_one_batch(rows):
        start = first.place
        return Answered([output[start : start + len(rows)] for output in first.outputs], variant, first.version)
    columns = zip(*([_row(output, row.place) for output in row.outputs] for row in rows), strict=True)
    return Answered([_stacked(column) for column in columns], variant, first.version)


def _are_one_batch(rows: Sequence[Row]) -> bool:
    first = rows[0]
    return all(row.outputs is first.outputs and row.place == first.place + n for n, row in enumerate(rows))


def _row(output: Array, place: int) -> Array:
    return output if len(output) == 1 else output[place : place + 1]


def _stacked(pieces: Sequence[Array]) -> Array:
    """One under the other; where items were answered at different lengths, shorter ones are filled up with 0."""
    longest = np.max([piece.shape for piece in pieces], axis=0)
    if all(piece.shape[1:] == tuple(longest[1:]) for piece in pieces):
        return np.concatenate(pieces)
    whole = np.zeros((len(pieces), *longest[1:]), pieces[0].dtype)
    for place, piece in enumerate(pieces):
        inside = tuple(slice(size) for size in piece.shape[1:])
        whole[place][inside] = piece[0]
    return whole
