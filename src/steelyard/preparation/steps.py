"""Steps that prepare data: fitted on the training items alone, then applied to all, written as JSON.

What a fitted step does to an item never depends on other items, and never changes their number: only training may go
without some of them, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from steelyard.datasets.examples import Examples
from steelyard.errors import DataError, UsageError
from steelyard.preparation.plain import Plain, Tokens
from steelyard.records.base import Record, to_json
from steelyard.records.dotted import found
from steelyard.records.spelling import did_you_mean

Serving = Mapping[str, tuple[Plain | Tokens, ...]]
"""Input → what is done to its raw values, in this order."""


class Fitted(Protocol):
    """A step that has seen the training items."""

    @property
    def told(self) -> str:
        """What was found and done, with counts; empty when that is nothing."""

    @property
    def serving(self) -> Serving:
        """What the model must do itself, or be given, when it serves."""

    def unwanted(self, examples: Examples) -> NDArray[np.bool_]:
        """Items [items] that training goes without. Elsewhere they stay, and are counted."""

    def apply(self, examples: Examples) -> Examples:
        """The same items in the same order, prepared."""


class Step(Protocol):
    """What is to be done, before anything was seen."""

    def fit(self, examples: Examples) -> Fitted:
        """Look at the training items. Raises DataError when they cannot be prepared so."""


STEPS: dict[str, str] = {
    "personal": "steelyard.preparation.personal:Personal",
    "duplicates": "steelyard.preparation.duplicates:Duplicates",
    "missing": "steelyard.preparation.missing:Missing",
    "outliers": "steelyard.preparation.outliers:Outliers",
    "noise": "steelyard.preparation.noise:Noise",
    "standard": "steelyard.preparation.scaling:Standard",
    "min-max": "steelyard.preparation.scaling:MinMax",
    "robust": "steelyard.preparation.scaling:Robust",
    "one-hot": "steelyard.preparation.encoding:OneHotWords",
    "ordinal": "steelyard.preparation.encoding:OrdinalWords",
    "tokens": "steelyard.preparation.tokens:Tokenise",
}
"""Name in a recipe → a record of options."""

FITTED: dict[str, str] = {
    "masked": "steelyard.preparation.personal:Masked",
    "unique": "steelyard.preparation.duplicates:Unique",
    "filled": "steelyard.preparation.missing:Filled",
    "bounded": "steelyard.preparation.outliers:Bounded",
    "doubtful": "steelyard.preparation.noise:Doubtful",
    "columnwise": "steelyard.preparation.columnwise:Columnwise",
    "tokenised": "steelyard.preparation.tokens:Tokenised",
}
"""Name in a file → a record of what was found."""


@dataclass(frozen=True)
class Prepared:
    """Steps that have seen the training items, in their order."""

    fitted: tuple[Fitted, ...] = ()

    @property
    def told(self) -> tuple[str, ...]:
        """One sentence per step that found or did something."""
        return tuple(step.told for step in self.fitted if step.told)

    @property
    def serving(self) -> Serving:
        """Input → all that is done to its raw values."""
        joined: dict[str, tuple[Plain | Tokens, ...]] = {}
        for step in self.fitted:
            for name, done in step.serving.items():
                joined[name] = (*joined.get(name, ()), *done)
        return joined


def make(name: str, options: Mapping[str, Any] | None = None) -> Step:
    """The step of this name. Raises UsageError when there is none, or it has no such option."""
    if name not in STEPS:
        raise UsageError(f"no step of preparation is called {name!r}", did_you_mean(name, STEPS))
    kind = found(STEPS[name])
    unknown = [option for option in options or {} if option not in kind.__struct_fields__]
    if unknown:
        raise UsageError(
            f"the step {name!r} has no option {unknown[0]!r}", did_you_mean(unknown[0], kind.__struct_fields__)
        )
    try:
        step: Step = msgspec.convert(dict(options or {}), kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"the step {name!r}: {error}") from None
    return step


def fit_all(steps: Sequence[Step], training: Examples) -> Prepared:
    """Fit one step after the other, each on what those before it made of the training items."""
    fitted: list[Fitted] = []
    for step in steps:
        fitted.append(step.fit(training))
        training = _trained_on(fitted[-1], training)
    return Prepared(tuple(fitted))


def apply_all(prepared: Prepared, examples: Examples, *, training: bool = False) -> Examples:
    """The items, prepared. All of them, in their order, unless it is `training`, which goes without some."""
    for step in prepared.fitted:
        examples = _trained_on(step, examples) if training else step.apply(examples)
    return examples


def _trained_on(step: Fitted, examples: Examples) -> Examples:
    unwanted = step.unwanted(examples)
    if unwanted.all():
        raise DataError(f"no items are left to train on: {step.told}", "leave out this step, or give it wider limits")
    return step.apply(examples.take(~unwanted) if unwanted.any() else examples)


def kept_all_the_same(prepared: Prepared, examples: Examples, part: str) -> tuple[str, ...]:
    """What is told of a part that judges: how many items stay in it that training would have gone without."""
    told = []
    for step in prepared.fitted:
        count = int(step.unwanted(examples).sum())
        if count:
            reason = step.told.partition(":")[0]
            told.append(f"{part}: {count} of {len(examples)} items stay that training would go without ({reason})")
        examples = step.apply(examples)
    return tuple(told)


class _Written(Record):
    step: str
    found: msgspec.Raw


def prepared_to_json(prepared: Prepared) -> bytes:
    """What was found, to be read by `prepared_from_json`. Raises UsageError for a step that is not one of ours."""
    names = {path: name for name, path in FITTED.items()}
    written = []
    for step in prepared.fitted:
        path = f"{type(step).__module__}:{type(step).__qualname__}"
        if path not in names:
            raise UsageError(f"a step of your own ({path}) cannot be written to a file", "apply it before training")
        written.append(_Written(step=names[path], found=msgspec.Raw(to_json(step))))
    return to_json(written, indent=1)


def prepared_from_json(raw: bytes) -> Prepared:
    """What `prepared_to_json` wrote. Raises DataError when it is anything else."""
    try:
        written = msgspec.json.decode(raw, type=list[_Written])
        return Prepared(tuple(msgspec.json.decode(one.found, type=found(FITTED[one.step])) for one in written))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataError(f"this is no preparation that was written by Steelyard: {error}") from None
    except KeyError as error:
        raise DataError(f"the preparation has a step {error} that this version does not know") from None
