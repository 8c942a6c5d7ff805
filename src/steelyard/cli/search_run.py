"""What `steelyard train --search` does. Imported only once it runs, so that `--help` stays instant."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from steelyard import numbers
from steelyard.cli.progress import error_console, stoppable
from steelyard.errors import UsageError
from steelyard.loop import order
from steelyard.machines.freed_memory import keep_freed_memory
from steelyard.records.base import to_json
from steelyard.records.searching import Search, Tried
from steelyard.records.stated import seconds
from steelyard.records.training import Epoch
from steelyard.train import recipes

WITHIN = "10min"
SUFFIX = "-search"
"""Of the folder, after the recipe's name."""
NEEDED = "a search needs torch, Lightning Fabric and Optuna"
NOT_HERE = {
    "weigh": "weigh the networks of the front: cd FOLDER/front/N && steelyard weigh --p95 5ms",
    "quality_drop": "a search keeps every network that is worth its cost; demand a quality when you weigh one of them",
    "explain": "train the network that you choose by itself, with --explain",
    "compare_privacy": "train the network that you choose by itself, with --compare-privacy",
    "cheaper": "train the network that you choose by itself, with --cheaper",
    "on": "searches run on this machine; without --search a single recipe trains on a cluster",
    "mlflow": "the networks of the front can be trained again with --mlflow: their recipes are in run.json",
}
"""Flags that belong to training one network, and what to do instead."""


def search(
    recipe: str,
    out: Path | None,
    changes: Mapping[str, Any],
    fresh: bool,
    words: Mapping[str, Any],
    form: str,
) -> None:
    """Search, tell. `words`: the flags beside, by name."""
    wrong = next((name for name in NOT_HERE if words.get(name)), None)
    if wrong is not None:
        raise UsageError(f"--{wrong.replace('_', '-')} does not go with --search", NOT_HERE[wrong])
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError("a search runs in one process, and was started in several", "start it without torchrun")
    try:
        from steelyard.loop import searching
    except ModuleNotFoundError as error:
        raise UsageError(f"{NEEDED} ({error.name} is missing)", "pip install 'steelyard[train]'") from error
    said = {name: word for name, word in words.items() if word is not None}
    price, warnings = order.price(said)
    within_s = seconds(str(said.get("within", WITHIN)), "--within")
    sought = searching.Sought(
        recipe=recipe,
        out=out or _folder_of(recipes.read(recipe, changes).name),
        changes=changes,
        within_s=within_s,
        requirements=order.requirements({name: said[name] for name in ("latency",) if name in said}),
        price=price,
        fresh=fresh,
    )
    keep_freed_memory()
    console = error_console()
    for warning in warnings:
        console.print(f"[yellow]{warning}[/yellow]", highlight=False)
    with stoppable(console) as stop, _watched(console, within_s, form) as watch:
        found = searching.search(sought, watch, stop)
    if form == "json":
        sys.stdout.write(to_json(found, indent=2).decode() + "\n")
    elif form == "human":
        tell(Console(), found, sought.out)


def _folder_of(name: str) -> Path:
    return Path(name if name.endswith(SUFFIX) else name + SUFFIX)


class Lines:
    """A line for each network, where there is no terminal. See `steelyard.loop.trials.Watch`."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def weighs(self, told: str) -> None:
        """Nothing."""

    def epoch(self, told: str, epoch: Epoch, epochs: int) -> None:
        """Nothing."""

    def ended(self, tried: Tried) -> None:
        """One line."""
        self._console.print(line_of(tried), highlight=False, soft_wrap=True)


class Bar:
    """The same lines on a terminal, and below them how much of the time is used, and for what."""

    def __init__(self, bar: Progress, within_s: float) -> None:
        self._lines = Lines(bar.console)
        self._bar = bar
        self._began = time.monotonic()
        self._within_s = within_s
        self._task = bar.add_task("reading the data", total=within_s, left=numbers.seconds(within_s))

    def weighs(self, told: str) -> None:
        """What a network takes to be served."""
        self._show(f"weighing {told}")

    def epoch(self, told: str, epoch: Epoch, epochs: int) -> None:
        """How far it is."""
        judged = "" if epoch.validation is None else f", validation {epoch.validation:.4f}"
        self._show(f"{told}: epoch {epoch.number} of {epochs}{judged}")

    def ended(self, tried: Tried) -> None:
        """A line that stays."""
        self._lines.ended(tried)
        self._show("choosing the next")

    def _show(self, text: str) -> None:
        passed = time.monotonic() - self._began
        left = numbers.seconds(max(0.0, self._within_s - passed))
        self._bar.update(self._task, completed=passed, description=text, left=left)


@contextlib.contextmanager
def _watched(console: Console, within_s: float, form: str) -> Iterator[Any]:
    if form != "quiet" and console.is_terminal:
        columns = (BarColumn(bar_width=18), TextColumn("at most {task.fields[left]} left · {task.description}"))
        with Progress(*columns, console=console, transient=True) as bar:
            yield Bar(bar, within_s)
    else:
        yield Lines(Console(quiet=True) if form == "quiet" else console)


def line_of(tried: Tried) -> str:
    """A network in a line."""
    judged = "" if tried.validation is None else f"validation {tried.validation:.4f}, "
    cost = "" if tried.serving is None else f"{numbers.rate(tried.serving.capacity_per_s)}, "
    return f"{tried.number}: {tried.told}: {judged}{cost}{tried.reason}; {numbers.seconds(tried.seconds)}"


def tell(console: Console, found: Search, out: Path) -> None:
    """The front as a table, and what to do with it."""
    from steelyard.report.searching import cost_title, counted, rows

    table = Table(box=None, pad_edge=False, title_justify="left", title=f"{found.name}: the front")
    for title, justify in (("#", "right"), ("network", "left"), ("validation", "right"), ("test (95% limits)", "left")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for title in (cost_title(found), "rate", "one item"):
        table.add_column(title, justify="right")
    for row in rows(found):
        table.add_row(str(row.number), row.told, row.validation, row.test, row.cost, row.rate, row.item)
    console.print(table, highlight=False)
    for warning in found.warnings:
        console.print(f"[bold red]warning:[/bold red] {warning}", highlight=False)
    more = "" if found.complete else "; the same command goes on"
    console.print(f"{counted(found)}; {numbers.seconds(found.seconds)}{more}", highlight=False)
    console.print(f"{out}/report.html shows all of them. Weigh one of the front:", highlight=False)
    console.print(f"  cd {out / found.front[-1].folder} && steelyard weigh --p95 5ms", highlight=False)
