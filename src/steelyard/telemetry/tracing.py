"""Spans of requests for OpenTelemetry (extra `otel`): how long one waited, how long it was served, by which variant.

Only requests that come with a sampled `traceparent` (https://www.w3.org/TR/trace-context/) are traced, unless the
environment says otherwise by OTEL_TRACES_SAMPLER; all others cost one look at a header. Where spans go is said by
OTEL_EXPORTER_OTLP_ENDPOINT and its kin. A span begins when a request was read and is handed to its model.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from steelyard.errors import UsageError
from steelyard.protocol.offered import Served
from steelyard.serve.callers import Caller
from steelyard.serve.requests import Answered, Asked, Withdrawable
from steelyard.version import VERSION

SAMPLER = "OTEL_TRACES_SAMPLER"
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SPOKEN = "http/protobuf"
NOTHING: Mapping[str, str] = {}
UNSET = Status(StatusCode.UNSET)


class Tracing:
    """Watches requests for whoever asked for it."""

    def __init__(self, provider: TracerProvider, every: bool = False) -> None:
        """`every`: also requests without a sampled parent are the sampler's to decide."""
        self._provider = provider
        self._every = every
        self._tracer: Tracer = provider.get_tracer("steelyard", VERSION)
        self._propagator = TraceContextTextMapPropagator()

    def ask(self, served: Served, asked: Asked, caller: Caller[Answered], traceparent: str = "") -> Withdrawable:
        """Hand the request to the model. See `steelyard.protocol.offered.Ask`."""
        if not self._every and not _is_sampled(traceparent):
            return served.ask(asked, caller)
        span = self._span(served, asked, traceparent)
        if not span.is_recording():
            return served.ask(asked, caller)
        return _Traced(caller, span).ask(served, asked)

    def _span(self, served: Served, asked: Asked, traceparent: str) -> Span:
        model = served.metadata.name
        context = self._propagator.extract({"traceparent": traceparent} if traceparent else {})
        told: dict[str, str | int] = {
            "steelyard.model": model,
            "steelyard.version": served.version,
            "steelyard.items": asked.items,
        }
        return self._tracer.start_span(f"infer {model}", context, SpanKind.SERVER, told)

    def close(self) -> None:
        """Send what was not sent yet."""
        self._provider.shutdown()


class _Traced:
    """A caller whose wait is a span, and its request. See `steelyard.serve.callers.Caller` and `Withdrawable`."""

    __slots__ = ("_caller", "_span", "_under_way", "loop")

    def __init__(self, caller: Caller[Answered], span: Span) -> None:
        self._caller = caller
        self._span = span
        self._under_way: Withdrawable | None = None
        self.loop: asyncio.AbstractEventLoop | None = getattr(caller, "loop", None)
        """Where the caller waits: what is traced is gathered and served as everything else is."""

    def ask(self, served: Served, asked: Asked) -> Withdrawable:
        """Hand the request to the model."""
        try:
            self._under_way = served.ask(asked, self)
        except Exception as error:
            self._failed(error, "refused")
            raise
        return self

    def begin(self) -> bool:
        """Notes when it left the queue."""
        wanted = self._caller.begin()
        if wanted and self._span.is_recording():
            self._span.add_event("dispatched")
        elif not wanted:
            self._end("withdrawn")
        return wanted

    def answer(self, answer: Answered) -> None:
        """Hand it on, then end the span."""
        self._caller.answer(answer)
        self._end("answered", {"steelyard.variant": answer.variant})

    def fail(self, error: BaseException) -> None:
        """Hand it on, then end the span."""
        self._caller.fail(error)
        self._failed(error, "failed")

    def withdraw(self) -> None:
        """Nobody waits any more, and so the span ends."""
        if self._under_way is not None:
            self._under_way.withdraw()
        self._end("withdrawn")

    def _failed(self, error: BaseException, outcome: str) -> None:
        """Of the error only its kind is told."""
        kind = type(error).__name__
        self._end(outcome, {"error.type": kind}, Status(StatusCode.ERROR, kind))

    def _end(self, outcome: str, more: Mapping[str, str] = NOTHING, status: Status = UNSET) -> None:
        if self._span.is_recording():  # one that was withdrawn may still be answered
            self._span.set_attributes({"steelyard.outcome": outcome, **more})
            self._span.set_status(status)
            self._span.end()


def start_tracing() -> Tracing:
    """Spans go to the collector that the environment names. Raises UsageError for what it says and cannot be."""
    protocol = next((os.environ[name] for name in PROTOCOLS if os.environ.get(name)), SPOKEN)
    if protocol != SPOKEN:
        hint = f"leave {' and '.join(PROTOCOLS)} out; collectors listen for it on port 4318"
        raise UsageError(f"spans are sent by {SPOKEN}, the environment says '{protocol}'", hint)
    every = SAMPLER in os.environ
    try:
        exporter = OTLPSpanExporter()
        provider = TracerProvider(
            sampler=None if every else ParentBased(ALWAYS_OFF), resource=_resource(), shutdown_on_exit=False
        )
        provider.add_span_processor(BatchSpanProcessor(exporter))
    except (ValueError, OSError) as error:
        raise UsageError(f"tracing cannot begin: {error}", "look at the variables that begin with OTEL_") from error
    return Tracing(provider, every)


def _resource() -> Resource:
    """Who sends the spans; what the environment says goes before."""
    ours = Resource({"service.name": "steelyard", "service.version": VERSION})
    return Resource.create(ours.merge(OTELResourceDetector().detect()).attributes)


def _is_sampled(traceparent: str) -> bool:
    """Version, trace, span and flags in hexadecimal: the last bit of the flags says that the caller records it."""
    return len(traceparent) >= 55 and traceparent[54] in "13579bdf"
