"""What can be done for trust in a trained network beyond judging it: what its privacy cost, and what it looks at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from steelyard.errors import UsageError
from steelyard.records.base import Record
from steelyard.records.dotted import found
from steelyard.records.evaluation import Evaluation
from steelyard.records.recipe import Recipe
from steelyard.records.training import PrivacyCost
from steelyard.train.explained import Explanation

WITHOUT_PRIVACY = "without-privacy"


class Trust(Record):
    """What is asked for."""

    explain: bool = False
    """Show in the report what the network looks at."""
    compare_privacy: bool = False
    """Train the recipe without privacy as well, and tell what privacy cost."""

    def check(self, recipe: Recipe) -> None:
        """Before time is spent: raises UsageError for a recipe without privacy, and where captum is missing."""
        if self.compare_privacy and recipe.privacy is None:
            raise UsageError("--compare-privacy: the recipe is not private", 'add "[privacy]" with "epsilon = 8" to it')
        if self.explain:
            _explainer()


def explained(trained: Any, evaluation: Evaluation) -> Explanation:
    """Of a `Trained`: its worst mistakes, and right answers. Raises UsageError without captum."""
    explanation: Explanation = _explainer()(trained, evaluation)
    return explanation


def _explainer() -> Callable[..., Any]:
    try:
        explain: Callable[..., Any] = found("steelyard.train.explaining:explain")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--explain needs captum ({error.name} is missing)", "pip install 'steelyard[trust]'"
        ) from error
    return explain


def with_cost_of_privacy(trained: Any, fit: Callable[..., Any], part: str, out: Path, fresh: bool, **words: Any) -> Any:
    """The same `Trained`, in whose record stands what its recipe gives without privacy on this part.

    For that it is trained so as well, by `fit` with `words`. The checkpoint of that, and nothing else of it, stands in
    a folder beside `out`.
    """
    folder, place = out.with_name(f"{out.name}-{WITHOUT_PRIVACY}"), found("steelyard.train.fitting:CHECKPOINT")
    if fresh:
        (folder / place).unlink(missing_ok=True)
    plain = fit(msgspec.structs.replace(trained.run.recipe, privacy=None), folder=folder, **words)
    cost = cost_of(trained.evaluate(part), plain.evaluate(part))
    privacy = msgspec.structs.replace(trained.run.privacy, cost=cost)
    return dataclasses.replace(trained, run=msgspec.structs.replace(trained.run, privacy=privacy))


def cost_of(private: Evaluation, plain: Evaluation) -> PrivacyCost:
    """By accuracy, or the mean squared error of measured values."""
    figure = "accuracy" if private.classes else "mse"
    return PrivacyCost(figure=figure, private=getattr(private, figure), plain=getattr(plain, figure))
