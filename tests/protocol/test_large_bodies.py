"""Large bodies hold up nobody: while one is read or written, small requests go on being answered."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest

from serving import FakeRepository
from serving_here import Connection, serving_here
from steelyard.protocol import aside, grpc_messages, grpc_service, json_body
from steelyard.protocol import inference_pb2 as pb
from steelyard.protocol.grpc_server import GrpcServer
from steelyard.protocol.grpc_tensors import Inference
from steelyard.protocol.guards import Guards
from steelyard.protocol.http import Http
from steelyard.protocol.rsgi import RsgiApplication

PATIENCE_S = 20
SMALL_ONES = 25
DOUBLE, MIXED = "/v2/models/double/infer", "/v2/models/mixed/infer"
SERVICE = "/inference.GRPCInferenceService"
X = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
LONG = aside.LARGE // 4


def wide(count: int = LONG) -> dict[str, Any]:
    """A request whose body is large, and its answer as well."""
    ids = {"name": "ids", "datatype": "INT64", "shape": [1, count], "data": [1000] * count}
    text = {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["a"]}
    return {"inputs": [ids, text]}


def sum_of(answer: Any) -> int:
    told: int = answer["outputs"][0]["data"][0]
    return told


class Gate:
    """Stands in a thread that comes along with something large, until a test says so."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.may_go = threading.Event()

    def before(self, work: Callable[..., Any], is_large: Callable[..., bool]) -> Callable[..., Any]:
        def gated(*args: Any) -> Any:
            if is_large(*args):
                self.entered.set()
                assert self.may_go.wait(PATIENCE_S)
            return work(*args)

        return gated


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.may_go.set()


@pytest.fixture
def models() -> FakeRepository:
    return FakeRepository()


@pytest.fixture
def port(models: FakeRepository) -> Iterator[int]:
    with serving_here(Http(models, Guards())) as port:
        yield port


def hold_reading(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_body, "decode", gate.before(json_body.decode, lambda body: len(body) >= aside.LARGE))


def hold_writing(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = gate.before(json_body.encode, lambda told: isinstance(told, list) and len(told) > 1)
    monkeypatch.setattr(json_body, "encode", slow)


@pytest.mark.parametrize("hold", [hold_reading, hold_writing])
def test_small_requests_are_answered_while_a_large_one_is_read_or_written(
    port: int, gate: Gate, monkeypatch: pytest.MonkeyPatch, hold: Callable[[Gate, pytest.MonkeyPatch], None]
) -> None:
    hold(gate, monkeypatch)
    large, small = Connection(port), Connection(port)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(large.ask, "POST", MIXED, wide())
        assert gate.entered.wait(PATIENCE_S)
        assert [small.ask("POST", DOUBLE, X)[0] for _ in range(SMALL_ONES)] == [200] * SMALL_ONES
        assert not asked.done()
        gate.may_go.set()
        status, answer = asked.result(PATIENCE_S)
    assert (status, sum_of(answer)) == (200, 1000 * LONG)
    large.close()
    small.close()


def test_what_is_small_until_it_is_decompressed_is_read_aside_too(
    port: int, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_reading(gate, monkeypatch)
    body = wide()
    body["inputs"][0]["data"] = np.random.default_rng(0).integers(1000, 9999, LONG).tolist()
    packed = gzip.compress(json.dumps(body).encode())
    assert aside.LARGE_COMPRESSED < len(packed) < aside.LARGE
    large, small = Connection(port), Connection(port)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(large.ask, "POST", MIXED, packed, Content_Encoding="gzip")
        assert gate.entered.wait(PATIENCE_S)
        assert small.ask("POST", DOUBLE, X)[0] == 200
        gate.may_go.set()
        assert sum_of(asked.result(PATIENCE_S)[1]) == sum(body["inputs"][0]["data"])
    large.close()
    small.close()


def test_a_large_body_that_is_wrong_is_told_so(port: int) -> None:
    client = Connection(port)
    broken = json.dumps(wide()).encode()[:-1]
    assert client.ask("POST", MIXED, broken)[0] == 400
    short = wide()
    short["inputs"][0]["shape"] = [1, LONG + 1]
    status, told = client.ask("POST", MIXED, short)
    assert status == 400
    assert f"has {LONG:,} elements, its shape [1, {LONG + 1}] says {LONG + 1:,}" in told["error"]
    assert client.ask("POST", "/nowhere", wide())[0] == 404
    assert client.ask("POST", MIXED, wide())[0] == 200
    client.close()


@pytest.mark.parametrize("asgi", [False, True])
def test_a_client_that_leaves_while_its_large_body_is_read_is_not_waited_for(
    asgi: bool, gate: Gate, models: FakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_reading(gate, monkeypatch)
    model = models.models["mixed"]
    model.hold = True
    with serving_here(Http(models, Guards()), asgi=asgi) as port:
        client = Connection(port)
        client.send("POST", MIXED, wide())
        assert gate.entered.wait(PATIENCE_S)
        client.close()
        other = Connection(port)
        assert other.ask("GET", "/v2/health/live")[0] == 200
        gate.may_go.set()
        end = time.monotonic() + PATIENCE_S
        while asgi and not (model.asked and model.asked[0].is_withdrawn):
            assert time.monotonic() < end
            time.sleep(0.005)
        model.hold = False
        assert other.ask("POST", MIXED, wide())[0] == 200
        assert [one.is_withdrawn for one in model.asked] == ([True, False] if asgi else [False])
        other.close()


# --- granian's side -------------------------------------------------------------------------------------------------


class Exchanged:
    """One request as granian hands it over, and its reply."""

    proto, method, query_string, authority = "http", "POST", "", "localhost"

    def __init__(self, path: str, body: Any) -> None:
        self.path = path
        self.headers = {"content-length": "1"}
        self._body = json.dumps(body).encode()
        self.status = 0

    async def __call__(self) -> bytes:
        return self._body

    def __aiter__(self) -> Any:
        raise AssertionError("its length was told")

    def client_disconnect(self) -> Awaitable[None]:
        return asyncio.get_running_loop().create_future()

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status

    def close(self, status: int | None) -> object:
        raise AssertionError("it is no websocket")


def test_it_is_the_same_behind_granian(models: FakeRepository, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    hold_reading(gate, monkeypatch)

    async def asked() -> tuple[list[int], int]:
        application = RsgiApplication(Http(models, Guards()))
        large = Exchanged(MIXED, wide())
        under_way = asyncio.create_task(application.__rsgi__(large, large))  # type: ignore[arg-type]
        assert await asyncio.to_thread(gate.entered.wait, PATIENCE_S)
        small = [Exchanged(DOUBLE, X) for _ in range(SMALL_ONES)]
        for each in small:
            await application.__rsgi__(each, each)  # type: ignore[arg-type]
        assert not under_way.done()
        gate.may_go.set()
        await under_way
        return [each.status for each in small], large.status

    assert asyncio.run(asked()) == ([200] * SMALL_ONES, 200)


# --- gRPC -----------------------------------------------------------------------------------------------------------


def message(model: str, count: int) -> bytes:
    """Of `mixed`, with this many numbers, or of `double`."""
    kind = pb.ModelInferRequest.InferInputTensor
    if model == "double":
        tensors = [kind(name="x", datatype="FP32", shape=[1, 4], contents={"fp32_contents": [1, 2, 3, 4]})]
    else:
        ids = kind(name="ids", datatype="INT64", shape=[1, count], contents={"int64_contents": [1000] * count})
        text = kind(name="text", datatype="BYTES", shape=[1, 1], contents={"bytes_contents": [b"a"]})
        tensors = [ids, text]
    raw: bytes = pb.ModelInferRequest(model_name=model, inputs=tensors).SerializeToString()
    return raw


@pytest.fixture
def channel(models: FakeRepository) -> Iterator[Any]:
    server = GrpcServer(models, None, "127.0.0.1:0")
    unlimited = (("grpc.max_receive_message_length", -1),)
    channel = grpc.insecure_channel(f"127.0.0.1:{server.start()}", unlimited)
    yield channel
    channel.close()
    server.stop(0)


def hold_parsing(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = gate.before(grpc_messages.parsed, lambda _, raw, most: len(raw) >= aside.LARGE)
    monkeypatch.setattr(grpc_service, "parsed", slow)


def hold_telling(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = gate.before(Inference.tell, lambda _, answered, response: len(answered.outputs) > 1)
    monkeypatch.setattr(Inference, "tell", slow)


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("hold", [hold_parsing, hold_telling])
def test_it_is_the_same_over_grpc(
    channel: Any,
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
    hold: Callable[[Gate, pytest.MonkeyPatch], None],
    is_stream: bool,
) -> None:
    hold(gate, monkeypatch)
    count = aside.LARGE
    one = channel.unary_unary(f"{SERVICE}/ModelInfer", None, pb.ModelInferResponse.FromString)
    stream = channel.stream_stream(f"{SERVICE}/ModelStreamInfer", None, pb.ModelStreamInferResponse.FromString)

    def ask() -> Any:
        raw = message("mixed", count)
        if is_stream:
            return next(stream(iter([raw]), timeout=PATIENCE_S)).infer_response
        return one(raw, timeout=PATIENCE_S)

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        assert gate.entered.wait(PATIENCE_S)
        small = [one(message("double", 0), timeout=PATIENCE_S) for _ in range(SMALL_ONES)]
        assert [each.model_name for each in small] == ["double"] * SMALL_ONES
        assert not asked.done()
        gate.may_go.set()
        answer = asked.result(PATIENCE_S)
    assert np.frombuffer(answer.raw_output_contents[0], np.int64).tolist() == [1000 * count]
