"""Spans of requests: for those who ask for them, with what became of the request, and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from steelyard.errors import Expired
from steelyard.serve.callers import Promise
from steelyard.serve.requests import Answered, Asked
from watched import Made

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import StatusCode

from steelyard.telemetry.tracing import Tracing

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(spans: InMemorySpanExporter) -> Iterator[Tracing]:
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracing = Tracing(provider)
    yield tracing
    tracing.close()


def test_a_request_that_is_answered_leaves_a_span_under_its_parent(
    tracing: Tracing, spans: InMemorySpanExporter
) -> None:
    made = Made()
    promised: Promise[Answered] = Promise()
    caller = tracing.around(promised, "digits", "1", 1, SAMPLED)
    made.model().ask(Asked({"x": np.ones((1, 1), np.float32)}, 1), caller)
    assert promised.future.result(20).variant == "original"
    made.close()
    [span] = spans.get_finished_spans()
    assert span.name == "infer digits"
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert [event.name for event in span.events] == ["dispatched"]
    assert dict(span.attributes or {}) == {
        "steelyard.model": "digits",
        "steelyard.version": "1",
        "steelyard.items": 1,
        "steelyard.variant": "original",
        "steelyard.outcome": "answered",
    }


def test_a_failure_is_told_by_its_kind_alone(tracing: Tracing, spans: InMemorySpanExporter) -> None:
    promised: Promise[Answered] = Promise()
    tracing.around(promised, "digits", "1", 1, SAMPLED).fail(Expired("something private"))
    assert isinstance(promised.future.exception(20), Expired)
    [span] = spans.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "Expired")
    assert "private" not in span.to_json()


def test_a_request_that_nobody_waits_for_ends_its_span(tracing: Tracing, spans: InMemorySpanExporter) -> None:
    promised: Promise[Answered] = Promise()
    caller = tracing.around(promised, "digits", "1", 1, SAMPLED)
    assert promised.future.cancel()
    assert not caller.begin()
    [span] = spans.get_finished_spans()
    assert (span.attributes or {})["steelyard.outcome"] == "withdrawn"


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        f"00-{TRACE}-{PARENT}-00",
        "01",
        "x" * 55,
        f"00-{'0' * 32}-{PARENT}-01",
        f"ff-{TRACE}-{PARENT}-01",
        "1" * 5000,
    ],
)
def test_without_a_sampled_parent_the_caller_stays_as_it_is(
    tracing: Tracing, spans: InMemorySpanExporter, traceparent: str
) -> None:
    promised: Promise[Answered] = Promise()
    assert tracing.around(promised, "digits", "1", 1, traceparent) is promised
    assert spans.get_finished_spans() == ()
