"""What a server counts, for Prometheus: read when it is asked for, kept nowhere else.

Base units and suffixes follow https://prometheus.io/docs/practices/naming/. Counters begin anew with each version of
a model. What tells of "lately" is of the last minute, and missing while nothing was asked in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from steelyard.protocol.reply import Reply, reply
from steelyard.serve.repository import Repository
from steelyard.serve.served import ServedModel
from steelyard.serve.statistics import Histogram, Snapshot
from steelyard.telemetry.canaries import canary_metrics
from steelyard.telemetry.history import History, Window, costs

LATELY_S = 60.0
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
MODEL = ("model", "version")
VARIANT = ("model", "version", "variant")


class Seen:
    """One version of one model at the moment of a scrape."""

    def __init__(self, name: str, model: ServedModel, lately: Window) -> None:
        self.labels = (name, model.version)
        self.model = model
        self.told: Snapshot = model.statistics.snapshot()
        self.lately = lately


Values = Callable[[Seen], Mapping[str, float | None]]
"""By variant, or by outcome."""

COUNTERS: Sequence[tuple[str, str, Callable[[Seen], int]]] = (
    ("steelyard_late", "Requests answered later than the promised bound.", lambda s: s.told.late),
    ("steelyard_variant_switches", "Batches of another variant than the one before.", lambda s: s.told.switches),
)
COUNTERS_BY: Sequence[tuple[str, str, str, Values]] = (
    ("steelyard_requests", "Requests by what became of them.", "outcome", lambda s: _outcomes(s.told)),
    ("steelyard_items", "Items answered.", "variant", lambda s: dict(s.told.by_variant)),
    (
        "steelyard_shadow_items",
        "Items answered by the best variant as well.",
        "variant",
        lambda s: {name: each.items for name, each in s.model.shadow.told().items()},
    ),
    (
        "steelyard_shadow_disagreements",
        "Of these, items to which another class was answered.",
        "variant",
        lambda s: {name: each.disagreed for name, each in s.model.shadow.told().items()},
    ),
)
GAUGES: Sequence[tuple[str, str, Callable[[Seen], float | None]]] = (
    ("steelyard_model_ready", "1 while requests are answered.", lambda s: s.model.ready),
    ("steelyard_queue_length", "Items that wait.", lambda s: s.model.waiting),
    ("steelyard_workers", "Batches served side by side.", lambda s: s.model.workers),
    ("steelyard_latency_bound_seconds", "Promised of each request.", lambda s: _finite(s.model.promise.bound_s)),
    ("steelyard_slo_target_ratio", "Promised share of requests within the bound.", lambda s: _target(s.model)),
    ("steelyard_slo_violation_ratio", "Share of requests late, refused, expired or failed lately.",
     lambda s: s.lately.violation_ratio),
    ("steelyard_served_quality", "Mean quality of the variants that answered lately.", lambda s: s.lately.quality),
    ("steelyard_cost_per_thousand", "Mean cost of a thousand requests as answered lately.", lambda s: s.lately.cost),
)  # fmt: skip
GAUGES_BY: Sequence[tuple[str, str, str, Values]] = (
    ("steelyard_variant_share", "Share of the items that a variant answered lately.", "variant",
     lambda s: {one.variant: s.lately.share(one.variant) for one in s.model.residents}),
    ("steelyard_variant_quality", "Measured quality of a variant.", "variant",
     lambda s: {one.variant: one.quality for one in s.model.residents}),
    ("steelyard_variant_cost_per_thousand", "Cost of a thousand requests of a variant.", "variant",
     lambda s: dict(costs(s.model.residents))),
    ("steelyard_cost_currency_info", "Always 1; tells what costs are told in.", "currency",
     lambda s: dict.fromkeys(filter(None, [s.model.promise.currency]), 1)),
    ("steelyard_processes_missing", "Processes of a variant that ended and are not back yet.", "variant",
     lambda s: _missing(s.model)),
)  # fmt: skip


def metrics_page(repository: Repository, history: History) -> Callable[[Mapping[str, str]], Reply]:
    """The page that Prometheus asks for."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Models(repository, history))
    ProcessCollector(registry=registry)

    def page(_: Mapping[str, str]) -> Reply:
        return reply(generate_latest(registry), CONTENT_TYPE, more=((b"cache-control", b"no-store"),))

    return page


class _Models(Collector):
    """All models in all versions that answer, as they stand when asked."""

    def __init__(self, repository: Repository, history: History) -> None:
        self._repository = repository
        self._history = history

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client`."""
        seen = list(self._seen())
        yield _server(self._repository)
        for name, text, count in COUNTERS:
            counter = CounterMetricFamily(name, text, labels=MODEL)
            for one in seen:
                counter.add_metric(one.labels, count(one))
            yield counter
        for name, text, gauge in GAUGES:
            yield _filled(GaugeMetricFamily(name, text, labels=MODEL), [(one.labels, gauge(one)) for one in seen])
        for name, text, by, values in COUNTERS_BY:
            yield _filled(CounterMetricFamily(name, text, labels=(*MODEL, by)), _spread(seen, values))
        for name, text, by, values in GAUGES_BY:
            yield _filled(GaugeMetricFamily(name, text, labels=(*MODEL, by)), _spread(seen, values))
        yield from _distributions(seen)
        yield from canary_metrics([self._repository.slot(name) for name in self._repository.names()])

    def _seen(self) -> Iterator[Seen]:
        for name in self._repository.names():
            for model in self._repository.slot(name).models():
                yield Seen(name, model, self._history.window(name, model.version, LATELY_S))


def _server(repository: Repository) -> Metric:
    info = GaugeMetricFamily("steelyard_server_info", "Always 1; tells the server's version.", labels=("version",))
    info.add_metric((repository.version,), 1)
    return info


def _spread(seen: Sequence[Seen], values: Values) -> Iterator[tuple[Sequence[str], float | None]]:
    for one in seen:
        for name, value in values(one).items():
            yield (*one.labels, name), value


def _filled(
    family: CounterMetricFamily | GaugeMetricFamily, values: Iterable[tuple[Sequence[str], float | None]]
) -> Metric:
    """What has no value is left out."""
    for labels, value in values:
        if value is not None:
            family.add_metric(labels, value)
    return family


def _distributions(seen: Sequence[Seen]) -> Iterator[Metric]:
    latency = HistogramMetricFamily(
        "steelyard_request_duration_seconds", "From the arrival of a request to its answer.", labels=MODEL
    )
    queue = SummaryMetricFamily("steelyard_queue_duration_seconds", "Waited for a worker, per request.", labels=MODEL)
    sizes = HistogramMetricFamily("steelyard_batch_size", "Items per batch.", labels=VARIANT)
    spent = SummaryMetricFamily("steelyard_batch_duration_seconds", "What a batch took.", labels=VARIANT)
    for one in seen:
        told = one.told
        latency.add_metric(one.labels, _buckets(told.latency), told.latency.total)
        queue.add_metric(one.labels, told.queue.count, told.queue.ns / 1e9)
        for variant, share in told.shares.items():
            labels = (*one.labels, variant)
            sizes.add_metric(labels, _buckets(share.sizes), share.sizes.total)
            spent.add_metric(labels, share.sizes.count, share.seconds)
    yield from (latency, queue, sizes, spent)


def _buckets(told: Histogram) -> list[tuple[str, float]]:
    """As Prometheus counts: each bucket holds all below it."""
    bounds = [*(str(float(bound)) for bound in told.bounds), "+Inf"]
    return list(zip(bounds, accumulate(told.counts), strict=True))


def _outcomes(told: Snapshot) -> dict[str, float | None]:
    return {
        "answered": told.success.count,
        "refused": told.refused,
        "expired": told.expired,
        "withdrawn": told.withdrawn,
        "failed": told.broken,
    }


def _missing(model: ServedModel) -> dict[str, float | None]:
    """A variant may be resident more than once, in different runtimes."""
    missing: dict[str, float | None] = {}
    for one in model.residents:
        missing[one.variant] = (missing.get(one.variant) or 0) + one.missing()
    return missing


def _finite(value: float) -> float | None:
    return value if value < float("inf") else None


def _target(model: ServedModel) -> float | None:
    percentile = model.promise.percentile
    return None if percentile is None else percentile / 100
