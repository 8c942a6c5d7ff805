"""The requests of a load: random items, or real ones from a .npz, as the model's metadata asks for them."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from steelyard.data.archives import opened_archive
from steelyard.data.arrays import NpzTable
from steelyard.data.rows import FileArray
from steelyard.errors import DataError, UsageError
from steelyard.load.model import Model, Tensor
from steelyard.load.target import Target
from steelyard.load.tensors import binary, converted, plain, random_array
from steelyard.records.engine import Array
from steelyard.serve.datatypes import DATATYPES

RANDOM_REQUESTS, MOST_REQUESTS = 16, 4096
"""Different requests of random items, and at most of real ones. They are sent over and over."""
MOST_BYTES = 512 * 2**20
"""Of all different requests together."""
WORD_BYTES = 64
"""That a random word costs, at most."""
LARGEST = 128 * 2**20
"""Bytes of one request."""


@dataclass(frozen=True)
class Form:
    """How requests are made."""

    items: int | None = None
    """Items in each; None: one, or as many as the model insists on."""
    json: bool = False
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Per input: lengths for dimensions that may vary, see `stated_shapes`."""
    parameters: Mapping[str, int | float] = field(default_factory=dict)
    """Of every request: timeout (µs), priority, min_quality …"""
    arrays: Mapping[str, str] = field(default_factory=dict)
    """Which array of the file an input takes, where their names differ."""


def stated_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """`input_ids=64`, `image=3x224x224`: lengths of one item's dimensions that may vary, or all its dimensions."""
    shapes = {}
    for text in texts:
        name, _, said = text.rpartition("=")
        if not name or not re.fullmatch(r"[0-9]{1,9}([x,][0-9]{1,9})*", said):
            raise UsageError(
                f"--shape names an input and the size of one item, got '{text}'", "for example --shape input_ids=64"
            )
        shapes[name] = tuple(int(size) for size in re.split("[x,]", said))
    return shapes


def random_requests(target: Target, model: Model, form: Form, seed: int) -> list[bytes]:
    """Requests of random items."""
    rng = np.random.default_rng(seed)
    items = _items(model, form)
    shapes = {tensor.name: _shape(tensor, form, items) for tensor in model.inputs}
    count = _count(sum(_bytes(tensor, shapes[tensor.name]) for tensor in model.inputs), RANDOM_REQUESTS)
    made = []
    for _ in range(count):
        arrays = {tensor.name: random_array(tensor.datatype, shapes[tensor.name], rng) for tensor in model.inputs}
        made.append(request(target, model, arrays, form))
    return made


def real_requests(target: Target, model: Model, form: Form, file: Path, seed: int) -> list[bytes]:
    """Requests of the items in a .npz, in random order. Raises `DataError` when they do not fit the model."""
    items = _items(model, form)
    if not file.is_file():
        raise DataError(f"there is no file {file}", "--data takes a .npz with an array for each input of the model")
    with opened_archive(file) as archive, tempfile.TemporaryDirectory(prefix="steelyard-load-") as scratch:
        table = NpzTable(archive, str(file), Path(scratch))
        stored = {tensor.name: _stored(table, tensor, form, file) for tensor in model.inputs}
        if uncounted := [tensor.name for tensor in model.inputs if tensor.shape[0] not in (-1, items)]:
            raise DataError(f"the first dimension of {', '.join(uncounted)} does not count items", "leave out --data")
        made = []
        for numbers in _draws(stored, items, file, np.random.default_rng(seed)):
            arrays = {}
            for tensor in model.inputs:
                where = f"{file}: the input {tensor.name}"
                arrays[tensor.name] = converted(stored[tensor.name].rows(numbers), tensor.datatype, where)
            made.append(request(target, model, arrays, form))
    return made


def request(target: Target, model: Model, arrays: Mapping[str, Array], form: Form) -> bytes:
    """The bytes of one request for these inputs."""
    body, headers = _json_body(model, arrays, form) if form.json else _binary_body(model, arrays, form)
    if len(body) > LARGEST:
        raise UsageError(f"a request of {len(body):,} bytes is too large; at most {LARGEST:,}", "take fewer --items")
    return target.request("POST", model.path, body, headers)


Body = tuple[bytes, list[tuple[str, str]]]
"""A body and the headers that tell what it is."""


def _json_body(model: Model, arrays: Mapping[str, Array], form: Form) -> Body:
    inputs = [_named(tensor, arrays) | {"data": plain(arrays[tensor.name], tensor.datatype)} for tensor in model.inputs]
    told = {"inputs": inputs} | ({"parameters": dict(form.parameters)} if form.parameters else {})
    return msgspec.json.encode(told), [("Content-Type", "application/json")]


def _binary_body(model: Model, arrays: Mapping[str, Array], form: Form) -> Body:
    """The binary tensor extension: a JSON part without the values, then the values; answered in the same way."""
    parts = [binary(arrays[tensor.name], tensor.datatype) for tensor in model.inputs]
    inputs = [
        _named(tensor, arrays) | {"parameters": {"binary_data_size": len(part)}}
        for tensor, part in zip(model.inputs, parts, strict=True)
    ]
    told = msgspec.json.encode({"inputs": inputs, "parameters": {"binary_data_output": True} | dict(form.parameters)})
    headers = [("Content-Type", "application/octet-stream"), ("Inference-Header-Content-Length", str(len(told)))]
    return told + b"".join(parts), headers


def _named(tensor: Tensor, arrays: Mapping[str, Array]) -> dict[str, object]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": arrays[tensor.name].shape}


def _items(model: Model, form: Form) -> int:
    """Items in each request."""
    fixed = model.fixed_items
    if form.items is not None and form.items < 1:
        raise UsageError(f"--items is 1 or more, got {form.items}")
    if fixed is not None and form.items not in (None, fixed):
        raise UsageError(
            f"the model {model.name} takes exactly {fixed} in its first dimension, got --items {form.items}",
            f"leave it out, or say --items {fixed}",
        )
    return form.items or fixed or 1


def _shape(tensor: Tensor, form: Form, items: int) -> tuple[int, ...]:
    """The shape that is sent: what may vary is filled in."""
    if not tensor.shape:
        return ()
    said, rest = form.shapes.get(tensor.name), tensor.shape[1:]
    if said is None or len(said) == 1 < len(rest):
        lengths = iter(said * len(rest) if said else ())
        filled = tuple(next(lengths, -1) if size < 0 else size for size in rest)
    else:
        filled = said
    if any(size < 0 for size in filled):
        raise UsageError(
            f"the input {tensor.name} has the shape {_written(tensor.shape)}: say how long its items are",
            f"for example --shape {tensor.name}=64; or give real items with --data",
        )
    if len(filled) != len(rest) or any(size not in (-1, got) for size, got in zip(rest, filled, strict=True)):
        raise UsageError(
            f"--shape {tensor.name}={'x'.join(map(str, said or ()))} does not fit: an item has the shape "
            f"{_written(rest)}",
            "-1 may have any size",
        )
    return (items if tensor.shape[0] < 0 else tensor.shape[0], *filled)


def _written(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _bytes(tensor: Tensor, shape: Sequence[int]) -> int:
    """Bytes of one random input, about."""
    return math.prod(shape) * (DATATYPES[tensor.datatype].size or WORD_BYTES)


def _count(size: int, wanted: int) -> int:
    """How many different requests of this size are made."""
    if size > LARGEST:
        raise UsageError(
            f"a request of {size:,} bytes is too large; at most {LARGEST:,}", "take fewer --items or another --shape"
        )
    return max(1, min(wanted, MOST_BYTES // max(size, 1)))


def _stored(table: NpzTable, tensor: Tensor, form: Form, file: Path) -> FileArray:
    """The array of one input, if it fits."""
    name = form.arrays.get(tensor.name, tensor.name)
    header = table.headers.get(name)
    if header is None:
        raise DataError(
            f"{file} has no array '{name}' for the input {tensor.name}; it holds {', '.join(table.headers)}",
            f"say which it is: --input {tensor.name}=ARRAY",
        )
    fits = len(header.shape) == len(tensor.shape) > 0 and all(
        size in (-1, got) for size, got in zip(tensor.shape[1:], header.shape[1:], strict=True)
    )
    if not fits:
        raise DataError(
            f"{file}: the model takes {tensor.name} in the shape {_written(tensor.shape)}, the array has "
            f"{_written(header.shape)}",
            "the first dimension counts items, -1 may have any size",
        )
    return table.open(name)


def _draws(
    stored: Mapping[str, FileArray], items: int, file: Path, rng: np.random.Generator
) -> Iterator[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Numbers of the items that go together, all in random order, as often as `items` takes."""
    counts = {array.header.items for array in stored.values()}
    if len(counts) > 1 or not min(counts):
        raise DataError(f"{file}: the arrays hold {', '.join(map(str, sorted(counts)))} items", "give equally many")
    available = counts.pop()
    size = items * sum(array.header.item_bytes for array in stored.values())
    order = rng.permutation(available)
    for first in range(_count(size, min(MOST_REQUESTS, math.ceil(available / items)))):
        yield order[np.arange(first * items, (first + 1) * items) % available]
