"""Bodies that are larger than what is read at once: their rest goes past the parser, and nothing beside it is lost."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO

import numpy as np
import pytest

from serving import FakeModel, FakeRepository, metadata, spec
from serving_here import everything, raw_connection, serving_here
from steelyard.protocol.exchange import LEAST_REST, MOST_REST
from steelyard.protocol.guards import Guards
from steelyard.protocol.http import Http

INFER = b"/v2/models/double/infer"
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
ROWS = {
    "small": 8,
    "just larger": LEAST_REST // 16 + 1,
    "large": 60_000,
    "too large to be believed": MOST_REST // 16 + 9,
}


@pytest.fixture
def models() -> FakeRepository:
    """`double` takes as many items as come."""
    models = FakeRepository()
    told = metadata("double", [spec("x", "FP32", -1, 4)], [spec("y", "FP32", -1, 4)], max_batch_size=2**22)
    models.models["double"] = FakeModel(told, lambda inputs: [inputs["x"] * 2])
    return models


@pytest.fixture
def port(models: FakeRepository) -> Iterator[int]:
    with serving_here(Http(models, Guards(most_body=2 * MOST_REST)), read_s=2.0) as port:
        yield port


def asked(x: np.ndarray, told_bytes: int | None = None) -> bytes:
    """A request of one binary tensor, answered as one."""
    told = {"name": "x", "datatype": "FP32", "shape": list(x.shape), "parameters": {"binary_data_size": x.nbytes}}
    body = json.dumps({"inputs": [told], "parameters": {"binary_data_output": True}}).encode()
    head = (
        b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nInference-Header-Content-Length: %d\r\n\r\n"
        % (INFER, told_bytes or len(body) + x.nbytes, len(body))
    )
    return head + body + x.tobytes()


def answered(connection: socket.socket) -> np.ndarray:
    """The tensor of the next reply, behind which nothing comes."""
    with connection.makefile("rb") as file:
        return next_of(file)


def next_of(file: BinaryIO) -> np.ndarray:
    """The tensor of the next reply."""
    assert file.readline().startswith(b"HTTP/1.1 200")
    lengths = {}
    while (header := file.readline()) != b"\r\n":
        name, _, value = header.partition(b": ")
        lengths[name] = value
    json_bytes = int(lengths[b"inference-header-content-length"])
    return np.frombuffer(file.read(int(lengths[b"content-length"]))[json_bytes:], "<f4").reshape(-1, 4)


def some(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_it_arrives_as_it_was_sent(port: int, rows: int) -> None:
    connection, x = raw_connection(port), some(rows)
    for _ in range(3):
        connection.sendall(asked(x))
        np.testing.assert_array_equal(answered(connection), 2 * x)
    connection.close()


def test_it_is_not_copied_for_the_model(port: int, models: FakeRepository) -> None:
    connection = raw_connection(port)
    for rows in (9_998, 9_999, 10_000, 10_001, 99_999, 100_000):  # the JSON before them differs in length
        connection.sendall(asked(some(rows))[:-3])
        connection.sendall(asked(some(rows))[-3:])
        answered(connection)
    for each in models.models["double"].asked:
        assert each.asked.inputs["x"].flags.aligned
        assert not each.asked.inputs["x"].flags.owndata
    connection.close()


def test_it_may_come_in_any_pieces(port: int) -> None:
    random = np.random.default_rng(1)
    connection, x = raw_connection(port), some(40_000)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sent = asked(x)
    cuts = [0, *sorted(random.integers(1, len(sent), 30)), len(sent) - 1, len(sent)]
    for start, end in pairwise(cuts):
        connection.sendall(sent[start:end])
        time.sleep(0.002)
    np.testing.assert_array_equal(answered(connection), 2 * x)
    connection.close()


def test_what_is_asked_behind_it_is_answered_too(port: int) -> None:
    connection, bodies = raw_connection(port), [some(rows, rows) for rows in (30_000, 2, 50_000, 1)]
    sender = threading.Thread(target=connection.sendall, args=(b"".join(map(asked, bodies)),))
    sender.start()
    with connection.makefile("rb") as file:
        for x in bodies:
            np.testing.assert_array_equal(next_of(file), 2 * x)
    sender.join()
    connection.close()


def test_requests_of_many_clients_do_not_mix(port: int) -> None:
    """They share the place that is read into."""
    wrong: list[int] = []

    def client(number: int) -> None:
        connection = raw_connection(port)
        for turn in range(6):
            x = some(5_000 + 977 * number, 100 * number + turn)
            connection.sendall(asked(x))
            if not np.array_equal(answered(connection), 2 * x):
                wrong.append(number)
        connection.close()

    clients = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    assert not wrong


def test_one_that_stops_is_given_up(port: int) -> None:
    slow, x = raw_connection(port), some(40_000)
    slow.sendall(asked(x)[:-1])
    assert everything(slow).startswith(b"HTTP/1.1 408")
    slow.close()


def test_whoever_leaves_in_the_middle_asks_nothing(port: int, models: FakeRepository) -> None:
    leaving = raw_connection(port)
    leaving.sendall(asked(some(40_000))[:300_000])
    leaving.close()
    staying = raw_connection(port)
    staying.sendall(asked(some(2)))
    answered(staying)
    staying.close()
    assert len(models.models["double"].asked) == 1


def test_one_that_is_shorter_than_it_says_is_not_made_up(port: int) -> None:
    """Bytes of somebody else's request must not stand in for what is missing."""
    x = some(40_000)
    first, second = raw_connection(port), raw_connection(port)
    first.sendall(asked(x))
    answered(first)
    second.sendall(asked(x)[: -16 * 10_000])
    second.shutdown(socket.SHUT_WR)
    assert b" 200 " not in everything(second)
    first.close()
    second.close()


def test_a_question_without_an_answer_may_have_one(port: int) -> None:
    """GET with a body, which nobody asked for, and a question behind it."""
    connection = raw_connection(port)
    head = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % 500_000
    connection.sendall(head + bytes(500_000) + LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert everything(connection).count(b"HTTP/1.1 200") == 2
    connection.close()


def test_large_json_is_read_too(port: int) -> None:
    x = some(20_000)
    told = {"name": "x", "datatype": "FP32", "shape": list(x.shape), "data": x.reshape(-1).tolist()}
    body = json.dumps({"inputs": [told], "parameters": {"binary_data_output": True}}).encode()
    connection = raw_connection(port)
    connection.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (INFER, len(body)) + body)
    np.testing.assert_array_equal(answered(connection), 2 * x)
    connection.close()
