"""Requests for an inference over gRPC become what is asked of a model, and its answers become responses.

Tensors come as bytes (`raw_input_contents`) or as numbers (`contents`), and always go as bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from steelyard.errors import InputError
from steelyard.protocol import inference_pb2 as pb
from steelyard.protocol.aside import LARGE
from steelyard.protocol.inference import classified
from steelyard.protocol.json_body import MOST_AXES, MOST_TENSORS
from steelyard.protocol.json_pieces import NUMBERS, pause
from steelyard.protocol.matching import matched
from steelyard.protocol.offered import Served
from steelyard.records.engine import Array
from steelyard.serve.callers import Caller
from steelyard.serve.datatypes import DATATYPES, Datatype, array_of, converted, raw_of, shown
from steelyard.serve.requests import MICROSECONDS, Answered, Asked, Metadata, Withdrawable

MOST_ID = 1024
"""Characters of a request's id."""
_FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where the numbers of each datatype are; there is no place for FP16 and BF16."""

Parameters = Mapping[str, pb.InferParameter]


class Wanted(NamedTuple):
    """One output that the client wants."""

    place: int
    """Among the model's outputs."""
    classes: int
    """0: the output itself; otherwise so many of its largest values."""


class Inference:
    """A request that is decoded and not yet answered."""

    __slots__ = ("_id", "_metadata", "_served", "_wanted", "asked")

    def __init__(self, served: Served, request: pb.ModelInferRequest, left_s: float) -> None:
        """`left_s`: how long the client still waits. Raises InputError for what cannot be asked of this model."""
        _check_sizes(request)
        self._served = served
        self._metadata = served.metadata
        self._id = request.id
        inputs, items = _inputs(self._metadata, request)
        self.asked = _asked(inputs, items, request.parameters, left_s)
        self._wanted = _wanted(self._metadata, request)

    def start(self, caller: Caller[Answered]) -> Withdrawable:
        """Hand it to the model; `caller` may hear the answer before this returns."""
        return self._served.ask(self.asked, caller)

    def is_large(self, answered: Answered) -> bool:
        """Whether the response is written aside."""
        return sum(answered.outputs[place].nbytes for place, _ in self._wanted) >= LARGE

    def tell(self, answered: Answered, response: pb.ModelInferResponse) -> None:
        """Write the answer into the empty `response`."""
        response.model_name = self._metadata.name
        response.model_version = answered.version or self._served.version
        response.id = self._id
        response.parameters["variant"].string_param = answered.variant
        for place, classes in self._wanted:
            spec = self._metadata.outputs[place]
            array, kind = answered.outputs[place], DATATYPES[spec.datatype]
            if classes:
                array, kind = classified(array, classes, self._metadata.max_batch_size > 0), DATATYPES["BYTES"]
            response.outputs.add(name=spec.name, datatype=kind.name, shape=array.shape)
            raw = raw_of(array, kind)
            response.raw_output_contents.append(raw if isinstance(raw, bytes) else raw.tobytes())


def _check_sizes(request: pb.ModelInferRequest) -> None:
    """What would make messages or loops long is refused first."""
    if len(request.inputs) > MOST_TENSORS or len(request.outputs) > MOST_TENSORS:
        raise InputError(f"a request may have {MOST_TENSORS} inputs and outputs")
    if any(len(tensor.shape) > MOST_AXES for tensor in request.inputs):
        raise InputError(f"a tensor may have {MOST_AXES} axes")
    if len(request.id) > MOST_ID:
        raise InputError(f"a request's id may have {MOST_ID:,} characters, got {len(request.id):,}")


# --- parameters -------------------------------------------------------------------------------------------------------


def _asked(inputs: Mapping[str, Array], items: int, parameters: Parameters, left_s: float) -> Asked:
    if not parameters:
        return Asked(inputs, items, left_s)
    if value_of(parameters, "sequence_id") not in (None, 0, ""):
        raise InputError("sequences of requests are not served: no model here keeps a state")
    timeout = whole(parameters, "timeout", 0, 2**62)
    return Asked(
        inputs,
        items,
        min(left_s, timeout / MICROSECONDS) if timeout else left_s,
        whole(parameters, "priority", -(2**31), 2**32),
        number(parameters, "min_quality", -math.inf),
        number(parameters, "max_cost", math.inf),
    )


def value_of(parameters: Parameters, name: str) -> bool | int | float | str | None:
    """None: it is not there."""
    if name not in parameters:
        return None
    parameter = parameters[name]
    choice = parameter.WhichOneof("parameter_choice")
    value: bool | int | float | str | None = None if choice is None else getattr(parameter, choice)
    return value


def whole(parameters: Parameters, name: str, least: int, most: int) -> int:
    """0: it is not there. Raises InputError for what is no whole number from `least` to `most`."""
    value = value_of(parameters, name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        told = f"the parameter '{name}' is a whole number from {least} to {most}"
        raise InputError(f"{told}, got {shown(str(value))}")
    return value


def number(parameters: Parameters, name: str, otherwise: float) -> float:
    """Where it is not there: `otherwise`. Older clients cannot send fractions but as text.

    Raises InputError for what is no number.
    """
    value = value_of(parameters, name)
    if value is None:
        return otherwise
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except ValueError:
        found = math.nan
    if math.isnan(found):
        raise InputError(f"the parameter '{name}' is a number, got {shown(str(value))}")
    return found


# --- tensors ----------------------------------------------------------------------------------------------------------


def _inputs(metadata: Metadata, request: pb.ModelInferRequest) -> tuple[Mapping[str, Array], int]:
    """Each input as the model takes it, and the number of items."""
    pairs, items = matched(metadata, request.inputs)
    if any("shared_memory_region" in tensor.parameters for tensor in request.inputs):
        raise InputError("shared memory is not served", "send the tensor in the request")
    raws = _raws(request)
    return {
        spec.name: _array(tensor, raws.get(spec.name), DATATYPES[spec.datatype], spec.name) for spec, tensor in pairs
    }, items


def _raws(request: pb.ModelInferRequest) -> Mapping[str, bytes]:
    """The bytes of each input by name; none: the inputs bring numbers."""
    came = len(request.raw_input_contents)
    if not came:
        return {}
    if came != len(request.inputs):
        told = f"raw_input_contents has one entry for each input or none, got {came:,} for {len(request.inputs)} inputs"
        raise InputError(told)
    if any(tensor.HasField("contents") for tensor in request.inputs):
        raise InputError("an input brings numbers in 'contents' beside raw_input_contents", "send either")
    return {tensor.name: raw for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)}


def _array(tensor: Any, raw: bytes | None, taken: Datatype, name: str) -> Array:
    """One input as the model takes it. Its datatype and shape are known to fit the model."""
    given = DATATYPES[tensor.datatype]
    try:
        if raw is None:
            return _of_contents(tensor.contents, given, tensor.shape, taken)
        return array_of(raw, given, tensor.shape, taken)
    except InputError as error:
        raise InputError(f"the input '{name}': {error.message}", error.hint) from None


def _of_contents(contents: pb.InferTensorContents, given: Datatype, shape: Any, taken: Datatype) -> Array:
    """The array that the numbers in `contents` are."""
    place = _FIELDS.get(given.name)
    if place is None:
        raise InputError(f"{given.name} has no place in 'contents'", "send its bytes in raw_input_contents")
    values = getattr(contents, place)
    others = [field.name for field, _ in contents.ListFields() if field.name != place]
    if others:
        raise InputError(f"{given.name} is told in {place}, got {', '.join(others)}")
    if len(values) != math.prod(shape):
        told = f"{given.name} of shape {list(shape)} has {math.prod(shape):,} elements"
        raise InputError(f"{told}, {len(values):,} came in {place}")
    return (_texts(values) if given.kind == "t" else _numbers(values, given, taken)).reshape(tuple(shape))


def _texts(values: Any) -> Array:
    texts = np.empty(len(values), dtype=object)
    try:
        texts[:] = [value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise InputError(f"a text is not UTF-8: {error}") from None
    return texts


def _numbers(values: Any, given: Datatype, taken: Datatype) -> Array:
    if given.kind in "iu" and given.size < 4:  # they travel in wider numbers
        wide = _array_of(values, np.dtype(np.int64))
        limits = np.iinfo(given.dtype.name)
        if len(wide) and (wide.min() < limits.min or wide.max() > limits.max):
            raise InputError(f"a number is out of the range of {given.name}, {limits.min} to {limits.max}")
        return wide.astype(given.dtype)
    return converted(_array_of(values, given.dtype), taken)


def _array_of(values: Any, dtype: np.dtype[np.generic]) -> Array:
    """Piece by piece: numpy keeps Python's lock meanwhile."""
    if len(values) <= NUMBERS:
        return np.fromiter(values, dtype, len(values))
    array = np.empty(len(values), dtype)
    for at in range(0, len(values), NUMBERS):
        part = values[at : at + NUMBERS]
        array[at : at + NUMBERS] = np.fromiter(part, dtype, len(part))
        pause()
    return array


# --- outputs ----------------------------------------------------------------------------------------------------------


def _wanted(metadata: Metadata, request: pb.ModelInferRequest) -> list[Wanted]:
    if not request.outputs:
        return [Wanted(place, 0) for place in range(len(metadata.outputs))]
    places = {spec.name: place for place, spec in enumerate(metadata.outputs)}
    found: dict[int, Wanted] = {}
    for output in request.outputs:
        place = places.get(output.name)
        if place is None:
            told = f"the model '{metadata.name}' has no output {shown(output.name)}"
            raise InputError(told, f"it has {', '.join(places)}")
        if place in found:
            raise InputError(f"the output '{output.name}' is asked for twice")
        found[place] = Wanted(place, _classes(metadata, place, output.parameters))
    return list(found.values())


def _classes(metadata: Metadata, place: int, parameters: Parameters) -> int:
    if not parameters:
        return 0
    if "shared_memory_region" in parameters:
        raise InputError("shared memory is not served", "take the tensor from the response")
    classes = whole(parameters, "classification", 0, 2**31)
    spec = metadata.outputs[place]
    if classes and DATATYPES[spec.datatype].kind in "tb":
        raise InputError(f"the output '{spec.name}' is no numbers, of which the largest could be told")
    return classes
