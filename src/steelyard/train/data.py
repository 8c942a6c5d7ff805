"""From a recipe's data to what a network can be trained and judged on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from steelyard import datasets
from steelyard.datasets.checking import check, check_ready
from steelyard.datasets.examples import Examples
from steelyard.errors import DataError, UsageError
from steelyard.networks.shapes import InputShape
from steelyard.preparation import steps
from steelyard.preparation.imbalance import told_imbalance
from steelyard.preparation.leakage import find_leaks
from steelyard.preparation.splits import Parts, SplitKind, split
from steelyard.preparation.steps import Prepared
from steelyard.preparation.windows import windows
from steelyard.records.recipe import Chosen, DataChoice, Recipe
from steelyard.records.spelling import did_you_mean
from steelyard.records.training import DataTold
from steelyard.train.shaping import shape_of


@dataclass(frozen=True)
class Prepare:
    """The data of a run: as they came, prepared, and what is told of them."""

    raw: Parts
    prepared: Prepared
    training: Examples
    validation: Examples
    test: Examples
    shape: InputShape
    told: DataTold

    @property
    def outputs(self) -> int:
        """How many numbers a network gives for each item."""
        targets = self.training.targets
        if self.training.measured:
            return 1 if targets.ndim == 1 else int(targets.shape[1])
        return len(self.training.classes)


def read(choice: DataChoice) -> Examples:
    """All items that the recipe names. Raises UsageError or DataError."""
    if choice.name:
        return datasets.load(choice.name)
    from steelyard.datasets.own import OwnData
    from steelyard.datasets.own import read as read_own

    wrong = next((key for key in choice.own if key not in OwnData.__struct_fields__), None)
    if wrong is not None:
        raise UsageError(f"[data] has an unknown setting {wrong}", did_you_mean(wrong, OwnData.__struct_fields__))
    try:
        return read_own(msgspec.convert(dict(choice.own), OwnData))
    except msgspec.ValidationError as error:
        raise UsageError(f"[data]: {error}") from error


def prepare(recipe: Recipe, examples: Examples) -> Prepare:
    """Divide, look for leaks, fit the preparation on the training part, and apply it to all.

    Raises UsageError for steps that there are not, DataError for data that cannot be prepared so.
    """
    check(examples, "the data set")
    choice = recipe.data
    items = examples if choice.windows is None else windows(examples, choice.windows.steps, choice.windows.every)
    parts = _limited(
        split(items, choice.split or _usual(items), choice.validation, choice.test, recipe.seed), choice.limit
    )
    if not len(parts.training):
        raise DataError("there are no items to train on", "make validation and test smaller")
    chosen = [steps.make(each.name, each.options) for each in recipe.prepare]
    prepared = steps.fit_all(chosen, parts.training)
    training = steps.apply_all(prepared, parts.training, training=True)
    validation, test = (steps.apply_all(prepared, part) for part in (parts.validation, parts.test))
    for name, part in (("training", training), ("validation", validation), ("test", test)):
        check_ready(part, f"the {name} part")
    return Prepare(
        parts, prepared, training, validation, test,
        shape_of(training, prepared.serving),
        _told(choice, examples, parts, prepared, training),
    )  # fmt: skip


def _usual(examples: Examples) -> SplitKind:
    """How these are divided when nothing is said."""
    if examples.parts is not None:
        return "given"
    if examples.groups is not None:
        return "group"
    return "random" if examples.measured else "stratified"


def _limited(parts: Parts, limit: int | None) -> Parts:
    if limit is None:
        return parts
    small = {name: part.some(limit) for name, part in parts.named.items()}
    return replace(parts, told=(*parts.told, f"at most {limit} items of each part are used"), **small)


def _told(choice: DataChoice, examples: Examples, parts: Parts, prepared: Prepared, training: Examples) -> DataTold:
    known = datasets.describe(choice.name) if choice.name else None
    kept = [told for name in ("validation", "test") for told in _kept(prepared, parts, name)]
    unequal = told_imbalance(training)
    return DataTold(
        name=choice.name or str(choice.own.get("source", "given arrays")),
        sha256=sha256_of(examples),
        items={"training": len(training), "validation": len(parts.validation), "test": len(parts.test)},
        classes=examples.classes,
        prepared=(*_cut(choice, parts), *parts.told, *prepared.told, *kept, *((unequal,) if unequal else ())),
        leaks=tuple(leak.told for leak in find_leaks(parts)),
        licence=known.licence if known else "",
        source=known.source if known else "",
    )


def _cut(choice: DataChoice, parts: Parts) -> Sequence[str]:
    """What is told of windows."""
    if choice.windows is None:
        return ()
    steps, count = choice.windows.steps, sum(len(part) for part in parts.named.values())
    return (f"sequences were cut into {count} windows of {steps} steps, one every {choice.windows.every or steps}",)


def _kept(prepared: Prepared, parts: Parts, name: str) -> Sequence[str]:
    part = parts.named[name]
    return steps.kept_all_the_same(prepared, part, name) if len(part) else ()


def sha256_of(examples: Examples) -> str:
    """Over all inputs and targets; equal data give an equal hash on every machine."""
    found = hashlib.sha256()
    for name, array in (*examples.inputs.items(), ("targets", examples.targets)):
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        if array.dtype == object:
            found.update("\0".join(map(str, array.reshape(-1).tolist())).encode())
        else:
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def with_default_steps(recipe: Recipe, examples: Examples) -> Recipe:
    """The recipe with the steps that its data cannot do without, if it names none at all."""
    if recipe.prepare or examples.kind == "images":
        return recipe
    needed = {"table": ("missing", "standard", "ordinal"), "sequences": ("standard",), "text": ("tokens",)}
    has_words = any(values.dtype == object for values in examples.inputs.values())
    names = [name for name in needed.get(examples.kind, ()) if name != "ordinal" or has_words]
    return msgspec.structs.replace(recipe, prepare=tuple(Chosen(name=name) for name in names))
