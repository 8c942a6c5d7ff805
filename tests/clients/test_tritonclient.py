"""Triton's own clients, unchanged, over sockets: what they ask and what they are told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.conftest import Asking, Checks
from serving import FakeRepository
from serving_here import serving_here
from serving_server import Running, serving
from steelyard.protocol.grpc_server import GrpcServer
from steelyard.protocol.guards import Guards
from steelyard.protocol.http import Http

KINDS = ("http", "http.aio", "grpc", "grpc.aio")
TOKEN = "t" * 20
PATIENCE_S = 20


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Running]:
    with serving(bundle, "plan", STEELYARD_TOKEN=TOKEN) as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
def test_a_real_bundle_is_asked_everything(kind: str, asking: Asking, server: Running) -> None:
    port = server.port if kind.startswith("http") else server.grpc_port
    passed(asking("asking", kind, port, TOKEN), least=17)


@pytest.mark.parametrize("kind", KINDS)
def test_texts_half_floats_and_patience_that_ends(kind: str, asking: Asking) -> None:
    models = FakeRepository()
    double = models.models["double"]
    double.hold = True
    grpc = GrpcServer(models, TOKEN, "127.0.0.1:0")
    with serving_here(Http(models, Guards(token=TOKEN))) as http_port:
        grpc_port = grpc.start()
        try:
            passed(asking("asking_made", kind, http_port if kind.startswith("http") else grpc_port, TOKEN), least=5)
            end = time.monotonic() + PATIENCE_S
            while not all(asked.is_withdrawn for asked in double.asked):
                assert time.monotonic() < end, "a request of a client that left still waits"
                time.sleep(0.01)
            assert len(double.asked) == (2 if kind == "grpc" else 1)
        finally:
            grpc.stop()


def passed(checks: Checks, least: int) -> None:
    """All checks passed, and none was lost."""
    failures = [f"{check['check']}\n{check['failure']}" for check in checks if check["failure"]]
    assert failures == [], "\n\n".join(failures)
    assert len(checks) >= least
