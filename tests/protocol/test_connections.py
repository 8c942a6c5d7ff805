"""Our own connections: many requests on one, refusals in their turn, bounds on heads and on patience."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from serving import FakeModel, FakeRepository
from serving_here import PATIENCE_S, everything, raw_connection, serving_here
from steelyard.protocol.connection import MOST_HEAD
from steelyard.protocol.guards import Guards
from steelyard.protocol.http import Http

INFER = b"/v2/models/double/infer"
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


def infer(number: int, *more: bytes) -> bytes:
    told = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [number, 2, 3, 4]}
    body = json.dumps({"id": str(number), "inputs": [told]}).encode()
    lines = [b"POST %s HTTP/1.1" % INFER, b"Host: localhost", b"Content-Length: %d" % len(body), *more]
    return b"\r\n".join((*lines, b"", body))


def replies(connection: socket.socket, most: int = 10**6) -> list[tuple[int, dict[str, Any]]]:
    """Status and body of each, until the server hangs up or so many came."""
    file = connection.makefile("rb")
    found: list[tuple[int, dict[str, Any]]] = []
    while len(found) < most and (line := file.readline()):
        length = 0
        while (header := file.readline()) not in (b"\r\n", b""):
            if header.startswith(b"content-length: "):
                length = int(header.split()[1])
        found.append((int(line.split()[1]), json.loads(file.read(length))))
    return found


@pytest.fixture
def models() -> FakeRepository:
    return FakeRepository()


@pytest.fixture
def model(models: FakeRepository) -> FakeModel:
    return models.models["double"]


@pytest.fixture
def port(models: FakeRepository) -> Iterator[int]:
    with serving_here(Http(models, Guards(most_body=10_000))) as port:
        yield port


def wait_for(model: FakeModel, asked: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while len(model.asked) < asked:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_thousands_of_requests_at_once_are_answered_in_their_order(port: int) -> None:
    many = raw_connection(port)
    many.sendall(b"".join(infer(number) for number in range(2000)) + infer(2000, b"Connection: close"))
    assert [told["id"] for _, told in replies(many)] == [str(number) for number in range(2001)]
    many.close()


def test_what_waits_for_its_model_holds_up_those_behind_it_on_the_same_connection(port: int, model: FakeModel) -> None:
    model.hold = True
    both = raw_connection(port)
    both.sendall(infer(0) + LIVE)
    wait_for(model, 1)
    model.answer_held()
    (first, told), second = replies(both, 2)
    assert (first, told["id"], second) == (200, "0", (200, {"live": True}))
    both.close()


@pytest.mark.parametrize(
    ("behind", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST /v2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n", 413),
        (b"GET /v2 HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", 403),
    ],
)
def test_a_refusal_comes_after_the_answers_that_are_due(
    port: int, model: FakeModel, behind: bytes, status: int
) -> None:
    model.hold = True
    mixed = raw_connection(port)
    mixed.sendall(infer(7) + behind + LIVE)
    wait_for(model, 1)
    model.answer_held()
    (first, told), (second, refused) = replies(mixed)  # and nothing after the refusal
    assert (first, told["id"], second) == (200, "7", status)
    assert refused["error"]
    mixed.close()


def test_who_leaves_withdraws_what_it_asked(port: int, model: FakeModel) -> None:
    model.hold = True
    leaving = raw_connection(port)
    leaving.sendall(infer(0))
    wait_for(model, 1)
    leaving.close()
    end = time.monotonic() + PATIENCE_S
    while not model.asked[0].is_withdrawn:
        assert time.monotonic() < end
        time.sleep(0.005)
    assert len(model.asked) == 1


def test_whoever_waits_for_leave_to_send_a_body_gets_it(port: int) -> None:
    polite = raw_connection(port)
    head, _, body = infer(3, b"Expect: 100-continue", b"Connection: close").partition(b"\r\n\r\n")
    polite.sendall(head + b"\r\n\r\n")
    assert polite.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    polite.sendall(body)
    assert [status for status, _ in replies(polite)] == [200]
    polite.close()


def test_an_older_client_is_answered_and_hung_up_on(port: int) -> None:
    older = raw_connection(port)
    older.sendall(b"GET /v2/health/live HTTP/1.0\r\nHost: localhost\r\n\r\n")
    told = everything(older)
    assert told.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close\r\n" in told
    older.close()


@pytest.mark.parametrize("begins", [b"GET /", b"GET / HTTP/1.1\r\nX: "])
def test_a_head_that_does_not_end_is_not_kept(port: int, begins: bytes) -> None:
    endless = raw_connection(port)
    endless.sendall(begins + b"a" * MOST_HEAD)
    time.sleep(0.05)
    endless.sendall(b"a" * 2 * MOST_HEAD)
    with contextlib.suppress(ConnectionResetError):  # it hung up while more was on its way
        assert [status for status, _ in replies(endless)] in ([431], [])
    endless.close()


def test_an_escaped_path_and_a_query_are_read(port: int) -> None:
    odd = raw_connection(port)
    odd.sendall(b"GET /v2/models/dou%62le?x=%20 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert [(status, told["name"]) for status, told in replies(odd)] == [(200, "double")]
    odd.close()


def test_an_idle_connection_is_hung_up_on_and_a_busy_one_is_not(models: FakeRepository, model: FakeModel) -> None:
    model.hold = True
    with serving_here(Http(models, Guards()), keep_alive_s=0.05) as port:
        idle, busy = raw_connection(port), raw_connection(port)
        idle.sendall(LIVE)
        busy.sendall(infer(1))
        wait_for(model, 1)
        assert everything(idle).startswith(b"HTTP/1.1 200")
        time.sleep(0.2)
        model.answer_held()
        assert [status for status, _ in replies(busy, 1)] == [200]
        idle.close()
        busy.close()


def test_a_client_that_does_not_read_holds_up_only_itself(port: int) -> None:
    deaf, other = raw_connection(port), raw_connection(port)
    deaf.setblocking(False)
    rest, end = memoryview(LIVE * 500_000), time.monotonic() + 1
    while rest and time.monotonic() < end:
        try:
            rest = rest[deaf.send(rest) :]
        except BlockingIOError:
            time.sleep(0.01)
    assert rest  # it is not read on while its answers are not taken
    other.sendall(LIVE)
    assert replies(other, 1) == [(200, {"live": True})]
    deaf.close()
    other.close()
