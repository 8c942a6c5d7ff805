"""Requests that take their time: what an adapter waits for, and the models' coming and going."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from steelyard.errors import Overloaded, UnknownModel
from steelyard.protocol.reply import Reply, failure, json_reply, unexpected
from steelyard.serve.callers import Caller
from steelyard.serve.requests import Answered, Withdrawable

log = logging.getLogger(__name__)

RETRY_CHANGE_S = 5.0


class Pending(Protocol):
    """A request that was understood and is not answered yet."""

    def start(self, caller: Caller[Answered]) -> Withdrawable:
        """Begin. `caller` hears the end, perhaps before this returns. What it raises goes to `failed`."""

    def is_large(self, answered: Answered) -> bool:
        """Whether to put the reply together takes so long that it is not done on an event loop."""

    def reply(self, answered: Answered) -> Reply:
        """What the client is told at the end."""

    def failed(self, error: BaseException) -> Reply:
        """What the client is told instead."""


class Change:
    """A model is loaded or unloaded, in a thread of its own: the event loop goes on meanwhile. One at a time."""

    def __init__(self, name: str, change: Callable[[str], None], state: str, turn: threading.Lock) -> None:
        """`change(name)` does it; afterwards the model is in this `state`. `turn` is held meanwhile."""
        self._name = name
        self._change = change
        self._state = state
        self._turn = turn

    def start(self, caller: Caller[Answered]) -> Withdrawable:
        """Raises Overloaded while another change is under way."""
        if not self._turn.acquire(blocking=False):
            raise Overloaded("another model is being loaded or unloaded", "try again later", RETRY_CHANGE_S)
        threading.Thread(target=self._run, args=(caller,), name=f"change-{self._name}", daemon=True).start()
        return self

    def withdraw(self) -> None:
        """Half a change would be worse than a whole one that nobody waits for."""

    def is_large(self, answered: Answered) -> bool:  # noqa: ARG002 - it is always the same
        """It is not."""
        return False

    def reply(self, answered: Answered) -> Reply:  # noqa: ARG002 - there is nothing to tell but that it is done
        """It is done."""
        return json_reply({"name": self._name, "state": self._state})

    def failed(self, error: BaseException) -> Reply:
        """Why a bundle cannot be served names files of the server: that is for its log."""
        if isinstance(error, UnknownModel | Overloaded):
            return failure(error)
        return unexpected(error, f"the model '{self._name}' could not be changed", 400)

    def _run(self, caller: Caller[Answered]) -> None:
        try:
            caller.begin()
            self._change(self._name)
        except Exception as error:
            self._turn.release()
            caller.fail(error)
        else:
            self._turn.release()
            caller.answer(Answered((), ""))
