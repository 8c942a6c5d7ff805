"""Spans of requests: for those who ask for them, with what became of the request, and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from serving import FakeAsking, FakeModel, metadata, spec
from steelyard.errors import Expired, Overloaded
from steelyard.serve.callers import Caller, Promise
from steelyard.serve.requests import Answered, Asked
from watched import Made

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

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


class Model(FakeModel):
    """Keeps who asked, without answering."""

    callers: list[Caller[Answered]]

    def ask(self, asked: Asked, caller: Caller[Answered]) -> FakeAsking:
        self.callers = [*getattr(self, "callers", []), caller]
        if self.refusal is not None:
            raise self.refusal
        return FakeAsking(asked, caller)


@pytest.fixture
def model() -> Model:
    told = metadata("digits", [spec("x", "FP32", -1, 1)], [spec("y", "FP32", -1, 1)])
    return Model(told, lambda inputs: [inputs["x"]])


def one() -> Asked:
    return Asked({"x": np.ones((1, 1), np.float32)}, 1)


def told_of(spans: InMemorySpanExporter) -> tuple[str, str | None, StatusCode]:
    [span] = spans.get_finished_spans()
    attributes = span.attributes or {}
    kind = attributes.get("error.type")
    return str(attributes["steelyard.outcome"]), None if kind is None else str(kind), span.status.status_code


def test_a_request_that_is_answered_leaves_a_span_under_its_parent(
    tracing: Tracing, spans: InMemorySpanExporter
) -> None:
    made = Made()
    promised: Promise[Answered] = Promise()
    tracing.ask(made.repository.answering("digits"), one(), promised, SAMPLED)
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


def test_a_failure_is_told_by_its_kind_alone(tracing: Tracing, spans: InMemorySpanExporter, model: Model) -> None:
    promised: Promise[Answered] = Promise()
    tracing.ask(model, one(), promised, SAMPLED)
    model.callers[0].fail(Expired("something private"))
    assert isinstance(promised.future.exception(20), Expired)
    assert told_of(spans) == ("failed", "Expired", StatusCode.ERROR)
    assert "private" not in spans.get_finished_spans()[0].to_json()


def test_a_request_that_is_not_let_in_ends_its_span(
    tracing: Tracing, spans: InMemorySpanExporter, model: Model
) -> None:
    model.refusal = Overloaded("private")
    with pytest.raises(Overloaded):
        tracing.ask(model, one(), Promise(), SAMPLED)
    assert told_of(spans) == ("refused", "Overloaded", StatusCode.ERROR)


def test_a_request_that_nobody_waits_for_ends_its_span(
    tracing: Tracing, spans: InMemorySpanExporter, model: Model
) -> None:
    promised: Promise[Answered] = Promise()
    tracing.ask(model, one(), promised, SAMPLED)
    assert promised.future.cancel()
    assert not model.callers[0].begin()
    assert told_of(spans) == ("withdrawn", None, StatusCode.UNSET)


def test_a_request_that_is_withdrawn_ends_its_span_once(
    tracing: Tracing, spans: InMemorySpanExporter, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    promised: Promise[Answered] = Promise()
    under_way = tracing.ask(model, one(), promised, SAMPLED)
    under_way.withdraw()
    assert told_of(spans) == ("withdrawn", None, StatusCode.UNSET)
    caller = model.callers[0]
    assert caller.begin()  # a worker had it already
    caller.answer(Answered([], "original"))
    assert promised.future.result(0).variant == "original"
    assert told_of(spans) == ("withdrawn", None, StatusCode.UNSET)
    assert caplog.records == []


def test_where_the_caller_waits_stays_known(tracing: Tracing, model: Model) -> None:
    class Waits(Promise[Answered]):
        loop = "here"

    for caller, loop in ((Waits(), "here"), (Promise[Answered](), None)):
        tracing.ask(model, one(), caller, SAMPLED)
        assert getattr(model.callers[-1], "loop", None) == loop


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
    tracing: Tracing, spans: InMemorySpanExporter, model: Model, traceparent: str
) -> None:
    promised: Promise[Answered] = Promise()
    tracing.ask(model, one(), promised, traceparent)
    assert model.callers[0] is promised
    assert spans.get_finished_spans() == ()
