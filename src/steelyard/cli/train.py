"""`steelyard train`: its options. What it does is imported once it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steelyard.cli.formats import Format

WEIGHING = "Weighing"


def train_command(
    recipe: Annotated[str, typer.Argument(help="A recipe in TOML, or the name of one that comes with Steelyard.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for all that comes out; NAME-model unless said.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting: --set training.epochs=3.", metavar="KEY=VALUE")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the recipe's.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew where a run was interrupted.")] = False,
    on: Annotated[str | None, typer.Option("--on", help="Train on the Ray cluster of this machine: ray.")] = None,
    mlflow: Annotated[
        str | None, typer.Option("--mlflow", help="Log to MLflow: its URI, or auto for MLFLOW_TRACKING_URI.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show in the report what the network looks at.")] = False,
    compare_privacy: Annotated[
        bool, typer.Option("--compare-privacy", help="Train without privacy as well, and tell what privacy cost.")
    ] = False,
    cheaper: Annotated[
        str | None, typer.Option("--cheaper", help="Train cheaper forms beside it: distil,prune,quantise.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the recipe and end.")] = False,
    search: Annotated[
        bool, typer.Option("--search", help="Try what [search] in the recipe says: the front of quality against cost.")
    ] = False,
    weigh: Annotated[
        bool, typer.Option("--weigh", help="Go straight on to the balance.", rich_help_panel=WEIGHING)
    ] = False,
    latency: Annotated[
        str | None, typer.Option(help="--p95 5ms, or --latency p95=5ms.", metavar="pN=TIME", rich_help_panel=WEIGHING)
    ] = None,
    quality_drop: Annotated[
        str | None, typer.Option(help="Largest loss; 1% unless said.", rich_help_panel=WEIGHING)
    ] = None,
    machine: Annotated[str | None, typer.Option(help="What it costs: m7a.large …", rich_help_panel=WEIGHING)] = None,
    within: Annotated[str | None, typer.Option(help="Time for the search: 5min.", rich_help_panel=WEIGHING)] = None,
    form: Annotated[Format, typer.Option("--format", help="human, json (for scripts) or quiet.")] = Format.human,
) -> None:
    """Train a network by a recipe, judge it, and export it as ONNX, ready to be weighed.

    Without a recipe: which recipes, data sets and networks there are. A run that was interrupted, however it ended,
    goes on when the same command is given again.
    """
    from steelyard.cli import train_run

    words = {"latency": latency, "quality_drop": quality_drop, "machine": machine, "within": within}
    places = {"on": on, "mlflow": mlflow}
    if not recipe:
        train_run.tell_what_there_is(form.value)
    elif show:
        train_run.show_recipe(recipe)
    elif search:
        from steelyard.cli import search_run

        changes = train_run.changes_of(change or [], seed)
        beside = {"weigh": weigh, "explain": explain, "compare_privacy": compare_privacy, "cheaper": cheaper}
        search_run.search(recipe, out, changes, fresh, words | places | beside, form.value)
    else:
        asked = {name: word for name, word in words.items() if word is not None}
        trust = {"explain": explain, "compare_privacy": compare_privacy}
        wanted = asked if weigh or asked else None
        train_run.train(recipe, out, change or [], seed, fresh, places, wanted, form.value, trust, cheaper)
