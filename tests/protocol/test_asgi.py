"""The HTTP side on a socket: many clients, clients that leave, drip, send too much or no HTTP at all.

Twice, where it is not about connections themselves: on ours, and as an ASGI application on uvicorn's own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from serving import FakeModel, FakeRepository
from serving_here import PATIENCE_S, Connection, everything, raw_connection, serving_here
from steelyard.protocol.guards import Guards
from steelyard.protocol.http import Http

INFER = "/v2/models/double/infer"
MOST_BODY = 100_000
SLOW = 0.05


def asked_for(first: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [first, 2, 3, 4]}], **more}


def head(path: str, length: int, *more: bytes) -> bytes:
    lines = [b"POST %s HTTP/1.1" % path.encode(), b"Host: localhost", b"Content-Length: %d" % length, *more]
    return b"\r\n".join((*lines, b"", b""))


def wait_until(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.005)


def answer_later(model: FakeModel) -> None:
    time.sleep(2 * SLOW)
    model.answer_held()


@pytest.fixture
def models() -> FakeRepository:
    return FakeRepository()


@pytest.fixture
def model(models: FakeRepository) -> FakeModel:
    return models.models["double"]


@pytest.fixture(params=["ours", "asgi"])
def port(request: pytest.FixtureRequest, models: FakeRepository) -> Iterator[int]:
    http = Http(models, Guards(most_body=MOST_BODY))
    with serving_here(http, read_s=SLOW, head_s=SLOW, asgi=request.param == "asgi") as port:
        yield port


ours = pytest.mark.parametrize("port", ["ours"], indirect=True)


@pytest.fixture
def client(port: int) -> Iterator[Connection]:
    connection = Connection(port)
    yield connection
    connection.close()


def test_one_connection_serves_many_requests(client: Connection) -> None:
    assert client.ask("GET", "/v2/health/live") == (200, {"live": True})
    for number in range(20):
        status, answer = client.ask("POST", INFER, asked_for(number, id=str(number)))
        assert status == 200
        assert (answer["id"], answer["outputs"][0]["data"][0]) == (str(number), 2 * number)
    assert client.ask("GET", "/nowhere")[0] == 404
    assert client.ask("HEAD", "/v2/health/live") == (200, None)
    assert client.ask("GET", "/v2/models?x=1")[0] == 200
    assert client.ask("POST", "/v2/repository/models/double/load", {}) == (200, {"name": "double", "state": "READY"})


def test_answers_from_another_thread_reach_their_own_clients(port: int, model: FakeModel) -> None:
    model.hold = True
    clients = [Connection(port) for _ in range(24)]
    with ThreadPoolExecutor(len(clients)) as pool:
        asked = [pool.submit(one.ask, "POST", INFER, asked_for(n, id=str(n))) for n, one in enumerate(clients)]
        wait_until(lambda: len(model.asked) == len(clients))
        assert model.answer_held() == len(clients)
        for number, each in enumerate(asked):
            status, answer = each.result(PATIENCE_S)
            assert status == 200
            assert (answer["id"], answer["outputs"][0]["data"][0]) == (str(number), 2 * number)
    for one in clients:
        one.close()


def test_failures_from_another_thread_reach_the_client(port: int, model: FakeModel) -> None:
    model.hold, model.failure = True, RuntimeError("broken")
    client = Connection(port)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.ask, "POST", INFER, asked_for())
        wait_until(lambda: model.asked)
        model.answer_held()
        status, answer = asked.result(PATIENCE_S)
    assert status == 500
    assert "broken" not in answer["error"]
    client.close()


def test_a_client_that_leaves_is_withdrawn(port: int, client: Connection, model: FakeModel) -> None:
    model.hold = True
    body = json.dumps(asked_for()).encode()
    leaving = raw_connection(port)
    leaving.sendall(head(INFER, len(body)) + body)
    wait_until(lambda: model.asked)
    leaving.close()
    wait_until(lambda: model.asked[0].is_withdrawn)
    assert model.answer_held() == 0
    model.hold = False
    assert client.ask("POST", INFER, asked_for())[0] == 200


def test_a_request_that_waits_long_and_whose_client_stays_is_answered(port: int, model: FakeModel) -> None:
    model.hold = True
    body = json.dumps(asked_for()).encode()
    staying = raw_connection(port)
    staying.sendall(head(INFER, len(body), b"Connection: close") + body)
    wait_until(lambda: model.asked)
    time.sleep(4 * SLOW)  # it is watched by now, which must change nothing
    assert model.answer_held() == 1
    assert b" 200 OK" in everything(staying)
    staying.close()


@pytest.mark.parametrize("sent", [b"", b"{", b"{" + b" " * 500])
def test_a_body_that_drips_is_given_up(port: int, client: Connection, sent: bytes) -> None:
    slow = raw_connection(port)
    slow.sendall(head(INFER, 1000) + sent)
    told = everything(slow)
    assert told.startswith(b"HTTP/1.1 408")
    assert b'{"error":' in told
    slow.close()
    assert client.ask("POST", INFER, asked_for())[0] == 200


@ours
@pytest.mark.parametrize("sent", [b"", b"P", b"POST / HTTP/1.1\r\nHost: localh", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_drips_is_given_up(port: int, client: Connection, sent: bytes) -> None:
    slow = raw_connection(port)
    slow.sendall(sent)
    assert everything(slow) == b""
    slow.close()
    assert client.ask("POST", INFER, asked_for())[0] == 200


@ours
def test_a_second_head_that_drips_is_given_up_too(port: int) -> None:
    slow = raw_connection(port)
    slow.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v2/hea")
    assert everything(slow).startswith(b"HTTP/1.1 200")
    slow.close()


def test_a_body_that_is_announced_as_too_large_is_not_read(port: int, client: Connection) -> None:
    large = raw_connection(port)
    large.sendall(head(INFER, 300 * 2**20))
    assert everything(large).startswith(b"HTTP/1.1 413")
    large.close()
    assert client.ask("GET", "/v2/health/live")[0] == 200


def test_a_body_that_grows_too_large_is_not_read_on(port: int, client: Connection) -> None:
    large = raw_connection(port)
    large.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" % INFER.encode())
    with pytest.raises(ConnectionError):
        large.sendall((b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 1000)
    large.close()
    assert client.ask("GET", "/v2/health/live")[0] == 200


def test_a_body_in_pieces_is_put_together(port: int) -> None:
    body = json.dumps(asked_for() | {"padding": " " * (MOST_BODY - 1000)}).encode()
    pieces = raw_connection(port)
    pieces.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n" % INFER.encode())
    pieces.sendall(b"Connection: close\r\n\r\n")
    for start in range(0, len(body), 5000):
        piece = body[start : start + 5000]
        pieces.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
    pieces.sendall(b"0\r\n\r\n")
    assert everything(pieces).startswith(b"HTTP/1.1 200")
    pieces.close()


@ours
@pytest.mark.parametrize(
    "sent", [b"\0\0\0\0\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03"]
)
def test_what_is_no_http_is_told_so_in_json(port: int, sent: bytes) -> None:
    odd = raw_connection(port)
    odd.sendall(sent)
    status, _, body = everything(odd).partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["error"]
    odd.close()


def test_a_websocket_is_not_found(client: Connection) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "eA==",
    }
    assert client.ask("GET", "/ws", **upgrade)[0] == 404


def test_one_connection_too_many_is_refused_in_json(models: FakeRepository) -> None:
    with serving_here(Http(models, Guards()), most=2) as port:
        kept = [Connection(port), Connection(port)]
        for one in kept:
            assert one.ask("GET", "/v2/health/live")[0] == 200
        refused = Connection(port)
        status, told = refused.ask("GET", "/v2/health/live")
        assert (status, "too many" in told["error"]) == (503, True)
        kept[0].close()
        wait_until(lambda: _served(port))
        refused.close()
        kept[1].close()


def _served(port: int) -> bool:
    connection = Connection(port)
    try:
        return connection.ask("GET", "/v2/health/live")[0] == 200
    except OSError:
        return False
    finally:
        connection.close()


def test_guards_stand_before_everything(models: FakeRepository) -> None:
    with serving_here(Http(models, Guards(token="secret-of-this-test"))) as port:
        client = raw_connection(port)
        client.sendall(head(INFER, 50_000))  # the body never comes, and is not waited for
        assert everything(client).startswith(b"HTTP/1.1 401")
        client.close()
    assert not models.models["double"].asked


def test_what_is_under_way_is_answered_before_the_server_ends(models: FakeRepository, model: FakeModel) -> None:
    model.hold = True
    with ThreadPoolExecutor(1) as pool:
        with serving_here(Http(models, Guards())) as port:
            client = Connection(port)
            asked = pool.submit(client.ask, "POST", INFER, asked_for())
            wait_until(lambda: model.asked)
            pool_end = ThreadPoolExecutor(1)
            pool_end.submit(answer_later, model)
        assert asked.result(PATIENCE_S)[0] == 200
        client.close()
        pool_end.shutdown()
