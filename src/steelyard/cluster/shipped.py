"""Items on their way to another machine, as bytes that nothing executes: a .npz, words in it as JSON."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, cast

import msgspec
import numpy as np

from steelyard.datasets.examples import Array, Examples
from steelyard.records.base import Record, from_json, to_json

_HEADER = "header"
_OPTIONAL = ("groups", "times", "parts")


class _Header(Record):
    kind: str
    classes: tuple[str, ...]
    words: tuple[str, ...]
    """Arrays that hold JSON."""


def packed(examples: Examples) -> bytes:
    """Everything of these items. Columns of objects hold words, or nothing."""
    arrays = _named(examples)
    words = tuple(name for name, array in arrays.items() if array.dtype == object)
    header = to_json(_Header(kind=examples.kind, classes=examples.classes, words=words))
    written = {name: _bytes(to_json(array.tolist())) if name in words else array for name, array in arrays.items()}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **{_HEADER: _bytes(header)}, **written)
    return file.getvalue()


def unpacked(raw: bytes) -> Examples:
    """What `packed` was given."""
    with np.load(io.BytesIO(raw), allow_pickle=False) as file:
        header = from_json(file[_HEADER].tobytes(), _Header)
        arrays = {name: _words(file[name]) if name in header.words else file[name] for name in file if name != _HEADER}
    inputs = {name.removeprefix("inputs/"): array for name, array in arrays.items() if name.startswith("inputs/")}
    rest = {name: arrays.get(name) for name in _OPTIONAL}
    return Examples(cast("Any", header.kind), inputs, arrays["targets"], header.classes, **rest)


def _named(examples: Examples) -> Mapping[str, Array]:
    optional = {name: getattr(examples, name) for name in _OPTIONAL}
    return {
        "targets": examples.targets,
        **{f"inputs/{name}": array for name, array in examples.inputs.items()},
        **{name: array for name, array in optional.items() if array is not None},
    }


def _bytes(raw: bytes) -> Array:
    return np.frombuffer(raw, np.uint8)


def _words(raw: Array) -> Array:
    return np.array(msgspec.json.decode(raw.tobytes()), object)
