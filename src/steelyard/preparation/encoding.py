"""Words become numbers: a column of zeros and ones per word, or the word's place for an embedding."""

from __future__ import annotations

from collections import Counter

from steelyard.datasets.checking import missing
from steelyard.datasets.examples import Array, Examples
from steelyard.errors import DataError
from steelyard.preparation.columnwise import Columnwise, word_inputs
from steelyard.preparation.plain import OneHot, Ordinal, Plain
from steelyard.records.base import Record


class OneHotWords(Record):
    """Each column of words becomes one of zeros and ones per word; words never seen in training become all zeros.

    Of a column with more than `most` words the commonest are kept. Named columns may hold whole numbers.
    """

    columns: tuple[str, ...] = ()
    most: int = 32

    def fit(self, examples: Examples) -> Columnwise:
        """Raises DataError when a word is missing or a column is not there."""
        return _fitted(examples, self.columns, "one-hot", self.most)


class OrdinalWords(Record):
    """Each word becomes its place in the alphabet of words, counted from 1; 0 is a word never seen in training."""

    columns: tuple[str, ...] = ()
    most: int = 100_000

    def fit(self, examples: Examples) -> Columnwise:
        """Raises DataError when a word is missing or a column is not there."""
        return _fitted(examples, self.columns, "ordinal", self.most)


def _fitted(examples: Examples, columns: tuple[str, ...], step: str, most: int) -> Columnwise:
    done: dict[str, tuple[Plain, ...]] = {}
    rare = []
    for name in word_inputs(examples, columns, step):
        kept, left = _commonest(examples.inputs[name], name, step, most)
        done[name] = (OneHot(categories=kept) if step == "one-hot" else Ordinal(categories=kept),)
        if left:
            rare.append(f"{name}: the {left} rarest of {len(kept) + left} words are as unknown")
    told = f"; {'; '.join(rare)}" if rare else ""
    return Columnwise(told=f"{step}: {len(done)} columns of words{told}" if done else "", columns=done)


def _commonest(values: Array, name: str, step: str, most: int) -> tuple[tuple[str | int, ...], int]:
    """The commonest words, sorted, and how many others there are."""
    if missing(values).any():
        raise DataError(f"the step {step!r} met a missing word in {name!r}", "put the step `missing` before it")
    counts = Counter(values.tolist())
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return tuple(sorted(ranked[:most])), max(0, len(ranked) - most)
