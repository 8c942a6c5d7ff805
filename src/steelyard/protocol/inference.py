"""One inference over HTTP: a request becomes what is asked of a model, the answer a reply."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from steelyard.errors import InputError
from steelyard.protocol import binary_body, json_body
from steelyard.protocol.aside import JSON_GROWTH, LARGE
from steelyard.protocol.compression import WORTH_COMPRESSING, compressed, decompressed, encoding_for
from steelyard.protocol.json_body import InferReply, InferRequest, OutputTensor, Parameters
from steelyard.protocol.matching import matched
from steelyard.protocol.offered import Ask, Served
from steelyard.protocol.reply import JSON_TYPE, LENGTH_HEADER, Reply, failure
from steelyard.records.engine import Array
from steelyard.serve.callers import Caller
from steelyard.serve.datatypes import DATATYPES, array_of, raw_of, shown
from steelyard.serve.requests import MICROSECONDS, Answered, Asked, Metadata, Withdrawable

BINARY_TYPE = (b"content-type", b"application/octet-stream")
NO_PARAMETERS = Parameters()


class Wanted(NamedTuple):
    """One output that the client wants."""

    place: int
    """Among the model's outputs."""
    binary: bool
    classes: int
    """0: the output itself; otherwise so many of its largest values."""


class Inference:
    """A request that is decoded and not yet answered. See `steelyard.protocol.pending.Pending`."""

    __slots__ = ("_accepted", "_ask", "_id", "_metadata", "_served", "_traceparent", "_wanted", "asked")

    def __init__(
        self,
        served: Served,
        headers: Mapping[bytes, bytes],
        body: bytes | memoryview,
        most_body: int,
        ask: Ask | None = None,
    ) -> None:
        """`ask` hands it to the model. Raises InputError or HttpFailure for what cannot be asked of this model."""
        self._served = served
        self._ask = ask
        if ask is not None:
            self._traceparent = headers.get(b"traceparent", b"").decode("latin-1")
        self._metadata = served.metadata
        self._accepted = headers.get(b"accept-encoding")
        encoding = headers.get(b"content-encoding")
        if encoding is not None:
            body = decompressed(body, encoding, most_body)
        told = headers.get(LENGTH_HEADER)
        length = len(body) if told is None else binary_body.json_length(told, body)
        if told is not None and length == 0:
            self.asked = _alone(self._metadata, body)
            self._id, self._wanted = "", _all(self._metadata, binary=True)
            return
        request = json_body.decode(body if length == len(body) else memoryview(body)[:length])
        self.asked = _asked(self._metadata, request, memoryview(body)[length:])
        self._id, self._wanted = request.id, _wanted(self._metadata, request)

    def start(self, caller: Caller[Answered]) -> Withdrawable:
        """Hand it to the model; `caller` may hear the answer before this returns."""
        if self._ask is None:
            return self._served.ask(self.asked, caller)
        return self._ask(self._served, self.asked, caller, self._traceparent)

    def failed(self, error: BaseException) -> Reply:
        """What the client is told of a failure."""
        return failure(error)

    def is_large(self, answered: Answered) -> bool:
        """Whether the reply is written aside."""
        size = 0
        for wanted in self._wanted:
            told = answered.outputs[wanted.place].nbytes
            size += told if wanted.binary else JSON_GROWTH * told
        return size >= (LARGE if self._accepted is None else LARGE // JSON_GROWTH)

    def reply(self, answered: Answered) -> Reply:
        """What the client is told of the answer."""
        outputs: list[OutputTensor] = []
        raws: list[Any] = []
        for wanted in self._wanted:
            outputs.append(self._output(wanted, answered.outputs[wanted.place], raws))
        version = answered.version or self._served.version
        head = json_body.encode(
            InferReply(self._metadata.name, version, {"variant": answered.variant}, outputs, self._id)
        )
        if not raws:
            return self._sent(head, (JSON_TYPE,))
        more = (BINARY_TYPE, (LENGTH_HEADER, b"%d" % len(head)))
        return self._sent(b"".join((head, *raws)), more)

    def _output(self, wanted: Wanted, array: Array, raws: list[Any]) -> OutputTensor:
        """How one output is told; its bytes are added to `raws` where they follow the JSON."""
        spec = self._metadata.outputs[wanted.place]
        name, kind = spec.name, DATATYPES[spec.datatype]
        if wanted.classes:
            array, kind = classified(array, wanted.classes, self._metadata.max_batch_size > 0), DATATYPES["BYTES"]
        if not wanted.binary:
            return OutputTensor(name, kind.name, array.shape, data=json_body.data_of(array, kind))
        raw = raw_of(array, kind)
        raws.append(raw)
        size = len(raw) if isinstance(raw, bytes) else raw.nbytes
        return OutputTensor(name, kind.name, array.shape, {"binary_data_size": size})

    def _sent(self, body: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> Reply:
        if len(body) >= WORTH_COMPRESSING and self._accepted is not None:
            encoding = encoding_for(self._accepted)
            if encoding:
                body = compressed(body, encoding)
                headers = (*headers, (b"content-encoding", encoding), (b"vary", b"accept-encoding"))
        return Reply(200, (*headers, (b"content-length", b"%d" % len(body))), body)


def _asked(metadata: Metadata, request: InferRequest, rest: memoryview) -> Asked:
    pairs, items = matched(metadata, request.inputs)
    if rest or any(tensor.parameters is not None for tensor in request.inputs):
        views = dict(zip((tensor.name for tensor in request.inputs), _checked(request, rest), strict=True))
        inputs = {
            spec.name: binary_body.given(tensor, views[spec.name], DATATYPES[spec.datatype]) for spec, tensor in pairs
        }
    else:
        inputs = {spec.name: json_body.array_of(tensor, DATATYPES[spec.datatype]) for spec, tensor in pairs}
    parameters = request.parameters
    if parameters is None:
        return Asked(inputs, items)
    if parameters.sequence_id not in (0, ""):
        raise InputError("sequences of requests are not served: no model here keeps a state")
    return Asked(
        inputs,
        items,
        parameters.timeout / MICROSECONDS if parameters.timeout else math.inf,
        parameters.priority,
        parameters.min_quality,
        parameters.max_cost,
    )


def _checked(request: InferRequest, rest: memoryview) -> list[memoryview | None]:
    for tensor in request.inputs:
        if tensor.parameters is not None and tensor.parameters.shared_memory_region is not None:
            raise InputError("shared memory is not served", "send the tensor in the request")
    return binary_body.views(request, rest)


def _alone(metadata: Metadata, body: bytes | memoryview) -> Asked:
    spec, shape = binary_body.alone(metadata, body)
    kind = DATATYPES[spec.datatype]
    if kind.kind == "t":
        body = b"".join((len(body).to_bytes(4, "little"), body))
    tensor = json_body.InputTensor(spec.name, spec.datatype, shape)
    _, items = matched(metadata, [tensor])
    return Asked({spec.name: array_of(body, kind, shape, kind)}, items)


def _all(metadata: Metadata, *, binary: bool) -> list[Wanted]:
    return [Wanted(place, binary, 0) for place in range(len(metadata.outputs))]


def _wanted(metadata: Metadata, request: InferRequest) -> list[Wanted]:
    binary = request.parameters is not None and request.parameters.binary_data_output
    if not request.outputs:
        return _all(metadata, binary=binary)
    places = {spec.name: place for place, spec in enumerate(metadata.outputs)}
    found: list[Wanted] = []
    for output in request.outputs:
        place = places.get(output.name)
        if place is None:
            told = f"the model '{metadata.name}' has no output {shown(output.name)}"
            raise InputError(told, f"it has {', '.join(places)}")
        if any(each.place == place for each in found):
            raise InputError(f"the output '{output.name}' is asked for twice")
        found.append(_one_wanted(metadata, place, output, binary))
    return found


def _one_wanted(metadata: Metadata, place: int, output: json_body.WantedOutput, binary: bool) -> Wanted:
    parameters = output.parameters
    if parameters is None:
        return Wanted(place, binary, 0)
    if parameters.shared_memory_region is not None:
        raise InputError("shared memory is not served", "take the tensor from the reply")
    if parameters.classification and DATATYPES[metadata.outputs[place].datatype].kind in "tb":
        raise InputError(f"the output '{output.name}' is no numbers, of which the largest could be told")
    return Wanted(
        place, binary if parameters.binary_data is None else parameters.binary_data, parameters.classification
    )


def classified(array: Array, most: int, in_items: bool) -> Array:
    """The largest values of each item (of the whole, unless `in_items`), largest first, as texts "value:place"."""
    rows = array.reshape(len(array), -1) if in_items else array.reshape(1, -1)
    order = np.argsort(-rows.astype(np.float64), axis=1, kind="stable")[:, :most]
    texts = np.empty(order.shape, dtype=object)
    for row, places in enumerate(order):
        texts[row] = [f"{rows[row, place]:f}:{place}" for place in places]
    return texts if in_items else texts[0]
