"""A part of the data as tensors in memory, from which batches are drawn by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Items:
    """`inputs` in the order that the network is called with, one row per item; `targets` beside them."""

    inputs: tuple[torch.Tensor, ...]
    targets: torch.Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: torch.Tensor) -> Items:
        """The items of these numbers, int64, in this order."""
        return Items(tuple(each[rows] for each in self.inputs), self.targets[rows])

    def to(self, device: torch.device) -> Items:
        """The same on a device; itself when it is there already."""
        return Items(tuple(each.to(device) for each in self.inputs), self.targets.to(device))

    def batches(self, size: int) -> Iterator[Items]:
        """All items in their order, `size` at a time."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield Items(tuple(each[part] for each in self.inputs), self.targets[part])
