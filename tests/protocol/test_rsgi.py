"""The HTTP side behind granian's own interface: the same answers as behind uvicorn."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving_here import PATIENCE_S, Connection, everything, raw_connection

pytestmark = pytest.mark.skipif(importlib.util.find_spec("granian") is None, reason="granian is not installed")

SERVER = """
import sys
from granian.server.embed import Server
import asyncio
from serving import FakeRepository
from steelyard.protocol.guards import Guards
from steelyard.protocol.http import Http
from steelyard.protocol.reply import json_reply
from steelyard.protocol.rsgi import RsgiApplication

repository = FakeRepository()
repository.models["exact"].hold = True
pages = {("GET", "/withdrawn"): lambda _: json_reply([one.is_withdrawn for one in repository.models["exact"].asked])}
application = RsgiApplication(Http(repository, Guards(most_body=100_000), pages), read_s=0.05)
asyncio.run(Server(application, port=int(sys.argv[1]), interface="rsgi", websockets=False).serve())
"""
INFER = "/v2/models/double/infer"
REQUEST = {"id": "7", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return int(opened.getsockname()[1])


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    port = free_port()
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(port)], env=os.environ | {"PYTHONPATH": paths})
    try:
        wait_until(lambda: process.poll() is not None or _listens(port))
        assert process.poll() is None
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()


def wait_until(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.005)


def _listens(port: int) -> bool:
    try:
        raw_connection(port).close()
    except OSError:
        return False
    return True


@pytest.fixture
def client(port: int) -> Iterator[Connection]:
    connection = Connection(port)
    yield connection
    connection.close()


def test_requests_are_answered(client: Connection) -> None:
    assert client.ask("GET", "/v2/health/ready") == (200, {"ready": True})
    for _ in range(3):
        status, answer = client.ask("POST", INFER, REQUEST)
        assert (status, answer["id"], answer["outputs"][0]["data"]) == (200, "7", [2, 4, 6, 8])
    assert client.ask("HEAD", "/v2/health/ready") == (200, None)
    assert client.ask("GET", "/v2/models?x=1")[0] == 200


def test_a_change_is_answered_from_its_own_thread(client: Connection) -> None:
    assert client.ask("POST", "/v2/repository/models/mixed/load", {})[0] == 200


def test_failures_have_the_protocols_form(client: Connection) -> None:
    for method, path, body, status in (
        ("GET", "/nowhere", None, 404),
        ("GET", INFER, None, 405),
        ("POST", INFER, {}, 400),
        ("POST", INFER, b" " * 100_001, 413),
    ):
        got, told = client.ask(method, path, body)
        assert got == status
        assert told["error"]


def test_another_host_is_refused(client: Connection) -> None:
    assert client.ask("GET", "/v2", Host="evil.example")[0] == 403


def test_a_body_that_grows_too_large_is_refused(port: int) -> None:
    large = raw_connection(port)
    large.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" % INFER.encode())
    large.sendall((b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 4)
    assert large.recv(12) == b"HTTP/1.1 413"
    large.close()


def test_a_body_that_drips_is_given_up(port: int) -> None:
    for framing in (b"Content-Length: 1000", b"Transfer-Encoding: chunked"):
        slow = raw_connection(port)
        slow.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n" % (INFER.encode(), framing))
        assert everything(slow).startswith(b"HTTP/1.1 408")
        slow.close()


def test_a_client_that_leaves_is_withdrawn(port: int, client: Connection) -> None:
    pixels = {"name": "pixels", "datatype": "UINT8", "shape": [2, 3], "data": [0] * 6}
    body = json.dumps({"inputs": [pixels]}).encode()
    leaving = raw_connection(port)
    head = b"POST /v2/models/exact/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    leaving.sendall(head + body)
    wait_until(lambda: client.ask("GET", "/withdrawn")[1] == [False])
    leaving.close()
    wait_until(lambda: client.ask("GET", "/withdrawn")[1] == [True])
