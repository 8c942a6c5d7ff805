"""How a model is asked: what whoever serves it must know, so that it need not open the model's file for it."""

from __future__ import annotations

from steelyard.records.base import Record
from steelyard.records.model import TensorInfo


class Growing(Record):
    """Of an input whose items differ in length."""

    axis: int
    """Along which (0 counts items)."""
    fill: float = 0.0
    """What an item may be filled up with."""


class Signature(Record):
    """What goes in and comes out. The same for all variants of a model."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    grows: dict[str, Growing] = {}
    """The inputs whose items differ in length."""
    pad: bool = False
    """Items of different length may be filled up to the longest that goes in with them."""
    fixed_batch: int | None = None
    """The batch that the model insists on, or bears; None: any."""
    classes: tuple[str, ...] = ()
    """Names of the classes in the order of the model's outputs, where they have names."""
