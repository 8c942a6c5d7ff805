"""What is asked and answered, as the protocols on one side and the workers on the other see it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from steelyard.records.base import Record
from steelyard.records.engine import Array

MICROSECONDS = 1e6
"""The protocol's unit for a request's timeout."""


class TensorSpec(Record):
    """One input or output in the protocol's words."""

    name: str
    datatype: str
    """FP32, INT64, BYTES …"""
    shape: tuple[int, ...]
    """−1 may vary; the first counts items."""


class Metadata(Record):
    """What clients are told of a model."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int
    """Items that one request may bring; 0: exactly the shapes told above."""


class Asked(NamedTuple):
    """One request, decoded and checked against the model: any number of items."""

    inputs: Mapping[str, Array]
    """Per model input [items, …], in the dtype that the model takes; text as str objects."""
    items: int
    timeout_s: float = math.inf
    """After this nobody waits for the answer."""
    priority: int = 0
    """Larger is sooner; equal: by deadline."""
    min_quality: float = -math.inf
    """Only variants at least this good may answer (of an error: at most this large)."""
    max_cost: float = math.inf
    """Per thousand requests; only variants that cost no more may answer."""


class Answered(NamedTuple):
    """The model's outputs [items, …] in the model's order, and who made them."""

    outputs: Sequence[Array]
    variant: str
    version: str = ""
    """Of the model that answered, which need not be the one that was asked; empty: it is."""


class Withdrawable(Protocol):
    """A request under way."""

    def withdraw(self) -> None:
        """Nobody waits any more: what is not being served leaves the queue at once."""
