"""From a recipe with a pair of adversarial networks to a folder with a generator, judged by what it makes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from steelyard.errors import UsageError
from steelyard.records.base import to_json
from steelyard.records.dotted import found
from steelyard.records.generating import PairRun, SamplesJudged
from steelyard.records.recipe import Recipe
from steelyard.report.generated import render_generated, rows
from steelyard.train.progress import Watch

REPORT, RUN, CARD, JUDGE = "report.html", "run.json", "README.md", "judge"
SHOWN = 10
"""Pictures of each class."""
MOST_CLASSES = 20


def train_pair(
    recipe: Recipe, out: Path, *, fresh: bool = False, watch: Watch | None = None, stop: threading.Event | None = None
) -> PairRun:
    """Train the pair and a classifier that judges it, and write all that comes out into `out`.

    Both go on where they were interrupted, unless `fresh`.

    Raises UsageError without what training needs, and whatever `fit_pair`, `fit` and the export raise.
    """
    try:
        fit_pair, place = found("steelyard.train.adversarial:fit_pair"), found("steelyard.train.fitting:CHECKPOINT")
        judge_for, judged = (found(f"steelyard.train.judging_samples:{name}") for name in ("judge_for", "judged"))
        export = found("steelyard.train.painting:export_generator")
    except ModuleNotFoundError as error:
        raise UsageError(f"training needs torch ({error.name} is missing)", "pip install 'steelyard[train]'") from error
    for folder in (out, out / JUDGE) if fresh else ():
        (folder / place).unlink(missing_ok=True)
    pair = fit_pair(recipe, folder=out, watch=watch, stop=stop)
    judge = judge_for(pair, folder=out / JUDGE, stop=stop)
    run: PairRun = msgspec.structs.replace(pair.run, judged=judged(pair, judge))
    export(pair, out)
    (out / RUN).write_bytes(to_json(run, indent=2))
    (out / CARD).write_text(card(run), encoding="utf-8")
    (out / REPORT).write_text(render_generated(run, _grid(pair)), encoding="utf-8")
    return run


def _grid(pair: Any) -> list[tuple[str, Any]]:
    """Some pictures of each class: the first that the recipe's seed gives."""
    classes = pair.run.data.classes[:MOST_CLASSES]
    asked = np.repeat(np.arange(len(classes)), SHOWN)
    made = pair.sample(asked, seed=pair.run.recipe.seed)
    return [(name, made[asked == number]) for number, name in enumerate(classes)]


def figures(judged: SamplesJudged) -> list[str]:
    """What was found out, in lines."""
    return [f"{row.label}: {row.made} (real pictures: {row.real})" for row in rows(judged)]


def card(run: PairRun) -> str:
    """The model card, Markdown."""
    judged = run.judged
    lines = [
        "---", "library_name: onnx", "tags:", "- image-generation", "- steelyard", "---", "",
        f"# {run.recipe.name}", "",
        f"A DCGAN trained on {run.data.name} by Steelyard; see `run.json`. `model.onnx` takes `noise` (float32, "
        "normally distributed) and `class` (int64); it gives pictures, float32 [n, height, width, channels], 0 to 255.",
        "", "## How good it is", "",
    ]  # fmt: skip
    if judged is not None:
        lines += [f"By {judged.made.items:,} samples, seen by {judged.judge}:", ""]
        lines += [f"- {line}" for line in figures(judged)]
    lines += [
        "", "## Limits", "",
        "- What it makes is made up. It shows no variety that the data did not have, and less than they had.",
        "- It may have learnt single items by heart: it was trained without privacy.",
        "- Whether its pictures help to train other networks has to be measured, not believed.",
        "", "## Data", "", f"{run.data.name}: SHA-256 `{run.data.sha256}`. Source: {run.data.source or 'own'}.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
