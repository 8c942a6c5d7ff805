"""What a scikit-learn estimator reads: one matrix, or the columns of a table by name; text as the numbers of its words.

A portable model takes numbers. Where a column of text goes straight into an encoder, a copy of the estimator whose
encoder has numbers for categories takes the place of each word in the encoder's list instead, -1 for an unknown one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from steelyard.errors import DataError, ModelError
from steelyard.records.engine import Array

MATRIX = "X"
"""The name of the input that takes all columns at once."""
_LISTED = 50


class Prepared(NamedTuple):
    """An estimator that takes numbers only, and the data as it takes them."""

    estimator: Any
    inputs: dict[str, Array]
    """Column (or `X`, all of them) → float32 or int64 [items, columns]."""
    told: tuple[str, ...]
    """Which numbers stand for which words, one sentence per column."""


def prepared(estimator: Any, data: Any) -> Prepared:
    """The fitted estimator and its `data` (a table with named columns, or a matrix [items, columns]), ready to export.

    Raises DataError when columns are missing or hold text where numbers are wanted, ModelError for text that goes
    anywhere but into an encoder.
    """
    table = _table(data)
    transformer = _by_name(estimator)
    if transformer is None:
        return Prepared(estimator, {MATRIX: _matrix(estimator, data, table)}, ())
    if table is None:
        raise DataError(
            "the estimator selects columns by name, the data is an array without names",
            f"give a DataFrame with the columns {_listed(list(transformer.feature_names_in_))}",
        )
    used = list(dict.fromkeys(name for _, _, names in _parts(transformer) for name in names))
    if missing := [name for name in used if name not in table]:
        raise DataError(f"the data lacks the columns {_listed(missing)}", f"it has {_listed(list(table))}")
    return _coded(estimator, transformer, {name: table[name] for name in used})


def _table(data: Any) -> dict[str, Array] | None:
    """Columns by name of a pandas or polars DataFrame; None for an array."""
    if hasattr(data, "columns") and hasattr(data, "__getitem__"):
        return {str(name): data[name].to_numpy() for name in data.columns}
    return None


def _by_name(estimator: Any) -> Any:
    """The ColumnTransformer through which named columns come in, if there is one."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    first = estimator
    while isinstance(first, Pipeline):
        first = next(step for _, step in first.steps if step not in (None, "passthrough"))
    return first if isinstance(first, ColumnTransformer) and hasattr(first, "feature_names_in_") else None


def _matrix(estimator: Any, data: Any, table: dict[str, Array] | None) -> Array:
    """float32 [items, columns], in the order in which the estimator was fitted."""
    if table is None:
        matrix = np.asarray(data)
    else:
        order = [str(name) for name in getattr(estimator, "feature_names_in_", table)]
        if missing := [name for name in order if name not in table]:
            raise DataError(f"the data lacks the columns {_listed(missing)}", f"it has {_listed(list(table))}")
        matrix = np.column_stack([table[name] for name in order])
    if matrix.ndim != 2:
        shape = list(matrix.shape)
        raise DataError(f"scikit-learn takes [items, columns], got {shape}", "for example X.reshape(-1, 1)")
    return _numbers(matrix, "the data")


def _numbers(values: Array, what: str) -> Array:
    try:
        return values.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{what} holds text, and the model takes numbers",
            "select columns by name with a ColumnTransformer that sends text through OneHotEncoder or OrdinalEncoder",
        ) from error


def _coded(estimator: Any, transformer: Any, table: Mapping[str, Array]) -> Prepared:
    """Columns as inputs of their own; those that hold text as places in their encoder's list of categories."""
    categories = _categories(transformer, [name for name, column in table.items() if _is_text(column)])
    own = copy.deepcopy(estimator)
    for encoder in _encoders(_by_name(own), categories):
        encoder.categories_ = [np.arange(len(words)) for words in encoder.categories_]
    inputs = {}
    for name, column in table.items():
        known = categories.get(name)
        values = _numbers(column, f"the column '{name}'") if known is None else _places(column, known)
        inputs[name] = values.reshape(-1, 1)
    return Prepared(own, inputs, tuple(_told(name, words) for name, words in categories.items()))


def _parts(transformer: Any) -> Iterator[tuple[str, Any, list[str]]]:
    """Each part of a fitted ColumnTransformer that is not dropped, with the names of its columns."""
    all_names = [str(name) for name in transformer.feature_names_in_]
    for label, part, columns in transformer.transformers_:
        if isinstance(part, str) and part == "drop":
            continue
        chosen = np.asarray(all_names, object)[columns] if _are_places(columns) else columns
        yield label, part, [str(name) for name in np.atleast_1d(np.asarray(chosen, object))]


def _are_places(columns: Any) -> bool:
    if isinstance(columns, slice):
        return not isinstance(columns.start, str)
    return np.asarray(columns).dtype.kind in "iub"


def _categories(transformer: Any, text: Sequence[str]) -> dict[str, list[Any]]:
    """For each column that is coded, its categories; all columns of an encoder are coded when one of them is text."""
    found: dict[str, list[Any]] = {}
    for label, part, names in _parts(transformer):
        if not set(names) & set(text):
            continue
        encoder = _encoder(part)
        if encoder is None:
            raise ModelError(
                f"the column '{next(name for name in names if name in text)}' holds text that goes through "
                f"{_called(part)} ('{label}'), which a model of numbers cannot do",
                "send text straight into OneHotEncoder or OrdinalEncoder, or turn it into numbers before the pipeline",
            )
        for name, words in zip(names, encoder.categories_, strict=True):
            if found.setdefault(name, list(words)) != list(words):
                raise ModelError(f"two encoders have different categories for the column '{name}'")
    return found


def _encoders(transformer: Any, coded: Mapping[str, Any]) -> Iterator[Any]:
    for _, part, names in _parts(transformer):
        if set(names) & set(coded):
            yield _encoder(part)


def _encoder(part: Any) -> Any:
    """The encoder that a part is, or that is all of its pipeline."""
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    if isinstance(part, Pipeline) and len(part.steps) == 1:
        part = part.steps[0][1]
    return part if isinstance(part, OneHotEncoder | OrdinalEncoder) else None


def _called(part: Any) -> str:
    steps = [step for _, step in part.steps] if hasattr(part, "steps") else [part]
    return " and ".join(step if isinstance(step, str) else type(step).__name__ for step in steps)


def _is_text(column: Array) -> bool:
    return column.dtype.kind in "USO" and any(isinstance(value, str) for value in column.tolist())


def _places(column: Array, words: Sequence[Any]) -> Array:
    """int64: the place of each value among the categories, -1 where it is not among them."""
    place = {_key(word): number for number, word in enumerate(words)}
    return np.array([place.get(_key(value), -1) for value in column.tolist()], np.int64)


def _key(value: Any) -> Any:
    """Whatever stands for a missing value is one category."""
    return None if value is None or value != value else value


def _told(name: str, words: Sequence[Any]) -> str:
    pairs = ", ".join(f"{number} {word}" for number, word in enumerate(words[:_LISTED]))
    more = f" … ({len(words)} in the order of the encoder's categories_)" if len(words) > _LISTED else ""
    return f"the column {name} takes numbers for words: {pairs}{more}; -1 for any other"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(str, names[:10])) + (f" … ({len(names)})" if len(names) > 10 else "")
