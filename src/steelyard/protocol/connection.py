"""One connection: from bytes to requests and back. httptools parses.

Requests are answered in the order in which they came (`exchange.py`), and all that a client sends is bounded, in bytes
and in time. What cannot even be parsed is told in the protocol's form like any other failure. The rest of a large body
goes past the parser, from the socket to where it is read from later: each copy of a picture costs as much as asking.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple
from urllib.parse import unquote

import httptools

from steelyard.protocol.exchange import Exchange, written
from steelyard.protocol.http import Http
from steelyard.protocol.reply import CLOSE, HttpFailure, Reply, failure
from steelyard.protocol.waiting import Desk

MOST_HEAD = 64 * 1024
"""Bytes of a request's head, about: what comes at once is taken as it comes. As much, and as much as the body has, may
be beside the body."""
SHORT_URL = 256
"""Bytes of a target that is remembered: most clients ask for the same few."""

Awaited = Literal["request", "head", "body", ""]
"""What a connection waits for from its client; nothing while the client waits for its answers."""


class Bounds(NamedTuple):
    """What the connections of a server put up with."""

    most: int
    """Connections at once."""
    patience: Mapping[Awaited, float]
    """Seconds that each may be waited for."""
    unread_s: float
    """So long it may take until a client has read some more of an answer."""


class Connection(asyncio.BufferedProtocol):
    """One connection. Everything happens on the event loop."""

    def __init__(self, http: Http, desk: Desk, bounds: Bounds, present: set[Connection], room: memoryview) -> None:
        """`present`: all connections that there are; it puts itself in, and takes itself out.

        `room` is what is read into; all connections may share it, for nothing is left in it.
        """
        self.http = http
        self.desk = desk
        self._bounds = bounds
        self._present = present
        self._room = room
        self._rest: memoryview | None = None
        """Where the rest of a large body belongs."""
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._exchanges: deque[Exchange] = deque()
        """Whose answers are not written yet, in the order of their requests; the first is the one under way."""
        self._arriving: Exchange | None = None
        """Whose body is not there yet."""
        self._awaits: Awaited = "head"
        self._since = 0.0
        self._begun = 0
        """Requests, so far."""
        self._beside = 0
        """Bytes of the request that arrives which are not its body's: head, trailers, and what chunks are told by."""
        self._body_bytes = 0
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._is_deaf = False
        """Nothing that still comes is heeded."""
        self._is_reading = True
        self._is_writable = True
        self._unread, self._unread_since = 0, 0.0
        """Of what is sent, while too much of it waits for the client."""
        self._is_advancing = False

    # --- what asyncio tells -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The client connected."""
        self._transport = transport
        self._present.add(self)
        self._await("head")
        if len(self._present) > self._bounds.most:
            self.end_with(failure(HttpFailure(503, "too many connections", headers=((b"retry-after", b"1"), CLOSE))))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it does not matter why
        """The client is gone: nobody waits for what it asked."""
        self._present.discard(self)
        self._is_deaf = True
        self._rest = None
        exchanges, self._exchanges = self._exchanges, deque()
        for exchange in exchanges:
            exchange.leave()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - more than that may be had at once
        """Where the next bytes go."""
        return self._room if self._rest is None else self._rest

    def buffer_updated(self, nbytes: int) -> None:
        """So many have come."""
        if self._rest is None:
            self._heed(bytes(self._room[:nbytes]))
        else:
            self._rest = self._rest[nbytes:]
            if not self._rest:
                self._end_rest()

    def _heed(self, data: bytes) -> None:
        """Some of a request, or of several."""
        if self._is_deaf:
            return
        if self._awaits == "request":
            self._await("head")
        begun, body_bytes = self._begun, self._body_bytes
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # to nothing that is spoken here: the request is answered as it stands
            self.shutdown()
        except httptools.HttpParserError:
            if not self._is_deaf:
                self.end_with(failure(HttpFailure(400, "this is no HTTP/1.1", headers=(CLOSE,))))
        if self._begun == begun and self._awaits in ("head", "body"):  # all of it is of one request, which goes on
            self._beside += len(data) - (self._body_bytes - body_bytes)
            if self._beside > MOST_HEAD + self._body_bytes and not self._is_deaf:
                self.end_with(failure(HttpFailure(431, "the head of the request is too large", headers=(CLOSE,))))
        if self._arriving is not None and self._awaits == "body":
            self._rest = self._arriving.room_for_rest()

    def _end_rest(self) -> None:
        """The body is there. The parser, which still waits for it, is not needed any more."""
        self._rest = None
        self._parser = httptools.HttpRequestParser(self)
        self.on_message_complete()

    def eof_received(self) -> bool:
        """The client sends no more; it may still read."""
        return False

    def pause_writing(self) -> None:
        """The client does not read fast enough: no more requests are begun."""
        self._is_writable = False
        self._unread, self._unread_since = self._transport.get_write_buffer_size(), self.desk.loop.time()
        self._read_on(False)

    def resume_writing(self) -> None:
        """It has caught up."""
        self._is_writable = True
        self._advance()

    # --- what httptools finds -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._url, self._headers, self._beside, self._body_bytes = b"", [], 0, 0
        self._begun += 1
        if not self._is_deaf:
            self._await("head")

    def on_url(self, url: bytes) -> None:
        """Some of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; what trails a body is nothing that anybody here asks for."""
        if self._awaits == "head":
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is there: it is seen whether the body is worth reading."""
        if self._is_deaf:
            return
        parser = self._parser
        keeps = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        try:
            path, query = (_known if len(self._url) < SHORT_URL else _located)(self._url)
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            self.end_with(failure(HttpFailure(400, "the request's target cannot be read", headers=(CLOSE,))))
            return
        exchange = Exchange(self, parser.get_method().decode("ascii"), path, query, keeps)
        self._arriving = exchange
        self._exchanges.append(exchange)
        self._await("body")
        exchange.admit(self._headers)

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        self._body_bytes += len(body)
        if self._arriving is not None:
            self._arriving.take(body)

    def on_message_complete(self) -> None:
        """The whole request is there."""
        exchange, self._arriving = self._arriving, None
        if exchange is None or self._is_deaf:
            return
        self._await("")
        exchange.is_whole = True
        if len(self._exchanges) > 1:
            self._read_on(False)
        else:
            self._advance()

    # --- answers ------------------------------------------------------------------------------------------------

    def say_continue(self) -> None:
        """The client waits for this before it sends the body."""
        if len(self._exchanges) == 1:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def end_with(self, reply: Reply) -> None:
        """Tell this in its turn, and hang up; what still comes is not heeded."""
        self._is_deaf = True
        self._rest = None
        if self._arriving is None:
            self._arriving = Exchange(self)
            self._exchanges.append(self._arriving)
        self._arriving.settle(reply)
        self._arriving = None
        self._await("")
        self._advance()

    def is_answered(self, exchange: Exchange, reply: Reply) -> None:
        """The reply to the request under way."""
        keeps = exchange.keeps and CLOSE not in reply.headers
        self._transport.write(written(reply, keeps=keeps))
        self._exchanges.popleft()
        if not keeps:
            self._is_deaf = True
            self._transport.close()
        elif self._exchanges:
            self._advance()
        elif not self._awaits:
            self._await("request")

    def _advance(self) -> None:
        """Start what may start: one request after the other, however many are answered at once."""
        if self._is_advancing:
            return
        self._is_advancing = True
        while self._exchanges and self._exchanges[0].may_start and self._is_writable and not self._is_closing:
            self._exchanges[0].start()
        self._is_advancing = False
        self._read_on(self._is_writable and len(self._exchanges) < 2)

    def _read_on(self, reads: bool) -> None:
        """Whether to read on."""
        if reads != self._is_reading and not self._is_closing:
            self._is_reading = reads
            if reads:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    @property
    def _is_closing(self) -> bool:
        return self._transport.is_closing()

    def shutdown(self) -> None:
        """Hang up once what has come is answered. uvicorn calls it at the end."""
        self._is_deaf = self._arriving is None
        if self._exchanges:
            self._exchanges[-1].keeps = False
        else:
            self._transport.close()

    # --- time ---------------------------------------------------------------------------------------------------

    def _await(self, awaited: Awaited) -> None:
        self._awaits, self._since = awaited, self.desk.loop.time()

    def look(self, now: float) -> None:
        """Give up a client that takes too long."""
        if not self._is_writable:
            self._look_whether_it_reads(now)
        awaited = self._awaits
        if not awaited or now - self._since <= self._bounds.patience[awaited] or self._transport.is_closing():
            return
        if awaited == "body":
            self.end_with(failure(HttpFailure(408, "the body took too long to arrive", headers=(CLOSE,))))
        elif not self._exchanges:
            self._transport.close()

    def _look_whether_it_reads(self, now: float) -> None:
        unread = self._transport.get_write_buffer_size()
        if unread < self._unread:
            self._unread, self._unread_since = unread, now
        elif now - self._unread_since > self._bounds.unread_s:
            self._transport.abort()


def _located(url: bytes) -> tuple[str, bytes]:
    """The path, without its escapes, and the query of a request's target."""
    parsed = httptools.parse_url(url)
    path = (parsed.path or b"/").decode("ascii")
    return unquote(path) if "%" in path else path, parsed.query or b""


_known = lru_cache(maxsize=256)(_located)
