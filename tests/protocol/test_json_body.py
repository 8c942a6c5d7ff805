"""Requests in JSON: what fits the model comes through, everything else is refused with a reason."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from steelyard.errors import InputError
from steelyard.protocol import json_body
from steelyard.protocol.json_body import InputTensor
from steelyard.records.engine import Array
from steelyard.serve.datatypes import DATATYPES

DEEP = 100_000


def tensor(datatype: str, shape: list[int], data: Any) -> InputTensor:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    body = b'{"inputs": [{"name": "x", "datatype": "%s", "shape": %s, "data": %s}]}'
    [one] = json_body.decode(body % (datatype.encode(), json.dumps(shape).encode(), raw)).inputs
    return one


def read(datatype: str, shape: list[int], data: Any, taken: str = "") -> Array:
    return json_body.array_of(tensor(datatype, shape, data), DATATYPES[taken or datatype])


@settings(deadline=None)
@given(st.data())
def test_arrays_come_through_flat_and_nested(data: Any) -> None:
    kind = data.draw(st.sampled_from([each for each in DATATYPES.values() if each.kind in "biuf"]))
    elements = {"allow_nan": False, "allow_infinity": False} if kind.kind == "f" else {}
    shape = data.draw(arrays.array_shapes(max_dims=4, max_side=4))
    array = data.draw(arrays.arrays(kind.dtype, shape, elements=elements or None))
    for told in (array.reshape(-1).tolist(), array.tolist()):
        got = read(kind.name, list(array.shape), told)
        assert got.dtype == array.dtype
        assert got.tobytes() == array.tobytes()


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_texts_come_through(texts: list[str]) -> None:
    assert list(read("BYTES", [len(texts)], texts)) == texts
    assert read("BYTES", [len(texts), 1], [[text] for text in texts])[:, 0].tolist() == texts


@settings(deadline=None)
@given(arrays.arrays(np.float32, st.integers(1, 50), elements={"allow_nan": False, "allow_infinity": False}))
def test_replies_tell_every_float_exactly(array: Array) -> None:
    told = msgspec.json.decode(json_body.encode(json_body.values_of(array, DATATYPES["FP32"])))
    assert np.array(told, np.float32).tobytes() == array.tobytes()


def test_numbers_that_json_cannot_say_become_null() -> None:
    values = json_body.values_of(np.array([1.5, np.nan, -np.inf], np.float32), DATATYPES["FP32"])
    assert json_body.encode(values) == b"[1.5,null,null]"


def test_whole_numbers_are_floats_too() -> None:
    np.testing.assert_array_equal(read("FP32", [2], [1, 2]), [1.0, 2.0])


def test_white_space_does_not_hide_nesting() -> None:
    np.testing.assert_array_equal(read("INT32", [1, 2], b"\n [ [ 1,\t2 ] ] "), [[1, 2]])


def test_floats_are_read_as_what_the_model_takes() -> None:
    assert read("FP64", [1], [0.1], "FP16").dtype == np.float16


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "told"),
    [
        ("FP32", [2], [1.0], "has 1 elements, its shape .* says 2"),
        ("FP32", [2], [1.0, 2.0, 3.0], "has 3 elements"),
        ("FP32", [2, 2], [[1.0, 2.0], [3.0]], "not as its shape"),
        ("FP32", [2, 2], [[1.0, 2.0, 3.0, 4.0]], r"nested as \[1, 4\]"),
        ("FP32", [4], [[1.0, 2.0, 3.0, 4.0]], "Expected `float`, got `array`"),
        ("FP32", [1, 1, 1], [[1.0]], "Expected `array`, got `float`"),
        ("FP32", [1, 1], b"[[]]", "nested as"),
        ("FP32", [1], ["1"], "Expected `float`, got `str`"),
        ("FP32", [1], [None], "got `null`"),
        ("FP32", [1], [True], "got `bool`"),
        ("FP32", [1], b"[1e999]", "out of range"),
        ("FP32", [1], [1e300], "too large for FP32"),
        ("FP16", [1], [70000.0], "too large for FP16"),
        ("INT8", [1], [128], "127"),
        ("UINT8", [1], [-1], "0"),
        ("INT64", [1], [2**63], "too large for INT64"),
        ("INT64", [1], [-(2**63) - 1], "too large for INT64"),
        ("UINT64", [1], [2**64], "too large for UINT64"),
        ("INT32", [1], [1.5], "Expected `int`, got `float`"),
        ("BOOL", [1], [1], "Expected `bool`, got `int`"),
        ("BYTES", [1], [1], "Expected `str`, got `int`"),
        ("BYTES", [1], b'["\xff"]', "utf-8"),
        ("FP32", [1], {"a": 1}, "Expected `array`, got `object`"),
        ("FP32", [2**62, 2**62], [1.0], "has 1 elements"),
    ],
)
def test_data_that_does_not_fit_is_refused(datatype: str, shape: list[int], data: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read(datatype, shape, data)


def test_an_input_without_data_is_refused() -> None:
    [one] = json_body.decode(b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}]}').inputs
    with pytest.raises(InputError, match="'x' has no data"):
        json_body.array_of(one, DATATYPES["FP32"])


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"nan"])
def test_what_is_no_json_number_is_refused(literal: bytes) -> None:
    with pytest.raises(InputError):
        read("FP32", [1], b"[%s]" % literal)
    with pytest.raises(InputError):
        json_body.decode(b'{"inputs": [], "parameters": {"min_quality": %s}}' % literal)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * DEEP + b"]" * DEEP,
        b'{"inputs": ' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": ' + b"[" * DEEP + b"]" * DEEP + b"}]}",
        b'{"inputs": [], "other": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    ],
)
def test_deep_nesting_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        json_body.decode(body)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "truncated"),
        (b"null", "Expected `object`"),
        (b"{}", "inputs"),
        (b'{"inputs": 1}', "inputs"),
        (b'{"inputs": [{}]}', "name"),
        (b'{"inputs": [{"name": 1}]}', "name"),
        (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}]}', "shape"),
        (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1.5]}]}', "shape"),
        (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [%s]}]}' % b"9".rjust(99, b"9"), "shape"),
        (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [%s1]}]}' % (b"1," * 40), "shape"),
        (b'{"inputs": [], "id": 7}', "id"),
        (b'{"inputs": [], "id": "%s"}' % (b"x" * 2000), "id"),
        (b'{"inputs": [], "parameters": {"timeout": -1}}', "timeout"),
        (b'{"inputs": [], "parameters": {"timeout": "1"}}', "timeout"),
        (b'{"inputs": [], "parameters": {"priority": 1e9}}', "priority"),
        (b'{"inputs": [], "outputs": [{"name": "y", "parameters": {"classification": -1}}]}', "classification"),
        (b'{"inputs": []} x', "trailing"),
        (b"\xff\xfe", "malformed"),
    ],
)
def test_requests_that_are_none_are_refused_with_a_reason(body: bytes, told: str) -> None:
    with pytest.raises(InputError, match=told):
        json_body.decode(body)


def test_parameters_that_are_not_known_are_ignored() -> None:
    request = json_body.decode(b'{"inputs": [], "parameters": {"timeout": 5, "mine": [1]}, "more": {}}')
    assert request.parameters is not None
    assert request.parameters.timeout == 5


@settings(deadline=None, max_examples=300)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), st.lists))
def test_any_data_is_read_or_refused(data: Any) -> None:
    for name in DATATYPES:
        try:
            array = read(name, [2, 1], data)
        except InputError:
            continue
        assert array.shape == (2, 1)
