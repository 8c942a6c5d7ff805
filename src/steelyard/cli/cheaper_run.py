"""The part of `steelyard train` that trains cheaper forms of the network. Imported only once it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from steelyard import numbers
from steelyard.cli.progress import error_console, stoppable
from steelyard.loop import cheaper as forms_of
from steelyard.loop.cheaper import Form
from steelyard.records.cheaper import NAMES, Cheaper
from steelyard.records.evaluation import Evaluation
from steelyard.records.recipe import Recipe
from steelyard.train import recipes

Watched = Callable[[int], AbstractContextManager[Any]]
"""Shows a run of so many epochs."""
FIGURES = ("accuracy", "mse")


class Wanted(NamedTuple):
    """Which cheaper forms are trained, and by which recipe each."""

    cheaper: Cheaper
    recipes: Mapping[str, Recipe]


def wanted(recipe: str, changes: Mapping[str, Any], ways: str | None, on: str | None) -> Wanted:
    """What the recipe asks for, and `--cheaper distil,prune`. Raises UsageError before any time is spent."""
    content = recipes.tables(recipe, changes)
    named = [way.strip() for way in (ways or "").split(",") if way.strip()]
    cheaper = recipes.cheaper_of(content, recipe).also(named)
    return Wanted(cheaper, forms_of.recipes_of(recipes.parsed(content, recipe), cheaper, on))


def train(trained: Any, forms: Wanted, folder: Path, watched: Watched, form: str) -> dict[str, Form]:
    """Train each of them beside a `Trained` in `folder`, and put it where weighing finds it."""
    made: dict[str, Form] = {}
    console = error_console()
    for way, recipe in forms.recipes.items():
        if form != "quiet":
            console.print(f"{NAMES[way]}:", highlight=False)
        with stoppable(console, "learnt") as stop, watched(recipe.training.epochs) as watch:
            made[way] = forms_of.train(trained, way, forms.cheaper, folder, watch=watch, stop=stop)
    if made:
        forms_of.note(made, folder)
    return made


def tell(console: Console, trained: Any, evaluation: Evaluation, model: Path, made: Mapping[str, Form]) -> None:
    """The network and its cheaper forms in a table."""
    figure = next(name for name in FIGURES if getattr(evaluation, name) is not None)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("variant", figure, "95% limits", "parameters", "file"):
        table.add_column(heading, justify="left" if heading == "variant" else "right")
    rows = {"original": Form(trained, evaluation, model.stat().st_size)}
    for name, one in (rows | {NAMES[way]: form for way, form in made.items()}).items():
        found = getattr(one.evaluation, figure)
        limits = f"{found.low:.4f} to {found.high:.4f}"
        parameters = numbers.count(one.trained.run.parameters)
        table.add_row(name, f"{found.value:.4f}", limits, parameters, f"{one.size / 1000:,.0f} kB")
    console.print(table)
