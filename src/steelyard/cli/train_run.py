"""What `steelyard train` does. Imported only once it runs, so that `--help` stays instant."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from steelyard import datasets, numbers
from steelyard.cli import cheaper_run, generate_run
from steelyard.cli.progress import error_console, stoppable
from steelyard.cli.settings import collect
from steelyard.errors import UsageError
from steelyard.loop import training
from steelyard.loop.cheaper import forget
from steelyard.loop.mlflow_training import training_log
from steelyard.loop.trust import Trust
from steelyard.machines.freed_memory import keep_freed_memory
from steelyard.networks.table import NETWORKS
from steelyard.records.base import to_json
from steelyard.records.cheaper import NAMES
from steelyard.records.evaluation import Evaluation
from steelyard.records.training import Epoch
from steelyard.train import recipes
from steelyard.train.card import told_privacy
from steelyard.train.pairs import PAIRS


class Bar:
    """Shows steps and epochs on a terminal. See `steelyard.train.progress.Watch`."""

    def __init__(self, bar: Progress, epochs: int) -> None:
        self._bar = bar
        self._epochs = epochs
        self._task = bar.add_task("reading", total=None)

    def step(self, epoch: int, done: int, steps: int, loss: float) -> None:
        """One more."""
        at, total = (epoch - 1) * steps + done, self._epochs * steps
        told = f"epoch {epoch} of {self._epochs}, loss {loss:.4f}"
        self._bar.update(self._task, completed=at, total=total, description=told)

    def epoch(self, epoch: Epoch, is_best: bool) -> bool:
        """A line that stays."""
        self._bar.console.print(line_of(epoch, is_best), highlight=False)
        return True


class Lines:
    """A line an epoch, where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def step(self, epoch: int, done: int, steps: int, loss: float) -> None:
        """Nothing."""

    def epoch(self, epoch: Epoch, is_best: bool) -> bool:
        """One line."""
        self._console.print(line_of(epoch, is_best), highlight=False, soft_wrap=True)
        return True


def line_of(epoch: Epoch, is_best: bool) -> str:
    """An epoch in a line."""
    judged = "" if epoch.validation is None else f", validation {epoch.validation:.4f}{' (best)' if is_best else ''}"
    return f"epoch {epoch.number}: loss {epoch.loss:.4f}{judged}, {numbers.seconds(epoch.seconds)}"


def train(
    recipe: str,
    out: Path | None,
    change: list[str],
    seed: int | None,
    fresh: bool,
    places: dict[str, str | None],
    weigh: dict[str, Any] | None,
    form: str,
    trust: dict[str, bool],
    ways: str | None = None,
) -> None:
    """Train, tell, weigh if so wanted."""
    made = recipes.read(recipe, changes_of(change, seed))
    folder = out or Path(f"{made.name}-model")
    console = error_console()
    form = form if training.is_leading() else "quiet"
    if made.network.name in PAIRS:
        generate_run.refuse({"weigh": weigh is not None, "cheaper": ways} | places | trust)
        generate_run.train(made, folder, fresh, lambda epochs: _watched(console, epochs, form), form)
        return
    words = collect(places, None).words
    forms = cheaper_run.wanted(recipe, changes_of(change, seed), ways, words.get("on"))
    if fresh:
        forget(folder)
    keep_freed_memory()
    with (
        training_log(made, words.get("mlflow")) as log,
        stoppable(console, "learnt") as stop,
        _watched(console, made.training.epochs, form) as watch,
    ):
        trained, evaluation = training.train(
            made, folder, fresh=fresh, watch=watch, stop=stop, on=words.get("on"), log=log, trust=Trust(**trust)
        )
        told = None if log is None or not training.is_leading() else log.end(trained.run, evaluation, folder)
    cheaper = cheaper_run.train(trained, forms, folder, lambda epochs: _watched(console, epochs, form), form)
    if form == "json":
        told_of = {NAMES[way]: {"run": one.trained.run, "evaluation": one.evaluation} for way, one in cheaper.items()}
        record = {"run": trained.run, "evaluation": evaluation} | ({"cheaper": told_of} if told_of else {})
        sys.stdout.write(to_json(record, indent=2).decode() + "\n")
    elif form == "human":
        _tell(Console(), trained, evaluation, folder)
        if cheaper:
            cheaper_run.tell(Console(), trained, evaluation, folder / "model.onnx", cheaper)
    if told is not None and form != "quiet":
        console.print(told, highlight=False, soft_wrap=True)
    if weigh is not None and training.is_leading():
        _weigh(folder, weigh | {name: word for name, word in places.items() if word is not None}, form)


def changes_of(change: list[str], seed: int | None) -> dict[str, Any]:
    """Of the recipe's settings: path → value."""
    words = {}
    for each in change:
        name, is_said, value = each.partition("=")
        if not is_said:
            raise UsageError(f"--set takes KEY=VALUE, got '{each}'", "for example --set training.epochs=3")
        words[name.strip()] = value.strip()
    return training.changes(words) | ({} if seed is None else {"seed": seed})


@contextlib.contextmanager
def _watched(console: Console, epochs: int, form: str) -> Iterator[Any]:
    if form == "quiet":
        yield None
    elif console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            yield Bar(bar, epochs)
    else:
        yield Lines(console)


def _tell(console: Console, trained: Any, evaluation: Evaluation, folder: Path) -> None:
    run = trained.run
    for sentence in (*run.data.prepared, *(f"[yellow]leak: {leak}[/yellow]" for leak in run.data.leaks)):
        console.print(f"  {sentence}", highlight=False)
    console.print(
        f"[bold]{run.recipe.name}[/bold]: {run.network}, {numbers.count(run.parameters)} parameters; {run.stopped}, "
        f"epoch {run.kept} was kept; {numbers.seconds(run.seconds)}",
        highlight=False,
    )
    for line in _figures(evaluation):
        console.print(line, highlight=False)
    for warning in evaluation.warnings:
        console.print(f"[bold red]warning:[/bold red] {warning}", highlight=False)
    for sentence in () if run.privacy is None else told_privacy(run.privacy):
        console.print(f"privacy: {sentence}", highlight=False)
    console.print(f"{folder} holds model.onnx and all that belongs to it. Weigh it:", highlight=False)
    console.print(f"  cd {folder} && steelyard weigh --p95 5ms", highlight=False)


def _figures(evaluation: Evaluation) -> Iterator[str]:
    """What is most asked for, with limits."""
    yield f"on {numbers.count(evaluation.items)} items of the {evaluation.part} (95% limits):"
    for name in ("accuracy", "precision", "recall", "f1", "auroc", "calibration_error", "mse", "mae", "r2"):
        found = getattr(evaluation, name)
        if found is not None:
            yield f"  {name.replace('_', ' '):<18} {found.value:.4f}  ({found.low:.4f} to {found.high:.4f})"


def _weigh(folder: Path, words: dict[str, Any], form: str) -> None:
    from steelyard.cli import run

    settings = collect(words | {"out": str(folder / "plan")}, folder / "steelyard.toml").words
    for name in ("model", "data", "tokenizer"):
        if name in settings:
            settings[name] = str(folder / str(settings[name]))
    settings["variants"] = {name: str(folder / file) for name, file in settings.get("variants", {}).items()}
    run.weigh_settled(settings, form)


def show_recipe(recipe: str) -> None:
    """As TOML, to begin one's own from."""
    sys.stdout.write(recipes.text_of(recipe)[0])


def tell_what_there_is(form: str) -> None:
    """Recipes, data sets, networks."""
    if form == "json":
        there = {"recipes": recipes.names(), "data": datasets.NAMES, "networks": list(NETWORKS)}
        sys.stdout.write(to_json(there, indent=2).decode() + "\n")
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name in recipes.names():
        table.add_row("recipe", name, recipes.read(name).network.name)
    for name in datasets.NAMES:
        table.add_row("data", name, datasets.describe(name).about)
    for spec in NETWORKS.values():
        table.add_row("network", spec.name, spec.summary)
    for name in PAIRS:
        table.add_row("pair", name, "an adversarial pair that learns to make pictures")
    console = Console()
    console.print(table)
    console.print("Begin with one: steelyard train NAME --show > recipe.toml")
