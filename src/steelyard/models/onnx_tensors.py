"""The tensors of an ONNX model: what memory they ask for, and where their data lies. Nothing is allocated here.

Layout of tensors and of external data: https://onnx.ai/onnx/repo-docs/ExternalData.html and onnx.proto3.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from steelyard.errors import ModelError
from steelyard.models.files import in_words, require_below, resolve_inside

NUMPY_NAMES: Mapping[int, str] = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "str",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}
"""TensorProto.DataType → numpy dtype, for what may go in or come out of a model; words of any length are `str`."""

STRING = 8
_BITS: Mapping[int, int] = {
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13, 14), 64),
    15: 128,
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((25, 26), 2),
    **dict.fromkeys((27, 28), 6),
}
_EXTERNAL = 1


def bytes_needed(dtype: int, shape: Iterable[int]) -> int:
    """Bytes of a dense tensor; sub-byte types are packed. Strings count their least, one byte each."""
    return -(-math.prod(shape) * _BITS.get(dtype, 8) // 8)


def all_graphs(model: Any) -> Iterator[Any]:
    """The main graph, graphs inside nodes, and those for training; functions count as graphs without tensors."""
    waiting = [model.graph, *model.functions]
    for training in model.training_info:
        waiting += [training.initialization, training.algorithm]
    while waiting:
        graph = waiting.pop()
        yield graph
        for attribute in _attributes(graph):
            waiting += attribute.graphs
            if attribute.HasField("g"):
                waiting.append(attribute.g)


def all_tensors(model: Any) -> Iterator[Any]:
    """Every tensor that the file stores: initializers, sparse ones, and those in attributes, in all graphs."""
    for graph in all_graphs(model):
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for attribute in _attributes(graph):
            yield from _in_attribute(attribute)


def require_memory_below(model: Any, max_bytes: int, where: str) -> None:
    """Raises ModelError when stored or declared tensors need more than `max_bytes`, or declare nonsense."""
    total = 0
    for tensor in all_tensors(model):
        total += _require_sound(tensor, max_bytes, where)
    require_below(total, max_bytes, f"{where}: all tensors together")
    for what, size in _asked_for(model):
        require_below(size, max_bytes, f"{where}: {what}")


def external_files(tensors: Iterable[Any], folder: Path, where: str) -> list[str]:
    """The external data files, each once, sorted, relative to `folder`; every reference into them is checked.

    Raises ModelError for a location outside the folder, a link, a missing file, and a stretch that does not
    fit the file or the tensor's shape.
    """
    names: set[str] = set()
    for tensor in tensors:
        if tensor.data_location == _EXTERNAL:
            names.add(_external_file(tensor, folder, where).relative_to(folder).as_posix())
    return sorted(names)


def _external_file(tensor: Any, folder: Path, where: str) -> Path:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    what = f"{where}: the data of tensor {tensor.name!r}"
    if len(entries) != len(tensor.external_data):
        raise ModelError(f"{what} is located twice", "export the model again")
    path = resolve_inside(folder, entries.get("location", ""), what)
    offset = _natural(entries.get("offset", "0"), what)
    needed = bytes_needed(tensor.data_type, tensor.dims)
    length = _natural(entries["length"], what) if "length" in entries else needed
    size = path.stat().st_size
    if length != needed:
        raise ModelError(
            f"{what} is {length} bytes long in {path.name}; its shape {list(tensor.dims)} needs {needed}",
            "the model and its data do not belong together: export both again",
        )
    if offset + length > size:
        raise ModelError(
            f"{what} ends at byte {offset + length} of {path.name}, which has {size} bytes",
            "the data file is cut off or belongs to another model: copy or export it again",
        )
    return path


def _require_sound(tensor: Any, max_bytes: int, where: str) -> int:
    what = f"{where}: tensor {tensor.name!r} of shape {list(tensor.dims)}"
    if tensor.data_type not in _BITS and tensor.data_type != STRING:
        raise ModelError(f"{what} has the unknown element type {tensor.data_type}", "export the model again")
    if any(size < 0 for size in tensor.dims):
        raise ModelError(f"{what} has a negative size", "export the model again")
    needed = bytes_needed(tensor.data_type, tensor.dims)
    require_below(needed, max_bytes, what)
    if tensor.HasField("raw_data") and tensor.data_location != _EXTERNAL and len(tensor.raw_data) != needed:
        raise ModelError(
            f"{what} needs {in_words(needed)}, the file holds {in_words(len(tensor.raw_data))} for it",
            "the file is damaged: export or download it again",
        )
    return needed


def _asked_for(model: Any) -> Iterator[tuple[str, int]]:
    """What running the model would allocate, as far as the file says it outright: a lower bound in bytes."""
    stored = {tensor.name: tensor for graph in all_graphs(model) for tensor in getattr(graph, "initializer", ())}
    for graph in all_graphs(model):
        if hasattr(graph, "initializer"):
            for value in (*graph.input, *graph.output, *graph.value_info):
                yield f"tensor {value.name!r}", _declared_bytes(value)
        for node in graph.node:
            if node.op_type == "Constant" and node.output:
                stored.update((node.output[0], each.t) for each in node.attribute if each.name == "value")
            yield f"node {node.name!r} ({node.op_type})", _made_bytes(node, stored)


def _declared_bytes(value: Any) -> int:
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        return 0
    kind = value.type.tensor_type
    return bytes_needed(kind.elem_type, (size.dim_value if size.dim_value > 0 else 1 for size in kind.shape.dim))


def _made_bytes(node: Any, stored: Mapping[str, Any]) -> int:
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type in ("RandomNormal", "RandomUniform") and "shape" in attributes:
        return bytes_needed(1, attributes["shape"].ints)
    if node.op_type == "ConstantOfShape" and node.input:
        value = attributes.get("value")
        return bytes_needed(value.t.data_type if value else 1, _small_integers(stored.get(node.input[0])))
    if node.op_type == "Expand" and len(node.input) > 1:
        return math.prod(_small_integers(stored.get(node.input[1])))
    return 0


def _small_integers(tensor: Any | None) -> list[int]:
    """The values of a stored shape; [0] when it is not known before the model runs."""
    if tensor is None or tensor.data_type != 7 or tensor.data_location == _EXTERNAL or math.prod(tensor.dims) > 64:
        return [0]
    raw = tensor.raw_data
    values = [int.from_bytes(raw[at : at + 8], "little", signed=True) for at in range(0, len(raw), 8)]
    return values or list(tensor.int64_data)


def _attributes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield from node.attribute
    yield from getattr(graph, "attribute_proto", ())


def _in_attribute(attribute: Any) -> Iterator[Any]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    sparse = [*attribute.sparse_tensors, *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else [])]
    for each in sparse:
        yield from (each.values, each.indices)


def _natural(text: str, what: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise ModelError(f"{what} has the offset or length {text!r}; expected a whole number", "export it again")
    return int(text)
