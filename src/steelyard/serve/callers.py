"""Who waits for an answer, as the dispatcher sees it."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

Answer = TypeVar("Answer")
Taken_contra = TypeVar("Taken_contra", contravariant=True)


class Caller(Protocol[Taken_contra]):
    """Whoever waits for one answer. Called from a worker's thread: must return at once and not raise."""

    def begin(self) -> bool:
        """Its request is about to be served; False: nobody wants the answer any more."""

    def answer(self, answer: Taken_contra) -> None:
        """The answer to its request."""

    def fail(self, error: BaseException) -> None:
        """There will be no answer."""


class Promise(Generic[Answer]):
    """A caller that waits by a future."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: Future[Answer] = Future()

    def begin(self) -> bool:
        """From here on the future cannot be cancelled."""
        return self.future.set_running_or_notify_cancel()

    def answer(self, answer: Answer) -> None:
        """Hand it over."""
        self.future.set_result(answer)

    def fail(self, error: BaseException) -> None:
        """Hand over an error; a request that never began may have been cancelled meanwhile."""
        if self.future.running() or self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)
