"""Single requests become what goes into the model at once: joined, filled up, or kept apart by their length.

Requests whose items differ in length go in together when they may be filled up to the longest of them; otherwise only
those of one length do, and a batch of requests becomes several runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from steelyard.records.engine import Array

Request = Mapping[str, Array]
"""One item: per model input an array [1, ...]."""


@dataclass(frozen=True)
class Growth:
    """Of an input whose items differ in length."""

    axis: int
    """Along which (0 counts items)."""
    fill: float = 0.0
    """What an item may be filled up with."""


class Run(NamedTuple):
    """What goes into the model at once."""

    places: tuple[int, ...]
    """Which of the requests they are: the first answers are theirs, in this order."""
    inputs: Mapping[str, Array]


@dataclass(frozen=True)
class Assembly:
    """How requests become runs."""

    grows: Mapping[str, Growth]
    """The inputs whose items differ in length."""
    pad: bool = False
    """Whether they may be filled up."""
    fixed_batch: int | None = None
    """The batch that the model insists on; rests are filled up by repeating the first item."""

    def runs(self, requests: Sequence[Request]) -> list[Run]:
        """As few as can be: one, or one for each length, none larger than the batch that the model insists on."""
        if not self.grows and self.fixed_batch is None:
            return [Run(tuple(range(len(requests))), self._joined(requests))]
        most = self.fixed_batch or len(requests)
        return [
            Run(places, self._joined([requests[place] for place in places]))
            for group in self._groups(requests)
            for places in (tuple(group[at : at + most]) for at in range(0, len(group), most))
        ]

    def _groups(self, requests: Sequence[Request]) -> Iterable[Sequence[int]]:
        """Which requests may go in together."""
        if self.pad or not self.grows:
            return [range(len(requests))]
        groups: dict[tuple[int, ...], list[int]] = {}
        for place, request in enumerate(requests):
            lengths = tuple(request[name].shape[growth.axis] for name, growth in self.grows.items())
            groups.setdefault(lengths, []).append(place)
        return groups.values()

    def _joined(self, requests: Sequence[Request]) -> Mapping[str, Array]:
        if len(requests) == 1:
            return self.filled(requests[0])
        return self.filled({name: self._column(name, [request[name] for request in requests]) for name in requests[0]})

    def _column(self, name: str, items: Sequence[Array]) -> Array:
        growth = self.grows.get(name)
        if growth is None or len({item.shape[growth.axis] for item in items}) == 1:
            return np.concatenate(items)
        shape = list(items[0].shape)
        shape[0], shape[growth.axis] = len(items), max(item.shape[growth.axis] for item in items)
        column = np.full(shape, growth.fill, items[0].dtype)
        for place, item in enumerate(items):
            inside = [slice(place, place + 1), *(slice(size) for size in item.shape[1:])]
            column[tuple(inside)] = item
        return column

    def filled(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The same, filled up by repeating the first item when the model insists on a larger batch."""
        items = len(next(iter(inputs.values())))
        if self.fixed_batch is None or self.fixed_batch == items:
            return inputs
        missing = self.fixed_batch - items
        return {n: np.concatenate([array, np.repeat(array[:1], missing, axis=0)]) for n, array in inputs.items()}
