"""Live progress for people, and the two ways to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from steelyard.search import Event

NEWS = ("ledger", "cluster", "waiting")
"""Stages of which every event is told, not only the first: each says something that happened."""


@contextlib.contextmanager
def stoppable(console: Console, what: str = "measured") -> Iterator[threading.Event]:
    """An event that the first Ctrl-C (or SIGTERM) sets; the second ends the program at once.

    Children die with this process, however it ends.
    """
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()
        console.print(f"[yellow]stopping: what was {what} is kept (once more: at once)[/yellow]")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def progress(console: Console, within_s: float, quiet: bool) -> Iterator[Callable[[Event], None]]:
    """A function that shows events: a live bar on a terminal, a line a stage elsewhere, nothing when quiet."""
    if quiet:
        yield lambda _: None
    elif console.is_terminal:
        with _bar(console) as bar:
            yield _shown_on(bar, within_s)
    else:
        yield _lines(console)


def _bar(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[stage]:<11}"),
        BarColumn(bar_width=18),
        TextColumn("{task.fields[time]}"),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
    )


def _shown_on(bar: Progress, within_s: float) -> Callable[[Event], None]:
    started = time.monotonic()
    task = bar.add_task("", total=None, stage="", time="")

    def show(event: Event) -> None:
        passed = time.monotonic() - started
        best = f" · best so far {event.best}" if event.best else ""
        bar.update(
            task,
            description=f"{event.text}{best}",
            completed=event.done,
            total=max(event.total, 1),
            stage=event.stage,
            time=f"{_clock(passed)}, at most {_clock(max(0.0, within_s - passed))} left",
        )

    return show


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _lines(console: Console) -> Callable[[Event], None]:
    last = [""]

    def show(event: Event) -> None:
        if event.stage != last[0] or event.stage in NEWS:
            last[0] = event.stage
            best = f" (best so far: {event.best})" if event.best else ""
            console.print(f"{event.stage}: {event.text}{best}", highlight=False, soft_wrap=True)

    return show


def error_console() -> Console:
    """Where progress and errors go: standard error."""
    return Console(stderr=True, soft_wrap=not sys.stderr.isatty())
