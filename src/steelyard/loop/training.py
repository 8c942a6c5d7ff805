"""From a recipe to a folder with a trained network, and on to the balance if so wanted."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from steelyard.errors import DataError, UsageError
from steelyard.loop.mlflow_training import TrainingLog
from steelyard.loop.trust import Trust, explained, with_cost_of_privacy
from steelyard.records.dotted import found
from steelyard.records.evaluation import Evaluation
from steelyard.records.recipe import Recipe
from steelyard.report.looking import looked_at
from steelyard.report.training import picture, render
from steelyard.train.progress import Several, Watch

REPORT = "report.html"
NEEDED = "training needs torch and Lightning Fabric"


def train(
    recipe: Recipe,
    out: Path,
    *,
    fresh: bool = False,
    watch: Watch | None = None,
    stop: threading.Event | None = None,
    on: str | None = None,
    log: TrainingLog | None = None,
    trust: Trust = Trust(),  # noqa: B008 - it cannot be changed
) -> tuple[Any, Evaluation]:
    """Train, and export into `out`: a `Trained`, and how right it is on its test.

    A run that was interrupted there goes on, unless `fresh`. `on`: `ray` means the cluster that this machine is part
    of. Of several processes that were started side by side, the leading one writes. `trust`: what is wanted beyond.

    Raises UsageError without what training needs, and whatever `train.fit` and `export` raise.
    """
    try:
        fit, place = found(_fit(on)), found("steelyard.train.fitting:CHECKPOINT")
    except ModuleNotFoundError as error:
        raise UsageError(f"{NEEDED} ({error.name} is missing)", "pip install 'steelyard[train]'") from error
    trust.check(recipe)
    if fresh:
        (out / place).unlink(missing_ok=True)
    watches = [each for each in (watch, log) if each is not None]
    trained = fit(recipe, folder=out, watch=Several(*watches), stop=stop)
    if trust.compare_privacy:
        trained = with_cost_of_privacy(trained, fit, judged_part(trained), out, fresh, watch=watch, stop=stop)
    if not is_leading():
        return trained, trained.evaluate(judged_part(trained))
    return trained, finish(trained, out, trust.explain)


def is_leading() -> bool:
    """Of processes that torchrun started, one; a process that was started alone."""
    return os.environ.get("RANK", "0") == "0"


def _fit(on: str | None) -> str:
    if on is None:
        return "steelyard.train.fitting:fit"
    if on != "ray":
        raise UsageError(
            f"--on names the Ray cluster that this machine is part of, got '{on}'",
            "run on a machine of the cluster, with --on ray",
        )
    return "steelyard.cluster.ray_training:fit_on_ray"  # stands above, and knows of Ray


def judged_part(trained: Any) -> str:
    """The test; where there is none, the part that comes nearest to one."""
    return next(name for name in ("test", "validation", "training") if len(trained.part(name)))


def finish(trained: Any, out: Path, explain: bool = False) -> Evaluation:
    """Judge a `Trained` on its test, export it into `out` and report on it. Raises whatever `export` raises."""
    export = found("steelyard.train.export:export")
    evaluation: Evaluation = trained.evaluate(judged_part(trained))
    with _room(out):
        export(trained, out, evaluation)
    looks = looked_at(explained(trained, evaluation), trained.part(evaluation.part).inputs) if explain else None
    page = render(trained.run, evaluation, _pictures(trained, evaluation), looks)
    with _room(out):
        (out / REPORT).write_text(page, encoding="utf-8")
    return evaluation


@contextlib.contextmanager
def _room(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{out} cannot be written: {error.strerror or error}",
            "make room and give the same command again: nothing has to be learnt anew",
        ) from error


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
