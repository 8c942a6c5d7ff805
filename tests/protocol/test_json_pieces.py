"""Numbers in JSON piece by piece: the same as at once, for what is right and for what is wrong."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.errors import InputError
from steelyard.protocol import json_body, json_pieces
from steelyard.protocol.json_body import InputTensor
from steelyard.serve.datatypes import DATATYPES

PIECE, NUMBERS = 7, 3


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a few numbers."""
    monkeypatch.setattr(json_body, "LARGE", 0)
    monkeypatch.setattr(json_pieces, "PIECE", PIECE)
    monkeypatch.setattr(json_pieces, "NUMBERS", NUMBERS)


def tensor(data: Any, shape: list[int], datatype: str = "FP32") -> InputTensor:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return InputTensor("x", datatype, shape, msgspec.Raw(raw))


def outcome(told: InputTensor, taken: str, at_once: bool) -> Any:
    """The array, or what is told instead."""
    kind = DATATYPES[taken]
    try:
        if at_once:
            return json_body._array_at_once(told, kind, json_body._depth(told))
        return json_body.array_of(told, kind)
    except InputError as error:
        return str(error)


SHAPES = st.lists(st.integers(0, 4), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(st.data(), SHAPES, st.sampled_from(["FP32", "FP64", "INT64", "UINT8", "BOOL"]), st.booleans(), st.booleans())
def test_pieces_are_what_is_read_at_once(
    data: st.DataObject, shape: list[int], datatype: str, nested: bool, spaced: bool
) -> None:
    kind = DATATYPES[datatype]
    one = {"f": st.floats(-1e6, 1e6, width=32), "i": st.integers(-9, 9), "u": st.integers(0, 9), "b": st.booleans()}
    count = math.prod(shape)
    values = data.draw(st.lists(one[kind.kind], min_size=count, max_size=count))
    array = np.array(values, kind.dtype).reshape(shape)
    raw = json.dumps((array if nested else array.reshape(-1)).tolist(), indent=1 if spaced else None).encode()
    told = tensor(raw, shape, datatype)
    read = outcome(told, datatype, at_once=False)
    expected = outcome(told, datatype, at_once=True)
    assert type(read) is type(expected)
    assert np.array_equal(read, expected)
    if isinstance(read, np.ndarray):
        assert read.dtype == kind.dtype


def test_what_is_right_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_body, "_array_at_once", None)
    pauses: list[None] = []
    monkeypatch.setattr(json_pieces, "pause", lambda: pauses.append(None))
    flat, nested = list(range(24)), np.arange(24).reshape(2, 3, 4).tolist()
    for data, shape in ((flat, [24]), (flat, [2, 3, 4]), (nested, [2, 3, 4])):
        pauses.clear()
        array = json_body.array_of(tensor(data, shape), DATATYPES["FP32"])
        assert array.tolist() == np.arange(24.0).reshape(shape).tolist()
        assert len(pauses) >= 8


@pytest.mark.parametrize(
    ("data", "shape", "datatype"),
    [
        ([1] * 23, [24], "FP32"),
        ([1] * 25, [24], "FP32"),
        ([1, 2, "3", 4, 5, 6, 7, 8], [8], "FP32"),
        ([1, 2, None, 4, 5, 6, 7, 8], [8], "FP32"),
        ([1, 2, {"a": 1, "b": 2}, 4, 5, 6], [6], "FP32"),
        ([1, 2, [3, 4], 5, 6, 7], [7], "FP32"),
        ("1,2,3,4,5,6,7,8", [8], "FP32"),
        ({"1": 2}, [8], "FP32"),
        ([[1, 2], [3, 4], [5, 6]], [2, 3], "FP32"),
        ([[1, 2, 3], [4, 5]], [2, 3], "FP32"),
        ([[1, 2, 3], [4, 5], [6]], [2, 3], "FP32"),
        ([[[1, 2, 3]], [[4, 5, 6]]], [2, 3], "FP32"),
        ([[1, 2, 3], [4, 5, "6"]], [2, 3], "FP32"),
        ([["],[", 2, 3], [4, 5, 6]], [2, 3], "FP32"),
        ([[], []], [10**9, 0], "FP32"),
        ([[1], [2]], [10**12, 10**12], "FP32"),
        ([1, 2, 3, 256, 5, 6], [6], "UINT8"),
        ([1, 2, 3, -1, 5, 6], [6], "UINT8"),
        ([1, 2, 3, 1.5, 5, 6], [6], "INT64"),
        ([1, 2, 3, True, 5, 6], [6], "FP32"),
        ([1, 2, 3, 1e300, 5, 6], [6], "FP32"),
        ([1, 2, 3, 1e5, 5, 6], [6], "FP16"),
        (b"[1, 2, 3, 4, 5, 6,]", [6], "FP32"),
        (b"[1, 2, 3, 4,, 5, 6]", [6], "FP32"),
        (b"[1, 2, 3, 4, 5, 6", [6], "FP32"),
        (b"[1, 2, 3, 4, 5, 06]", [6], "FP32"),
    ],
)
def test_what_is_wrong_is_told_as_at_once(data: Any, shape: list[int], datatype: str) -> None:
    told = tensor(data, shape, datatype)
    message = outcome(told, datatype, at_once=False)
    assert isinstance(message, str)
    assert message == outcome(told, datatype, at_once=True)


@pytest.mark.parametrize("datatype", ["FP32", "FP16", "BF16", "INT8", "UINT64", "BOOL"])
@pytest.mark.parametrize("count", [NUMBERS, NUMBERS + 1, 10 * NUMBERS + 1])
def test_numbers_are_written_in_pieces_as_at_once(datatype: str, count: int) -> None:
    kind = DATATYPES[datatype]
    array = (np.arange(count) / 3 % 7).astype(kind.dtype)
    data = json_body.data_of(array.reshape(1, -1), kind)
    assert isinstance(data, msgspec.Raw) == (count > NUMBERS)
    assert json_body.encode(data) == json_body.encode(json_body.values_of(array, kind))


def test_what_json_cannot_say_is_null_in_pieces_too() -> None:
    data = json_body.data_of(np.array([1, np.nan, 2, np.inf, 3], np.float32), DATATYPES["FP32"])
    assert json.loads(json_body.encode(data)) == [1, None, 2, None, 3]
