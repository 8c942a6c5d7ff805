"""What a request brings, held against what the model takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from steelyard.errors import InputError
from steelyard.serve.datatypes import accepts, datatype, shown
from steelyard.serve.requests import Metadata, TensorSpec


class Brought(Protocol):
    """A tensor as a client describes it."""

    @property
    def name(self) -> str:
        """Of an input, or so it says."""

    @property
    def datatype(self) -> str:
        """A name of the protocol, or so it says."""

    @property
    def shape(self) -> Sequence[int]:
        """With the number of items first."""


Tensor = TypeVar("Tensor", bound=Brought)


def matched(metadata: Metadata, brought: Sequence[Tensor]) -> tuple[list[tuple[TensorSpec, Tensor]], int]:
    """Each input of the model with what was brought for it, and the number of items.

    Raises InputError when an input is missing, unknown or told twice, for a datatype or shape that the model does not
    take, when inputs differ in their items, and for more items than a request may bring.
    """
    specs = metadata.inputs
    by_name = {tensor.name: tensor for tensor in brought}
    try:
        pairs = [(spec, by_name[spec.name]) for spec in specs]
    except KeyError:
        raise _wrong_names(metadata, brought) from None
    if len(brought) != len(specs):
        raise _wrong_names(metadata, brought)
    for spec, tensor in pairs:
        if tensor.datatype != spec.datatype and not accepts(datatype(spec.datatype), datatype(tensor.datatype)):
            raise InputError(f"the input '{spec.name}' takes {spec.datatype}, got {tensor.datatype}")
        if not _fits(spec.shape, tensor.shape):
            told = f"the input '{spec.name}' takes the shape {list(spec.shape)}, got {list(tensor.shape)}"
            raise InputError(told, "-1 may be any size from 1 on")
    return pairs, _items(metadata, pairs)


def _fits(wanted: Sequence[int], got: Sequence[int]) -> bool:
    if len(wanted) != len(got):
        return False
    for want, size in zip(wanted, got, strict=True):  # noqa: SIM110 - each request comes by here: a loop is quicker
        if size != want and (want != -1 or size <= 0):
            return False
    return True


def _items(metadata: Metadata, pairs: Sequence[tuple[TensorSpec, Brought]]) -> int:
    if not pairs:
        return 1
    items = pairs[0][1].shape[0] if pairs[0][1].shape else 1
    if metadata.max_batch_size == 0:
        return items
    for spec, tensor in pairs:
        if tensor.shape[0] != items:
            first = pairs[0][0].name
            raise InputError(f"the input '{spec.name}' brings {tensor.shape[0]} items, '{first}' brings {items}")
    if items > metadata.max_batch_size:
        told = f"a request to '{metadata.name}' may bring {metadata.max_batch_size} items, got {items}"
        raise InputError(told, "send several requests")
    return items


def _wrong_names(metadata: Metadata, brought: Sequence[Brought]) -> InputError:
    takes = ", ".join(f"'{spec.name}' {spec.datatype}{list(spec.shape)}" for spec in metadata.inputs)
    got = ", ".join(shown(tensor.name) for tensor in brought[:8]) or "none"
    return InputError(f"the model '{metadata.name}' takes each of these inputs once: {takes}; got {got}")
