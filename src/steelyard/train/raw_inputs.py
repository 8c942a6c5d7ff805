"""Raw items as the exported network takes them, by name."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from steelyard.datasets.examples import Array, Examples
from steelyard.train.shaping import IDS

TABLE, OUTPUT = "table", "output"
MISSING = ""
"""How a word that is missing is written, in requests as in tables."""


@dataclass(frozen=True)
class RawInputs:
    """What the ready network is called with, as a server gets it."""

    names: tuple[str, ...]
    arrays: tuple[Array, ...]
    varies: dict[str, dict[int, str]] = field(default_factory=dict)
    """Input → axes beside the first that may differ from request to request."""


def raw_inputs(raw: Examples, examples: Examples) -> RawInputs:
    """`raw` as they came, `examples` the same prepared: texts go in as numbers of tokens, all others raw."""
    if "image" in raw.inputs:
        return RawInputs(("image",), (raw.inputs["image"],))
    if "sequence" in raw.inputs:
        names = tuple(name for name in ("sequence", "length") if name in raw.inputs)
        return RawInputs(names, tuple(raw.inputs[name] for name in names), {"sequence": {1: "steps"}})
    if IDS in examples.inputs:
        return RawInputs((IDS,), (examples.inputs[IDS],), {IDS: {1: "length"}})
    return _table(raw)


def _table(raw: Examples) -> RawInputs:
    """All numbers side by side, float32 [items, columns]; each column of words by itself [items, 1]."""
    numbers, words = numbers_and_words(raw)
    inputs: dict[str, Array] = {}
    if numbers:
        inputs[TABLE] = np.stack([raw.inputs[name].astype(np.float32) for name in numbers], axis=1)
    for name in words:
        written = [MISSING if word is None else word for word in raw.inputs[name]]
        inputs[_free(name, {TABLE, OUTPUT, *inputs})] = np.array(written, object)[:, None]
    return RawInputs(tuple(inputs), tuple(inputs.values()))


def numbers_and_words(raw: Examples) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of numbers of a table and those of words, both in the order of the data."""
    words = tuple(name for name, values in raw.inputs.items() if raw.kind == "table" and values.dtype == object)
    return tuple(name for name in raw.inputs if name not in words), words


def _free(name: str, taken: set[str]) -> str:
    """A name for an input that no other has."""
    while name in taken:
        name += "_"
    return name
