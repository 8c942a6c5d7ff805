"""The protocol's binary tensors: JSON first, then the bytes of each tensor that names its size.

`Inference-Header-Content-Length` tells how long the JSON is; 0: there is none, and the body is the one input's bytes.
Nothing is copied here: a tensor's bytes are a view of the body.
"""

from __future__ import annotations

import math

from steelyard.errors import InputError
from steelyard.protocol import json_body
from steelyard.protocol.json_body import InferRequest, InputTensor
from steelyard.protocol.reply import json_bytes
from steelyard.records.engine import Array
from steelyard.serve.datatypes import DATATYPES, Datatype, array_of
from steelyard.serve.requests import Metadata, TensorSpec


def json_length(value: bytes, body: bytes | memoryview) -> int:
    """What the header says. Raises InputError when it is no number, or more than there is."""
    length = json_bytes(value)
    if length is None:
        raise InputError("Inference-Header-Content-Length is not a number of bytes")
    if length > len(body):
        raise InputError(f"Inference-Header-Content-Length says {length:,} bytes, the body has {len(body):,}")
    return length


def views(request: InferRequest, rest: memoryview) -> list[memoryview | None]:
    """For each input its bytes among those that follow the JSON; None: its data is in the JSON.

    Raises InputError when the sizes do not add up to exactly what follows.
    """
    found: list[memoryview | None] = []
    at = 0
    for tensor in request.inputs:
        size = None if tensor.parameters is None else tensor.parameters.binary_data_size
        if size is None:
            found.append(None)
            continue
        if size > len(rest) - at:
            told = f"the input '{tensor.name}' says that it has {size:,} bytes"
            raise InputError(f"{told}, {len(rest) - at:,} are left after the JSON and the inputs before it")
        if memoryview(tensor.data).nbytes:
            raise InputError(f"the input '{tensor.name}' has data both in the JSON and after it")
        found.append(rest[at : at + size])
        at += size
    if at != len(rest):
        told = f"{len(rest):,} bytes follow the JSON, the inputs say {at:,}"
        raise InputError(told, "say the JSON's length in Inference-Header-Content-Length" if at > len(rest) else "")
    return found


def given(tensor: InputTensor, view: memoryview | None, taken: Datatype) -> Array:
    """The input as the model takes it. Its datatype and shape are known to fit the model. Raises InputError."""
    if view is None:
        return json_body.array_of(tensor, taken)
    try:
        return array_of(view, DATATYPES[tensor.datatype], tensor.shape, taken)
    except InputError as error:
        raise InputError(f"the input '{tensor.name}': {error.message}") from None


def alone(metadata: Metadata, body: bytes | memoryview) -> tuple[TensorSpec, list[int]]:
    """The model's one input and the shape that it has when `body` is all of it.

    The size tells how many items there are, or for one item the size of the one axis that may vary; of text the body
    is one element. Raises InputError when the model has more inputs, or the size fits no shape.
    """
    if len(metadata.inputs) != 1:
        told = f"the model '{metadata.name}' takes {len(metadata.inputs)} inputs"
        raise InputError(f"{told}, a body without JSON is only one", "tell the inputs in JSON before their bytes")
    spec = metadata.inputs[0]
    varying = [axis for axis, size in enumerate(spec.shape) if size == -1]
    kind = DATATYPES[spec.datatype]
    if kind.kind == "t":
        return spec, [1 if size == -1 else size for size in spec.shape]
    axis = varying[-1] if varying else None
    if len(varying) > (2 if varying[:1] == [0] else 1):
        raise InputError(
            f"the shape {list(spec.shape)} of '{spec.name}' does not follow from its size", "send JSON too"
        )
    shape = [1 if size == -1 else size for size in spec.shape]
    each = math.prod(shape) * kind.size
    count, left = divmod(len(body), each) if each else (0, 1)
    if left or not count or (axis is None and count != 1):
        raise InputError(f"{len(body):,} bytes are no tensor of {spec.datatype}{list(spec.shape)}")
    if axis is not None:
        shape[axis] = count
    return spec, shape
