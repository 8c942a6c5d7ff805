"""New versions that are tried beside old ones, for Prometheus and for the live page."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from steelyard import numbers
from steelyard.records.base import Record
from steelyard.serve.canary import Ended, Running
from steelyard.serve.slot import Slot
from steelyard.telemetry import figures

VERDICTS = ("pass", "undecided", "fail")


class Line(Record):
    """One line on the page."""

    label: str
    text: str
    verdict: str = ""
    """Empty: it tells of none."""


def canary_metrics(slots: Sequence[Slot]) -> Iterator[Metric]:
    """Those that run, how their rules stand, what became of those before. What they count is under their version."""
    model = ("model", "version")
    share = GaugeMetricFamily("steelyard_canary_share", "Share of the requests that a canary gets.", labels=model)
    verdict = GaugeMetricFamily(
        "steelyard_canary_verdict", "1 for the verdict of each rule so far.", labels=(*model, "rule", "verdict")
    )
    ended = CounterMetricFamily(
        "steelyard_canaries_ended", "Canaries by what became of them, and why.", labels=("model", "outcome", "reason")
    )
    last = GaugeMetricFamily(
        "steelyard_canary_last_end_timestamp_seconds",
        "When the last canary ended, with what became of it, and why.",
        labels=(*model, "outcome", "reason"),
    )
    for slot in slots:
        if (trial := slot.trial) is not None:
            running = trial.told()
            share.add_metric((slot.name, running.version), running.share)
            for each in running.standings:
                for name in VERDICTS:
                    verdict.add_metric((slot.name, running.version, each.rule, name), each.verdict == name)
        for (outcome, reason), times in slot.ends.copy().items():
            ended.add_metric((slot.name, outcome, reason), times)
        if (end := slot.last) is not None:
            last.add_metric((slot.name, end.version, end.outcome, end.reason), end.at)
    yield from (share, verdict, ended, last)


def canary_lines(slot: Slot) -> tuple[Line, ...]:
    """The canary that runs, and what became of the last one."""
    trial, end = slot.trial, slot.last
    running = () if trial is None else _running(trial.told())
    return (*running, *(() if end is None else (_ended(end),)))


def _running(told: Running) -> Sequence[Line]:
    share, seconds = numbers.stated_percent(told.share), f"{told.seconds:.0f} s of {told.for_s:g} s"
    gets = f"version {told.version} gets {share} of the requests beside version {told.beside}"
    first = Line(label="Canary", text=f"{gets}: {told.requests:,} so far, {seconds}")
    return (first, *(Line(label=each.rule, text=each.told, verdict=each.verdict) for each in told.standings))


def _ended(told: Ended) -> Line:
    outcome, ago = told.outcome.replace("_", " "), figures.ago(max(0.0, time.time() - told.at))
    return Line(label="Last canary", text=f"version {told.version} was {outcome} {ago}: {told.why}")
