"""Requests in a dispatcher's queue, and their callers, whatever these do."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from steelyard.scheduling import ALL
from steelyard.serve.callers import Caller

Request = TypeVar("Request")
Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


class Holder(Protocol[Request, Answer]):
    """In whose queue a ticket is."""

    def withdraw(self, ticket: Ticket[Request, Answer]) -> bool:
        """Take it out of the queue; False: it is not there."""


class Ticket(Generic[Request, Answer]):
    """One request in the queue."""

    __slots__ = ("allowed", "caller", "deadline", "holder", "priority", "request", "waits")

    def __init__(
        self, request: Request, caller: Caller[Answer], deadline: float, priority: int = 0, allowed: int = ALL
    ) -> None:
        self.request = request
        self.caller = caller
        self.deadline = deadline
        self.priority = priority
        self.allowed = allowed
        """Bit r: rung r of the policy may answer it."""
        self.waits = False
        """It is in the queue: no worker took it yet, and it did not leave. Changed under the dispatcher's lock only."""
        self.holder: Holder[Request, Answer] | None = None
        """In whose queue it is, or was."""


def is_wanted(ticket: Ticket[Request, Answer]) -> bool:
    """Whether its caller still waits; one that errs does not."""
    try:
        return ticket.caller.begin()
    except Exception:
        log.exception("a caller could not say whether it still waits")
        return False


def answer_all(tickets: Sequence[Ticket[Request, Answer]], answers: Sequence[Answer]) -> None:
    """Hand each caller its answer; one that errs keeps it from nobody else."""
    for ticket, answer in zip(tickets, answers, strict=True):
        try:
            ticket.caller.answer(answer)
        except Exception:
            log.exception("a caller could not take its answer")


def fail_all(tickets: Sequence[Ticket[Request, Answer]], error: BaseException) -> None:
    """Tell the callers; one that errs keeps it from nobody else."""
    for ticket in tickets:
        try:
            ticket.caller.fail(error)
        except Exception:
            log.exception("a caller could not be told of a failure")
