"""Responses are read whole from whatever pieces they come in; what is no response, or too large, is refused."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.load.responses import KEPT, MOST_BODY, MOST_HEAD, Reader, Response, ResponseError


def fed(reader: Reader, data: bytes, cuts: list[int]) -> list[Response]:
    """Everything that comes out when the data comes in pieces."""
    edges = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    return [response for piece in pieces if (response := reader.feed(piece)) is not None]


def chunked(parts: list[bytes], ending: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x;note=1\r\n%s\r\n" % (len(part), part) for part in parts if part) + ending


HEAD = b"HTTP/1.1 200 OK\r\nServer: test\r\n"


@settings(deadline=None)
@given(body=st.binary(max_size=300), cuts=st.lists(st.integers(0, 400), max_size=12))
def test_a_body_of_a_known_length_in_any_pieces(body: bytes, cuts: list[int]) -> None:
    data = HEAD + b"content-length:  %d \r\n\r\n" % len(body) + body
    (response,) = fed(Reader(), data, cuts)
    assert (response.head.status, response.head.keep, response.body) == (200, True, body)


@settings(deadline=None)
@given(
    parts=st.lists(st.binary(max_size=40), max_size=6),
    cuts=st.lists(st.integers(0, 500), max_size=12),
    trailers=st.sampled_from([b"0\r\n\r\n", b"000;x\r\nExpires: never\r\n\r\n"]),
)
def test_a_body_in_chunks_in_any_pieces(parts: list[bytes], cuts: list[int], trailers: bytes) -> None:
    reader = Reader()
    data = HEAD + b"Transfer-Encoding: Chunked\r\n\r\n" + chunked(parts, trailers)
    for _ in range(2):  # the connection is used again
        (response,) = fed(reader, data, cuts)
        assert (response.head.keep, response.body) == (True, b"".join(parts))


@settings(deadline=None)
@given(body=st.binary(max_size=100), cuts=st.lists(st.integers(0, 200), max_size=8))
def test_a_body_that_ends_with_the_connection(body: bytes, cuts: list[int]) -> None:
    reader = Reader()
    assert fed(reader, b"HTTP/1.1 200 OK\r\n\r\n" + body, cuts) == []
    response = reader.end()
    assert response is not None
    assert (response.head.keep, response.body) == (False, body)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_response_or_refused(data: bytes) -> None:
    for start in (b"", b"HTTP/1.1 200 OK\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n"):
        try:
            Reader().feed(start + data)
        except ResponseError:
            continue


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2 200\r\n",
        b"ICY 200 OK\r\n",
        b"HTTP/1.1 999 Odd\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n",
        b"HTTP/1.1 200 OK\r\nA: 1\r\n folded\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % (MOST_BODY + 1),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n",
    ],
)
def test_a_head_that_is_refused(head: bytes) -> None:
    with pytest.raises(ResponseError):
        Reader().feed(head + b"\r\n")


@pytest.mark.parametrize(
    "body", [b"zz\r\n", b"3\r\nabcd\r\n", b"1000000000000000\r\n", b"-1\r\n\r\n", b"3;" + b"x" * 5000]
)
def test_chunks_that_lie(body: bytes) -> None:
    with pytest.raises(ResponseError):
        Reader().feed(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body)


def test_what_follows_an_answer_is_refused() -> None:
    with pytest.raises(ResponseError, match="more came"):
        Reader().feed(HEAD + b"Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n")


def test_endless_headers_are_refused_before_they_end() -> None:
    reader = Reader()
    line = b"X-Filling: 0123456789\r\n"
    reader.feed(HEAD)
    for _ in range(MOST_HEAD // len(line) - len(HEAD)):
        assert reader.feed(line) is None
    with pytest.raises(ResponseError, match="headers are longer"):
        reader.feed(line * len(HEAD))


def test_only_the_beginning_of_a_body_is_kept() -> None:
    reader, piece = Reader(), b"x" * 2**20
    assert reader.feed(HEAD + b"Content-Length: %d\r\n\r\n" % (8 * 2**20)) is None
    for _ in range(7):
        assert reader.feed(piece) is None
    response = reader.feed(piece)
    assert response is not None
    assert len(response.body) == KEPT


def test_an_interim_response_is_passed_over() -> None:
    data = b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\n{}"
    for cuts in ([], [26], [3, 30]):
        (response,) = fed(Reader(), data, cuts)
        assert (response.head.status, response.body) == (200, b"{}")


@pytest.mark.parametrize(
    ("head", "keep"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive, Close\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n", True),
    ],
)
def test_whether_the_connection_is_kept(head: bytes, keep: bool) -> None:
    response = Reader().feed(head + b"\r\n")
    assert response is not None
    assert response.head.keep is keep


def test_the_length_of_the_json_part() -> None:
    response = Reader().feed(HEAD + b"Inference-Header-Content-Length: 2\r\nContent-Length: 6\r\n\r\n{}\0\0\0\0")
    assert response is not None
    assert response.head.json_bytes == 2
