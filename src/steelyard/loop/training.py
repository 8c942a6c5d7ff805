"""From a recipe to a folder with a trained network, and on to the balance if so wanted."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steelyard.errors import UsageError
from steelyard.records.dotted import found
from steelyard.records.evaluation import Evaluation
from steelyard.records.recipe import Recipe
from steelyard.report.training import picture, render
from steelyard.train.progress import Watch

REPORT = "report.html"
NEEDED = "training needs torch and Lightning Fabric"


def train(
    recipe: Recipe, out: Path, *, fresh: bool = False, watch: Watch | None = None, stop: threading.Event | None = None
) -> tuple[Any, Evaluation]:
    """Train, and export into `out`: a `Trained`, and how right it is on its test.

    A run that was interrupted there goes on, unless `fresh`.

    Raises UsageError without what training needs, and whatever `train.fit` and `export` raise.
    """
    try:
        fit, place = found("steelyard.train.fitting:fit"), found("steelyard.train.fitting:CHECKPOINT")
        export = found("steelyard.train.export:export")
    except ModuleNotFoundError as error:
        raise UsageError(f"{NEEDED} ({error.name} is missing)", "pip install 'steelyard[train]'") from error
    if fresh:
        with contextlib.suppress(FileNotFoundError):
            (out / place).unlink()
    trained = fit(recipe, folder=out, watch=watch, stop=stop)
    part = next(name for name in ("test", "validation", "training") if len(trained.part(name)))
    evaluation = trained.evaluate(part)
    export(trained, out, evaluation)
    (out / REPORT).write_text(render(trained.run, evaluation, _pictures(trained, evaluation)), encoding="utf-8")
    return trained, evaluation


def _pictures(trained: Any, evaluation: Evaluation) -> dict[int, str]:
    """What the mistakes look like, where they are pictures."""
    pixels = trained.part(evaluation.part).inputs.get("image")
    return {} if pixels is None else {each.row: picture(pixels[each.row]) for each in evaluation.mistakes}


def changes(words: Mapping[str, str]) -> dict[str, Any]:
    """`{"training.epochs": "3"}` as the values of TOML: numbers, true and false, lists, else words."""
    import tomllib

    said = {}
    for name, word in words.items():
        try:
            said[name] = tomllib.loads(f"value = {word}")["value"]
        except tomllib.TOMLDecodeError:
            said[name] = word
    return said
