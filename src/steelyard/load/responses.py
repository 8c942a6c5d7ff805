"""Responses of HTTP/1.1, read from whatever pieces they come in (RFC 9112). Nothing that is announced is allocated.

Only the beginning of a body is kept; the rest is counted and dropped, so a large answer costs no memory.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

KEPT = 8 * 2**10
"""Bytes of a body that are kept: enough for the JSON part of a binary answer, and for an error."""
MOST_HEAD = 64 * 2**10
MOST_BODY = 2**30
MOST_EXTRA = 100
"""Responses such as 100 Continue before the real one, and trailers after it."""

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\r\n]*)?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
_CHUNK_LINE = 4096


class ResponseError(Exception):
    """What came is no response of HTTP/1.1, or passes a limit."""


class Head(NamedTuple):
    """What stands before a body."""

    status: int
    length: int | None
    """Bytes of the body; None: it is chunked, or ends with the connection."""
    chunked: bool
    keep: bool
    """The connection may be used again."""
    json_bytes: int | None
    """Of a binary answer: its first bytes are JSON, so many."""


class Response(NamedTuple):
    """One answer."""

    head: Head
    body: bytes
    """Its first bytes, at most as many as the reader keeps."""


@lru_cache(maxsize=256)
def read_head(raw: bytes) -> Head:
    """The lines before the body, without the empty one that ends them. Raises `ResponseError`."""
    first, *lines = raw.split(b"\r\n")
    start = _STATUS.fullmatch(first)
    if start is None:
        raise ResponseError(f"it does not begin as HTTP/1.1 does: {_shown(first)}")
    fields: dict[bytes, bytes] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise ResponseError(f"a header cannot be read: {_shown(line)}")
        name, value = field[1].lower(), field[2]
        if name == b"content-length" and fields.get(name, value) != value:
            raise ResponseError("two Content-Length headers that differ")
        if name in (b"connection", b"transfer-encoding") and name in fields:
            value = fields[name] + b"," + value
        fields[name] = value
    return _head(int(start[2]), start[1] == b"1", fields)


def _head(status: int, persistent: bool, fields: dict[bytes, bytes]) -> Head:
    coding = fields.get(b"transfer-encoding", b"").lower()
    if coding not in (b"", b"chunked"):
        raise ResponseError(f"the transfer coding {_shown(coding)} is not known")
    length = None if coding else _whole(fields.get(b"content-length"))
    if status < 200 or status in (204, 304):
        length, coding = 0, b""
    options = {option.strip() for option in fields.get(b"connection", b"").lower().split(b",")}
    keep = b"close" not in options if persistent else b"keep-alive" in options
    ends_itself = bool(coding) or length is not None
    return Head(
        status, length, bool(coding), keep and ends_itself, _whole(fields.get(b"inference-header-content-length"))
    )


def _whole(text: bytes | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(rb"[0-9]{1,15}", text):
        raise ResponseError(f"a length is a whole number, got {_shown(text)}")
    if int(text) > MOST_BODY:
        raise ResponseError(f"a body of {int(text):,} bytes was announced; at most {MOST_BODY:,} are read")
    return int(text)


def _shown(raw: bytes) -> str:
    return repr(raw[:60].decode("latin-1"))


class Reader:
    """Reads one response after another from a connection on which one request is under way at a time."""

    def __init__(self, keep: int = KEPT) -> None:
        self._keep = keep
        self._buffer = bytearray()
        self._reset()

    def _reset(self) -> None:
        self._head: Head | None = None
        self._body = bytearray()
        self._size = 0
        """Bytes of the body so far."""
        self._chunk = 0
        """Bytes of the current chunk that are still to come."""
        self._stage = "size"
        self._extra = 0
        """Responses before the real one, and trailers after it."""

    def feed(self, data: bytes) -> Response | None:
        """Take what came; the response, once it is complete. Raises `ResponseError`."""
        if self._head is None and not self._buffer:  # the usual case: all at once
            end = data.find(b"\r\n\r\n", 0, MOST_HEAD)
            if end > 0:
                head = read_head(data[:end])
                if head.length is not None and len(data) == end + 4 + head.length and head.status >= 200:
                    return Response(head, data[end + 4 : end + 4 + self._keep])
        self._buffer += data
        return self._advance(len(data))

    def end(self) -> Response | None:
        """The connection has ended: the response, when that is what ends it."""
        head = self._head
        if head is None or head.length is not None or head.chunked:
            return None
        return self._complete(head)

    @property
    def begun(self) -> bool:
        """Something of a response has come."""
        return self._head is not None or bool(self._buffer)

    def _advance(self, fresh: int) -> Response | None:
        while self._head is None:
            if not self._read_head(fresh):
                return None
            fresh = len(self._buffer)
        head = self._head
        done = self._read_chunks() if head.chunked else self._read_plain(head)
        if not done:
            return None
        if self._buffer:
            raise ResponseError("more came than the response said")
        return self._complete(head)

    def _read_head(self, fresh: int) -> bool:
        end = self._buffer.find(b"\r\n\r\n", max(0, len(self._buffer) - fresh - 3))
        if end > MOST_HEAD or (end < 0 and len(self._buffer) > MOST_HEAD):
            raise ResponseError(f"the headers are longer than {MOST_HEAD:,} bytes")
        if end < 0:
            return False
        head = read_head(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        if head.status >= 200:
            self._head = head
        else:
            self._extra += 1
            if head.status == 101 or self._extra > MOST_EXTRA:
                raise ResponseError(f"an answer of status {head.status} that was not asked for")
        return head.status >= 200 or bool(self._buffer)

    def _read_plain(self, head: Head) -> bool:
        """The body by its length, or up to the connection's end."""
        wanted = len(self._buffer) if head.length is None else head.length - self._size
        self._take(min(wanted, len(self._buffer)))
        return self._size == head.length

    def _read_chunks(self) -> bool:
        """Chunks, as far as they have come; whether the last one has."""
        while self._stage != "data" or self._buffer:
            if self._stage == "data":
                self._take(taken := min(self._chunk, len(self._buffer)))
                self._chunk -= taken
                if self._chunk == 0:
                    self._stage = "after"
                continue
            line = self._line()
            if line is None:
                return False
            if self._stage == "trailer" and not line:
                return True
            self._after_line(line)
        return False

    def _after_line(self, line: bytes) -> None:
        if self._stage == "size":
            size = _SIZE.fullmatch(line)
            if size is None:
                raise ResponseError(f"a chunk begins with its size, got {_shown(line)}")
            self._chunk = int(size[1], 16)
            self._stage = "data" if self._chunk else "trailer"
        elif self._stage == "after":
            if line:
                raise ResponseError("a chunk is longer than its size says")
            self._stage = "size"
        else:
            self._extra += 1
            if self._extra > MOST_EXTRA:
                raise ResponseError("too many trailers")

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", 0, _CHUNK_LINE)
        if end < 0:
            if len(self._buffer) >= _CHUNK_LINE:
                raise ResponseError(f"a line of a chunked body is longer than {_CHUNK_LINE:,} bytes")
            if self._stage == "after" and len(self._buffer) >= 2:
                raise ResponseError("a chunk is longer than its size says")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _take(self, count: int) -> None:
        """Move bytes of the body out of the buffer, keeping only the first ones."""
        self._size += count
        if self._size > MOST_BODY:
            raise ResponseError(f"the body is longer than {MOST_BODY:,} bytes")
        room = self._keep - len(self._body)
        if room > 0:
            self._body += self._buffer[: min(room, count)]
        del self._buffer[:count]

    def _complete(self, head: Head) -> Response:
        response = Response(head, bytes(self._body))
        self._reset()
        return response
