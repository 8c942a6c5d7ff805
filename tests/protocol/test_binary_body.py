"""Binary tensors: sizes that lie are refused, and no bytes whatever do more than that."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving import FakeRepository
from steelyard.errors import InputError
from steelyard.protocol.inference import Inference
from steelyard.protocol.reply import LENGTH_HEADER, HttpFailure
from steelyard.records.engine import Array
from steelyard.serve.datatypes import DATATYPES, packed_text, unpacked_text
from steelyard.serve.requests import Answered, Asked

MOST = 2**20
X = np.arange(8, dtype=np.float32).reshape(2, 4)


def body_of(request: Mapping[str, Any], *blobs: bytes) -> tuple[dict[bytes, bytes], bytes]:
    head = json.dumps(request).encode()
    return {LENGTH_HEADER: b"%d" % len(head)}, b"".join((head, *blobs))


def told(name: str, datatype: str, shape: list[int], size: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def inference(model: str, headers: Mapping[bytes, bytes], body: bytes) -> Inference:
    return Inference(FakeRepository().served(model), headers, body, MOST)


def asked(model: str, headers: Mapping[bytes, bytes], body: bytes) -> Asked:
    return inference(model, headers, body).asked


def test_tensors_follow_the_json_in_the_order_of_the_inputs() -> None:
    ids, texts = np.array([[1, 2], [3, 4]]), packed_text(np.array(["a", "zwölf"], dtype=object)).tobytes()
    text, numbers = told("text", "BYTES", [2, 1], len(texts)), told("ids", "INT64", [2, 2], 32)
    for inputs, blobs in (((text, numbers), (texts, ids.tobytes())), ((numbers, text), (ids.tobytes(), texts))):
        got = asked("mixed", *body_of({"inputs": list(inputs)}, *blobs))
        np.testing.assert_array_equal(got.inputs["ids"], ids)
        assert got.inputs["text"].tolist() == [["a"], ["zwölf"]]
        assert got.items == 2


def test_one_input_may_be_in_the_json_and_another_after_it() -> None:
    numbers = {"name": "ids", "datatype": "INT64", "shape": [1, 2], "data": [5, 6]}
    got = asked("mixed", *body_of({"inputs": [numbers, told("text", "BYTES", [1, 1], 5)]}, b"\1\0\0\0x"))
    assert got.inputs["ids"].tolist() == [[5, 6]]
    assert got.inputs["text"].tolist() == [["x"]]


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP64"])
def test_floats_of_another_width_are_converted(datatype: str) -> None:
    kind = DATATYPES[datatype]
    raw = (X.view(np.uint32) >> 16).astype(np.uint16) if datatype == "BF16" else X.astype(kind.dtype)
    got = asked("double", *body_of({"inputs": [told("x", datatype, [2, 4], raw.nbytes)]}, raw.tobytes()))
    assert got.inputs["x"].dtype == np.float32
    np.testing.assert_array_equal(got.inputs["x"], X)


@pytest.mark.parametrize(
    ("size", "sent", "why"),
    [
        (31, 31, "has 32 bytes, 31 came"),
        (33, 33, "has 32 bytes, 33 came"),
        (32, 31, "says that it has 32 bytes, 31 are left"),
        (32, 33, "33 bytes follow the JSON, the inputs say 32"),
        (0, 32, "32 bytes follow"),
        (2**62, 32, "are left"),
        (2**70, 32, "binary_data_size"),
        (-1, 32, "binary_data_size"),
        (32.0, 32, "binary_data_size"),
        ("32", 32, "binary_data_size"),
    ],
)
def test_sizes_that_lie_are_refused(size: Any, sent: int, why: str) -> None:
    with pytest.raises(InputError, match=why):
        asked("double", *body_of({"inputs": [told("x", "FP32", [2, 4], size)]}, bytes(sent)))


@pytest.mark.parametrize("value", [b"", b"-1", b"1e1", b" 1", b"0x1", b"1" * 30, b"999", "٣".encode()])
def test_a_header_that_lies_is_refused(value: bytes) -> None:
    with pytest.raises(InputError, match="Inference-Header-Content-Length"):
        asked("double", {LENGTH_HEADER: value}, b"{}")


def test_sizes_without_the_header_are_refused() -> None:
    _, body = body_of({"inputs": [told("x", "FP32", [2, 4], 32)]})
    with pytest.raises(InputError, match="0 are left"):
        asked("double", {}, body)


def test_data_in_both_places_is_refused() -> None:
    one = told("x", "FP32", [1, 4], 16) | {"data": [1, 2, 3, 4]}
    with pytest.raises(InputError, match="both"):
        asked("double", *body_of({"inputs": [one]}, bytes(16)))


@pytest.mark.parametrize("shape", [[2**62, 4], [2**32, 4], [0, 4], [2**61, 4]])
def test_a_shape_that_is_too_large_costs_nothing(shape: list[int]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            asked("double", *body_of({"inputs": [told("x", "FP32", shape, 16)]}, bytes(16)))
        with pytest.raises(InputError):
            asked("mixed", *body_of({"inputs": [told("text", "BYTES", [shape[0], 1], 16)]}, bytes(16)))
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


# --- a body without JSON ------------------------------------------------------------------------------------------


def test_a_body_without_json_is_the_one_input() -> None:
    got = asked("double", {LENGTH_HEADER: b"0"}, X.tobytes())
    np.testing.assert_array_equal(got.inputs["x"], X)
    assert got.items == 2
    assert asked("exact", {LENGTH_HEADER: b"0"}, bytes(range(6))).inputs["pixels"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_body_without_json_that_fits_no_shape_is_refused() -> None:
    for model, size in (("double", 0), ("double", 15), ("double", 16 * 9), ("exact", 5), ("exact", 12), ("mixed", 8)):
        with pytest.raises(InputError):
            asked(model, {LENGTH_HEADER: b"0"}, bytes(size))


# --- replies ------------------------------------------------------------------------------------------------------


def read(reply_headers: Mapping[bytes, bytes], body: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    length = int(reply_headers[LENGTH_HEADER])
    head, at, blobs = json.loads(body[:length]), length, {}
    for output in head["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size", 0)
        blobs[output["name"]] = body[at : at + size]
        at += size
    assert at == len(body)
    return head, blobs


def answered(*outputs: Array) -> Answered:
    return Answered(outputs, "v")


def mixed_answer() -> Answered:
    loud = np.array([["A"], ["ZWÖLF"]], dtype=object)
    return answered(np.array([[3], [7]]), loud, np.array([[0.5, 1.0], [1.5, 2.0]], np.float32))


def mixed_request(**more: Any) -> Inference:
    numbers = {"name": "ids", "datatype": "INT64", "shape": [2, 2], "data": [1, 2, 3, 4]}
    texts = {"name": "text", "datatype": "BYTES", "shape": [2, 1], "data": ["a", "b"]}
    return inference("mixed", {}, json.dumps({"inputs": [numbers, texts], **more}).encode())


def test_all_outputs_come_as_bytes_when_the_request_says_so() -> None:
    reply = mixed_request(parameters={"binary_data_output": True}).reply(mixed_answer())
    head, blobs = read(dict(reply.headers), reply.body)
    assert np.frombuffer(blobs["sum"], np.int64).tolist() == [3, 7]
    assert unpacked_text(blobs["loud"], 2).tolist() == [b"A", "ZWÖLF".encode()]
    assert blobs["half"] == (np.array([0.5, 1.0, 1.5, 2.0], np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    assert [each["shape"] for each in head["outputs"]] == [[2, 1], [2, 1], [2, 2]]
    assert "data" not in head["outputs"][0]
    assert dict(reply.headers)[b"content-length"] == b"%d" % len(reply.body)


def test_each_output_says_how_it_comes() -> None:
    outputs = [
        {"name": "half", "parameters": {"binary_data": False}},
        {"name": "sum", "parameters": {"binary_data": True}},
    ]
    reply = mixed_request(parameters={"binary_data_output": True}, outputs=outputs).reply(mixed_answer())
    head, blobs = read(dict(reply.headers), reply.body)
    assert [each["name"] for each in head["outputs"]] == ["half", "sum"]
    assert head["outputs"][0]["data"] == [0.5, 1.0, 1.5, 2.0]
    assert np.frombuffer(blobs["sum"], np.int64).tolist() == [3, 7]


def test_outputs_that_are_rows_of_a_batch_come_whole() -> None:
    column = np.arange(12, dtype=np.int64).reshape(6, 2)[2:4, :1]
    reply = mixed_request(parameters={"binary_data_output": True}).reply(answered(column, *mixed_answer().outputs[1:]))
    assert np.frombuffer(read(dict(reply.headers), reply.body)[1]["sum"], np.int64).tolist() == [4, 6]


# --- any bytes ----------------------------------------------------------------------------------------------------

RIGHT = json.dumps({"inputs": [told("x", "FP32", [1, 4], 16)]}).encode() + bytes(16)
ODD = st.sampled_from([0, 1, -1, 4, 16, 2**31, 2**32, 2**62, 2**63, 2**64, 10**40, 1.5, None, "16", True, [16]])


def survives(headers: Mapping[bytes, bytes], body: bytes) -> None:
    for model in ("double", "mixed", "exact"):
        with contextlib.suppress(InputError, HttpFailure):
            asked(model, headers, body)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.none() | st.integers(-2, 250))
def test_any_bytes_are_read_or_refused(body: bytes, length: int | None) -> None:
    survives({} if length is None else {LENGTH_HEADER: b"%d" % length}, body)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(RIGHT) - 1), st.integers(0, 255), st.integers(0, len(RIGHT)), st.integers(0, 200))
def test_a_right_body_with_a_wrong_byte_or_length_is_read_or_refused(
    place: int, byte: int, end: int, length: int
) -> None:
    broken = RIGHT[:place] + bytes([byte]) + RIGHT[place + 1 :]
    for body in (broken, broken[:end], broken + broken[:end]):
        survives({LENGTH_HEADER: b"%d" % length}, body)
        survives({LENGTH_HEADER: b"%d" % (len(RIGHT) - 16)}, body)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([*DATATYPES, "FP8", "", "x" * 500]),
    st.lists(ODD | st.integers(0, 5), max_size=5),
    ODD | st.integers(0, 64),
    st.binary(max_size=64),
    st.sampled_from(["x", "ids", "text", "pixels", "", "../etc", "\0"]),
)
@example("BYTES", [2**62, 1], 16, bytes(16), "text")
def test_any_description_is_read_or_refused(datatype: str, shape: list[Any], size: Any, raw: bytes, name: str) -> None:
    survives(*body_of({"inputs": [told(name, datatype, shape, size)]}, raw))


@settings(deadline=None)
@given(st.binary(max_size=100), st.sampled_from([b"gzip", b"deflate", b"br", b"", b"gzip, gzip", b"\xff"]))
def test_any_compressed_bytes_are_read_or_refused(body: bytes, encoding: bytes) -> None:
    survives({b"content-encoding": encoding}, body)
