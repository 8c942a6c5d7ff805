"""Who watches a run: progress bars, logs, searches that give a run up."""

from __future__ import annotations

from typing import Protocol

from steelyard.records.training import Epoch


class Watch(Protocol):
    """Hears of each step and epoch, in the process that leads. The way to add to a run without changing the loop.

    Over several processes a run can be ended after an epoch. An example is in the guide to training.
    """

    def step(self, epoch: int, done: int, steps: int, loss: float) -> None:
        """`done` of an epoch's `steps` are made; `loss` is that of the last."""

    def epoch(self, epoch: Epoch, is_best: bool) -> bool:
        """An epoch is over. Returns whether to go on."""


class Several:
    """All of these watch. A run goes on as long as every one of them wants it to."""

    def __init__(self, *watches: Watch) -> None:
        self._watches = watches

    def step(self, epoch: int, done: int, steps: int, loss: float) -> None:
        """Each hears of it."""
        for watch in self._watches:
            watch.step(epoch, done, steps, loss)

    def epoch(self, epoch: Epoch, is_best: bool) -> bool:
        """Each hears of it."""
        answers = [watch.epoch(epoch, is_best) for watch in self._watches]
        return all(answers)


class Nobody:
    """Watches nothing."""

    def step(self, epoch: int, done: int, steps: int, loss: float) -> None:
        """Nothing."""

    def epoch(self, epoch: Epoch, is_best: bool) -> bool:  # noqa: ARG002
        """On."""
        return True
