"""Clients that send without an end, or never read: they are hung up on, whatever it is that they do not end."""

from __future__ import annotations

import json
import socket
import time

import pytest

from serving import FakeRepository
from serving_here import Connection, everything, raw_connection, serving_here
from steelyard.protocol.guards import Guards
from steelyard.protocol.http import Http

INFER = b"/v2/models/double/infer"
ONE = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
CHUNKED = b"POST %s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n" % INFER
LONG = 600_000
"""Numbers whose reply is more than the system keeps for a client that does not read."""
UNREAD_S = 0.1
PIECE = 2**16
PIECES = 400
"""Of 64 kB: 26 MB, long before which a server must have hung up."""


@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [
        (b"", b"x"),
        (b"GET /", b"x"),
        (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nX: ", b"x"),
        (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n", b"x: y\r\n"),
        (CHUNKED + b"0\r\n", b"x: y\r\n"),
        (CHUNKED + b"0\r\nx: ", b"y"),
        (CHUNKED + b"1;", b"x"),
    ],
    ids=["method", "path", "value", "headers", "trailers", "trailer", "extension of a chunk"],
)
def test_what_does_not_end_is_not_read_on(begins: bytes, goes_on: bytes) -> None:
    """The parser joins the pieces of a line as they come: of one of a hundred megabytes it would hardly be done."""
    with serving_here(Http(FakeRepository(), Guards())) as port:
        endless = raw_connection(port)
        assert sent_until_hung_up(endless, begins, goes_on) < PIECES
        endless.close()
        client = Connection(port)
        assert client.ask("POST", INFER.decode(), ONE)[0] == 200
        client.close()


def sent_until_hung_up(connection: socket.socket, begins: bytes, goes_on: bytes) -> int:
    """How many pieces were taken."""
    piece, sent = goes_on * (PIECE // len(goes_on)), 0
    try:
        connection.sendall(begins)
        while sent < PIECES:
            connection.sendall(piece)
            sent += 1
    except ConnectionError:
        pass
    return sent


def test_a_reply_that_nobody_reads_is_given_up_and_one_that_is_read_slowly_is_not() -> None:
    ids = {"name": "ids", "datatype": "INT64", "shape": [1, LONG], "data": [10**15] * LONG}
    text = {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["a"]}
    body = json.dumps({"inputs": [ids, text]}).encode()
    head = b"POST /v2/models/mixed/infer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    with serving_here(Http(FakeRepository(), Guards()), unread_s=UNREAD_S) as port:
        deaf, slow = raw_connection(port), raw_connection(port)
        for one in (deaf, slow):
            one.sendall(head % len(body) + body)
        came = 0
        while part := slow.recv(2**19):
            came += len(part)
            time.sleep(UNREAD_S / 5)
        assert came > LONG * 16
        assert len(everything(deaf)) < came
        slow.close()
        deaf.close()
