"""Where the processes that train on a cluster and the one that ordered it leave things for each other.

It is an actor with several threads. Through it go bytes and plain values.
"""

from __future__ import annotations

import threading


class Desk:
    """Holds the order, the latest checkpoint, and what the leading process tells."""

    def __init__(self, recipe: bytes, data: bytes, checkpoint: bytes) -> None:
        self._order = recipe, data
        self._checkpoint = checkpoint
        self._checkpoints = 0
        self._step: tuple[int, int, int, float] | None = None
        self._epochs: list[tuple[bytes, bool]] = []
        self._answers: list[bool] = []
        self._stop = False
        self._run = self._failed = b""
        self._changed = threading.Condition()

    def order(self) -> tuple[bytes, bytes, bytes]:
        """The recipe, the items, and the checkpoint to go on from; empty: begin."""
        return *self._order, self._checkpoint

    def step(self, epoch: int, done: int, steps: int, loss: float) -> bool:
        """How far the training is. Returns whether it is to stop."""
        self._step = epoch, done, steps, loss
        return self._stop

    def epoch(self, epoch: bytes, is_best: bool) -> bool:
        """An epoch is over; waits for the answer of whoever watches, whether to go on."""
        with self._changed:
            self._epochs.append((epoch, is_best))
            number = len(self._epochs)
            self._changed.wait_for(lambda: len(self._answers) >= number or self._stop)
            return self._stop or self._answers[number - 1]

    def keep(self, checkpoint: bytes) -> None:
        """The state to go on from."""
        self._checkpoint = checkpoint
        self._checkpoints += 1

    def end(self, run: bytes) -> None:
        """The record of the finished run."""
        self._run = run

    def fail(self, failed: bytes) -> None:
        """The first error that ends it."""
        self._failed = self._failed or failed

    def told(self) -> tuple[tuple[int, int, int, float] | None, list[tuple[bytes, bool]], int]:
        """The latest step, all epochs, and how many checkpoints there have been."""
        return self._step, list(self._epochs), self._checkpoints

    def answer(self, goes_on: bool) -> None:
        """To the epoch that was told after those answered already."""
        with self._changed:
            self._answers.append(goes_on)
            self._changed.notify_all()

    def stop(self) -> None:
        """End after the step, or over several processes the epoch, that is under way."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()

    def checkpoint(self) -> bytes:
        """The latest."""
        return self._checkpoint

    def ending(self) -> tuple[bytes, bytes]:
        """The record of the run and the error, whichever there is."""
        return self._run, self._failed
