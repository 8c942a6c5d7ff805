"""The HTTP side without a server: a request's parts go in, a reply or something pending comes out.

No event loop, no framework: servers are adapted in `asgi.py` and `rsgi.py`. An adapter calls `admit` before it reads a
body and `answer` with the body; whoever has everything at once calls `handle`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl

from steelyard.protocol.guards import Guards
from steelyard.protocol.offered import Ask, Models
from steelyard.protocol.openapi import PAGES
from steelyard.protocol.pending import Pending
from steelyard.protocol.reply import Header, HttpFailure, Reply, failure
from steelyard.protocol.routes import Question, found
from steelyard.serve.datatypes import shown

MOST_QUERY = 4096
MOST_QUERY_FIELDS = 32

Page = Callable[[Mapping[str, str]], Reply]
"""Answers a GET; is given the query."""


class Http:
    """The Open Inference Protocol over HTTP, and the pages beside it."""

    def __init__(
        self,
        models: Models,
        guards: Guards,
        pages: Mapping[tuple[str, str], Page] | None = None,
        ask: Ask | None = None,
    ) -> None:
        """`pages`: by method, which must be GET, and path. Raises ValueError for another method.

        `ask` hands inferences to their models, for whoever looks on.
        """
        self.models = models
        self.guards = guards
        if any(method != "GET" for method, _ in pages or {}):
            raise ValueError("pages only answer GET")
        self._pages = {path: page for (_, path), page in {**PAGES, **(pages or {})}.items()}
        self._ask = ask
        self._changing = threading.Lock()

    @property
    def most_body(self) -> int:
        """Bytes that a body may have, before and after decompression."""
        return self.guards.most_body

    def admit(self, path: str, pairs: Sequence[Header]) -> Mapping[bytes, bytes] | Reply:
        """The headers by name for `answer`, or a refusal: the body is not worth reading.

        `path` is without its query; names of headers are in lower case.
        """
        try:
            return self.guards.admitted(path, pairs)
        except HttpFailure as error:
            return failure(error)

    def answer(
        self, method: str, path: str, query: bytes, headers: Mapping[bytes, bytes], body: bytes | memoryview
    ) -> Reply | Pending:
        """The reply to a request that was admitted, or what it waits for."""
        try:
            if method == "HEAD":
                return _without_body(self._answer("GET", path, query, headers, body))
            return self._answer(method, path, query, headers, body)
        except Exception as error:
            return failure(error)

    def handle(self, method: str, target: str, headers: Mapping[bytes, bytes], body: bytes = b"") -> Reply | Pending:
        """The reply to a request, or what it waits for. `target` is the path, with a query if there is one."""
        path, _, query = target.partition("?")
        admitted = self.admit(path, list(headers.items()))
        if isinstance(admitted, Reply):
            return admitted
        if len(body) > self.most_body:
            return failure(self.guards.too_large())
        return self.answer(method, path, query.encode(), admitted, body)

    def _answer(
        self, method: str, path: str, query: bytes, headers: Mapping[bytes, bytes], body: bytes | memoryview
    ) -> Reply | Pending:
        page = self._pages.get(path)
        if page is not None:
            if method != "GET":
                raise _not_allowed(method, path, ("GET",))
            return page(_fields(query))
        place = found(path)
        if place is None:
            raise HttpFailure(404, f"there is nothing at {shown(path)}", "the paths are told at /docs")
        handlers, name, version = place
        handler = handlers.get(method)
        if handler is None:
            raise _not_allowed(method, path, tuple(handlers))
        return handler(Question(self.models, name, version, headers, body, self.most_body, self._changing, self._ask))


def _not_allowed(method: str, path: str, allowed: Sequence[str]) -> HttpFailure:
    names = ", ".join((*allowed, "HEAD") if "GET" in allowed else allowed)
    return HttpFailure(
        405, f"{shown(method)} is not for {shown(path)}", f"allowed: {names}", ((b"allow", names.encode()),)
    )


def _fields(query: bytes) -> Mapping[str, str]:
    if not query:
        return {}
    try:
        if len(query) > MOST_QUERY:
            raise ValueError
        return dict(parse_qsl(query.decode(), keep_blank_values=True, max_num_fields=MOST_QUERY_FIELDS))
    except ValueError:
        told = f"the query is not UTF-8, or longer than {MOST_QUERY:,} bytes or {MOST_QUERY_FIELDS} fields"
        raise HttpFailure(400, told) from None


def _without_body(reply: Reply | Pending) -> Reply | Pending:
    return reply._replace(body=b"") if isinstance(reply, Reply) else reply
