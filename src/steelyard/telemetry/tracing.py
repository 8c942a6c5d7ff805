"""Spans of requests for OpenTelemetry (extra `otel`): how long one waited, how long it was served, by which variant.

Only requests that come with a sampled `traceparent` (https://www.w3.org/TR/trace-context/) are traced, unless the
environment says otherwise by OTEL_TRACES_SAMPLER; all others cost one look at a header. Where spans go is said by
OTEL_EXPORTER_OTLP_ENDPOINT and its kin.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from steelyard.errors import UsageError
from steelyard.serve.callers import Caller
from steelyard.serve.requests import Answered
from steelyard.version import VERSION

SAMPLER = "OTEL_TRACES_SAMPLER"
EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


class Tracing:
    """Watches requests for whoever asked for it."""

    def __init__(self, provider: TracerProvider, every: bool = False) -> None:
        """`every`: also requests without a sampled parent are the sampler's to decide."""
        self._provider = provider
        self._every = every
        self._tracer: Tracer = provider.get_tracer("steelyard", VERSION)
        self._propagator = TraceContextTextMapPropagator()

    def around(
        self, caller: Caller[Answered], model: str, version: str, items: int, traceparent: str = ""
    ) -> Caller[Answered]:
        """What to hand to the model in place of `caller`; `caller` itself when nobody wants a trace."""
        if not self._every and not _is_sampled(traceparent):
            return caller
        context = self._propagator.extract({"traceparent": traceparent} if traceparent else {})
        told: dict[str, str | int] = {"steelyard.model": model, "steelyard.version": version, "steelyard.items": items}
        span = self._tracer.start_span(f"infer {model}", context, SpanKind.SERVER, told)
        return _Traced(caller, span) if span.is_recording() else caller

    def close(self) -> None:
        """Send what was not sent yet."""
        self._provider.shutdown()


class _Traced:
    """A caller whose wait is a span. See `steelyard.serve.callers.Caller`."""

    __slots__ = ("_caller", "_span")

    def __init__(self, caller: Caller[Answered], span: Span) -> None:
        self._caller = caller
        self._span = span

    def begin(self) -> bool:
        """Notes when it left the queue."""
        wanted = self._caller.begin()
        if wanted:
            self._span.add_event("dispatched")
        else:
            self._span.set_attribute("steelyard.outcome", "withdrawn")
            self._span.end()
        return wanted

    def answer(self, answer: Answered) -> None:
        """Hand it on, then end the span."""
        self._caller.answer(answer)
        self._span.set_attribute("steelyard.variant", answer.variant)
        self._span.set_attribute("steelyard.outcome", "answered")
        self._span.end()

    def fail(self, error: BaseException) -> None:
        """Hand it on, then end the span; of the error only its kind is told."""
        self._caller.fail(error)
        kind = type(error).__name__
        self._span.set_attribute("error.type", kind)
        self._span.set_attribute("steelyard.outcome", "failed")
        self._span.set_status(Status(StatusCode.ERROR, kind))
        self._span.end()


def start_tracing() -> Tracing:
    """Spans go to the collector that the environment names. Raises UsageError without the exporter."""
    try:
        exporter: Callable[[], object] = import_module(EXPORTER).OTLPSpanExporter
    except ImportError:
        raise UsageError("tracing needs OpenTelemetry's exporter", "pip install 'steelyard[otel]'") from None
    every = SAMPLER in os.environ
    resource = Resource.create(
        {"service.name": os.environ.get("OTEL_SERVICE_NAME", "steelyard"), "service.version": VERSION}
    )
    provider = TracerProvider(sampler=None if every else ParentBased(ALWAYS_OFF), resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporter()))  # type: ignore[arg-type]  # it is not installed everywhere
    return Tracing(provider, every)


def _is_sampled(traceparent: str) -> bool:
    """Version, trace, span and flags in hexadecimal: the last bit of the flags says that the caller records it."""
    return len(traceparent) >= 55 and traceparent[54] in "13579bdf"
