"""Requests hold the tensors that they should, in the form that the protocol has for them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raw_server import Asked, model_server, plain, raw_server, response
from steelyard.errors import InputError, SteelyardError, UsageError
from steelyard.load.bodies import Form, random_requests, real_requests, request, stated_shapes
from steelyard.load.model import Model, Tensor, ask_model
from steelyard.load.target import Target, target
from steelyard.load.tensors import binary, random_array
from steelyard.load.tensors import plain as in_json
from steelyard.serve.datatypes import DATATYPES

AIM = Target("localhost", 8000)
WIDTHS = {"BOOL": "?", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8"} | {
    f"{sign}INT{8 * size}": f"<{kind}{size}" for sign, kind in (("U", "u"), ("", "i")) for size in (1, 2, 4, 8)
}


def taken_apart(raw: bytes) -> tuple[str, dict[str, str], dict[str, Any], bytes]:
    """Path, headers, JSON part and the rest of a request."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert int(headers["content-length"]) == len(body)
    end = int(headers.get("inference-header-content-length", len(body)))
    return first.split(" ")[1], headers, json.loads(body[:end]), body[end:]


def tensors(raw: bytes) -> dict[str, Any]:
    """Each input of a request, as a server reads it."""
    _, _, told, rest = taken_apart(raw)
    found = {}
    for one in told["inputs"]:
        if "data" in one:
            found[one["name"]] = np.array(one["data"]).reshape(one["shape"])
            continue
        size = one["parameters"]["binary_data_size"]
        found[one["name"]] = decoded(rest[:size], one["datatype"]).reshape(one["shape"])
        rest = rest[size:]
    assert rest == b""
    return found


def decoded(raw: bytes, datatype: str) -> Any:
    if datatype == "BYTES":
        texts = []
        while raw:
            (length,) = struct.unpack("<I", raw[:4])
            texts.append(raw[4 : 4 + length])
            raw = raw[4 + length :]
        return np.array(texts, object)
    if datatype == "BF16":
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(raw, WIDTHS[datatype])


ALL = Model("all", tuple(Tensor(name.lower(), name, (-1, 3)) for name in DATATYPES))


def test_random_items_of_every_datatype_in_binary() -> None:
    made = random_requests(AIM, ALL, Form(items=2), seed=1)
    assert len(made) > 1
    assert len(set(made)) == len(made)
    assert made == random_requests(AIM, ALL, Form(items=2), seed=1)
    path, headers, told, _ = taken_apart(made[0])
    assert path == "/v2/models/all/infer"
    assert headers["content-type"] == "application/octet-stream"
    assert told["parameters"] == {"binary_data_output": True}
    found = tensors(made[0])
    assert {name: values.shape for name, values in found.items()} == {tensor.name: (2, 3) for tensor in ALL.inputs}
    assert all(1 <= len(word) <= 12 for word in found["bytes"].ravel())
    assert set(np.unique(found["int64"])) <= {0, 1}


def test_json_holds_the_same_numbers_as_binary() -> None:
    model = Model("m", tuple(tensor for tensor in ALL.inputs if tensor.datatype not in ("BYTES", "BF16")))
    pairs = zip(
        random_requests(AIM, model, Form(items=3), 5), random_requests(AIM, model, Form(items=3, json=True), 5),
        strict=True,
    )  # fmt: skip
    for in_binary, as_json in pairs:
        for name, values in tensors(in_binary).items():
            np.testing.assert_array_equal(tensors(as_json)[name], values)
    assert taken_apart(as_json)[1]["content-type"] == "application/json"


@settings(deadline=None)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_text_goes_through_both_forms(texts: list[str]) -> None:
    values = np.array(texts, object)
    assert [one.decode() for one in decoded(binary(values, "BYTES"), "BYTES")] == texts
    assert in_json(values, "BYTES") == texts


@settings(deadline=None)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**120), max_value=2.0**120))
def test_bf16_is_the_nearest(number: float) -> None:
    values = np.array([number], np.float32)
    near = decoded(binary(values, "BF16"), "BF16")[0]
    step = abs(np.float32(number)) * 2.0**-8 + 1e-40
    assert abs(float(near) - number) <= step
    assert np.isnan(decoded(binary(np.array([np.nan], np.float32), "BF16"), "BF16")[0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_json_lacks_is_refused(value: float) -> None:
    with pytest.raises(SteelyardError, match="no form in JSON"):
        in_json(np.array([value]), "FP64")
    with pytest.raises(SteelyardError, match="no form in JSON"):
        in_json(np.ones(1, np.float32), "BF16")


def test_parameters_and_headers_go_with_each_request() -> None:
    aim = target("http://[::1]:8000/prefix/v2/", ["X-Tenant: a"], "secret")
    model = Model("a/b c", (Tensor("x", "FP32", (-1, 1)),), "2")
    for as_json in (False, True):
        form = Form(json=as_json, parameters={"timeout": 5000, "priority": 2, "min_quality": 0.9})
        path, headers, told, _ = taken_apart(random_requests(aim, model, form, 0)[0])
        assert path == "/prefix/v2/models/a%2Fb%20c/versions/2/infer"
        assert (headers["host"], headers["x-tenant"]) == ("[::1]:8000", "a")
        assert headers["authorization"] == "Bearer secret"
        assert told["parameters"].items() >= {"timeout": 5000, "priority": 2, "min_quality": 0.9}.items()


TWO = Model("two", (Tensor("ids", "INT64", (-1, -1)), Tensor("image", "UINT8", (-1, 3, -1, -1))))


def test_lengths_that_may_vary_are_given() -> None:
    for said in (["ids=7", "image=5"], ["ids=7", "image=3x5x5"]):
        found = tensors(random_requests(AIM, TWO, Form(items=2, shapes=stated_shapes(said)), 0)[0])
        assert (found["ids"].shape, found["image"].shape) == ((2, 7), (2, 3, 5, 5))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["ids=7"], "say how long"),
        (["ids=7", "image=4x5x5"], "does not fit"),
        (["ids=7", "image=5x5"], "does not fit"),
        (["ids"], "names an input"),
        (["ids=-1", "image=5"], "names an input"),
        (["ids=7", "image=99999x3"], "does not fit"),
        (["ids=999999999", "image=5"], "too large"),
    ],
)
def test_lengths_that_do_not_fit(said: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        random_requests(AIM, TWO, Form(shapes=stated_shapes(said)), 0)


def test_a_model_that_insists_on_its_items() -> None:
    fixed = Model("four", (Tensor("x", "FP32", (4, 2)), Tensor("mask", "BOOL", ())))
    found = tensors(random_requests(AIM, fixed, Form(), 0)[0])
    assert (found["x"].shape, found["mask"].shape) == ((4, 2), ())
    with pytest.raises(UsageError, match="exactly 4"):
        random_requests(AIM, fixed, Form(items=2), 0)


IMAGES = Model("images", (Tensor("x", "FP32", (-1, 2)), Tensor("words", "BYTES", (-1,))))


@pytest.fixture
def items(tmp_path: Path) -> Path:
    place = tmp_path / "items.npz"
    x = np.arange(20, dtype=np.float64).reshape(10, 2)
    np.savez(place, x=x, words=np.array([f"w{n}" for n in range(10)]), pixels=x.astype(np.int64), y=np.zeros((3, 2)))
    return place


def test_real_items_stay_together_and_all_come(items: Path) -> None:
    seen = []
    for raw in real_requests(AIM, IMAGES, Form(items=3), items, seed=4):
        found = tensors(raw)
        assert found["x"].shape == (3, 2)
        for row, word in zip(found["x"], found["words"], strict=True):
            assert word.decode() == f"w{int(row[0]) // 2}"
            seen.append(int(row[0]) // 2)
    assert set(seen) == set(range(10))
    assert len(seen) == 12  # four requests of three
    named = real_requests(AIM, IMAGES, Form(arrays={"x": "pixels"}), items, seed=4)
    assert len(named) == 10


@pytest.mark.parametrize(
    ("model", "form", "words"),
    [
        (Model("m", (Tensor("z", "FP32", (-1, 2)),)), Form(), "no array 'z'.*it holds x, words"),
        (Model("m", (Tensor("x", "FP32", (-1, 3)),)), Form(), r"in the shape \[-1, 3\], the array has \[10, 2\]"),
        (Model("m", (Tensor("x", "INT64", (-1, 2)),)), Form(), "takes INT64, the array holds float64"),
        (Model("m", (Tensor("x", "BYTES", (-1, 2)),)), Form(), "expected text"),
        (Model("m", (Tensor("words", "FP32", (-1,)),)), Form(), "takes FP32"),
        (Model("m", (Tensor("x", "FP32", (-1, 2)), Tensor("y", "FP32", (-1, 2)))), Form(), "hold 3, 10 items"),
        (Model("m", (Tensor("x", "FP32", (-1, 2)), Tensor("y", "FP32", (3, 2)))), Form(), "hold 3, 10 items"),
    ],
)
def test_items_that_do_not_fit(items: Path, model: Model, form: Form, words: str) -> None:
    with pytest.raises(SteelyardError, match=words):
        real_requests(AIM, model, form, items, seed=0)


def test_no_file_and_no_array_file(tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"nothing")
    for name in ("missing.npz", "broken.npz"):
        with pytest.raises(SteelyardError, match=name):
            real_requests(AIM, IMAGES, Form(), tmp_path / name, seed=0)


def test_a_request_has_a_largest_size() -> None:
    model = Model("m", (Tensor("x", "FP64", (-1, 2**20)),))
    with pytest.raises(UsageError, match="too large"):
        random_requests(AIM, model, Form(items=100), 0)
    with pytest.raises(UsageError, match="too large"):
        request(AIM, model, {"x": np.zeros((20, 2**20))}, Form())


@pytest.mark.parametrize("datatype", [name for name in DATATYPES if name != "BYTES"])
def test_random_values_fill_their_shape(datatype: str) -> None:
    values = random_array(datatype, (50, 4), np.random.default_rng(0))
    assert values.shape == (50, 4)
    assert len(np.unique(values)) > 1


# What the server tells of its model


def test_a_model_is_asked_for() -> None:
    with raw_server(model_server()) as server:
        aim = target(server.url)
        assert ask_model(aim, "digits") == Model("digits", (Tensor("x", "FP32", (-1, 4)),))
        assert ask_model(aim).name == "digits"  # it is the only one
        with pytest.raises(InputError, match="does not have the model cats") as told:
            ask_model(aim, "cats")
    assert "it has digits" in told.value.hint


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "not with the metadata"),
        (b"[" * 200_000, "not with the metadata"),
        (b'{"inputs": []}', "has 0 inputs"),
        (b'{"inputs": [{"name": "x", "datatype": "FP7", "shape": [1]}]}', "unknown datatype FP7"),
        (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [-2]}]}', "impossible shape"),
        (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [100000, 100000]}]}', "impossible shape"),
        (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1.5]}]}', "not with the metadata"),
        (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1' + b",1" * 99 + b"]}]}", "impossible shape"),
    ],
)
def test_metadata_that_makes_no_sense(body: bytes, words: str) -> None:
    async def tell(asked: Asked, writer: Any) -> None:
        writer.write(response(body))

    with raw_server(tell) as server, pytest.raises(InputError, match=words):
        ask_model(target(server.url), "m")


def test_a_server_that_wants_a_token_and_one_of_another_kind() -> None:
    async def wants(asked: Asked, writer: Any) -> None:
        allowed = asked.headers.get("authorization") == "Bearer right"
        await (model_server() if allowed else lambda _, w: _refuse(w))(asked, writer)

    async def _refuse(writer: Any) -> None:
        writer.write(response(b'{"error": "no token"}', "401 Unauthorized"))

    with raw_server(wants) as server:
        assert ask_model(target(server.url, token="right"), "digits").name == "digits"
        with pytest.raises(InputError, match="only to those who may ask") as told:
            ask_model(target(server.url, token="wrong"), "digits")
        assert "STEELYARD_TOKEN" in told.value.hint
    with raw_server(plain) as server, pytest.raises(InputError, match="not with the metadata"):
        ask_model(target(server.url), "m")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("grpc://localhost:1", "begins with http"),
        ("http://user:pw@localhost", "holds a password"),
        ("http://", "names no host"),
        ("http://localhost:99999", "names no host"),
        ("http://local host", "names no host"),
        ("http://localhost/?a=1", "ends with its path"),
    ],
)
def test_an_address_that_cannot_be_used(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        target(url)


@pytest.mark.parametrize("text", ["no colon", "A: b\r\nC: d", "Bad name: x", "Content-Length: 3", "A: ü"])
def test_a_header_that_cannot_be_used(text: str) -> None:
    with pytest.raises(UsageError, match="header"):
        target("localhost:8000", [text])


def test_an_address_without_a_scheme() -> None:
    assert target("localhost:8000").url == "http://localhost:8000"
    assert target("https://example.org/v2").url == "https://example.org:443"
