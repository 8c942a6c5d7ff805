"""Who watches a run: progress bars, logs, searches that give a run up."""

from __future__ import annotations

from typing import Protocol

from steelyard.records.training import Epoch


class Watch(Protocol):
    """Hears of each step and epoch, in the process that leads."""

    def step(self, epoch: int, done: int, steps: int, loss: float) -> None:
        """`done` of an epoch's `steps` are made; `loss` is that of the last."""

    def epoch(self, epoch: Epoch, is_best: bool) -> bool:
        """An epoch is over. Returns whether to go on."""


class Nobody:
    """Watches nothing."""

    def step(self, epoch: int, done: int, steps: int, loss: float) -> None:
        """Nothing."""

    def epoch(self, epoch: Epoch, is_best: bool) -> bool:  # noqa: ARG002
        """On."""
        return True
