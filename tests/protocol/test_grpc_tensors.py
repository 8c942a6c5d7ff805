"""Tensors of gRPC requests: every datatype as bytes and as numbers, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving import FakeModel, metadata, spec
from steelyard.errors import InputError
from steelyard.protocol import inference_pb2 as pb
from steelyard.protocol.grpc_messages import MOST_PARTS, TooLarge, parsed
from steelyard.protocol.grpc_tensors import Inference
from steelyard.records.engine import Array
from steelyard.serve.datatypes import DATATYPES
from steelyard.serve.requests import Answered, Asked

MOST = 2**20
FIELDS = {
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


def model(datatype: str = "FP32", *shape: int) -> FakeModel:
    """Answers what it is given."""
    shape = shape or (-1, -1)
    told = metadata("same", [spec("x", datatype, *shape)], [spec("y", datatype, *shape)])
    return FakeModel(told, lambda inputs: [inputs["x"]])


def request(datatype: str, shape: Sequence[int], raw: bytes | None = None, **contents: Any) -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype=datatype, shape=shape)
    if contents:
        tensor.contents.MergeFrom(pb.InferTensorContents(**contents))
    return pb.ModelInferRequest(
        model_name="same", id="7", inputs=[tensor], raw_input_contents=[] if raw is None else [raw]
    )


def two_raws() -> pb.ModelInferRequest:
    told = request("FP32", [1, 2], bytes(8))
    told.raw_input_contents.append(b"")
    return told


def asked(told: pb.ModelInferRequest, taken: str = "", left_s: float = math.inf) -> Asked:
    return Inference(model(taken or told.inputs[0].datatype), told, left_s).asked


def answered(told: pb.ModelInferRequest, array: Array, taken: str = "") -> pb.ModelInferResponse:
    response = pb.ModelInferResponse()
    served = model(taken or told.inputs[0].datatype)
    Inference(served, told, math.inf).tell(Answered([array], "int8"), response)
    return response


def extremes(datatype: str) -> list[Any]:
    kind = DATATYPES[datatype]
    if kind.kind == "b":
        return [True, False]
    if kind.kind in "iu":
        limits = np.iinfo(kind.dtype.name)
        return [int(limits.min), int(limits.max)]
    return [-1.5, 1e30 if datatype in ("FP32", "FP64", "BF16") else 6e4]


@pytest.mark.parametrize("datatype", [name for name in DATATYPES if name not in ("BYTES", "BF16")])
def test_numbers_go_and_come_as_bytes(datatype: str) -> None:
    array = np.array([extremes(datatype)], DATATYPES[datatype].dtype)
    told = request(datatype, [1, 2], array.tobytes())
    assert asked(told).items == 1
    np.testing.assert_array_equal(asked(told).inputs["x"], array)
    response = answered(told, array)
    assert response.raw_output_contents == [array.tobytes()]
    assert (response.outputs[0].datatype, list(response.outputs[0].shape)) == (datatype, [1, 2])
    assert not response.outputs[0].HasField("contents")


@pytest.mark.parametrize("datatype", [name for name in FIELDS if name != "BYTES"])
def test_numbers_come_as_numbers(datatype: str) -> None:
    array = np.array([extremes(datatype)], DATATYPES[datatype].dtype)
    contents: dict[str, Any] = {FIELDS[datatype]: extremes(datatype)}
    got = asked(request(datatype, [1, 2], None, **contents)).inputs["x"]
    assert got.dtype == array.dtype
    np.testing.assert_array_equal(got, array)


def test_bf16_is_the_upper_half_of_a_float() -> None:
    array = np.array([[1.0, -2.5]], np.float32)
    raw = (array.view("<u4") >> 16).astype("<u2").tobytes()
    told = request("BF16", [1, 2], raw)
    np.testing.assert_array_equal(asked(told).inputs["x"], array)
    assert answered(told, array).raw_output_contents == [raw]


def test_a_model_may_take_other_floating_point_numbers_than_it_is_given() -> None:
    got = asked(request("FP64", [1, 2], fp64_contents=[1.0, 2.0]), taken="FP16").inputs["x"]
    assert got.dtype == np.float16
    with pytest.raises(InputError, match="too large for FP16"):
        asked(request("FP64", [1, 1], fp64_contents=[1e9]), taken="FP16")


@given(texts=st.lists(st.text(), min_size=1, max_size=8))
@settings(deadline=None)
def test_texts_go_and_come_either_way(texts: list[str]) -> None:
    raws = [text.encode() for text in texts]
    packed = b"".join(len(raw).to_bytes(4, "little") + raw for raw in raws)
    shape = [1, len(texts)]
    for told in (request("BYTES", shape, packed), request("BYTES", shape, bytes_contents=raws)):
        got = asked(told).inputs["x"]
        assert got.tolist() == [texts]
        assert answered(told, got).raw_output_contents == [packed]


@pytest.mark.parametrize(
    ("told", "match"),
    [
        (lambda: request("FP32", [1, 2], bytes(7)), "has 8 bytes, 7 came"),
        (lambda: request("FP32", [1, 2], bytes(12)), "has 8 bytes, 12 came"),
        (lambda: request("FP32", [1, 2]), "has 2 elements, 0 came in fp32_contents"),
        (lambda: request("FP32", [1, 2], fp32_contents=[1, 2, 3]), "has 2 elements, 3 came in fp32_contents"),
        (lambda: request("FP32", [1, 2], fp64_contents=[1, 2]), "FP32 is told in fp32_contents, got fp64_contents"),
        (lambda: request("FP32", [1, 2], bytes(8), fp32_contents=[1, 2]), "beside raw_input_contents"),
        (lambda: request("FP16", [1, 2], fp32_contents=[1, 2]), "FP16 has no place in 'contents'"),
        (lambda: request("BF16", [1, 2], fp32_contents=[1, 2]), "BF16 has no place in 'contents'"),
        (lambda: request("INT8", [1, 1], int_contents=[128]), "out of the range of INT8, -128 to 127"),
        (lambda: request("UINT16", [1, 1], uint_contents=[65536]), "out of the range of UINT16"),
        (lambda: request("BYTES", [1, 1], bytes_contents=[b"\xff"]), "not UTF-8"),
        (lambda: request("BYTES", [1, 1], b"\x01\x00\x00\x00\xff"), "not 1 texts in UTF-8"),
        (lambda: request("BYTES", [1, 2], b"\x09\x00\x00\x00a"), "cannot hold 2 texts"),
        (lambda: request("FP32", [1, -2], bytes(8)), "takes the shape"),
        (lambda: request("FP32", [1, 0], b""), "takes the shape"),
        (lambda: request("FP32", [1, 2**62], bytes(8)), "has 18,446,744,073,709,551,616 bytes, 8 came"),
        (lambda: request("FP32", [2**62, 2], bytes(8)), "may bring 8 items"),
        (lambda: request("FP32", [1] * 33, bytes(4)), "may have 32 axes"),
        (two_raws, "one entry for each input or none, got 2 for 1 inputs"),
    ],
)
def test_what_lies_is_refused(told: Callable[[], pb.ModelInferRequest], match: str) -> None:
    with pytest.raises(InputError, match=match):
        asked(told())


def test_unknown_datatypes_names_and_shared_memory_are_refused() -> None:
    with pytest.raises(InputError, match="unknown datatype 'FP8'"):
        asked(request("FP8", [1, 2], bytes(2)), taken="FP32")
    with pytest.raises(InputError, match="takes INT64, got FP32"):
        asked(request("FP32", [1, 2], bytes(8)), taken="INT64")
    told = request("FP32", [1, 2], bytes(8))
    told.inputs[0].name = "z"
    with pytest.raises(InputError, match="takes each of these inputs once"):
        asked(told)
    told = request("FP32", [1, 2], bytes(8))
    told.inputs[0].parameters["shared_memory_region"].string_param = "/dev/shm/x"  # noqa: S108
    with pytest.raises(InputError, match="shared memory is not served"):
        asked(told)
    told = request("FP32", [1, 2], bytes(8))
    told.id = "x" * 1025
    with pytest.raises(InputError, match="may have 1,024 characters"):
        asked(told)


def test_parameters_say_how_long_how_soon_how_good_and_how_dear() -> None:
    told = request("FP32", [1, 2], bytes(8))
    assert (asked(told).timeout_s, asked(told).priority, asked(told).max_cost) == (math.inf, 0, math.inf)
    told.parameters["timeout"].int64_param = 1_500_000
    told.parameters["priority"].uint64_param = 3
    told.parameters["min_quality"].double_param = 0.75
    told.parameters["max_cost"].string_param = "0.5"
    told.parameters["anything"].bool_param = True
    got = asked(told)
    assert (got.timeout_s, got.priority, got.min_quality, got.max_cost) == (1.5, 3, 0.75, 0.5)
    assert asked(told, left_s=1.0).timeout_s == 1.0
    assert asked(told, left_s=2.0).timeout_s == 1.5
    told.parameters["timeout"].int64_param = 0
    assert asked(told, left_s=2.0).timeout_s == 2.0


@pytest.mark.parametrize(
    ("name", "kind", "value", "match"),
    [
        ("timeout", "int64_param", -1, "'timeout' is a whole number"),
        ("timeout", "double_param", 1.0, "'timeout' is a whole number"),
        ("timeout", "bool_param", True, "'timeout' is a whole number"),
        ("priority", "string_param", "high", "'priority' is a whole number"),
        ("min_quality", "double_param", math.nan, "'min_quality' is a number, got 'nan'"),
        ("max_cost", "string_param", "cheap", "'max_cost' is a number, got 'cheap'"),
        ("max_cost", "bool_param", True, "'max_cost' is a number"),
        ("sequence_id", "int64_param", 7, "sequences of requests are not served"),
        ("sequence_id", "string_param", "a", "sequences of requests are not served"),
    ],
)
def test_parameters_that_are_none(name: str, kind: str, value: Any, match: str) -> None:
    told = request("FP32", [1, 2], bytes(8))
    setattr(told.parameters[name], kind, value)
    with pytest.raises(InputError, match=match):
        asked(told)


def test_outputs_may_be_chosen_and_classified() -> None:
    told = request("FP32", [1, 3], bytes(12))
    output = told.outputs.add(name="y")
    array = np.array([[1.0, 3.0, 2.0]], np.float32)
    assert answered(told, array).raw_output_contents == [array.tobytes()]
    output.parameters["classification"].int64_param = 2
    response = answered(told, array)
    assert (response.outputs[0].datatype, list(response.outputs[0].shape)) == ("BYTES", [1, 2])
    assert response.raw_output_contents == [b"\x0a\x00\x00\x003.000000:1\x0a\x00\x00\x002.000000:2"]
    told.outputs.add(name="y")
    with pytest.raises(InputError, match="asked for twice"):
        asked(told)
    told.outputs[1].name = "z"
    with pytest.raises(InputError, match="has no output 'z'"):
        asked(told)


def test_an_answer_says_whose_it_is_and_who_made_it() -> None:
    response = answered(request("FP32", [1, 2], bytes(8)), np.zeros((1, 2), np.float32))
    assert (response.model_name, response.model_version, response.id) == ("same", "1", "7")
    assert response.parameters["variant"].string_param == "int8"


# --- messages ---------------------------------------------------------------------------------------------------------


def test_a_message_is_read_as_it_was_written() -> None:
    told = request("FP32", [1, 2], bytes(8))
    told.parameters["a"].double_param = 1.5
    told.outputs.add(name="y").parameters["classification"].int64_param = 1
    assert parsed(pb.ModelInferRequest, told.SerializeToString(), MOST) == told
    assert parsed(pb.ModelInferRequest, b"", MOST) == pb.ModelInferRequest()


@given(raw=st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_a_message_or_refused(raw: bytes) -> None:
    try:
        parsed(pb.ModelInferRequest, raw, MOST)
    except InputError:
        return


@given(at=st.integers(0, 200), byte=st.integers(0, 255))
@settings(deadline=None)
def test_a_byte_that_is_changed_makes_another_request_or_none(at: int, byte: int) -> None:
    whole = bytearray(request("INT32", [1, 2], int_contents=[1, 2]).SerializeToString())
    whole[at % len(whole)] = byte
    try:
        Inference(model("INT32"), parsed(pb.ModelInferRequest, bytes(whole), MOST), math.inf)
    except InputError:
        return


@pytest.mark.parametrize("part", [b"\x2a\x00", b"\x32\x00", b"\x22\x00", b"\x3a\x00", b"\x40\x01"])
def test_many_parts_in_few_bytes_are_refused_before_they_are_made(part: bytes) -> None:
    with pytest.raises(InputError, match="more than 4,096 parts"):
        parsed(pb.ModelInferRequest, part * (MOST_PARTS + 1), MOST)


def test_many_parts_of_one_tensor_are_refused_before_they_are_made() -> None:
    inner = b"\x22\x00" * MOST_PARTS  # its parameters
    size = bytes([len(inner) & 0x7F | 0x80, len(inner) >> 7])
    with pytest.raises(InputError, match="more than 4,096 parts"):
        parsed(pb.ModelInferRequest, b"\x2a" + size + inner, MOST)


def test_more_bytes_than_allowed_are_refused() -> None:
    with pytest.raises(TooLarge, match="at most 10 are taken"):
        parsed(pb.ServerLiveRequest, b"\x40\x01" * 6, 10)
