"""A network that takes items as they come: its preparation is its first layers.

What a server gets are raw pixels, rows or measurements; nobody has to repeat, or forget, what was done to the data
before training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from steelyard.datasets.examples import Examples
from steelyard.errors import ModelError
from steelyard.preparation.plain import Affine, Clip, Impute, OneHot, Ordinal, Plain, Tokens
from steelyard.preparation.steps import Prepared
from steelyard.train.shaping import IDS, UNSCALED, Columns, columns_of
from steelyard.train.words import word_columns

Steps = tuple[Plain | Tokens, ...]


class Arithmetic(nn.Module):  # type: ignore[misc]
    """Fills gaps, bounds and scales the last axis, several columns at once.

    Each column has its own steps. They are gathered into as few rounds as keep each column's order; a round fills,
    then bounds, then scales all columns, those that have no such step by what changes nothing.
    """

    def __init__(self, columns: Sequence[Sequence[Plain]], channel: Sequence[int]) -> None:
        """`columns`: the steps of each; `channel`: which of the step's numbers is the column's."""
        super().__init__()
        rounds = _rounds(columns, channel)
        self.rounds = len(rounds)
        for number, each in enumerate(rounds):
            for name, values in vars(each).items():
                self.register_buffer(f"{name}{number}", torch.tensor(values, dtype=torch.float32))
        self.has = [(each.fills, each.bounds, each.scales) for each in rounds]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32, last axis = columns."""
        for number, (fills, bounds, scales) in enumerate(self.has):
            if fills:
                x = torch.where(torch.isnan(x), self.get_buffer(f"fill{number}"), x)
            if bounds:
                x = torch.minimum(torch.maximum(x, self.get_buffer(f"low{number}")), self.get_buffer(f"high{number}"))
            if scales:
                x = x * self.get_buffer(f"scale{number}") + self.get_buffer(f"shift{number}")
        return x


@dataclass
class _Round:
    fill: list[float]
    low: list[float]
    high: list[float]
    scale: list[float]
    shift: list[float]

    @property
    def fills(self) -> bool:
        return any(value == value for value in self.fill)

    @property
    def bounds(self) -> bool:
        return min(self.high) < float("inf") or max(self.low) > float("-inf")

    @property
    def scales(self) -> bool:
        return set(self.scale) != {1.0} or set(self.shift) != {0.0}


def _rounds(columns: Sequence[Sequence[Plain]], channel: Sequence[int]) -> list[_Round]:
    """The fewest rounds of fill, bound, scale in which each column finds its steps in their order."""
    rounds: list[_Round] = []
    for column, steps in enumerate(columns):
        place, after = 0, -1
        for step in steps:
            order = _ORDER[type(step)]
            place, after = (place, order) if order > after else (place + 1, order)
            while len(rounds) <= place:
                rounds.append(_nothing(len(columns)))
            _set(rounds[place], column, step, channel[column])
    return rounds


_ORDER: dict[type, int] = {Impute: 0, Clip: 1, Affine: 2}


def _nothing(columns: int) -> _Round:
    inf, nan = float("inf"), float("nan")
    return _Round([nan] * columns, [-inf] * columns, [inf] * columns, [1.0] * columns, [0.0] * columns)


def _set(into: _Round, column: int, step: Plain, channel: int) -> None:
    match step:
        case Impute():
            into.fill[column] = float(_own(step.values, channel))
        case Clip():
            into.low[column], into.high[column] = _own(step.low, channel), _own(step.high, channel)
        case Affine():
            into.scale[column], into.shift[column] = _own(step.scale, channel), _own(step.shift, channel)
        case _:
            raise ModelError(f"a {type(step).__name__} step has no place among numbers")


def _own(numbers: Sequence[float | str], channel: int) -> float:
    """One for all channels, or the channel's own."""
    return float(numbers[0] if len(numbers) == 1 else numbers[channel])


class Pictures(nn.Module):  # type: ignore[misc]
    """image uint8 [n, height, width, channels] → what the network gives."""

    def __init__(self, network: nn.Module, steps: Steps, channels: int) -> None:
        super().__init__()
        self.network = network
        plain = [step for step in steps if not isinstance(step, Tokens)]
        self.prepare = Arithmetic([plain] * channels, range(channels))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores, or values."""
        return self.network(self.prepare(image.float()).permute(0, 3, 1, 2))


class Sequences(nn.Module):  # type: ignore[misc]
    """sequence float32 [n, steps, channels], and length int64 [n] where items differ → what the network gives."""

    def __init__(self, network: nn.Module, steps: Steps, channels: int) -> None:
        super().__init__()
        self.network = network
        plain = [step for step in steps if not isinstance(step, Tokens)]
        self.prepare = Arithmetic([plain] * channels, range(channels))

    def forward(self, sequence: torch.Tensor) -> torch.Tensor:
        """Scores, or values."""
        return self.network(self.prepare(sequence))


class SequencesOfLengths(Sequences):
    """The same for items of different length."""

    def forward(self, sequence: torch.Tensor, length: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """What fills items up stays zero. No item is longer than its batch."""
        length = length.clamp(max=sequence.shape[1])
        there = torch.arange(sequence.shape[1], device=sequence.device)[None, :, None] < length[:, None, None]
        return self.network(torch.where(there, self.prepare(sequence), 0.0), length)


class Texts(nn.Module):  # type: ignore[misc]
    """input_ids int64 [n, length] → what the network gives. The tokenizer stays outside."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Scores, or values."""
        return self.network(input_ids)


class Table(nn.Module):  # type: ignore[misc]
    """table float32 [n, columns], raw and in the order `raw` of the data's columns → what the network gives."""

    def __init__(self, network: nn.Module, columns: Columns, raw: Sequence[str], serving: dict[str, Steps]) -> None:
        super().__init__()
        self.network = network
        steps = {name: [s for s in serving.get(name, ()) if not isinstance(s, Tokens)] for name in raw}
        self.spread = {name: _categories_of(steps[name]) for name in raw}
        numbers = [[s for s in steps[name] if not isinstance(s, OneHot | Ordinal)] for name in raw]
        self.prepare = Arithmetic(numbers, [0] * len(raw))
        self.raw = list(raw)
        self.columns = columns
        for place, name in enumerate(raw):
            if self.spread[name] is not None:
                self.register_buffer(f"categories{place}", torch.tensor(self.spread[name], dtype=torch.float32))
        plain = [place for place, name in enumerate(raw) if self.spread[name] is None]
        self.is_plain = len(plain) == len(raw)

    def forward(self, table: torch.Tensor) -> torch.Tensor:
        """Scores, or values."""
        x = self.prepare(table)
        if self.is_plain and tuple(self.raw) == self.columns.numbers:
            return self.network(x)
        order = (*self.columns.numbers, *self.columns.categories)
        return self.network(torch.cat([self._column(x, name) for name in order], 1))

    def _column(self, x: torch.Tensor, name: str) -> torch.Tensor:
        place = self.raw.index(name)
        one = x[:, place : place + 1]
        if self.spread[name] is None:
            return one
        hits = (one == self.get_buffer(f"categories{place}")).float()
        if name in self.columns.numbers:
            return hits
        places = torch.arange(1, hits.shape[1] + 1, dtype=torch.float32, device=hits.device)
        return (hits * places).sum(1, keepdim=True)


def _categories_of(steps: Sequence[Plain]) -> list[float] | None:
    """What a column's categories are, where its last step tells them apart."""
    last = steps[-1] if steps else None
    return [float(each) for each in last.categories] if isinstance(last, OneHot | Ordinal) else None


def ready(network: nn.Module, prepared: Prepared, raw: Examples, examples: Examples) -> nn.Module:
    """The network with its preparation before it. `raw` as they came, `examples` the same prepared.

    Of a table with columns of words it takes what `words.coded` gives: numbers in their place.
    """
    serving = {name: tuple(steps) for name, steps in prepared.serving.items()}
    if "image" in examples.inputs:
        pixels = examples.inputs["image"]
        steps = serving.get("image", ()) if pixels.dtype.kind == "f" else (Affine(scale=(UNSCALED,), shift=(0.0,)),)
        return Pictures(network, steps, pixels.shape[3])
    if "sequence" in examples.inputs:
        kind = SequencesOfLengths if "length" in examples.inputs else Sequences
        return kind(network, serving.get("sequence", ()), examples.inputs["sequence"].shape[2])
    if IDS in examples.inputs:
        return Texts(network)
    words = word_columns(raw, prepared.serving)
    serving |= {name: column.steps for name, column in words.items()}
    order = [*(name for name in raw.inputs if name not in words), *words]
    return Table(network, columns_of(examples, prepared.serving), order, serving)
