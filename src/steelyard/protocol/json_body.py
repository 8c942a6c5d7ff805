"""Inference requests and replies as JSON.

Decoded once, into these types: what is nested deeper, NaN, Infinity and numbers out of range are refused on the way.
The numbers of a tensor stay undecoded until its datatype is known to be what the model takes.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Sequence
from types import GenericAlias
from typing import Annotated, Any

import msgspec
import numpy as np

from steelyard.errors import InputError
from steelyard.protocol import json_pieces
from steelyard.protocol.aside import LARGE
from steelyard.records.engine import Array
from steelyard.serve.datatypes import BF16, DATATYPES, Datatype, converted

MOST_TENSORS = 256
MOST_AXES = 32
_Text = Annotated[str, msgspec.Meta(max_length=1024)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class InputParameters(msgspec.Struct, gc=False):
    """Of one input."""

    binary_data_size: _Count | None = None
    """Its bytes follow the JSON, so many."""
    shared_memory_region: str | None = None


class InputTensor(msgspec.Struct):
    """One input."""

    name: _Text
    datatype: _Text
    shape: Annotated[list[_Count], msgspec.Meta(max_length=MOST_AXES)]
    data: msgspec.Raw = msgspec.Raw()
    """Row by row: flat, or nested as the shape says."""
    parameters: InputParameters | None = None


class OutputParameters(msgspec.Struct, gc=False):
    """Of one output that is asked for."""

    binary_data: bool | None = None
    classification: _Count = 0
    """So many of the largest values, each as "value:place"."""
    shared_memory_region: str | None = None


class WantedOutput(msgspec.Struct):
    """One output that is asked for."""

    name: _Text
    parameters: OutputParameters | None = None


class Parameters(msgspec.Struct, gc=False):
    """Of a request; others are ignored."""

    timeout: _Count = 0
    """Microseconds; 0: none."""
    priority: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**32)] = 0
    min_quality: float = -math.inf
    max_cost: float = math.inf
    binary_data_output: bool = False
    sequence_id: int | str = 0


class InferRequest(msgspec.Struct):
    """The body of a request."""

    inputs: Annotated[list[InputTensor], msgspec.Meta(max_length=MOST_TENSORS)]
    id: _Text = ""
    parameters: Parameters | None = None
    outputs: Annotated[list[WantedOutput], msgspec.Meta(max_length=MOST_TENSORS)] | None = None


class OutputTensor(msgspec.Struct, omit_defaults=True):
    """One output."""

    name: str
    datatype: str
    shape: Sequence[int]
    parameters: dict[str, int] | None = None
    data: list[Any] | msgspec.Raw | None = None


class InferReply(msgspec.Struct, omit_defaults=True):
    """The body of a reply."""

    model_name: str
    model_version: str
    parameters: dict[str, str]
    outputs: list[OutputTensor]
    id: str = ""


_request = msgspec.json.Decoder(InferRequest).decode
encode = msgspec.json.Encoder().encode
"""An `InferReply` as JSON; numbers that are not finite become null."""


def decode(body: bytes | memoryview) -> InferRequest:
    """The request. Raises InputError, which says what is wrong and where."""
    try:
        return _request(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"the request is not as expected: {error}") from None
    except RecursionError:
        raise InputError("the request is nested too deeply") from None


_RANGES = {
    name: Annotated[int, msgspec.Meta(ge=int(np.iinfo(each.dtype.str).min), le=int(np.iinfo(each.dtype.str).max))]
    for name, each in DATATYPES.items()
    if each.kind in "iu" and each.size < 8
}
_ELEMENTS: dict[str, Any] = {
    "BOOL": bool,
    **_RANGES,
    "INT64": int,
    "UINT64": Annotated[int, msgspec.Meta(ge=0)],
    **dict.fromkeys(("FP16", "BF16", "FP32", "FP64"), float),
    "BYTES": str,
}


@functools.cache
def _numbers(name: str, depth: int) -> msgspec.json.Decoder[list[Any]]:
    kind: Any = _ELEMENTS[name]
    for _ in range(depth):
        kind = GenericAlias(list, kind)
    return msgspec.json.Decoder(kind)


def array_of(tensor: InputTensor, taken: Datatype) -> Array:
    """The tensor's numbers or texts as the model takes them. Its datatype and shape are known to fit the model.

    Raises InputError for other elements, more or fewer than the shape says, and numbers too large for the model.
    """
    depth = _depth(tensor)
    if len(memoryview(tensor.data)) >= LARGE and taken.kind != "t":
        read = _numbers(tensor.datatype, 1).decode
        array = json_pieces.read(bytes(memoryview(tensor.data)), read, taken.dtype, tensor.shape, depth > 1)
        if array is not None:
            return array
    return _array_at_once(tensor, taken, depth)


def _array_at_once(tensor: InputTensor, taken: Datatype, depth: int) -> Array:
    try:
        values = _numbers(tensor.datatype, depth).decode(tensor.data)
        array = _flat(values, taken) if depth == 1 else _nested(values, taken)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"the data of '{tensor.name}' is not as expected: {error}") from None
    except (OverflowError, FloatingPointError):
        raise InputError(f"a number in '{tensor.name}' is too large for {taken.name}") from None
    except ValueError:
        raise InputError(f"the data of '{tensor.name}' is nested, and not as its shape {tensor.shape} says") from None
    if depth > 1:
        if array.shape != tuple(tensor.shape):
            told = f"the data of '{tensor.name}' is nested as {list(array.shape)}"
            raise InputError(f"{told}, its shape says {tensor.shape}")
        return array
    if len(values) != math.prod(tensor.shape):
        told = f"the data of '{tensor.name}' has {len(values):,} elements"
        raise InputError(f"{told}, its shape {tensor.shape} says {math.prod(tensor.shape):,}")
    return array.reshape(tensor.shape)


def _flat(values: list[Any], taken: Datatype) -> Array:
    code = _PACKED.get(taken.name)
    if code is None:
        return _nested(values, taken)
    return np.frombuffer(bytearray(struct.pack(f"={len(values)}{code}", *values)), taken.dtype)


_PACKED = {"FP32": "f", "FP64": "d"}
"""What `struct` packs in a third of the time that numpy takes, with the same failure for what is too large."""


def _nested(values: list[Any], taken: Datatype) -> Array:
    with np.errstate(over="raise"):
        return np.array(values, dtype=taken.dtype)


def _depth(tensor: InputTensor) -> int:
    """Of nested lists: 1, or as many as the tensor has axes."""
    start = bytes(memoryview(tensor.data)[:32])
    if not start:
        raise InputError(f"the input '{tensor.name}' has no data")
    is_nested = start.translate(None, b" \t\r\n").startswith(b"[[")
    return max(1, len(tensor.shape)) if is_nested else 1


def data_of(array: Array, sent: Datatype) -> list[Any] | msgspec.Raw:
    """The elements for a reply, row by row."""
    flat = array.reshape(-1)
    if sent.kind != "t" and flat.size > json_pieces.NUMBERS:
        return json_pieces.written(flat, lambda part: values_of(part, sent), encode)
    return values_of(flat, sent)


def values_of(flat: Array, sent: Datatype) -> list[Any]:
    """The elements as Python has them."""
    if sent.kind == "t":
        return [each if isinstance(each, str) else bytes(each).decode(errors="replace") for each in flat]
    if flat.dtype.kind == "V":  # BF16 of a package that knows it
        flat = flat.astype(BF16.dtype)
    values: list[Any] = converted(flat, sent).tolist()
    return values
