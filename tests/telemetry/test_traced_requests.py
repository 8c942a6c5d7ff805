"""Spans from a request on a socket to a collector on another one, for HTTP and gRPC; and what cannot be traced."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from collector import Collector, collecting
from serving import FakeRepository
from serving_here import Connection, serving_here
from steelyard.errors import Overloaded, UsageError
from steelyard.loop.serving import Offer, Served
from steelyard.protocol import inference_pb2 as pb
from steelyard.protocol.grpc_server import GrpcServer
from steelyard.protocol.guards import Guards
from steelyard.protocol.http import Http
from steelyard.telemetry.tracing import PROTOCOLS, Tracing, start_tracing

PATIENCE_S = 20
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = (f"00-{TRACE}-{PARENT}-0{flag}" for flag in "10")
INFER = "/v2/models/double/infer"
BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROTOCOLS, "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector


@pytest.fixture
def tracing(collector: Collector) -> Iterator[Tracing]:
    tracing = start_tracing()
    yield tracing
    tracing.close()


@pytest.fixture
def models() -> FakeRepository:
    return FakeRepository()


def test_a_request_over_http_is_seen_by_the_collector(
    models: FakeRepository, tracing: Tracing, collector: Collector
) -> None:
    with serving_here(Http(models, Guards(), ask=tracing.ask)) as port:
        client = Connection(port)
        assert client.ask("POST", INFER, BODY, traceparent=SAMPLED)[0] == 200
        assert client.ask("POST", INFER, BODY, traceparent=UNSAMPLED)[0] == 200
        assert client.ask("POST", INFER, BODY)[0] == 200
        models.models["double"].refusal = Overloaded("full")
        assert client.ask("POST", INFER, BODY, traceparent=SAMPLED)[0] == 503
        client.close()
    tracing.close()
    answered, refused = collector.wait_for(2)
    assert answered == {
        "name": "infer double",
        "trace": TRACE,
        "parent": PARENT,
        "events": ["dispatched"],
        "steelyard.model": "double",
        "steelyard.version": "1",
        "steelyard.items": 1,
        "steelyard.variant": "original",
        "steelyard.outcome": "answered",
    }
    assert (refused["steelyard.outcome"], refused["error.type"]) == ("refused", "Overloaded")
    assert collector.paths == {"/v1/traces"}
    assert collector.services == {"steelyard"}


def test_a_call_over_grpc_is_seen_by_the_collector(
    models: FakeRepository, tracing: Tracing, collector: Collector
) -> None:
    server = GrpcServer(models, None, "127.0.0.1:0", ask=tracing.ask)
    channel = grpc.insecure_channel(f"127.0.0.1:{server.start()}")
    service = "/inference.GRPCInferenceService"
    one = channel.unary_unary(f"{service}/ModelInfer", None, pb.ModelInferResponse.FromString)
    stream = channel.stream_stream(f"{service}/ModelStreamInfer", None, pb.ModelStreamInferResponse.FromString)
    raw = request().SerializeToString()
    for metadata in ((("traceparent", SAMPLED),), (("traceparent", UNSAMPLED),), ()):
        assert one(raw, metadata=metadata, timeout=PATIENCE_S).model_name == "double"
    assert len(list(stream(iter([raw, raw]), metadata=(("traceparent", SAMPLED),), timeout=PATIENCE_S))) == 2
    channel.close()
    server.stop()
    tracing.close()
    spans = collector.wait_for(3)
    assert len(spans) == 3
    assert {(each["trace"], each["parent"], each["steelyard.outcome"]) for each in spans} == {
        (TRACE, PARENT, "answered")
    }


def request() -> Any:
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 4])
    raw = np.arange(4, dtype="<f4").tobytes()
    return pb.ModelInferRequest(model_name="double", inputs=[tensor], raw_input_contents=[raw])


def test_the_environment_names_the_service_and_may_trace_everything(
    models: FakeRepository, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine,deployment=test")
    tracing = start_tracing()
    with serving_here(Http(models, Guards(), ask=tracing.ask)) as port:
        client = Connection(port)
        assert client.ask("POST", INFER, BODY)[0] == 200
        client.close()
    tracing.close()
    [span] = collector.wait_for(1)
    assert span["parent"] == ""
    assert collector.services == {"mine"}


def test_another_way_to_send_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROTOCOLS:
        monkeypatch.setenv(name, "grpc")
        with pytest.raises(UsageError, match="http/protobuf"):
            start_tracing()
        monkeypatch.delenv(name)


def test_what_the_environment_says_wrongly_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(UsageError, match="tracing cannot begin"):
        start_tracing()


def test_without_the_extra_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "steelyard.telemetry.tracing", None)
    with pytest.raises(UsageError, match="OpenTelemetry") as failure:
        Offer({"digits": Path("plan")}, Served(trace=True), None)
    assert "steelyard[otel]" in failure.value.hint
    assert Offer({"digits": Path("plan")}, Served(), None).ask is None
