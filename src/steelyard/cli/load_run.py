"""What `steelyard load` does. Imported only once it runs, so that `--help` stays instant."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from steelyard import numbers
from steelyard.cli.load_show import show_found, show_report
from steelyard.cli.progress import error_console, stoppable
from steelyard.errors import UsageError
from steelyard.load import job as loading
from steelyard.load.bodies import Form, random_requests, real_requests, stated_shapes
from steelyard.load.find import find as find_rate
from steelyard.load.find import seconds_at
from steelyard.load.job import Job
from steelyard.load.model import Model, ask_model
from steelyard.load.outcome import Progress as Reached
from steelyard.load.report import summary
from steelyard.load.run import prove
from steelyard.load.target import Target, target
from steelyard.loop import order
from steelyard.protocol.addresses import VARIABLE
from steelyard.records import stated
from steelyard.records.base import to_json
from steelyard.records.load_report import FoundReport, LoadReport

BROKEN, INTERRUPTED = 3, 130
FIRST_RATE = 100.0
"""Where a search begins when nobody says."""
RUN_S, TRY_S = 30.0, 10.0
REFRESH_S = 0.5
"""The bar is drawn by the thread that sends, so it is drawn seldom."""


@dataclass(frozen=True)
class Asked:
    """The words of the command line."""

    url: str
    model: str
    model_version: str
    rate: str | None
    seconds: str | None
    arrivals: str
    warm_up: str
    patience: str
    connections: int
    seed: int
    data: Path | None
    inputs: list[str]
    items: int | None
    shapes: list[str]
    json: bool
    timeout: str | None
    priority: int | None
    min_quality: float | None
    headers: list[str]
    authority: Path | None
    latency: str | None
    confidence: str


def execute(asked: Asked, find: bool, form: str) -> NoReturn:
    """Load, show what was seen, end with its status."""
    rate = _rate(asked, find)
    ordered = _job(asked, find)
    console = error_console()
    with stoppable(console) as stop, _progress(console, form == "quiet") as on_progress:
        if find:
            found = find_rate(ordered, rate, lambda at: _run(ordered, at, on_progress, stop, give_up=True))
            status = INTERRUPTED if found.interrupted else 0 if found.held else BROKEN
        else:
            report = _run(ordered, rate, on_progress, stop)
            status = INTERRUPTED if report.interrupted else BROKEN if report.verdict == "fail" else 0
    _show(found if find else report, form)
    sys.exit(status)


def _run(
    ordered: Job,
    rate: float,
    on_progress: Callable[[float, Reached], None],
    stop: threading.Event,
    give_up: bool = False,
) -> LoadReport:
    seconds = seconds_at(ordered, rate) if give_up else ordered.seconds
    outcome = loading.run(ordered, rate, seconds, lambda reached: on_progress(rate, reached), stop, give_up)
    return summary(outcome, ordered, rate)


def _show(report: LoadReport | FoundReport, form: str) -> None:
    if form == "json":
        sys.stdout.write(to_json(report, indent=2).decode() + "\n")
    elif form == "human" and isinstance(report, FoundReport):
        show_found(Console(), report)
    elif form == "human" and isinstance(report, LoadReport):
        show_report(Console(), report)


def _rate(asked: Asked, find: bool) -> float:
    if asked.rate is not None:
        rate = stated.stated_rate(asked.rate)
        if not rate > 0:
            raise UsageError(f"a rate is above 0, got '{asked.rate}'", "for example --rate 500/s")
        return rate
    if not find:
        raise UsageError("missing: how many requests are sent (--rate 500/s)", "or --find with a latency bound")
    return FIRST_RATE


def _job(asked: Asked, find: bool) -> Job:
    """What is ordered, with requests that the server has answered once. Raises `InputError` otherwise."""
    latency = stated.stated_latency(asked.latency) if asked.latency is not None else None
    if find and latency is None:
        raise UsageError("--find needs a latency bound to keep", "for example --p95 20ms")
    seconds = stated.seconds(asked.seconds, "--for") if asked.seconds is not None else TRY_S if find else RUN_S
    warm_up_s, patience_s = stated.seconds(asked.warm_up, "--warm-up"), stated.seconds(asked.patience, "--patience")
    arrivals = order.arrivals({"arrivals": asked.arrivals})
    confidence = stated.share(asked.confidence, "--confidence")
    form = Form(asked.items, asked.json, stated_shapes(asked.shapes), _parameters(asked), order.pairs(asked.inputs))
    server = target(asked.url, asked.headers, os.environ.get(VARIABLE, ""), asked.authority)
    model = ask_model(server, asked.model, asked.model_version)
    requests = _requests(asked, server, model, form)
    prove(server, requests[0])
    return Job(
        target=server, model=model, form=form, requests=requests, arrivals=arrivals, latency=latency,
        confidence=confidence, seconds=seconds, warm_up_s=warm_up_s, patience_s=patience_s,
        connections=asked.connections, seed=asked.seed,
    )  # fmt: skip


def _requests(asked: Asked, server: Target, model: Model, form: Form) -> list[bytes]:
    known = {tensor.name for tensor in model.inputs}
    for flag, named in (("--shape", form.shapes), ("--input", form.arrays)):
        if unknown := sorted(set(named) - known):
            raise UsageError(
                f"{flag} names '{unknown[0]}', which is no input of {model.name}",
                f"its inputs are {', '.join(sorted(known))}",
            )
    if asked.data is None:
        return random_requests(server, model, form, asked.seed)
    return real_requests(server, model, form, asked.data, asked.seed)


def _parameters(asked: Asked) -> dict[str, int | float]:
    """What is told to the server with each request."""
    told: dict[str, int | float] = {}
    if asked.timeout is not None:
        told["timeout"] = round(stated.milliseconds(asked.timeout, "--timeout") * 1000)
    if asked.priority is not None:
        told["priority"] = asked.priority
    if asked.min_quality is not None:
        told["min_quality"] = asked.min_quality
    return told


@contextlib.contextmanager
def _progress(console: Console, quiet: bool) -> Iterator[Callable[[float, Reached], None]]:
    """A function that shows how far a run at a rate has come: a live bar on a terminal, a line a run elsewhere."""
    if quiet:
        yield lambda _rate, _reached: None
    elif console.is_terminal:
        with _bar(console) as bar:
            yield _shown_on(bar)
    else:
        yield _lines(console)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.fields[rate]}"),
        BarColumn(bar_width=24),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        auto_refresh=False,
    )


def _shown_on(bar: Progress) -> Callable[[float, Reached], None]:
    task = bar.add_task("", total=None, rate="")
    drawn = [0.0]

    def show(rate: float, reached: Reached) -> None:
        now = time.monotonic()
        if now - drawn[0] < REFRESH_S:
            return
        drawn[0] = now
        failed = f", {reached.failed:,} failed" if reached.failed else ""
        open_now = reached.due - reached.answered - reached.failed
        told = f"{reached.answered:,} answered, {open_now:,} under way{failed}"
        bar.update(task, completed=reached.due, total=reached.total, rate=numbers.rate(rate), description=told)
        bar.refresh()

    return show


def _lines(console: Console) -> Callable[[float, Reached], None]:
    last = [0.0]

    def show(rate: float, reached: Reached) -> None:
        if rate != last[0]:
            last[0] = rate
            console.print(f"load: {numbers.rate(rate)}, {reached.total:,} requests", highlight=False, soft_wrap=True)

    return show
