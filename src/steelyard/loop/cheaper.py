"""Cheaper forms of a trained network, put into its folder beside it, where weighing finds them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from steelyard.errors import UsageError
from steelyard.loop.training import NEEDED, judged_part
from steelyard.records.base import to_json
from steelyard.records.cheaper import NAMES, Cheaper
from steelyard.records.dotted import found
from steelyard.records.evaluation import Evaluation
from steelyard.records.recipe import Recipe
from steelyard.train.progress import Watch

RECORD, SETTINGS = "cheaper.json", "steelyard.toml"


class Form(NamedTuple):
    """A cheaper network, how right it is on the test, and how large its file is."""

    trained: Any
    evaluation: Evaluation
    size: int


def recipes_of(recipe: Recipe, cheaper: Cheaper, on: str | None = None) -> dict[str, Recipe]:
    """By way, what it makes of the recipe. Raises UsageError before any time is spent on what will not do."""
    if not any(cheaper.wanted):
        return {}
    if on is not None:
        raise UsageError(
            "cheaper networks are trained by one process",
            "run the same command without --on: the network itself is taken over from its checkpoint",
        )
    try:
        recipe_of = found("steelyard.train.cheaper:recipe_of")
    except ModuleNotFoundError as error:
        raise UsageError(f"{NEEDED} ({error.name} is missing)", "pip install 'steelyard[train]'") from error
    return {way: recipe_of(recipe, way, cheaper) for way in cheaper.wanted}


def forget(out: Path) -> None:
    """Let all of them begin anew."""
    for name in NAMES.values():
        (out / f"{name}.safetensors").unlink(missing_ok=True)


def train(
    trained: Any,
    way: str,
    cheaper: Cheaper,
    out: Path,
    *,
    watch: Watch | None = None,
    stop: threading.Event | None = None,
) -> Form:
    """Go one way from a `Trained` whose folder is `out`, and export what comes of it there.

    Raises whatever `train.cheaper.make` and `export` raise.
    """
    make, export = found("steelyard.train.cheaper:make"), found("steelyard.train.cheaper:export")
    made = make(trained, way, cheaper, folder=out, watch=watch, stop=stop)
    file = export(made, way, out)
    return Form(made, made.evaluate(judged_part(made)), file.stat().st_size)


def note(forms: Mapping[str, Form], out: Path) -> None:
    """Let `steelyard weigh` in the folder know of them, and write down what they are: `forms` by way."""
    lines = "".join(f'{NAMES[way]} = "{NAMES[way]}.onnx"\n' for way in forms)
    with (out / SETTINGS).open("a", encoding="utf-8") as file:
        file.write(f"\n[variants]\n{lines}")
    record = {NAMES[way]: {"run": form.trained.run, "evaluation": form.evaluation} for way, form in forms.items()}
    (out / RECORD).write_bytes(to_json(record, indent=2))
