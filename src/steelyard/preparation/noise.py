"""Doubtful labels: items whose nearest neighbours agree on another class.

Edited nearest neighbours (Wilson, IEEE Transactions on Systems, Man and Cybernetics 2, 1972), asked for more agreement
than a majority.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from steelyard.datasets.examples import Array, Examples
from steelyard.errors import DataError, UsageError
from steelyard.numbers import count
from steelyard.preparation.likeness import digests, projected, vectors
from steelyard.preparation.steps import Serving
from steelyard.records.base import Record

_WIDTH = 32
"""Numbers by which items are compared: more of them make it slow, and hardly better."""


class Doubtful(Record):
    """The items by what they contain, so that the same ones are left out whenever training starts."""

    told: str
    items: tuple[str, ...]

    @property
    def serving(self) -> Serving:
        """Nothing."""
        return {}

    def unwanted(self, examples: Examples) -> NDArray[np.bool_]:
        """Those found doubtful in training, with the label that they had there."""
        if not self.items:
            return np.zeros(len(examples), bool)
        doubtful = set(self.items)
        return np.array([name in doubtful for name in _named(examples)], bool)

    def apply(self, examples: Examples) -> Examples:
        """The same items."""
        return examples


class Noise(Record):
    """Find items of which `agreement` (a share) of the `neighbours` nearest have one and the same other class.

    `how = "tell"` leaves them in training. A class that lies scattered among others can look like noise: read what is
    told before you drop.
    """

    how: Literal["drop", "tell"] = "tell"
    neighbours: int = 10
    agreement: float = 0.9

    def fit(self, examples: Examples) -> Doubtful:
        """Raises DataError for measured values, or when a value is missing."""
        _check_installed()
        if examples.measured:
            raise DataError("the step `noise` looks at classes; these targets are measured values", "leave it out")
        wrong = np.flatnonzero(self._contradicted(examples))
        if not len(wrong):
            return Doubtful(told="", items=())
        some = ", ".join(str(item) for item in wrong[:5])
        what = "training goes without them" if self.how == "drop" else "kept: look at them"
        told = f"doubtful labels, {what}: {count(len(wrong))} items whose neighbours agree on another class ({some}"
        names = _named(examples.take(wrong)) if self.how == "drop" else []
        return Doubtful(told=f"{told}{', …' if len(wrong) > 5 else ''})", items=tuple(names))

    def _contradicted(self, examples: Examples) -> NDArray[np.bool_]:
        near = _neighbours(_compared(examples), min(self.neighbours, len(examples) - 1))
        votes = np.zeros((len(examples), len(examples.classes)), np.int64)
        every = np.arange(len(examples))
        for nearest in near.T:
            votes[every, examples.targets[nearest]] += 1
        votes[every, examples.targets] = 0
        return np.asarray(votes.max(axis=1) >= self.agreement * near.shape[1])


def _compared(examples: Examples) -> Any:
    """What items are compared by: few numbers each, or for texts sparse counts of pieces of words."""
    if "text" in examples.inputs:
        from sklearn.feature_extraction.text import TfidfVectorizer

        texts = ["" if text is None else text for text in examples.inputs["text"]]
        return TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), sublinear_tf=True).fit_transform(texts)
    values = projected(vectors(examples), _WIDTH)
    if not np.isfinite(values).all():
        raise DataError("the step `noise` met a missing or infinite value", "put the step `missing` before it")
    return values


def _neighbours(values: Any, neighbours: int) -> Array:
    """Numbers of the nearest other items [items, neighbours]."""
    from sklearn.neighbors import NearestNeighbors

    found: Array = NearestNeighbors(n_neighbors=neighbours).fit(values).kneighbors(return_distance=False)
    return found


def _check_installed() -> None:
    if find_spec("sklearn") is None:
        raise UsageError("the step `noise` needs scikit-learn", 'pip install "steelyard[train]"')


def _named(examples: Examples) -> list[str]:
    targets = examples.targets.tolist()
    return [f"{digest.hex()}:{target}" for digest, target in zip(digests(examples), targets, strict=True)]
