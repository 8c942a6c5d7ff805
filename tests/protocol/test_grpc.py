"""The protocol over gRPC, as clients see it: over a socket, with gRPC's own client."""

from __future__ import annotations

import asyncio
import gzip
import logging
import math
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from serving import FakeRepository
from steelyard.errors import BundleError, Expired, InputError, Overloaded, UsageError, WorkerLost
from steelyard.protocol import inference_pb2 as pb
from steelyard.protocol.grpc_failures import PUSHBACK
from steelyard.protocol.grpc_server import GrpcServer
from steelyard.protocol.grpc_unlisted import check
from steelyard.records.engine import Array
from steelyard.records.model import TensorInfo
from steelyard.records.signature import Signature
from steelyard.scheduling import Single, profile_of
from steelyard.serve.opening import Options
from steelyard.serve.repository import Repository
from steelyard.serve.requests import Answered, Metadata, TensorSpec
from steelyard.serve.served import Promise, Resident, ServedModel

PATIENCE_S = 20
ANY = "127.0.0.1:0"
TOKEN = "a-token-of-some-length"
SERVICE = "inference.GRPCInferenceService"
MIB = 2**20
Code = grpc.StatusCode


class Client:
    """gRPC's own client."""

    def __init__(self, port: int) -> None:
        self.port = port
        unlimited = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", unlimited)

    def method(self, name: str) -> Any:
        kind = "Infer" if name == "ModelInfer" else name
        request, response = getattr(pb, f"Model{kind}Request", None), getattr(pb, f"Model{kind}Response", None)
        request, response = request or getattr(pb, f"{name}Request"), response or getattr(pb, f"{name}Response")
        return self.channel.unary_unary(f"/{SERVICE}/{name}", request.SerializeToString, response.FromString)

    def ask(self, name: str, request: Any = None, **settings: Any) -> Any:
        """The answer to one call."""
        asked = request if request is not None else getattr(pb, f"{name}Request")()
        return self.method(name)(asked, timeout=settings.pop("timeout", PATIENCE_S), **settings)

    def refused(self, name: str, request: Any = None, **settings: Any) -> Any:
        """The failure of one call."""
        with pytest.raises(grpc.RpcError) as failure:
            self.ask(name, request, **settings)
        return failure.value

    def stream(self) -> Stream:
        return Stream(self.channel)


class Stream:
    """One stream of requests, and of answers."""

    def __init__(self, channel: Any) -> None:
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        method = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer", None, pb.ModelStreamInferResponse.FromString)
        self.call = method(iter(self._requests.get, None), timeout=PATIENCE_S)

    def send(self, request: pb.ModelInferRequest | bytes) -> None:
        self._requests.put(request if isinstance(request, bytes) else request.SerializeToString())

    def end(self) -> None:
        self._requests.put(None)

    def next(self) -> pb.ModelStreamInferResponse:
        told: pb.ModelStreamInferResponse = next(self.call)
        return told


@pytest.fixture
def models() -> FakeRepository:
    return FakeRepository()


@pytest.fixture
def client(models: FakeRepository) -> Iterator[Client]:
    yield from served(GrpcServer(models, None, ANY))


def served(server: GrpcServer) -> Iterator[Client]:
    client = Client(server.start())
    try:
        yield client
    finally:
        client.channel.close()
        server.stop(0)


def request(*values: float, name: str = "double", mark: str = "", items: int = 1) -> pb.ModelInferRequest:
    array = np.array(values or range(4), "<f4")
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[items, array.size // items])
    return pb.ModelInferRequest(model_name=name, id=mark, inputs=[tensor], raw_input_contents=[array.tobytes()])


def floats(response: pb.ModelInferResponse) -> list[float]:
    return [float(each) for each in np.frombuffer(response.raw_output_contents[0], "<f4")]


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.002)


# --- plain questions --------------------------------------------------------------------------------------------------


def test_a_server_tells_of_itself(client: Client, models: FakeRepository) -> None:
    assert client.ask("ServerLive").live
    assert client.ask("ServerReady").ready
    models.models["exact"].ready = False
    assert not client.ask("ServerReady").ready
    models.live = False
    assert not client.ask("ServerLive").live
    told = client.ask("ServerMetadata")
    assert (told.name, told.version) == ("steelyard", "0.0.0")
    assert {"statistics", "model_configuration", "model_repository"} <= set(told.extensions)


def test_a_server_tells_of_its_models(client: Client) -> None:
    told = client.ask("ModelMetadata", pb.ModelMetadataRequest(name="mixed"))
    assert (told.name, list(told.versions), told.platform) == ("mixed", ["1"], "numpy")
    assert [(each.name, each.datatype, list(each.shape)) for each in told.inputs] == [
        ("ids", "INT64", [-1, -1]),
        ("text", "BYTES", [-1, 1]),
    ]
    assert [each.name for each in told.outputs] == ["sum", "loud", "half"]


def test_the_configuration_is_of_one_item(client: Client) -> None:
    config = client.ask("ModelConfig", pb.ModelConfigRequest(name="mixed", version="1")).config
    assert (config.name, config.max_batch_size) == ("mixed", 8)
    assert [(each.name, each.data_type, list(each.dims)) for each in config.input] == [
        ("ids", pb.TYPE_INT64, [-1]),
        ("text", pb.TYPE_STRING, [1]),
    ]
    assert config.output[2].data_type == pb.TYPE_BF16
    assert config.HasField("dynamic_batching")
    config = client.ask("ModelConfig", pb.ModelConfigRequest(name="exact")).config
    assert (config.max_batch_size, list(config.input[0].dims)) == (0, [2, 3])
    assert not config.HasField("dynamic_batching")


def test_a_model_is_ready_or_not(client: Client, models: FakeRepository) -> None:
    assert client.ask("ModelReady", pb.ModelReadyRequest(name="double")).ready
    models.models["double"].ready = False
    assert not client.ask("ModelReady", pb.ModelReadyRequest(name="double")).ready
    models.unloaded.add("double")
    assert not client.ask("ModelReady", pb.ModelReadyRequest(name="double")).ready


def test_statistics_have_all_that_clients_read(client: Client, models: FakeRepository) -> None:
    client.ask("ModelInfer", request())
    [told] = client.ask("ModelStatistics", pb.ModelStatisticsRequest(name="double")).model_stats
    assert (told.name, told.version, told.inference_count, told.execution_count) == ("double", "1", 1, 1)
    stats = told.inference_stats
    assert (stats.success.count, stats.success.ns) == (1, 5_000_000)
    assert (stats.queue.count, stats.queue.ns) == (1, 1_000_000)
    assert stats.compute_infer.ns == 2_000_000
    for name in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit"):
        assert stats.HasField(name)
    assert stats.HasField("cache_miss")
    assert told.last_inference > 0
    models.unloaded.add("exact")
    assert [each.name for each in client.ask("ModelStatistics").model_stats] == ["double", "mixed"]


def test_the_index_tells_of_all_models(client: Client, models: FakeRepository) -> None:
    models.unloaded.add("exact")
    told = {each.name: each for each in client.ask("RepositoryIndex").models}
    assert (told["double"].state, told["exact"].state) == ("READY", "UNAVAILABLE")
    assert told["exact"].reason == "it was unloaded"
    ready = client.ask("RepositoryIndex", pb.RepositoryIndexRequest(ready=True)).models
    assert [each.name for each in ready] == ["double", "mixed"]


# --- inference --------------------------------------------------------------------------------------------------------


def test_an_inference(client: Client) -> None:
    told = client.ask("ModelInfer", request(1, 2, 3, 4, 5, 6, 7, 8, mark="seven", items=2))
    assert floats(told) == [2, 4, 6, 8, 10, 12, 14, 16]
    assert (told.model_name, told.model_version, told.id) == ("double", "1", "seven")
    assert (told.outputs[0].name, told.outputs[0].datatype, list(told.outputs[0].shape)) == ("y", "FP32", [2, 4])
    assert told.parameters["variant"].string_param == "original"


def test_numbers_texts_and_half_floats(client: Client) -> None:
    tensor = pb.ModelInferRequest.InferInputTensor
    ids = tensor(name="ids", datatype="INT64", shape=[1, 3], contents={"int64_contents": [1, 2, 3]})
    text = tensor(name="text", datatype="BYTES", shape=[1, 1], contents={"bytes_contents": ["zwölf".encode()]})
    told = client.ask("ModelInfer", pb.ModelInferRequest(model_name="mixed", inputs=[text, ids]))
    total, loud, half = told.raw_output_contents
    assert np.frombuffer(total, "<i8").tolist() == [6]
    assert loud == struct.pack("<I", 6) + "ZWÖLF".encode()
    assert (np.frombuffer(half, "<u2").astype("<u4") << 16).view("<f4").tolist() == [0.5, 1.0, 1.5]
    assert [each.datatype for each in told.outputs] == ["INT64", "BYTES", "BF16"]


def test_only_the_outputs_that_are_asked_for_are_sent(client: Client) -> None:
    tensor = pb.ModelInferRequest.InferInputTensor
    ids = tensor(name="ids", datatype="INT64", shape=[1, 1], contents={"int64_contents": [4]})
    text = tensor(name="text", datatype="BYTES", shape=[1, 1], contents={"bytes_contents": [b""]})
    asked = pb.ModelInferRequest(model_name="mixed", inputs=[ids, text], outputs=[{"name": "loud"}, {"name": "sum"}])
    told = client.ask("ModelInfer", asked)
    assert [each.name for each in told.outputs] == ["loud", "sum"]
    assert told.raw_output_contents == [bytes(4), (4).to_bytes(8, "little")]


def test_a_large_message_goes_through(client: Client) -> None:
    count = 16 * MIB // 8
    tensor = pb.ModelInferRequest.InferInputTensor
    ids = tensor(name="ids", datatype="INT64", shape=[1, count])
    text = tensor(name="text", datatype="BYTES", shape=[1, 1])
    raws = [np.ones(count, "<i8").tobytes(), bytes(4)]
    asked = pb.ModelInferRequest(model_name="mixed", inputs=[ids, text], raw_input_contents=raws)
    told = client.ask("ModelInfer", asked)
    assert np.frombuffer(told.raw_output_contents[0], "<i8").tolist() == [count]
    assert len(told.raw_output_contents[2]) == 2 * count


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_messages_may_be_compressed(client: Client, compression: grpc.Compression) -> None:
    told = client.ask("ModelInfer", request(*([1.0] * 32), items=8), compression=compression)
    assert floats(told) == [2.0] * 32
    assert client.ask("ServerLive", compression=compression).live


@pytest.mark.parametrize(
    ("change", "code", "details"),
    [
        ({"model_name": "nothing"}, Code.NOT_FOUND, "there is no model 'nothing'"),
        ({"model_name": "m" * 5000}, Code.NOT_FOUND, "there is no model 'mmm"),
        ({"model_version": "2"}, Code.NOT_FOUND, "there is no model 'double'"),
        ({"model_version": "9" * 5000}, Code.NOT_FOUND, "there is no model 'double' of version '999"),
        ({"raw_input_contents": [bytes(15)]}, Code.INVALID_ARGUMENT, "has 16 bytes, 15 came"),
        ({"raw_input_contents": [bytes(17)]}, Code.INVALID_ARGUMENT, "has 16 bytes, 17 came"),
        ({"raw_input_contents": [bytes(16)] * 2}, Code.INVALID_ARGUMENT, "one entry for each input"),
        ({"inputs": []}, Code.INVALID_ARGUMENT, "takes each of these inputs once"),
        ({"outputs": [{"name": "z"}]}, Code.INVALID_ARGUMENT, "has no output 'z'"),
        ({"id": "i" * 1025}, Code.INVALID_ARGUMENT, "id may have 1,024 characters"),
    ],
)
def test_what_cannot_be_asked(client: Client, change: dict[str, Any], code: Any, details: str) -> None:
    asked = request()
    for name in change:
        asked.ClearField(name)
    asked.MergeFrom(pb.ModelInferRequest(**change))
    failure = client.refused("ModelInfer", asked)
    assert failure.code() == code
    assert details in failure.details()
    assert len(failure.details()) < 600


@pytest.mark.parametrize("name", ["ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"])
def test_unknown_models_are_not_found(client: Client, name: str) -> None:
    failure = client.refused(name, getattr(pb, f"{name}Request")(name="nothing"))
    assert failure.code() == Code.NOT_FOUND
    assert "there is no model 'nothing'" in failure.details()


@pytest.mark.parametrize("name", ["ModelInfer", "ModelMetadata", "RepositoryModelLoad"])
def test_bytes_that_are_no_message(client: Client, name: str) -> None:
    raw = client.channel.unary_unary(f"/{SERVICE}/{name}", None, None)
    for body in (b"\x0a\x05abc", b"\xff" * 20, b"\x0a\x02\xff\xfe", gzip.compress(b"\x0a\x05abc"), b"\x1f\x8bnonsense"):
        with pytest.raises(grpc.RpcError) as failure:
            raw(body, timeout=PATIENCE_S)
        assert failure.value.code() == Code.INVALID_ARGUMENT, body


def test_calls_of_others_are_not_served(client: Client) -> None:
    for name in ("SystemSharedMemoryStatus", "CudaSharedMemoryUnregister", "TraceSetting", "LogSettings"):
        with pytest.raises(grpc.RpcError) as failure:
            client.channel.unary_unary(f"/{SERVICE}/{name}", None, None)(b"", timeout=PATIENCE_S)
        assert failure.value.code() == Code.UNIMPLEMENTED


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("no variant satisfies it", "ready are: a"), Code.INVALID_ARGUMENT),
        (Expired("it waited too long"), Code.DEADLINE_EXCEEDED),
        (WorkerLost("the process died"), Code.UNAVAILABLE),
        (Overloaded("the queue is full", retry_after_s=2.5), Code.UNAVAILABLE),
    ],
)
@pytest.mark.parametrize("where", ["refusal", "failure"])
def test_each_failure_has_its_status(client: Client, models: FakeRepository, error: Any, code: Any, where: str) -> None:
    setattr(models.models["double"], where, error)
    failure = client.refused("ModelInfer", request())
    assert failure.code() == code
    assert failure.details().startswith(error.message)
    pushback = dict(failure.trailing_metadata()).get(PUSHBACK)
    assert pushback == ("2500" if isinstance(error, Overloaded) else None)


@pytest.mark.parametrize("where", ["refusal", "failure"])
def test_our_own_faults_are_told_by_a_number_alone(
    client: Client, models: FakeRepository, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    setattr(models.models["double"], where, ValueError("/etc/secret"))
    with caplog.at_level(logging.ERROR):
        failure = client.refused("ModelInfer", request())
    assert failure.code() == Code.INTERNAL
    assert "secret" not in failure.details()
    number = failure.details().rpartition(" ")[2]
    [record] = [each for each in caplog.records if vars(each).get("correlation") == number]
    assert record.exc_info is not None
    assert "/etc/secret" in str(record.exc_info[1])
    setattr(models.models["double"], where, None)
    assert client.ask("ModelInfer", request()).id == ""


def test_more_than_a_message_may_have_is_refused(models: FakeRepository) -> None:
    for client in served(GrpcServer(models, None, ANY, max_message=10_000)):
        large = request()
        large.raw_input_contents[0] = bytes(20_000)
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate):
            failure = client.refused("ModelInfer", large, compression=compression)
            assert failure.code() == Code.RESOURCE_EXHAUSTED
        assert floats(client.ask("ModelInfer", request())) == [0, 2, 4, 6]


def test_a_failure_in_a_long_text_is_cut(client: Client, models: FakeRepository) -> None:
    models.models["double"].refusal = InputError("ü" * 5000)
    assert client.refused("ModelInfer", request()).details() == "ü" * 512


# --- clients that do not wait -----------------------------------------------------------------------------------------


def test_the_deadline_of_a_client_is_that_of_its_request(client: Client, models: FakeRepository) -> None:
    model = models.models["double"]
    model.hold = True
    failure = client.refused("ModelInfer", request(), timeout=0.5)
    assert failure.code() == Code.DEADLINE_EXCEEDED
    [asking] = model.asked
    assert 0 < asking.asked.timeout_s < 0.6  # gRPC tells it by another clock
    wait_for(lambda: asking.is_withdrawn)
    assert not asking.caller.begin()
    model.hold = False
    assert floats(client.ask("ModelInfer", request())) == [0, 2, 4, 6]


def test_a_client_that_leaves_is_no_longer_served(client: Client, models: FakeRepository) -> None:
    model = models.models["double"]
    model.hold = True
    call = client.method("ModelInfer").future(request())
    wait_for(lambda: len(model.asked) == 1)
    assert model.asked[0].asked.timeout_s == math.inf
    call.cancel()
    wait_for(lambda: model.asked[0].is_withdrawn)
    assert model.answer_held() == 0


def test_answers_reach_those_who_asked(client: Client, models: FakeRepository) -> None:
    model = models.models["double"]
    model.hold = True
    calls = [client.method("ModelInfer").future(request(n, n, n, n, mark=str(n))) for n in range(100)]
    wait_for(lambda: len(model.asked) == 100)
    assert model.answer_held() == 100
    for n, call in enumerate(calls):
        told = call.result(PATIENCE_S)
        assert (told.id, floats(told)) == (str(n), [2.0 * n] * 4)


# --- streams ----------------------------------------------------------------------------------------------------------


def test_a_stream_tells_answers_as_they_come(client: Client, models: FakeRepository) -> None:
    model = models.models["double"]
    model.hold = True
    stream = client.stream()
    for n in range(3):
        stream.send(request(n, n, n, n, mark=str(n)))
    wait_for(lambda: len(model.asked) == 3)
    for n in (2, 0, 1):
        model.asked[n].caller.answer(Answered([model.asked[n].asked.inputs["x"]], "int8"))
        told = stream.next()
        assert told.error_message == ""
        assert (told.infer_response.id, floats(told.infer_response)) == (str(n), [n] * 4)
        assert told.infer_response.parameters["triton_final_response"].bool_param
    stream.end()
    assert list(stream.call) == []
    assert stream.call.code() == Code.OK


def test_a_request_that_fails_does_not_end_its_stream(client: Client, models: FakeRepository) -> None:
    stream = client.stream()
    lying = request(mark="lying")
    lying.raw_input_contents[0] = b"abc"
    asked: list[pb.ModelInferRequest | bytes] = [
        request(mark="a"),
        lying,
        request(mark="b", name="nothing"),
        b"\x0a\x05abc",
        request(mark="c"),
    ]
    for each in asked:
        stream.send(each)
    stream.end()
    told = list(stream.call)
    assert [each.infer_response.id for each in told] == ["a", "lying", "b", "", "c"]
    assert [bool(each.error_message) for each in told] == [False, True, True, True, False]
    assert "has 16 bytes, 3 came" in told[1].error_message
    assert "there is no model 'nothing'" in told[2].error_message
    assert told[2].infer_response.model_name == "nothing"
    models.models["double"].failure = RuntimeError("/etc/secret")
    stream = client.stream()
    stream.send(request(mark="d"))
    stream.end()
    [last] = stream.call
    assert "internal error" in last.error_message
    assert "secret" not in last.error_message


def test_requests_of_a_stream_that_is_left_are_withdrawn(client: Client, models: FakeRepository) -> None:
    model = models.models["double"]
    model.hold = True
    stream = client.stream()
    for _ in range(5):
        stream.send(request())
    wait_for(lambda: len(model.asked) == 5)
    stream.call.cancel()
    stream.end()
    wait_for(lambda: all(each.is_withdrawn for each in model.asked))
    model.hold = False
    assert floats(client.ask("ModelInfer", request())) == [0, 2, 4, 6]


# --- the repository ---------------------------------------------------------------------------------------------------


def test_models_come_and_go(client: Client, models: FakeRepository) -> None:
    client.ask("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="double"))
    assert models.unloaded == {"double"}
    assert client.refused("ModelInfer", request()).code() == Code.NOT_FOUND
    client.ask("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="double"))
    assert floats(client.ask("ModelInfer", request())) == [0, 2, 4, 6]


def test_only_configured_models_are_loaded_and_only_as_configured(client: Client) -> None:
    for name in ("RepositoryModelLoad", "RepositoryModelUnload"):
        failure = client.refused(name, getattr(pb, f"{name}Request")(model_name="/etc/passwd"))
        assert failure.code() == Code.NOT_FOUND
    asked = pb.RepositoryModelLoadRequest(model_name="double")
    asked.parameters["config"].string_param = "{}"
    assert client.refused("RepositoryModelLoad", asked).code() == Code.INVALID_ARGUMENT
    asked = pb.RepositoryModelUnloadRequest(model_name="double")
    asked.parameters["unload_dependents"].bool_param = False  # Triton's own clients send it
    client.ask("RepositoryModelUnload", asked)


def test_why_a_bundle_cannot_be_loaded_is_for_the_log(client: Client, models: FakeRepository) -> None:
    models.load_failure = BundleError("/srv/models/secret is broken")
    failure = client.refused("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="double"))
    assert failure.code() == Code.INVALID_ARGUMENT
    assert "secret" not in failure.details()
    assert floats(client.ask("ModelInfer", request())) == [0, 2, 4, 6]


def test_models_are_changed_one_at_a_time_and_others_answer_meanwhile(client: Client, models: FakeRepository) -> None:
    models.may_change.clear()
    load = client.method("RepositoryModelLoad").future(pb.RepositoryModelLoadRequest(model_name="double"))
    wait_for(lambda: any(each.name == "change-double" for each in threading.enumerate()))
    failure = client.refused("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="mixed"))
    assert failure.code() == Code.UNAVAILABLE
    assert floats(client.ask("ModelInfer", request())) == [0, 2, 4, 6]
    models.may_change.set()
    load.result(PATIENCE_S)


# --- who may call -----------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(models: FakeRepository) -> Iterator[Client]:
    yield from served(GrpcServer(models, TOKEN, ANY))


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", TOKEN),),
        (("authorization", f"Basic {TOKEN}"),),
        (("authorization", f"Bearer {TOKEN}x"),),
        (("authorization", "Bearer "),),
        (("authorization", "Bearer"),),
        (("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {TOKEN}")),
    ],
)
def test_without_the_token_nothing_is_told(
    guarded: Client, models: FakeRepository, metadata: Sequence[tuple[str, str]]
) -> None:
    for name in ("ServerMetadata", "RepositoryIndex", "ModelStatistics"):
        assert guarded.refused(name, metadata=metadata).code() == Code.UNAUTHENTICATED
    assert guarded.refused("ModelInfer", request(), metadata=metadata).code() == Code.UNAUTHENTICATED
    assert models.models["double"].asked == []
    stream = guarded.channel.stream_stream(f"/{SERVICE}/ModelStreamInfer", None, None)
    with pytest.raises(grpc.RpcError) as failure:
        list(stream(iter([request().SerializeToString()]), metadata=metadata, timeout=PATIENCE_S))
    assert failure.value.code() == Code.UNAUTHENTICATED


def test_every_call_needs_the_token_but_those_of_watchers(guarded: Client) -> None:
    calls = [each.name for each in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods]
    assert len(calls) == 12
    for name in calls:
        call = guarded.channel.stream_stream(f"/{SERVICE}/{name}", None, None)(iter([b""]), timeout=PATIENCE_S)
        if name in ("ServerLive", "ServerReady"):
            assert len(list(call)) == 1
        else:
            with pytest.raises(grpc.RpcError) as failure:
                list(call)
            assert failure.value.code() == Code.UNAUTHENTICATED, name


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", " Bearer"])
def test_with_the_token_all_is_told(guarded: Client, scheme: str) -> None:
    metadata = (("authorization", f"{scheme} {TOKEN}"),)
    assert guarded.ask("ServerMetadata", metadata=metadata).name == "steelyard"
    assert floats(guarded.ask("ModelInfer", request(), metadata=metadata)) == [0, 2, 4, 6]


def test_paths_and_headers_that_are_no_text_end_nothing(client: Client) -> None:
    for path, more in ((b"/\xff\xfe", ()), (b"/" + SERVICE.encode() + b"/ServerLive", ((b"authorization", b"\xff"),))):
        by_hand(client.port, path, *more)
        assert client.ask("ServerLive").live
    assert floats(client.ask("ModelInfer", request())) == [0, 2, 4, 6]


def by_hand(port: int, path: bytes, *more: tuple[bytes, bytes]) -> None:
    """A call as gRPC's own client would not send it."""

    def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
        return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body

    headers = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"localhost")]
    headers += [(b"te", b"trailers"), (b"content-type", b"application/grpc"), *more]
    block = b"".join(b"\0" + bytes([len(n)]) + n + bytes([len(v)]) + v for n, v in headers)
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as opened:
        opened.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        opened.sendall(frame(1, 4, 1, block) + frame(0, 1, 1, bytes(5)) + frame(6, 0, 0, bytes(8)))
        came = b""
        while frame(6, 1, 0, bytes(8)) not in came:  # the ping is answered: all before it was read
            got = opened.recv(65536)
            if not got:
                return
            came += got


# --- beginning and end ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.83.2", "0.99.0"])
def test_a_grpcio_that_is_too_old_is_told(version: str) -> None:
    with pytest.raises(UsageError, match=rf"needs grpcio 1\.84 or newer, got {version}"):
        check(version)
    check("1.84.0rc1")
    check("2.0.0")


def test_a_port_in_use_is_told(models: FakeRepository) -> None:
    first = GrpcServer(models, None, ANY)
    port = first.start()
    try:
        with pytest.raises(UsageError, match=f"cannot listen for gRPC on 127.0.0.1, port {port}: .*in use"):
            GrpcServer(models, None, f"127.0.0.1:{port}").start()
    finally:
        first.stop()


def test_an_end_waits_for_what_is_under_way(models: FakeRepository) -> None:
    server = GrpcServer(models, None, ANY)
    client = Client(server.start())
    model = models.models["double"]
    model.hold = True
    call = client.method("ModelInfer").future(request())
    wait_for(lambda: len(model.asked) == 1)
    stopping = threading.Thread(target=server.stop, args=(PATIENCE_S,))
    stopping.start()
    wait_for(lambda: client.method("ServerLive").future(pb.ServerLiveRequest()).exception(PATIENCE_S) is not None)
    assert stopping.is_alive()
    assert model.answer_held() == 1
    assert floats(call.result(PATIENCE_S)) == [0, 2, 4, 6]
    stopping.join(PATIENCE_S)
    assert not stopping.is_alive()
    assert client.refused("ServerLive").code() == Code.UNAVAILABLE
    client.channel.close()
    server.stop()  # once more does no harm


def test_an_end_without_patience_breaks_off(models: FakeRepository) -> None:
    server = GrpcServer(models, None, ANY)
    client = Client(server.start())
    model = models.models["double"]
    model.hold = True
    call = client.method("ModelInfer").future(request())
    wait_for(lambda: len(model.asked) == 1)
    server.stop()
    assert call.exception(PATIENCE_S) is not None
    assert model.asked[0].is_withdrawn
    client.channel.close()


def test_a_server_runs_on_the_loop_of_whoever_embeds_it(models: FakeRepository) -> None:
    async def embedded() -> list[float]:
        server = GrpcServer(models, None, ANY)
        client = Client(await server.open())
        try:
            return floats(await asyncio.to_thread(client.ask, "ModelInfer", request()))
        finally:
            client.channel.close()
            await server.close(0)

    assert asyncio.run(embedded()) == [0, 2, 4, 6]


# --- with the real repository behind it -------------------------------------------------------------------------------


class Gate:
    """Doubles; while it is closed it holds its worker."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.runs = 0

    def run(self, stream: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
        self.runs += 1
        assert self.open.wait(PATIENCE_S)
        return [inputs["x"] * 2]


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def repository(gate: Gate) -> Iterator[Repository]:
    def opener(name: str, folder: Path, version: int, options: Options) -> ServedModel:
        told = TensorSpec(name="x", datatype="FP32", shape=(-1, 4))
        info = TensorInfo(name="x", dtype="float32", shape=(None, 4))
        metadata = Metadata(
            name=name, versions=(str(version),), platform="test", inputs=(told,), outputs=(told,), max_batch_size=4
        )
        resident = Resident("fast", "fast.test", 0.5, None, gate)
        policy = Single(profile_of([1.0]))  # never so quick that it is served by whoever asks
        signature = Signature(inputs=(info,), outputs=(info,))
        return ServedModel(metadata, signature, [resident], policy, 1, Promise(60.0), 3)

    repository = Repository({"double": Path("double"), "other": Path("other")}, Options(), opener)
    repository.load("double")
    yield repository
    gate.open.set()
    repository.close(drain=False)


@pytest.fixture
def real(repository: Repository) -> Iterator[Client]:
    yield from served(GrpcServer(repository, None, ANY))


def test_real_models_answer_and_are_replaced(real: Client, gate: Gate) -> None:
    gate.open.set()
    told = real.ask("ModelInfer", request(*range(8), items=2))
    assert floats(told) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert (told.model_version, told.parameters["variant"].string_param) == ("1", "fast")
    real.ask("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="double"))
    assert real.ask("ModelInfer", request()).model_version == "2"
    assert not real.ask("ServerReady").ready
    assert not real.ask("ModelReady", pb.ModelReadyRequest(name="other")).ready
    assert "is not loaded" in real.refused("ModelInfer", request(name="other")).details()


def test_real_requests_expire_leave_and_are_refused(real: Client, repository: Repository, gate: Gate) -> None:
    infer = real.method("ModelInfer")
    busy = infer.future(request(mark="busy"))
    wait_for(lambda: gate.runs == 1)
    hasty = request()
    hasty.parameters["timeout"].int64_param = 1000
    assert real.refused("ModelInfer", hasty).code() == Code.DEADLINE_EXCEEDED
    assert real.refused("ModelInfer", request(), timeout=0.2).code() == Code.DEADLINE_EXCEEDED
    left = [infer.future(request()) for _ in range(3)]
    wait_for(lambda: real.refused("ModelInfer", request(), timeout=0.1).code() == Code.UNAVAILABLE)  # it is full
    picky = request()
    picky.parameters["min_quality"].double_param = 0.9
    assert "no variant satisfies" in real.refused("ModelInfer", picky).details()
    for call in left:
        call.cancel()
    wait_for(lambda: repository.served("double").current.waiting == 0)
    gate.open.set()
    assert busy.result(PATIENCE_S).id == "busy"
    assert floats(real.ask("ModelInfer", request())) == [0, 2, 4, 6]
    assert gate.runs == 2
