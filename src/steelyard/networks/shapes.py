"""What one item looks like to a network, and what a network's input is called. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from steelyard.errors import UsageError
from steelyard.records.base import Record

Kind = Literal["images", "sequences", "text", "table"]


class ImageShape(Record, tag_field="kind", tag="images"):
    """Pictures, float32 [items, channels, height, width]."""

    kind: ClassVar[Kind] = "images"
    input_name: ClassVar[str] = "image"
    varies: ClassVar[Mapping[int, str]] = {}
    """Axes beside the first that may differ from batch to batch."""

    height: int
    width: int
    channels: int = 1

    def __post_init__(self) -> None:
        _at_least_one("an image", channels=self.channels, height=self.height, width=self.width)


class SequenceShape(Record, tag_field="kind", tag="sequences"):
    """Measurements over time, float32 [items, steps, channels]; how many steps may differ from batch to batch.

    A batch of items of different length is filled up behind; then the lengths, int64 [items], are a second input.
    """

    kind: ClassVar[Kind] = "sequences"
    input_name: ClassVar[str] = "sequence"
    varies: ClassVar[Mapping[int, str]] = {1: "steps"}

    channels: int
    steps: int
    """How many there usually are."""

    def __post_init__(self) -> None:
        _at_least_one("a sequence", channels=self.channels, steps=self.steps)


class TextShape(Record, tag_field="kind", tag="text"):
    """Numbers of tokens, int64 [items, length], filled up behind with `padding`; the length may differ."""

    kind: ClassVar[Kind] = "text"
    input_name: ClassVar[str] = "tokens"
    varies: ClassVar[Mapping[int, str]] = {1: "length"}

    vocabulary: int
    """Tokens are numbers from 0 to one less."""
    length: int
    """How long texts may be."""
    padding: int = 0
    """The token that means nothing."""

    def __post_init__(self) -> None:
        _at_least_one("a text", vocabulary=self.vocabulary, length=self.length)
        if not 0 <= self.padding < self.vocabulary:
            raise UsageError(f"the padding token is one of 0 … {self.vocabulary - 1}, got {self.padding}")


class TableShape(Record, tag_field="kind", tag="table"):
    """Rows, float32 [items, numbers + categories]: first the columns of numbers, then those of categories.

    A category is given by its number: 0, 1, 2 … as a float.
    """

    kind: ClassVar[Kind] = "table"
    input_name: ClassVar[str] = "table"
    varies: ClassVar[Mapping[int, str]] = {}

    numbers: int
    """Columns of numbers."""
    categories: tuple[int, ...] = ()
    """Per further column, how many categories it has."""

    def __post_init__(self) -> None:
        _at_least_one("a row", columns=self.numbers + len(self.categories))
        _at_least_one("a column", categories=min(self.categories, default=1))
        if self.numbers < 0:
            raise UsageError(f"a row has 0 columns of numbers or more, got {self.numbers}")


InputShape = ImageShape | SequenceShape | TextShape | TableShape


def _at_least_one(what: str, **sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise UsageError(f"{what} has 1 or more {name}, got {size}")
