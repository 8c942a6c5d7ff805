"""What `steelyard train` does with a recipe of an adversarial pair. Imported only once it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from rich.console import Console

from steelyard import numbers
from steelyard.cli.progress import error_console, stoppable
from steelyard.errors import UsageError
from steelyard.loop import generating
from steelyard.records.base import to_json
from steelyard.records.recipe import Recipe


def refuse(asked: Mapping[str, Any]) -> None:
    """Raises UsageError for what a pair cannot be asked for. `asked`: option → whether, or what, was said."""
    option = next((f"--{name.replace('_', '-')}" for name, word in asked.items() if word), None)
    if option is not None:
        raise UsageError(
            f"{option} is for networks that answer; this recipe's make pictures", f"leave {option} out, or name another"
        )


def train(
    recipe: Recipe, folder: Path, fresh: bool, watched: Callable[[int], AbstractContextManager[Any]], form: str
) -> None:
    """Train the pair, judge it, and tell."""
    with stoppable(error_console(), "learnt") as stop, watched(recipe.training.epochs) as watch:
        run = generating.train_pair(recipe, folder, fresh=fresh, watch=watch, stop=stop)
    if form == "json":
        sys.stdout.write(to_json({"run": run}, indent=2).decode() + "\n")
    elif form == "human":
        console = Console()
        parameters = " and ".join(numbers.count(each) for each in run.parameters)
        console.print(f"[bold]{recipe.name}[/bold]: {recipe.network.name}, {parameters} parameters", highlight=False)
        for line in generating.figures(run.judged) if run.judged else ():
            console.print(f"  {line}", highlight=False)
        console.print(f"{folder} holds model.onnx, and report.html with samples.", highlight=False)
