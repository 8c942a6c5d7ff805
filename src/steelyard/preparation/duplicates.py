"""Equal items: training goes without the copies, and without items whose copies contradict them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steelyard.datasets.examples import Array, Examples
from steelyard.numbers import count
from steelyard.preparation.likeness import digests
from steelyard.preparation.steps import Serving
from steelyard.records.base import Record


class Unique(Record):
    """Keeps the first of equal items."""

    told: str
    conflicts: Literal["drop", "keep"]

    @property
    def serving(self) -> Serving:
        """Nothing: whoever asks twice gets two answers."""
        return {}

    def unwanted(self, examples: Examples) -> NDArray[np.bool_]:
        """Copies of an item before them, and all items whose copies have another target."""
        copies, contradicted = equal_items(examples)
        return contradicted | copies if self.conflicts == "drop" else copies & ~contradicted

    def apply(self, examples: Examples) -> Examples:
        """The same items."""
        return examples


class Duplicates(Record):
    """Leave copies out of training. In a table of few values equal rows are honest: do without this step.

    `conflicts = "keep"` keeps equal items whose targets differ.
    """

    conflicts: Literal["drop", "keep"] = "drop"

    def fit(self, examples: Examples) -> Unique:
        """Counts them."""
        copies, contradicted = equal_items(examples)
        copied, unclear = int((copies & ~contradicted).sum()), int(contradicted.sum())
        told = [f"{count(copied)} are copies of another"] if copied else []
        if unclear:
            what = "training goes without them" if self.conflicts == "drop" else "kept"
            told.append(f"{count(unclear)} have copies with another target ({what})")
        return Unique(told=f"equal items: {', '.join(told)}" if told else "", conflicts=self.conflicts)


def equal_items(examples: Examples) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which items are copies of one before them, and which have a copy with another target."""
    first: dict[bytes, int] = {}
    original = np.array([first.setdefault(digest, item) for item, digest in enumerate(digests(examples))], np.int64)
    copies = original != np.arange(len(examples))
    differs = _different(examples.targets, examples.targets[original])
    contradicted = np.zeros(len(examples), bool)
    contradicted[original[differs]] = True
    return copies, contradicted[original]


def _different(left: Array, right: Array) -> NDArray[np.bool_]:
    return np.asarray((left != right).reshape(len(left), -1).any(axis=1))
