"""Health over gRPC, as probes ask for it: of the server, of one model, once or as it changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
import pytest

from serving import FakeRepository
from steelyard.protocol import grpc_health
from steelyard.protocol.grpc_server import GrpcServer
from steelyard.protocol.health_pb2 import HealthCheckRequest, HealthCheckResponse

PATIENCE_S = 20
ANY = "127.0.0.1:0"
TOKEN = "a-token-of-some-length"
RIGHT, WRONG = (("authorization", f"Bearer {TOKEN}"),), (("authorization", f"Bearer {TOKEN}x"),)
NOBODY: Sequence[tuple[str, str]] = ()
Code = grpc.StatusCode
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class Probe:
    """Asks one server."""

    def __init__(self, server: GrpcServer) -> None:
        self._server = server
        self.channel = grpc.insecure_channel(f"127.0.0.1:{server.start()}")
        kinds = (HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString)
        self._check = self.channel.unary_unary("/grpc.health.v1.Health/Check", *kinds)
        self._watch = self.channel.unary_stream("/grpc.health.v1.Health/Watch", *kinds)

    def check(self, name: str = "", metadata: Sequence[tuple[str, str]] = NOBODY) -> int:
        told = self._check(HealthCheckRequest(service=name), timeout=PATIENCE_S, metadata=metadata)
        status: int = told.status
        return status

    def watch(self, name: str = "", metadata: Sequence[tuple[str, str]] = NOBODY) -> Any:
        return self._watch(HealthCheckRequest(service=name), timeout=PATIENCE_S, metadata=metadata)

    def end(self, grace_s: float | None = None) -> None:
        self._server.stop(grace_s)

    def close(self) -> None:
        self.channel.close()
        self.end()


@pytest.fixture
def models() -> FakeRepository:
    return FakeRepository()


def probing(server: GrpcServer) -> Iterator[Probe]:
    probe = Probe(server)
    yield probe
    probe.close()


@pytest.fixture
def probe(models: FakeRepository) -> Iterator[Probe]:
    yield from probing(GrpcServer(models, None, ANY))


@pytest.fixture
def guarded(models: FakeRepository) -> Iterator[Probe]:
    yield from probing(GrpcServer(models, TOKEN, ANY))


def refusal(ask: Callable[..., object], *args: object) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as failure:
        ask(*args)
    code: grpc.StatusCode = failure.value.code()
    return code


@pytest.mark.parametrize("name", ["", "inference.GRPCInferenceService"])
def test_the_server_serves_while_all_models_are_ready(probe: Probe, models: FakeRepository, name: str) -> None:
    assert probe.check(name) == SERVING
    models.models["mixed"].ready = False
    assert probe.check(name) == NOT_SERVING


def test_a_model_serves_while_it_is_ready(probe: Probe, models: FakeRepository) -> None:
    assert probe.check("double") == SERVING
    models.models["mixed"].ready = False
    assert (probe.check("double"), probe.check("mixed")) == (SERVING, NOT_SERVING)
    models.unload("double")
    assert probe.check("double") == NOT_SERVING


@pytest.mark.parametrize("name", ["nothing", "x" * 5000])
def test_what_is_not_served_is_not_found(probe: Probe, name: str) -> None:
    assert refusal(probe.check, name) == Code.NOT_FOUND
    assert next(probe.watch(name)).status == HealthCheckResponse.SERVICE_UNKNOWN


def test_whoever_watches_is_told_of_changes_alone(probe: Probe, models: FakeRepository) -> None:
    told = probe.watch("double")
    assert next(told).status == SERVING
    models.models["double"].ready = False
    assert next(told).status == NOT_SERVING
    models.models["double"].ready = True
    assert next(told).status == SERVING
    told.cancel()


def test_an_end_is_told_and_waits_for_nobody_who_watches(probe: Probe) -> None:
    told = probe.watch()
    assert next(told).status == SERVING
    probe.end(PATIENCE_S)
    assert [each.status for each in told] == [NOT_SERVING]


def test_with_a_token_the_server_alone_is_told_to_everybody(guarded: Probe) -> None:
    for metadata in (NOBODY, WRONG, RIGHT):
        assert guarded.check(metadata=metadata) == SERVING
        assert next(guarded.watch(metadata=metadata)).status == SERVING
    for metadata in (NOBODY, WRONG):
        for name in ("double", "nothing"):  # whether it exists is not told either
            assert refusal(guarded.check, name, metadata) == Code.UNAUTHENTICATED
            assert refusal(next, guarded.watch(name, metadata)) == Code.UNAUTHENTICATED
    assert guarded.check("double", RIGHT) == SERVING
    assert next(guarded.watch("double", RIGHT)).status == SERVING


def test_those_who_watch_have_a_bound_and_leave_room_when_they_go(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_health, "MOST_WATCHING", 2)
    watching = [probe.watch(), probe.watch()]
    assert [next(each).status for each in watching] == [SERVING, SERVING]
    assert refusal(next, probe.watch()) == Code.RESOURCE_EXHAUSTED
    assert probe.check() == SERVING
    watching[0].cancel()
    end = time.monotonic() + PATIENCE_S
    while not may_watch(probe):  # the server hears of it in its own time
        assert time.monotonic() < end


def may_watch(probe: Probe) -> bool:
    try:
        return bool(next(probe.watch()).status == SERVING)
    except grpc.RpcError:
        return False


def test_what_is_no_question_is_refused(probe: Probe) -> None:
    raw = probe.channel.unary_unary("/grpc.health.v1.Health/Check")
    assert refusal(lambda: raw(b"\xff\xff", timeout=PATIENCE_S)) == Code.INVALID_ARGUMENT
