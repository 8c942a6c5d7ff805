"""How far a download is: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that have come so far, and how many there will be (None: it was not told)."""


def silent(_name: str, _done: int, _total: int | None) -> None:
    """Shows nothing."""


@contextlib.contextmanager
def bar() -> Iterator[Progress]:
    """A bar for each file on standard error, gone when all is there; nothing when that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    if not console.is_terminal:
        yield silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        tasks = {}

        def show(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)

        yield show
