"""Whether every point of a space makes a recipe, told before anything is trained."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from steelyard import networks
from steelyard.errors import UsageError
from steelyard.networks import losses, optimisers, schedules
from steelyard.preparation import augment, steps
from steelyard.preparation.imbalance import class_weights
from steelyard.records.recipe import Chosen, Recipe
from steelyard.records.space import Space
from steelyard.records.spelling import did_you_mean
from steelyard.train.fitting import BALANCES
from steelyard.train.recipes import changed, parsed
from steelyard.train.space import corners

SOME = 2
"""Classes: how many there are is not known before the data are read."""


def check(space: Space, content: Mapping[str, Any], where: str) -> None:
    """Each value that the space says is put into the recipe by itself.

    Raises UsageError for a setting that there is not, or a value that it does not take.
    """
    for change in corners(space):
        _check_options(parsed(changed(content, change), f"{where}: [search]"))


def _check_options(recipe: Recipe) -> None:
    networks.check_options(recipe.network.name, recipe.network.options)
    _check_known(recipe.optimiser, "optimiser", optimisers.OPTIMISERS, given=("module",))
    schedules.make(recipe.schedule.name, **recipe.schedule.options)
    _check_known(recipe.balance, "balance", dict.fromkeys(BALANCES, class_weights), given=("examples",))
    if recipe.loss is not None:
        losses.make(recipe.loss.name, **recipe.loss.options)
    for each in recipe.prepare:
        steps.make(each.name, each.options)
    if recipe.augment:
        augment.chain([(each.name, each.options) for each in recipe.augment], classes=SOME)


def _check_known(chosen: Chosen, what: str, makers: Mapping[str, Any], given: Iterable[str]) -> None:
    """Raises UsageError for a name that is not in the table, or an option that its maker does not know."""
    if chosen.name not in makers:
        raise UsageError(f"there is no {what} {chosen.name!r}", did_you_mean(chosen.name, makers))
    known = [each for each in inspect.signature(makers[chosen.name]).parameters if each not in given]
    wrong = next((option for option in chosen.options if option not in known), None)
    if wrong is not None:
        raise UsageError(f"the {what} {chosen.name} has no option {wrong!r}", did_you_mean(wrong, known))
