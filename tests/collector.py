"""A collector of OpenTelemetry's spans: what is sent to it over HTTP is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE_S = 30


class Collector:
    """Where spans arrive."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[bytes] = []
        self.paths: set[str] = set()

    @property
    def services(self) -> set[str]:
        """Names of those who sent."""
        return {str(_attributes(each.resource)["service.name"]) for raw in self.bodies for each in _parts(raw)}

    @property
    def spans(self) -> list[dict[str, Any]]:
        """Name, parent, attributes and names of events of each span that came."""
        return [
            {
                "name": span.name,
                "trace": span.trace_id.hex(),
                "parent": span.parent_span_id.hex(),
                "events": [event.name for event in span.events],
                **_attributes(span),
            }
            for raw in self.bodies
            for part in _parts(raw)
            for scope in part.scope_spans
            for span in scope.spans
        ]

    def wait_for(self, spans: int) -> list[dict[str, Any]]:
        """Once so many came."""
        end = time.monotonic() + PATIENCE_S
        while len(self.spans) < spans:
            assert time.monotonic() < end, self.spans
            time.sleep(0.01)
        return self.spans


def _parts(raw: bytes) -> Any:
    return ExportTraceServiceRequest.FromString(raw).resource_spans


def _attributes(told: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in told.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a port that was free."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.paths.add(self.path)
            collector.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
